//! Connects to a machine, and measures how long that takes.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use tower::Service;

use crate::{clock, metrics::MachineMeter};

/// A machine on this computer accepts or refuses at once; only a full accept queue takes longer.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// Connections to one machine.
#[derive(Debug, Clone)]
pub(crate) struct MeteredConnector {
    http: HttpConnector,
    meter: Arc<MachineMeter>,
}

impl MeteredConnector {
    pub(super) fn new(meter: Arc<MachineMeter>) -> Self {
        let mut http = HttpConnector::new();
        http.set_nodelay(true);
        http.set_connect_timeout(Some(CONNECT_MAX));
        Self { http, meter }
    }
}

impl Service<Uri> for MeteredConnector {
    type Response = <HttpConnector as Service<Uri>>::Response;
    type Error = <HttpConnector as Service<Uri>>::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.http.poll_ready(context)
    }

    fn call(&mut self, machine: Uri) -> Self::Future {
        let (connecting, meter) = (self.http.call(machine), Arc::clone(&self.meter));
        let begun = clock::instant();
        Box::pin(async move {
            let connection = connecting.await?;
            meter.connected(clock::instant().duration_since(begun));
            Ok(connection)
        })
    }
}
