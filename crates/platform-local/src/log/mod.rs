//! The newest log lines of each app: what its machines write, and what the proxy and the platform
//! have to say about it. They are kept in memory, with a limit; the machines' own files are kept
//! by the supervisor, and are read again after a restart.

mod collect;
mod complaints;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

use crate::clock;

pub(crate) use collect::collect;

use complaints::{Complaints, LeftOut};

/// What is kept of one app. An app that writes more loses its oldest lines here.
const APP_BYTES_MAX: usize = 512 << 10;

/// What is kept of one line; a longer one is cut.
const LINE_BYTES_MAX: usize = 8 << 10;

/// What a line costs beside its text.
const LINE_OVERHEAD_BYTES: usize = 160;

/// Apps of which lines are kept at once. There can be as many apps; a log of one that is gone
/// makes room for the next.
const APPS_MAX: usize = 256;

/// Who wrote a line, in Fly's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Provider {
    /// The program of a machine.
    App,
    /// The proxy, about a request or a machine that it starts or stops.
    Proxy,
    /// The platform, about a machine.
    Runner,
}

impl Provider {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Proxy => "proxy",
            Self::Runner => "runner",
        }
    }
}

/// How bad it is, in Fly's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warn,
    Error,
}

impl Level {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// A line to be kept.
#[derive(Debug, Clone)]
pub(crate) struct NewLine {
    /// When it was written, if that is known better than by its arrival.
    pub(crate) at: Option<Timestamp>,
    pub(crate) provider: Provider,
    pub(crate) level: Level,
    /// The id and the name of the machine that it is about, if it is about one.
    pub(crate) machine: Option<(String, String)>,
    pub(crate) text: String,
}

/// A line that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogLine {
    /// Nanoseconds since 1970. It grows from line to line, and no two lines of an app share one:
    /// it is also how a reader says how far it has read.
    pub(crate) at_ns: i64,
    pub(crate) provider: Provider,
    pub(crate) level: Level,
    pub(crate) machine: Option<(String, String)>,
    pub(crate) text: String,
}

/// The logs of all apps.
#[derive(Debug, Default)]
pub(crate) struct AppLogs {
    apps: Mutex<BTreeMap<String, AppLog>>,
    complaints: Mutex<Complaints>,
}

#[derive(Debug, Default)]
struct AppLog {
    /// Oldest first.
    lines: VecDeque<LogLine>,
    bytes: usize,
}

/// Which lines are wanted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wanted<'a> {
    /// Only lines after this one; without it the newest ones.
    pub(crate) after_ns: Option<i64>,
    pub(crate) machine: Option<&'a str>,
    pub(crate) count_max: usize,
}

impl AppLogs {
    pub(crate) fn append(&self, app: &str, line: NewLine) {
        let now = clock::now();
        let mut apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        if !apps.contains_key(app) && apps.len() >= APPS_MAX {
            let quietest = apps.iter().min_by_key(|(_, log)| log.newest_ns());
            let quietest = quietest.map(|(name, _)| name.clone());
            if let Some(quietest) = quietest {
                apps.remove(&quietest);
            }
        }
        apps.entry(app.to_owned()).or_default().append(line, now);
    }

    /// Appends a line that is about no machine, unless the log still has it.
    pub(crate) fn tell_once(&self, app: &str, level: Level, text: String) {
        let is_known = {
            let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
            apps.get(app).is_some_and(|log| log.lines.iter().any(|line| line.text == text))
        };
        if !is_known {
            let provider = Provider::Proxy;
            self.append(app, NewLine { at: None, provider, level, machine: None, text });
        }
    }

    /// Appends what the proxy says with this code, unless it has just said it often enough. The
    /// line is made only if it is wanted.
    pub(crate) fn complain(&self, app: &str, code: &'static str, line: impl FnOnce() -> NewLine) {
        let admitted = {
            let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
            complaints.admit(app, code, clock::instant())
        };
        if admitted {
            self.append(app, line());
        }
    }

    /// Tells in each log how much the proxy did not say.
    fn tell_left_out(&self) {
        let left_out = {
            let mut complaints = self.complaints.lock().unwrap_or_else(PoisonError::into_inner);
            complaints.end_windows(clock::instant())
        };
        for LeftOut { app, code, count } in left_out {
            let window = complaints::WINDOW;
            let text = format!("[{code}] and {count} more in {window:?}, which were left out");
            let (provider, level) = (Provider::Proxy, Level::Error);
            self.append(&app, NewLine { at: None, provider, level, machine: None, text });
        }
    }

    /// The lines that are wanted, oldest first.
    pub(crate) fn read(&self, app: &str, wanted: &Wanted<'_>) -> Vec<LogLine> {
        let apps = self.apps.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(log) = apps.get(app) else {
            return Vec::new();
        };
        let of_machine = |line: &&LogLine| {
            let id = line.machine.as_ref().map(|(id, _)| id.as_str());
            wanted.machine.is_none_or(|wanted| id == Some(wanted))
        };
        if let Some(after_ns) = wanted.after_ns {
            let start = log.lines.partition_point(|line| line.at_ns <= after_ns);
            let new = log.lines.iter().skip(start).filter(of_machine);
            return new.take(wanted.count_max).cloned().collect();
        }
        let newest = log.lines.iter().rev().filter(of_machine).take(wanted.count_max);
        let mut lines: Vec<_> = newest.cloned().collect();
        lines.reverse();
        lines
    }

