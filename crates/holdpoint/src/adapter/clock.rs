//! The one clock, which may run faster in a rehearsal. It never shows a time before one that it
//! has shown. Nothing else of this crate reads the time of the computer or sleeps.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::files;

/// Where a rehearsal's clock is kept, in the state directory.
const FILE: &str = "rehearsal-clock.json";

/// The clock by which a release goes. Clones show the same time.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    course: Course,
    /// The latest time that was shown or recorded.
    shown: Mutex<Timestamp>,
}

#[derive(Debug)]
enum Course {
    /// As the computer says.
    Real,
    /// `speed` seconds pass in one real second.
    Scaled { at_opening: Timestamp, opened: Instant, speed: u32 },
}

/// A scaled clock as it is kept between processes.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    /// The computer's time when the clock was started.
    origin: Timestamp,
    /// What the clock showed then.
    start: Timestamp,
    /// How many of its seconds pass in a real second.
    speed: u32,
}

/// Why a rehearsal's clock can't be kept or found again.
#[derive(Debug, Error)]
pub enum ClockError {
    /// The file can't be read.
    #[error(
        "could not read the rehearsal's clock `{path}`: {source}\nhint: check that you may read the state directory"
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file can't be written.
    #[error(
        "could not keep the rehearsal's clock in `{path}`: {source}\nhint: check that the state directory may be written and the disk is not full"
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error(
        "the rehearsal's clock `{path}` can't be understood: {message}\nhint: remove the state directory and rehearse again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl Clock {
    /// The computer's own time.
    pub fn real() -> Self {
        Self::new(Course::Real, Timestamp::UNIX_EPOCH)
    }

    /// A clock that shows `start` now and runs `speed` times as fast as time (at least once).
    pub fn scaled(start: Timestamp, speed: u32) -> Self {
        let course = Course::Scaled { at_opening: start, opened: ticks(), speed: speed.max(1) };
        Self::new(course, start)
    }

    /// Starts a scaled clock and keeps it in the state directory, so that [`Self::stored_in`]
    /// goes on with it.
    pub fn scaled_in(state_dir: &Path, start: Timestamp, speed: u32) -> Result<Self, ClockError> {
        let path = state_dir.join(FILE);
        let stored = Stored { origin: wall(), start, speed: speed.max(1) };
        let text = serde_json::to_vec(&stored).map_err(|error| ClockError::Damaged {
            path: path.clone(),
            message: error.to_string(),
        })?;
        files::replace(&path, &text).map_err(|source| ClockError::Write { path, source })?;
        Ok(Self::scaled(start, speed))
    }

    /// The scaled clock that is kept in the state directory; it went on meanwhile. `None` where
    /// none was started.
    pub fn stored_in(state_dir: &Path) -> Result<Option<Self>, ClockError> {
        let path = state_dir.join(FILE);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ClockError::Read { path, source }),
        };
        let damaged = |message: String| ClockError::Damaged { path: path.clone(), message };
        let Stored { origin, start, speed } =
            serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
        if speed == 0 {
            return Err(damaged("its speed is 0".to_owned()));
        }
        // A computer whose time was set back must not set the rehearsal back.
        let passed = wall().duration_since(origin).max(SignedDuration::ZERO);
        Ok(Some(Self::scaled(after(start, passed, speed), speed)))
    }

    /// The time. It never goes backwards.
    pub fn now(&self) -> Timestamp {
        let now = self.unclamped();
        let mut shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = now.max(*shown);
        *shown
    }

    /// From now on shows no time before `time`, such as that of the journal's last record.
    pub fn not_before(&self, time: Timestamp) {
        let mut shown = self.0.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = time.max(*shown);
    }

    /// How long to wait, in real time, until the clock shows `time`; zero if it does already.
    pub fn real_until(&self, time: Timestamp) -> Duration {
        let ahead = time.duration_since(self.unclamped());
        let ahead = Duration::try_from(ahead).unwrap_or(Duration::ZERO);
        ahead.checked_div(self.speed()).unwrap_or(ahead)
    }

    /// How many of its seconds pass in a real second.
    pub fn speed(&self) -> u32 {
        match self.0.course {
            Course::Real => 1,
            Course::Scaled { speed, .. } => speed,
        }
    }

    fn new(course: Course, shown: Timestamp) -> Self {
        Self(Arc::new(Inner { course, shown: Mutex::new(shown) }))
    }

    fn unclamped(&self) -> Timestamp {
        match self.0.course {
            Course::Real => wall(),
            Course::Scaled { at_opening, opened, speed } => {
                let passed = SignedDuration::try_from(ticks().duration_since(opened));
                after(at_opening, passed.unwrap_or(SignedDuration::MAX), speed)
            }
        }
    }
}

/// Measures real time.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    pub fn start() -> Self {
        Self(ticks())
    }

    /// The real time since the start.
    pub fn elapsed(&self) -> Duration {
        ticks().duration_since(self.0)
    }

    /// The same in whole milliseconds.
    pub fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Lets real time pass.
#[expect(clippy::disallowed_methods, reason = "the one place of this crate that sleeps")]
pub async fn pause(duration: Duration) {
    tokio::time::sleep(duration).await;
}

fn after(start: Timestamp, passed: SignedDuration, speed: u32) -> Timestamp {
    let factor = i32::try_from(speed).unwrap_or(i32::MAX);
    let passed = passed.checked_mul(factor).unwrap_or(SignedDuration::MAX);
    start.checked_add(passed).unwrap_or(Timestamp::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the clock is what reads the computer's time")]
fn wall() -> Timestamp {
    Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(Timestamp::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the clock is what reads the computer's time")]
fn ticks() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(text: &str) -> Timestamp {
        text.parse().expect("a time")
    }

    #[test]
    fn a_scaled_clock_waits_a_fraction_of_the_time() {
        let start = timestamp("2026-11-24T16:00:00Z");
        let clock = Clock::scaled(start, 60);
        assert!(clock.now() >= start);
        let wait = clock.real_until(timestamp("2026-11-24T16:30:00Z"));
        assert!(wait <= Duration::from_secs(30), "{wait:?}");
        assert_eq!(clock.real_until(start), Duration::ZERO);
    }

    #[test]
    fn no_clock_shows_a_time_before_the_last_record() {
        let record = timestamp("2126-01-01T00:00:00Z");
        for clock in [Clock::real(), Clock::scaled(timestamp("2026-11-24T16:00:00Z"), 60)] {
            clock.not_before(record);
            assert!(clock.now() >= record);
            assert!(clock.real_until(record) > Duration::ZERO);
        }
    }

    #[test]
    fn a_rehearsals_clock_goes_on_in_the_next_process() {
        let directory = tempfile::tempdir().expect("directory");
        assert!(Clock::stored_in(directory.path()).expect("read").is_none());
        let start = timestamp("2026-11-24T16:00:00Z");
        let first = Clock::scaled_in(directory.path(), start, 60).expect("kept");
        let shown = first.now();
        let second = Clock::stored_in(directory.path()).expect("read").expect("there");
        assert_eq!(second.speed(), 60);
        // The wall clock and the steady clock may differ by a hair.
        let behind = shown.duration_since(second.now());
        assert!(behind < SignedDuration::from_secs(1), "{behind:?}");
    }

    #[test]
    fn a_damaged_clock_is_told() {
        let directory = tempfile::tempdir().expect("directory");
        fs::write(directory.path().join(FILE), "{").expect("written");
        let error = Clock::stored_in(directory.path()).expect_err("damaged").to_string();
        assert!(error.contains("hint: "), "{error}");
    }
}
