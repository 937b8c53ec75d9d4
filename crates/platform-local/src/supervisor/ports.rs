//! Gives each machine the ports that it needs, which are free.
//!
//! Ports come from below the range that the kernel hands to outgoing connections, so that no
//! connection takes a port between its choice and the moment when the machine listens on it.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{Ipv4Addr, TcpListener},
    sync::{Mutex, PoisonError},
};

use rand::RngExt as _;

/// The lowest port that is given; below it well-known services live.
const PORT_MIN: u16 = 20_000;

/// What Linux does unless it was told otherwise.
const OUTGOING_MIN_DEFAULT: u16 = 32_768;

/// So many ports are tried before giving up.
const TRIES_MAX: u32 = 1000;

/// The ports that are given to machines.
#[derive(Debug)]
pub(crate) struct PortPool {
    taken: Mutex<BTreeSet<u16>>,
    end: u16,
}

impl PortPool {
    pub(crate) fn new() -> Self {
        let outgoing_min = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
            .ok()
            .and_then(|text| text.split_whitespace().next()?.parse().ok())
            .unwrap_or(OUTGOING_MIN_DEFAULT);
        let enough = outgoing_min > PORT_MIN + 1000;
        let end = if enough { outgoing_min } else { OUTGOING_MIN_DEFAULT };
        Self { taken: Mutex::new(BTreeSet::new()), end }
    }

    /// Takes so many free ports, or none.
    pub(crate) fn take(&self, count: usize) -> io::Result<Vec<u16>> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ports = Vec::new();
        for _ in 0..TRIES_MAX {
            if ports.len() == count {
                taken.extend(&ports);
                return Ok(ports);
            }
            // At random, because other platforms on this computer choose from the same range.
            let port = rand::rng().random_range(PORT_MIN..self.end);
            let is_known = taken.contains(&port) || ports.contains(&port);
            if !is_known && TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
                ports.push(port);
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrNotAvailable, "no free port was found"))
    }

    /// Notes the ports of a machine that was adopted.
    pub(crate) fn keep(&self, ports: impl Iterator<Item = u16>) {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).extend(ports);
    }

    pub(crate) fn give_all_back(&self, ports: impl Iterator<Item = u16>) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        for port in ports {
            taken.remove(&port);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_and_each_can_be_listened_on() {
        let pool = PortPool::new();
        let ports: BTreeSet<u16> = (0..25).flat_map(|_| pool.take(2).expect("ports")).collect();
        assert_eq!(ports.len(), 50);
        for port in ports {
            assert!(TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok(), "{port}");
        }
    }
}
