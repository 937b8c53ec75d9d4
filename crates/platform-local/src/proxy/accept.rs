//! Accepts clients' connections and deals them out to the workers, as many as there is room for
//! on all ports together.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Resource, getrlimit};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc::UnboundedSender},
};
use tokio_util::sync::CancellationToken;

use super::offer::Entrance;
use crate::clock;

/// More connections than this wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 4096;

/// Files that the platform needs for other things than clients and their machines.
const FILES_RESERVED: u64 = 256;

/// What a client reads that has too many connections.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 41\r\n\r\n\
    too many connections from one IP address\n";

/// A client's connection on its way to a worker.
#[derive(Debug)]
pub(super) struct Client {
    /// Of no runtime yet.
    pub(super) stream: std::net::TcpStream,
    pub(super) peer: SocketAddr,
    pub(super) entrance: Entrance,
    pub(super) place: Place,
}

/// The room for connections, shared by the ports.
#[derive(Debug, Clone)]
pub(super) struct Room {
    places: Arc<Semaphore>,
    by_address: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    per_address: usize,
}

/// A connection's place among those that there is room for. Dropped, the place is free.
#[derive(Debug)]
pub(super) struct Place {
    address: IpAddr,
    by_address: Arc<Mutex<BTreeMap<IpAddr, usize>>>,
    _permit: OwnedSemaphorePermit,
}

/// How many connections there may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    in_all: usize,
    per_address: usize,
}

impl Limits {
    /// As many as this process may have files, for each may need another one to a machine.
    pub(super) fn of_this_process(per_address: usize) -> Self {
        let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let most = files.saturating_sub(FILES_RESERVED) / 2;
        let in_all = usize::try_from(most).unwrap_or(usize::MAX).clamp(16, CONNECTIONS_MAX);
        Self { in_all, per_address: per_address.min(in_all * 3 / 4) }
    }
}

impl Room {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.in_all)),
            by_address: Arc::default(),
            per_address: limits.per_address,
        }
    }
}

/// Accepts until it is stopped.
pub(super) async fn accept(
    listener: TcpListener,
    entrance: Entrance,
    queues: Vec<UnboundedSender<Client>>,
    room: Room,
    stop: CancellationToken,
) {
    let mut turns = queues.iter().cycle();
    loop {
        // Where there is no room, who comes next waits; a stop does not.
        let accepted = async {
            let permit = Arc::clone(&room.places).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        let Ok(permit) = permit else { break };
        match accepted {
            Ok((stream, peer)) => {
                let Some(place) = Place::take(&room, peer.ip(), permit) else {
                    refuse(&stream, entrance);
                    continue;
                };
                let Some(queue) = turns.next() else { break };
                if let Err(error) = hand_over(stream, peer, entrance, place, queue) {
                    tracing::debug!(%error, %peer, "a connection was lost");
                }
            }
            Err(error) => {
                // Mostly too many open files: it passes when connections end.
                tracing::warn!(%error, "the proxy cannot accept a connection");
                clock::pause(Duration::from_millis(50)).await;
            }
        }
    }
}

fn hand_over(
    stream: TcpStream,
    peer: SocketAddr,
    entrance: Entrance,
    place: Place,
    queue: &UnboundedSender<Client>,
) -> std::io::Result<()> {
    // The queue needs no limit of its own: every client in it has a place.
    let client = Client { stream: stream.into_std()?, peer, entrance, place };
    queue.send(client).map_err(|_gone| std::io::Error::other("the worker has ended"))
}

fn refuse(stream: &TcpStream, entrance: Entrance) {
    if entrance == Entrance::Tls {
        // Without a handshake there is nothing that the client would understand.
        tracing::debug!("a client has too many connections");
        return;
    }
    // A socket that is new has room for so little; what the client does with it is its business.
    let told = stream.try_write(TOO_MANY);
    tracing::debug!(?told, "a client has too many connections");
}

impl Place {
    fn take(room: &Room, address: IpAddr, permit: OwnedSemaphorePermit) -> Option<Self> {
        let address = network_of(address);
        let by_address = &room.by_address;
        let mut counts = by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= room.per_address {
            return None;
        }
        *count += 1;
        Some(Self { address, by_address: Arc::clone(by_address), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Whoever has one IPv6 address has its whole /64.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        IpAddr::V4(address) => address.into(),
    }
}
