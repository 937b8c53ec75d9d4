//! Worker.
use crate::Service;
use std::sync::Arc;
/// Worker.
#[derive(Debug)]
pub(crate) struct Worker {
    service: Arc<Service>,
}
impl Worker {
    /// New.
    pub(crate) fn new(service: Arc<Service>) -> Result<Self, reqwest::Error> {
        Ok(Self { service })
    }
    /// Run.
    pub(crate) async fn run(self) {
        self.service.stopping.cancelled().await;
    }
}
