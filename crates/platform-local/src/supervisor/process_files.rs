//! Reads what the kernel says of a process under `/proc`. A process that is gone gives nothing.

use std::{fs, path::PathBuf};

/// Linux tells processor time in hundredths of a second, whatever its own clock is.
const TICK_US: u64 = 10_000;

/// When the process was started, in clock ticks since the computer was: together with its id this
/// names a process for ever, although ids are used again. Nothing if it is dead or a zombie.
pub(super) fn start_ticks(pid: i32) -> Option<u64> {
    parse_start_ticks(&fs::read_to_string(file_of(pid, "stat")).ok()?)
}

/// The value of a variable in the environment that the process was started with.
pub(super) fn environment_value(pid: i32, name: &str) -> Option<String> {
    let bytes = fs::read(file_of(pid, "environ")).ok()?;
    let prefix = format!("{name}=");
    bytes
        .split(|byte| *byte == 0)
        .filter_map(|entry| std::str::from_utf8(entry).ok())
        .find_map(|entry| entry.strip_prefix(&prefix).map(str::to_owned))
}

/// All processes that there are.
pub(super) fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The processes that this one has started and that are still there.
pub(super) fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(file_of(pid, &format!("task/{pid}/children")));
    let text = text.unwrap_or_default();
    text.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// The processes of a process group.
pub(super) fn members(group: i32) -> Vec<i32> {
    let in_group = |pid: &i32| {
        let stat = fs::read_to_string(file_of(*pid, "stat")).unwrap_or_default();
        // The process group is field 5 of proc(5); the state is field 3.
        let group_of = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2));
        group_of.and_then(|text| text.parse().ok()) == Some(group)
    };
    all().into_iter().filter(in_group).collect()
}

/// Bytes of memory that the process holds.
pub(super) fn resident_bytes(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(file_of(pid, "status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Processor time that the process has used, in microseconds.
pub(super) fn cpu_used_us(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(file_of(pid, "stat")).ok()?;
    // User and system time are fields 14 and 15 of proc(5).
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((user + system).saturating_mul(TICK_US))
}

/// The ticks (of which Linux has a hundred in a second) that the process and its ended children
/// have computed: for the program, and for the kernel on its behalf.
pub(crate) fn computed_ticks(pid: i32) -> Option<(u64, u64)> {
    parse_computed_ticks(&fs::read_to_string(file_of(pid, "stat")).ok()?)
}

/// The load averages of this computer over 1, 5 and 15 minutes.
pub(crate) fn load_averages() -> Option<[String; 3]> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    let mut averages = text.split_whitespace().map(str::to_owned);
    Some([averages.next()?, averages.next()?, averages.next()?])
}

fn file_of(pid: i32, name: &str) -> PathBuf {
    PathBuf::from(format!("/proc/{pid}/{name}"))
}

fn parse_start_ticks(stat: &str) -> Option<u64> {
    // The program's name stands in parentheses and may itself hold spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    // The state is field 3 and the start time field 22 of proc(5).
    fields.nth(18)?.parse().ok()
}

fn parse_computed_ticks(stat: &str) -> Option<(u64, u64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11).map(str::parse::<u64>);
    // Fields 14 to 17 of proc(5): the process's own time, then that of its ended children.
    let mut next = || fields.next()?.ok();
    let (user, system, user_children, system_children) = (next()?, next()?, next()?, next()?);
    Some((user + user_children, system + system_children))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_a_start_time_and_memory() {
        let own = i32::try_from(std::process::id()).expect("small");
        assert!(start_ticks(own).is_some());
        assert!(resident_bytes(own).expect("memory") > 100_000);
        assert!(all().contains(&own));
        assert!(cpu_used_us(own).is_some());
        let group = rustix::process::getpgrp().as_raw_nonzero().get();
        assert!(members(group).contains(&own));
        assert!(computed_ticks(own).is_some() && load_averages().is_some());
    }

    #[test]
    fn a_name_with_spaces_and_parentheses_is_read_and_a_zombie_is_dead() {
        let numbers = (4..30).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(parse_start_ticks(&format!("7 (a) b (c)) S {numbers}")), Some(22));
        assert_eq!(parse_start_ticks(&format!("7 (a) Z {numbers}")), None);
        assert_eq!(parse_computed_ticks(&format!("7 (a b) S {numbers}")), Some((30, 32)));
    }
}
