//! Joins a client's connection with a machine's after both have changed the protocol, as web
//! sockets do. What passes is not looked at.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;
use tokio_util::sync::CancellationToken;

use super::{client_stream::ActiveRequest, route::Visit};

/// Passes bytes both ways until one side ends, the machine is asked to stop, or the proxy stops.
/// Until then the machine has this visit, which its drain waits for.
pub(super) async fn join(
    client: OnUpgrade,
    machine: OnUpgrade,
    visit: Visit,
    active: ActiveRequest,
    stop: CancellationToken,
) {
    let instance = std::sync::Arc::clone(visit.instance());
    let passed = async {
        let (client, machine) = tokio::try_join!(client, machine)?;
        let (mut client, mut machine) = (TokioIo::new(client), TokioIo::new(machine));
        let ended = copy_bidirectional(&mut client, &mut machine).await;
        if let Err(error) = ended {
            tracing::debug!(%error, "a tunnel broke");
        }
        Ok::<_, hyper::Error>(())
    };
    tokio::select! {
        passed = passed => {
            if let Err(error) = passed {
                tracing::debug!(%error, "a tunnel was not made");
            }
        }
        () = instance.connections().closed() => {}
        () = stop.cancelled() => {}
    }
    drop((visit, active));
}
