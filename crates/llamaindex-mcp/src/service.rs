//! What one running service holds: its articles, its memory of questions, its numbers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::library::Library;
use crate::metrics::Metrics;
use crate::telemetry::Telemetry;

/// Shared by every request.
#[derive(Debug)]
pub struct Service {
    /// The articles.
    pub library: Library,
    /// The latest questions.
    pub telemetry: Telemetry,
    /// The numbers.
    pub metrics: Metrics,
    /// The version to report.
    pub version: String,
    draining: AtomicBool,
}

impl Service {
    /// A service that is ready for requests.
    pub fn new(library: Library, version: String) -> Arc<Self> {
        let (telemetry, metrics) = (Telemetry::default(), Metrics::default());
        Arc::new(Self { library, telemetry, metrics, version, draining: AtomicBool::new(false) })
    }

    /// From now on the service is not ready: it answers what it has, and leaves.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether it was told to leave.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
