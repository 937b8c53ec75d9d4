//! What is counted of one app and of one machine while requests pass. Counting takes no lock for
//! the statuses that occur all the time.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::histogram::{ANSWER_BOUNDS_SECS, CONNECT_BOUNDS_SECS, HANDSHAKE_BOUNDS_SECS, Histogram};

/// The statuses that are counted without a lock.
const COMMON: [u16; 24] = [
    200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 409, 422, 429,
    499, 500, 502, 503, 504,
];

/// More different statuses than this of one machine are counted together: a program that makes
/// them up shall not fill the memory of whoever keeps the series.
const RARE_MAX: usize = 32;

/// The status of answers beyond that.
const OTHER: u16 = 0;

/// Answers by status.
#[derive(Debug, Default)]
struct Statuses {
    common: [AtomicU64; COMMON.len()],
    rare: Mutex<BTreeMap<u16, u64>>,
}

/// What clients of one app got: the proxy's own answers are in it.
#[derive(Debug)]
pub(crate) struct AppMeter {
    statuses: Statuses,
    pub(super) times: Histogram,
    pub(super) handshakes: Histogram,
    pub(super) handshake_errors: AtomicU64,
    /// Attempts that had to be repeated, by cause.
    retries: Mutex<BTreeMap<&'static str, u64>>,
}

/// What one machine answered, and what became of its programs.
#[derive(Debug)]
pub(crate) struct MachineMeter {
    statuses: Statuses,
    pub(super) times: Histogram,
    pub(super) connects: Histogram,
    pub(super) restarts: AtomicU64,
    pub(super) oom_kills: AtomicU64,
    processor: Mutex<Processor>,
}

/// Processor time, carried on over the starts of a machine.
#[derive(Debug, Default)]
struct Processor {
    start: String,
    /// Of the starts before this one.
    before: ProcessorTime,
    last: ProcessorTime,
}

/// Hundredths of a second that a machine's programs have computed.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessorTime {
    pub(crate) user_centisecs: u64,
    pub(crate) system_centisecs: u64,
}

impl Statuses {
    fn count(&self, status: u16) {
        if let Some(count) = COMMON.binary_search(&status).ok().and_then(|at| self.common.get(at)) {
            count.fetch_add(1, Relaxed);
            return;
        }
        let mut rare = self.rare.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = rare.len() < RARE_MAX || rare.contains_key(&status);
        *rare.entry(if has_room { status } else { OTHER }).or_default() += 1;
    }

    fn read(&self) -> Vec<(String, u64)> {
        let common = COMMON.iter().zip(&self.common).map(|(status, n)| (*status, n.load(Relaxed)));
        let mut all: BTreeMap<u16, u64> = common.filter(|(_, count)| *count > 0).collect();
        all.extend(self.rare.lock().unwrap_or_else(PoisonError::into_inner).iter());
        let name =
            |status: u16| if status == OTHER { "other".to_owned() } else { status.to_string() };
        all.into_iter().map(|(status, count)| (name(status), count)).collect()
    }
}

impl AppMeter {
    pub(super) fn new() -> Self {
        Self {
            statuses: Statuses::default(),
            times: Histogram::new(&ANSWER_BOUNDS_SECS),
            handshakes: Histogram::new(&HANDSHAKE_BOUNDS_SECS),
            handshake_errors: AtomicU64::new(0),
            retries: Mutex::default(),
        }
    }

    /// Counts what a client got, and how long it waited for its beginning.
    pub(crate) fn answered(&self, status: u16, took: Duration) {
        self.statuses.count(status);
        self.times.add(took);
    }

    /// Counts a TLS handshake that a client finished, and how long it took.
    pub(crate) fn shook_hands(&self, took: Duration) {
        self.handshakes.add(took);
    }

    /// Counts a TLS handshake that came to nothing.
    pub(crate) fn failed_handshake(&self) {
        self.handshake_errors.fetch_add(1, Relaxed);
    }

