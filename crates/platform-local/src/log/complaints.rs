//! Bounds what the proxy says into the logs of apps: a flood of failing requests is told by a few
//! lines and a number. What is said is decided by the proxy.

use std::{collections::BTreeMap, time::Duration, time::Instant};

/// So many lines with one code are written into one app's log …
const LINES_MAX: u64 = 5;

/// … in this time; the rest is counted.
pub(super) const WINDOW: Duration = Duration::from_secs(2);

/// Apps and codes that are counted at once. Beyond that nothing is written: there is enough to
/// read.
const WINDOWS_MAX: usize = 1024;

/// What was said of late, by app and code.
#[derive(Debug, Default)]
pub(super) struct Complaints(BTreeMap<(String, &'static str), Window>);

#[derive(Debug)]
struct Window {
    since: Instant,
    count: u64,
}

/// Lines that were not written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LeftOut {
    pub(super) app: String,
    pub(super) code: &'static str,
    pub(super) count: u64,
}

impl Complaints {
    /// Whether a line may be written now; otherwise it is counted.
    pub(super) fn admit(&mut self, app: &str, code: &'static str, now: Instant) -> bool {
        if let Some(window) = self.0.get_mut(&(app.to_owned(), code)) {
            window.count += 1;
            return window.count <= LINES_MAX;
        }
        let has_room = self.0.len() < WINDOWS_MAX;
        if has_room {
            self.0.insert((app.to_owned(), code), Window { since: now, count: 1 });
        }
        has_room
    }

    /// Ends the windows that are over, and says what was left out in them.
    pub(super) fn end_windows(&mut self, now: Instant) -> Vec<LeftOut> {
        let is_over = |window: &Window| now.saturating_duration_since(window.since) >= WINDOW;
        let over = self.0.extract_if(.., |_, window| is_over(window));
        let left_out = over.filter(|(_, window)| window.count > LINES_MAX);
        left_out
            .map(|((app, code), window)| LeftOut { app, code, count: window.count - LINES_MAX })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn of_a_flood_a_few_lines_are_written_and_the_rest_is_counted() {
        let mut complaints = Complaints::default();
        let begun = clock::instant();
        let written = (0..1000).filter(|_| complaints.admit("shop", "PR01", begun)).count();
        assert_eq!(written as u64, LINES_MAX);
        assert!(complaints.admit("shop", "PC01", begun), "another code has lines of its own");
        assert!(complaints.admit("other", "PR01", begun), "and so has another app");
        assert_eq!(complaints.end_windows(begun), []);
        let left_out = LeftOut { app: "shop".to_owned(), code: "PR01", count: 1000 - LINES_MAX };
        assert_eq!(complaints.end_windows(begun + WINDOW), [left_out]);
        assert!(complaints.0.is_empty());
        assert!(complaints.admit("shop", "PR01", begun + WINDOW));
    }

    #[test]
    fn apps_without_number_cost_bounded_memory() {
        let mut complaints = Complaints::default();
        let now = clock::instant();
        for number in 0..WINDOWS_MAX * 2 {
            complaints.admit(&format!("app-{number}"), "PR01", now);
        }
        assert_eq!(complaints.0.len(), WINDOWS_MAX);
    }
}
