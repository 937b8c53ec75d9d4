//! Whether what a project depends on can be reached from here (the runbook's "Network connectivity
//! verified"): a port that takes a connection, or an address that answers by HTTP.

use std::time::Duration;

use holdpoint_core::project::Reachable;
use tokio::net::TcpStream;

use super::finding::{Finding, Lack};
use crate::adapter::http_client;

/// What takes longer is out of reach.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn look(reachable: &Reachable) -> Finding {
    let address = &reachable.address;
    match address.strip_prefix("tcp://") {
        Some(place) => connect(place).await,
        None => ask(address).await,
    }
}

async fn connect(place: &str) -> Finding {
    let hint = "check name, port and firewalls, then look again";
    match tokio::time::timeout(TIMEOUT, TcpStream::connect(place)).await {
        Ok(Ok(stream)) => {
            let peer = stream.peer_addr().map_or_else(|_| place.to_owned(), |it| it.to_string());
            Ok(format!("{peer} takes a connection"))
        }
        Ok(Err(error)) => Err(Lack::new(format!("{place} takes no connection: {error}"), hint)),
        Err(_elapsed) => {
            let detail = format!("{place} took no connection within {} s", TIMEOUT.as_secs());
            Err(Lack::new(detail, hint))
        }
    }
}

/// Any answer but a failure of the server's own will do: whether one may ask is another matter.
async fn ask(url: &str) -> Finding {
    let hint = "check the address, then look again";
    let unreached = |error| {
        Lack::new(format!("`{url}` can't be asked: {}", http_client::described(error)), hint)
    };
    let client = http_client::for_address(url, TIMEOUT).map_err(unreached)?;
    let status = client.get(url).send().await.map_err(unreached)?.status();
    if status.is_server_error() {
        return Err(Lack::new(format!("`{url}` answered {status}"), "look again later"));
    }
    Ok(format!("`{url}` answered {status}"))
}
