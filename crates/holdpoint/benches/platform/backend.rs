//! The program behind the proxies: this very benchmark, packed into an image and run as a
//! machine. It answers with as many bytes as the path says and does nothing else, so that what is
//! measured is the proxy.

use std::{convert::Infallible, env};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::LocalSet};

use crate::Outcome;

/// Set in the image of the benchmark, and nowhere else.
pub(crate) const ROLE: &str = "BENCH_ROLE";

/// The largest answer.
const BYTES_MAX: usize = 1 << 20;

/// The port to serve, if this process is a machine.
pub(crate) fn port_of_this_machine() -> Option<u16> {
    env::var(ROLE).ok()?;
    env::var("PORT").ok()?.parse().ok()
}

/// Serves until it is killed. One thread is enough: each proxy has the same one behind it.
pub(crate) async fn serve(port: u16) -> Outcome<()> {
    let serving = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, accept(port))
    });
    Ok(serving.await??)
}

async fn accept(port: u16) -> std::io::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", port)).await?;
    let body = Bytes::from(vec![b'x'; BYTES_MAX]);
    loop {
        let (stream, _peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let body = body.clone();
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| {
                let answer = answer(&request, &body, port);
                async move { Ok::<_, Infallible>(answer) }
            });
            // A client that leaves is no event.
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

fn answer(request: &Request<Incoming>, body: &Bytes, port: u16) -> Response<Full<Bytes>> {
    let path = request.uri().path();
    let bytes = path.trim_start_matches('/').parse().map_or(0, |bytes: usize| bytes.min(BYTES_MAX));
    let body = if path == "/port" { Bytes::from(port.to_string()) } else { body.slice(..bytes) };
    Response::new(Full::new(body))
}