    pub(crate) fn forget(&self, app: &str) {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner).remove(app);
    }
}

impl AppLog {
    fn newest_ns(&self) -> i64 {
        self.lines.back().map_or(i64::MIN, |line| line.at_ns)
    }

    fn append(&mut self, line: NewLine, now: Timestamp) {
        // A reader has seen all that is here: whatever comes must come after it, though it was
        // written a little earlier on another machine.
        let at = line.at.map_or(now, |at| at.min(now));
        let at_ns = i64::try_from(at.as_nanosecond()).unwrap_or(i64::MAX);
        let at_ns = at_ns.max(self.newest_ns().saturating_add(1));
        let NewLine { provider, level, machine, mut text, .. } = line;
        if text.len() > LINE_BYTES_MAX {
            text.truncate(text.floor_char_boundary(LINE_BYTES_MAX));
            text.push_str(" …");
        }
        self.bytes += text.len() + LINE_OVERHEAD_BYTES;
        self.lines.push_back(LogLine { at_ns, provider, level, machine, text });
        while self.bytes > APP_BYTES_MAX
            && let Some(oldest) = self.lines.pop_front()
        {
            self.bytes -= oldest.text.len() + LINE_OVERHEAD_BYTES;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, machine: &str) -> NewLine {
        NewLine {
            at: None,
            provider: Provider::App,
            level: Level::Info,
            machine: Some((machine.to_owned(), format!("name-of-{machine}"))),
            text: text.to_owned(),
        }
    }

    fn texts(logs: &AppLogs, wanted: &Wanted<'_>) -> Vec<String> {
        logs.read("shop", wanted).into_iter().map(|line| line.text).collect()
    }

    #[test]
    fn a_reader_that_goes_on_from_the_last_line_sees_each_line_once() {
        let logs = AppLogs::default();
        for number in 0..7 {
            logs.append("shop", line(&number.to_string(), "m1"));
        }
        let mut seen = Vec::new();
        let mut after_ns = Some(0);
        loop {
            let page = logs.read("shop", &Wanted { after_ns, machine: None, count_max: 3 });
            let Some(last) = page.last() else { break };
            after_ns = Some(last.at_ns);
            seen.extend(page.into_iter().map(|line| line.text));
        }
        assert_eq!(seen, ["0", "1", "2", "3", "4", "5", "6"]);
    }

    #[test]
    fn without_a_place_the_newest_lines_come_in_their_order() {
        let logs = AppLogs::default();
        for number in 0..5 {
            logs.append("shop", line(&number.to_string(), if number % 2 == 0 { "a" } else { "b" }));
        }
        let newest = Wanted { count_max: 2, ..Wanted::default() };
        assert_eq!(texts(&logs, &newest), ["3", "4"]);
        let of_a = Wanted { count_max: 2, machine: Some("a"), ..Wanted::default() };
        assert_eq!(texts(&logs, &of_a), ["2", "4"]);
        assert!(logs.read("other", &newest).is_empty());
    }

    #[test]
    fn a_line_that_was_written_earlier_still_comes_after_what_was_read() {
        let logs = AppLogs::default();
        logs.append("shop", line("first", "m1"));
        let read = logs.read("shop", &Wanted { count_max: 9, ..Wanted::default() });
        let earlier = Timestamp::UNIX_EPOCH;
        logs.append("shop", NewLine { at: Some(earlier), ..line("late", "m2") });
        let after_ns = read.last().map(|line| line.at_ns);
        assert_eq!(texts(&logs, &Wanted { after_ns, machine: None, count_max: 9 }), ["late"]);
    }

    #[test]
    fn an_app_that_writes_without_end_costs_bounded_memory() {
        let logs = AppLogs::default();
        for _ in 0..100 {
            logs.append("shop", line(&"x".repeat(LINE_BYTES_MAX * 2), "m1"));
        }
        for number in 0..20_000 {
            logs.append("shop", line(&number.to_string(), "m1"));
        }
        let apps = logs.apps.lock().expect("logs");
        let log = apps.get("shop").expect("a log");
        assert!(log.bytes <= APP_BYTES_MAX && log.lines.len() < 5_000);
        assert_eq!(log.lines.back().map(|line| line.text.as_str()), Some("19999"));
        drop(apps);
        for number in 0..APPS_MAX {
            logs.append(&format!("app-{number}"), line("x", "m1"));
        }
        assert_eq!(logs.apps.lock().expect("logs").len(), APPS_MAX);
        assert!(logs.read("shop", &Wanted { count_max: 1, ..Wanted::default() }).is_empty());
    }
}
