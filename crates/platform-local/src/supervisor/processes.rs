//! Lists the processes of a machine: its program, what that started, and what was run beside it.
//! Each with the sockets that it listens on.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

use machines_api::types::{ListenSocket, ProcessStat};
use procfs::{
    net::{TcpState, tcp, tcp6},
    process::{FDTarget, Process, Stat, all_processes},
};

use super::{adopt::START_VARIABLE, process::Identity, process_files};

/// More processes of one machine are not listed.
const PROCESSES_MAX: usize = 1000;

/// The processes of the machine whose program this is, of this start.
pub(crate) fn processes(own: Identity, start: &str) -> io::Result<Vec<ProcessStat>> {
    let all: BTreeMap<i32, (Process, Stat)> = all_processes()
        .map_err(io::Error::other)?
        .filter_map(|process| {
            let process = process.ok()?;
            let stat = process.stat().ok()?;
            Some((process.pid, (process, stat)))
        })
        .collect();
    if all.get(&own.pid).is_none_or(|(_, stat)| stat.starttime != own.start_ticks) {
        return Ok(Vec::new());
    }
    let mark = format!("exec-{start}");
    let is_member = |pid: i32, stat: &Stat| {
        stat.pgrp == own.pid
            || descends_from(&all, pid, own.pid)
            || process_files::environment_value(pid, START_VARIABLE)
                .is_some_and(|found| found == start || found.starts_with(&mark))
    };
    let sockets = listening_sockets();
    let (ticks, page_bytes) = (procfs::ticks_per_second().max(1), procfs::page_size());
    let uptime_ticks = uptime_ticks(ticks);
    Ok(all
        .iter()
        .filter(|(pid, (_, stat))| is_member(**pid, stat))
        .take(PROCESSES_MAX)
        .map(|(pid, (process, stat))| {
            let milliseconds = |of: u64| of.saturating_mul(1000) / ticks;
            ProcessStat {
                pid: pid_inside(process).unwrap_or(*pid),
                stime: milliseconds(stat.stime),
                rtime: milliseconds(uptime_ticks.saturating_sub(stat.starttime)),
                command: command(process, stat),
                directory: process.cwd().map(|it| it.display().to_string()).unwrap_or_default(),
                cpu: milliseconds(stat.utime + stat.stime),
                rss: stat.rss.saturating_mul(page_bytes),
                listen_sockets: sockets_of(process, &sockets),
            }
        })
        .collect())
}

/// Its id as the machine itself sees it: in a container it is another.
fn pid_inside(process: &Process) -> Option<i32> {
    process.status().ok()?.nspid?.last().copied()
}

fn descends_from(all: &BTreeMap<i32, (Process, Stat)>, pid: i32, ancestor: i32) -> bool {
    let mut seen = BTreeSet::new();
    let mut at = pid;
    while at > 1 && seen.insert(at) {
        if at == ancestor {
            return true;
        }
        let Some((_, stat)) = all.get(&at) else { return false };
        at = stat.ppid;
    }
    false
}

fn command(process: &Process, stat: &Stat) -> String {
    match process.cmdline() {
        Ok(words) if !words.is_empty() => words.join(" "),
        Ok(_) | Err(_) => stat.comm.clone(),
    }
}

/// The sockets that are listened on, by their inode.
fn listening_sockets() -> BTreeMap<u64, ListenSocket> {
    let mut found = BTreeMap::new();
    for (proto, entries) in [("tcp", tcp()), ("tcp6", tcp6())] {
        for entry in entries.into_iter().flatten() {
            if entry.state == TcpState::Listen {
                let address = entry.local_address.to_string();
                found.insert(entry.inode, ListenSocket { proto: proto.to_owned(), address });
            }
        }
    }
    found
}

fn sockets_of(process: &Process, sockets: &BTreeMap<u64, ListenSocket>) -> Vec<ListenSocket> {
    let Ok(descriptors) = process.fd() else { return Vec::new() };
    descriptors
        .flatten()
        .filter_map(|descriptor| {
            let FDTarget::Socket(inode) = descriptor.target else { return None };
            sockets.get(&inode).cloned()
        })
        .collect()
}

fn uptime_ticks(ticks: u64) -> u64 {
    use procfs::Current as _;
    let hundredths =
        procfs::Uptime::current().map_or(0, |uptime| uptime.uptime_duration().as_millis() / 10);
    u64::try_from(hundredths).unwrap_or(0).saturating_mul(ticks) / 100
}