    /// Counts an attempt that had to be repeated, with or at another machine. Drained machines
    /// cause none.
    pub(crate) fn retried(&self, cause: &'static str) {
        let mut retries = self.retries.lock().unwrap_or_else(PoisonError::into_inner);
        *retries.entry(cause).or_default() += 1;
    }

    pub(super) fn answers(&self) -> Vec<(String, u64)> {
        self.statuses.read()
    }

    pub(super) fn retries(&self) -> BTreeMap<&'static str, u64> {
        self.retries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl MachineMeter {
    pub(super) fn new() -> Self {
        Self {
            statuses: Statuses::default(),
            times: Histogram::new(&ANSWER_BOUNDS_SECS),
            connects: Histogram::new(&CONNECT_BOUNDS_SECS),
            restarts: AtomicU64::new(0),
            oom_kills: AtomicU64::new(0),
            processor: Mutex::default(),
        }
    }

    /// Counts an answer, and how long its beginning took.
    pub(crate) fn answered(&self, status: u16, took: Duration) {
        self.statuses.count(status);
        self.times.add(took);
    }

    /// Counts a new connection to the machine, and how long it took to make.
    pub(crate) fn connected(&self, took: Duration) {
        self.connects.add(took);
    }

    /// Counts the end of a program, if memory was its cause.
    pub(crate) fn ended(&self, oom_killed: bool) {
        self.oom_kills.fetch_add(u64::from(oom_killed), Relaxed);
    }

    /// Counts a program that is started again after it ended by itself.
    pub(crate) fn restarted(&self) {
        self.restarts.fetch_add(1, Relaxed);
    }

    pub(super) fn answers(&self) -> Vec<(String, u64)> {
        self.statuses.read()
    }

    /// The processor time of all starts, given that of the one that runs. What a start used
    /// after its last reading is lost with it.
    pub(super) fn processor(&self, start: &str, now: ProcessorTime) -> ProcessorTime {
        let mut known = self.processor.lock().unwrap_or_else(PoisonError::into_inner);
        if known.start != start {
            known.before = known.before.plus(known.last);
            start.clone_into(&mut known.start);
            known.last = ProcessorTime::default();
        }
        // A child that has ended takes its time with it where nobody counted it.
        known.last = ProcessorTime {
            user_centisecs: now.user_centisecs.max(known.last.user_centisecs),
            system_centisecs: now.system_centisecs.max(known.last.system_centisecs),
        };
        known.before.plus(known.last)
    }
}

impl ProcessorTime {
    fn plus(self, other: Self) -> Self {
        Self {
            user_centisecs: self.user_centisecs + other.user_centisecs,
            system_centisecs: self.system_centisecs + other.system_centisecs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_and_rare_statuses_are_counted_alike() {
        assert!(COMMON.is_sorted());
        let meter = MachineMeter::new();
        for status in [200, 418, 200, 418, 599] {
            meter.answered(status, Duration::ZERO);
        }
        let expected = [("200", 2), ("418", 2), ("599", 1)];
        let expected: Vec<_> = expected.map(|(s, n)| (s.to_owned(), n)).into();
        assert_eq!(meter.answers(), expected);
    }

    #[test]
    fn a_program_that_makes_statuses_up_fills_no_memory() {
        let meter = MachineMeter::new();
        for status in 600..999 {
            meter.answered(status, Duration::ZERO);
        }
        let answers = meter.answers();
        assert_eq!(answers.len(), RARE_MAX + 1);
        assert_eq!(answers[0], ("other".to_owned(), 399 - RARE_MAX as u64));
    }

    #[test]
    fn processor_time_never_goes_back_when_a_machine_starts_anew() {
        let meter = MachineMeter::new();
        let time = |user| ProcessorTime { user_centisecs: user, system_centisecs: 0 };
        assert_eq!(meter.processor("one", time(50)), time(50));
        assert_eq!(meter.processor("two", time(3)), time(53));
        assert_eq!(meter.processor("two", time(1)), time(53));
        assert_eq!(meter.processor("three", time(0)), time(53));
    }
}
