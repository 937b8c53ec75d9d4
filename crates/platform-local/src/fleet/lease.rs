//! Leases: while one is held, only the holder of its nonce may change the machine.

use axum::http::StatusCode;
use jiff::Timestamp;
use machines_api::types::Lease;

use super::record::MachineRecord;
use crate::{error::Refusal, identity};

/// A lease whose taker names no length (seconds).
const TTL_DEFAULT_SECS: u64 = 60;

/// The longest lease (seconds): a day, so that one left by a dead client ends.
const TTL_MAX_SECS: u64 = 86_400;

/// Who holds leases: everybody on this computer has the same token.
const OWNER: &str = "local@tokens.fly.io";

/// Refuses a change by somebody who does not hold the lease, or no longer.
pub(super) fn check(
    record: &MachineRecord,
    nonce: Option<&str>,
    now: Timestamp,
) -> Result<(), Refusal> {
    match (record.lease_at(now), nonce) {
        (None, None) => Ok(()),
        (Some(lease), Some(nonce)) if lease.nonce == nonce => Ok(()),
        (Some(lease), _) => Err(held(record, lease)),
        // Whoever sends a nonce relies on a lease; acting without one would be a surprise.
        (None, Some(_)) => Err(Refusal::new(
            StatusCode::CONFLICT,
            format!(
                "failed to get lease: lease not found for machine ID {}\nhint: it ran out or was \
                 released; acquire another",
                record.id
            ),
        )),
    }
}

/// Takes the lease, or, with its nonce, holds it for longer.
pub(super) fn acquire(
    record: &mut MachineRecord,
    nonce: Option<&str>,
    ttl_secs: Option<u64>,
    description: Option<String>,
    now: Timestamp,
) -> Result<Lease, Refusal> {
    check(record, nonce, now)?;
    let ttl_secs = ttl_secs.unwrap_or(TTL_DEFAULT_SECS).clamp(1, TTL_MAX_SECS);
    let known = record.lease_at(now);
    let lease = Lease {
        nonce: known.map_or_else(identity::nonce, |lease| lease.nonce.clone()),
        expires_at: now.as_second() + i64::try_from(ttl_secs).unwrap_or(1),
        owner: OWNER.to_owned(),
        description: description.or_else(|| known.and_then(|lease| lease.description.clone())),
        version: Some(record.instance_id.clone()),
    };
    record.lease = Some(lease.clone());
    Ok(lease)
}

/// Gives the lease up.
pub(super) fn release(
    record: &mut MachineRecord,
    nonce: Option<&str>,
    now: Timestamp,
) -> Result<(), Refusal> {
    if record.lease_at(now).is_none() {
        return Err(not_found(record));
    }
    check(record, nonce, now)?;
    record.lease = None;
    Ok(())
}

/// The lease that is held.
pub(super) fn get(record: &MachineRecord, now: Timestamp) -> Result<Lease, Refusal> {
    record.lease_at(now).cloned().ok_or_else(|| not_found(record))
}

fn not_found(record: &MachineRecord) -> Refusal {
    Refusal::not_found(format!("lease not found for machine ID {}", record.id))
}

fn held(record: &MachineRecord, lease: &Lease) -> Refusal {
    let expires_at = Timestamp::from_second(lease.expires_at).unwrap_or_default();
    Refusal::new(
        StatusCode::CONFLICT,
        format!(
            "machine ID {} lease currently held by {}, expires at {expires_at}",
            record.id, lease.owner
        ),
    )
}
