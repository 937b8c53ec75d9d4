//! What of the schedule can't be told from the text alone: which windows stay closed for a year
//! from a given time. What makes a window open is decided by [`crate::calendar`].

use std::ops::Range;

use jiff::Timestamp;
use toml::de::DeTable;

use super::diagnostic::Diagnostic;
use super::report::Report;
use super::{Project, Window};
use crate::calendar::{Calendar, ClosedReason};

/// A finding for each window that does not open within a year from `now`: an error when none
/// does, so that no release could ever reach production, otherwise a warning. `text` is what the
/// project was read from.
pub fn windows_that_stay_closed(text: &str, project: &Project, now: Timestamp) -> Vec<Diagnostic> {
    let report = Report::new(text, []);
    let calendar = Calendar::new(project);
    let opens = |calendar: &Calendar| {
        calendar.status(now).is_open() || !calendar.openings(now, 1).is_empty()
    };
    let none_opens = !opens(&calendar);
    let places = places(text);
    for (index, window) in project.windows.iter().enumerate() {
        let alone = calendar.with_window(window);
        if opens(&alone) {
            continue;
        }
        // the default window stands nowhere in the text
        let place = places.get(index).cloned().unwrap_or(0..0);
        let (message, hint) = finding(window, &alone, now);
        if none_opens {
            report.error(&place, message, hint);
        } else {
            report.warning(&place, message, hint);
        }
    }
    report.into_diagnostics()
}

fn finding(window: &Window, alone: &Calendar, now: Timestamp) -> (String, &'static str) {
    let name = &window.name;
    let Some((at, reasons)) = alone.hidden_by(now) else {
        let message = format!("the window `{name}` does not open within a year");
        return (message, "check its days and times");
    };
    let is_frozen = reasons.iter().any(|reason| matches!(reason, ClosedReason::Freeze { .. }));
    let reasons: Vec<String> = reasons.iter().map(|reason| alone.describe_reason(reason)).collect();
    let message = format!(
        "the window `{name}` does not open within a year: it would next begin {}, but {}",
        alone.local_time(at),
        reasons.join("; ")
    );
    let hint = if is_frozen {
        "end the freeze earlier, or remove the window until then"
    } else {
        "give it days that are not closed by `[calendar]`"
    };
    (message, hint)
}

/// Where the windows' names stand.
fn places(text: &str) -> Vec<Range<usize>> {
    let (document, _) = DeTable::parse_recoverable(text);
    let windows = document.get_ref().get("windows").and_then(|value| value.get_ref().as_array());
    windows
        .into_iter()
        .flat_map(|windows| windows.iter())
        .map(|window| {
            let table = window.get_ref().as_table();
            table.and_then(|table| table.get("name")).map_or(window.span(), toml::Spanned::span)
        })
        .collect()
}
