//! The only place that reads a clock: the wall time for timestamps, a stopwatch for durations.

use std::time::{Duration, Instant};

use jiff::Timestamp;

/// The wall time, for what people read and for windows of telemetry.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Measures how long something took, unmoved by changes of the wall time.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    /// Starts measuring.
    #[expect(clippy::disallowed_methods, reason = "the clock module is where time is read")]
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Time since the start, in milliseconds with fractions.
    pub fn elapsed_ms(&self) -> f64 {
        self.elapsed().as_secs_f64() * 1000.0
    }
}
