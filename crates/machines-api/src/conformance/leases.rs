//! Cases about leases: who may change a machine, and for how long.

use super::{Suite, WAIT_SECS, expect, refusal, told};
use crate::types::{Machine, StopMachine};

/// Long enough for every case on a busy computer.
const LONG_SECS: u64 = 120;

pub(super) async fn held(suite: &Suite) -> Result<(), String> {
    let machine = suite.started_machine().await?;
    let (client, app, id) = (&suite.client, &suite.app, machine.id.as_str());
    let lease = told(client.acquire_lease(app, id, LONG_SECS, "conformance").await)?;
    expect(!lease.nonce.is_empty(), "the lease has a nonce", &lease.owner)?;
    expect(lease.expires_at > 0, "the lease ends", &lease.expires_at)?;
    let second = client.acquire_lease(app, id, LONG_SECS, "conformance").await;
    let error = refusal(second, 409, "a second lease")?;
    expect(error.is_lease_conflict(), "the message names the lease that is held", &error)?;
    let stop = client.stop(app, id, &StopMachine::default(), None).await;
    let error = refusal(stop, 409, "a stop without the nonce")?;
    expect(error.is_lease_conflict(), "the message names the lease that is held", &error)?;
    told(client.cordon(app, id, Some(&lease.nonce)).await)?;
    told(client.release_lease(app, id, &lease.nonce).await)?;
    suite.remove(&machine).await
}

pub(super) async fn refreshed(suite: &Suite) -> Result<(), String> {
    let machine = idle_machine(suite).await?;
    let (client, app, id) = (&suite.client, &suite.app, machine.id.as_str());
    let lease = told(client.acquire_lease(app, id, LONG_SECS, "conformance").await)?;
    let version = lease.version.as_deref();
    expect(version == Some(machine.instance_id.as_str()), "it names the version", &version)?;
    let refreshed = told(client.refresh_lease(app, id, &lease.nonce, 2 * LONG_SECS).await)?;
    expect(refreshed.nonce == lease.nonce, "the nonce is the same", &refreshed.owner)?;
    let times = (lease.expires_at, refreshed.expires_at);
    expect(times.1 > times.0, "the lease ends later", &times)?;
    let read = told(client.get_lease(app, id).await)?;
    expect(read.nonce == lease.nonce, "the lease can be read", &read.owner)?;
    told(client.release_lease(app, id, &lease.nonce).await)?;
    let error = refusal(client.get_lease(app, id).await, 404, "reading a released lease")?;
    let says_so = error.message.contains("lease not found");
    expect(says_so, "the message says `lease not found`", &error)?;
    suite.remove(&machine).await
}

pub(super) async fn expired(suite: &Suite) -> Result<(), String> {
    let machine = idle_machine(suite).await?;
    let (client, app, id) = (&suite.client, &suite.app, machine.id.as_str());
    let first = told(client.acquire_lease(app, id, 1, "conformance").await)?;
    for _second in 0..WAIT_SECS {
        suite.pass_a_second(&machine).await?;
        match client.acquire_lease(app, id, LONG_SECS, "conformance").await {
            Ok(second) => {
                expect(second.nonce != first.nonce, "the nonce is new", &second.owner)?;
                told(client.release_lease(app, id, &second.nonce).await)?;
                return suite.remove(&machine).await;
            }
            Err(error) if error.is_lease_conflict() => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("expected that a lease of one second expires, but it is still held".to_owned())
}

pub(super) async fn stale_nonce(suite: &Suite) -> Result<(), String> {
    let machine = idle_machine(suite).await?;
    let (client, app, id) = (&suite.client, &suite.app, machine.id.as_str());
    let first = told(client.acquire_lease(app, id, LONG_SECS, "first").await)?;
    told(client.release_lease(app, id, &first.nonce).await)?;
    let second = told(client.acquire_lease(app, id, LONG_SECS, "second").await)?;
    refusal(client.cordon(app, id, Some(&first.nonce)).await, 409, "a cordon with a stale nonce")?;
    told(client.cordon(app, id, Some(&second.nonce)).await)?;
    told(client.release_lease(app, id, &second.nonce).await)?;
    suite.remove(&machine).await
}

/// A machine that never ran: a lease needs no more.
async fn idle_machine(suite: &Suite) -> Result<Machine, String> {
    let mut body = suite.create_body();
    body.skip_launch = true;
    told(suite.client.create_machine(&suite.app, &body, None).await)
}
