//! Whether a document was reviewed of late (the runbook's "Monitoring runbook reviewed" and
//! "Incident response runbook reviewed"): a review is a line that begins with the word `reviewed`
//! and names a day, or the last change that git knows of, whichever is later.

use std::path::Path;

use holdpoint_core::project::Runbook;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::finding::{Finding, Lack};
use crate::adapter::vcs;

/// Longer than this no runbook is; what comes after is not read.
const READ_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) async fn look(root: &Path, runbook: &Runbook, now: Timestamp) -> Finding {
    let Runbook { path, reviewed_within_days } = runbook;
    let text = tokio::fs::read(root.join(path)).await.map_err(|error| {
        Lack::new(
            format!("`{path}` can't be read: {error}"),
            "write it, or mend its `path` in `[[preflight.runbooks]]`",
        )
    })?;
    let text = String::from_utf8_lossy(text.get(..READ_BYTES_MAX).unwrap_or(&text)).into_owned();
    let hint = format!(
        "read it, mend it, and write the day into it: `Reviewed: {}`",
        TimeZone::UTC.to_datetime(now).date()
    );
    let said = reviewed(&text);
    if let Some(day) = said.filter(|day| *day > now + SignedDuration::from_hours(48)) {
        let day = TimeZone::UTC.to_datetime(day).date();
        return Err(Lack::new(format!("its review of {day} lies in the future"), hint));
    }
    // what git can't say, the document may
    let changed = vcs::last_change(root, Path::new(path)).await.ok().flatten();
    let by_hand = said.map(|at| (at, "its line `Reviewed`"));
    let by_change = changed.map(|at| (at, "its last change in git"));
    let Some((at, by)) = by_hand.into_iter().chain(by_change).max() else {
        let detail = "it has no line `Reviewed`, and git knows of no change";
        return Err(Lack::new(detail, hint));
    };
    let days = now.duration_since(at).as_hours().max(0) / 24;
    let told = format!("{days} days ago, by {by}; {reviewed_within_days} are allowed");
    if days > i64::from(*reviewed_within_days) {
        return Err(Lack::new(format!("it was last reviewed {told}"), hint));
    }
    Ok(format!("reviewed {told}"))
}

/// The latest day of the lines that begin with `reviewed`, whatever marks them.
fn reviewed(text: &str) -> Option<Timestamp> {
    let marks = |character: char| character.is_whitespace() || "*_>-#|`".contains(character);
    let lines = text.lines().filter_map(|line| {
        let line = line.trim_start_matches(marks).to_ascii_lowercase();
        let rest = line.strip_prefix("last reviewed").or_else(|| line.strip_prefix("reviewed"))?;
        let rest = rest.trim_start_matches(|character| marks(character) || character == ':');
        let day: Date = rest.get(..10)?.parse().ok()?;
        TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)).ok()
    });
    lines.max()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(text: &str, days: u32) -> Finding {
        let directory = tempfile::tempdir().expect("directory");
        std::fs::write(directory.path().join("monitoring.md"), text).expect("written");
        let path = "monitoring.md".to_owned();
        let runbook = Runbook { path, reviewed_within_days: days };
        let now = "2026-11-25T12:00:00Z".parse().expect("a time");
        look(directory.path(), &runbook, now).await
    }

    #[tokio::test]
    async fn a_review_counts_by_its_line_and_for_its_days() {
        let text = "# Monitoring\n\n**Last reviewed**: 2026-09-26 by ada\nReviewed: 2026-01-01\n";
        assert_eq!(
            told(text, 90).await,
            Ok("reviewed 60 days ago, by its line `Reviewed`; 90 are allowed".to_owned())
        );
        let Lack { detail, hint } = told(text, 30).await.expect_err("too long ago");
        assert!(detail.contains("60 days ago") && hint.contains("Reviewed: 2026-11-25"), "{hint}");
        for (text, expected) in [
            ("# Monitoring\n", "it has no line `Reviewed`"),
            ("Reviewed: 2027-11-25\n", "lies in the future"),
            ("Reviewed: soon\n", "it has no line"),
        ] {
            let lack = told(text, 90).await.expect_err(text);
            assert!(lack.detail.contains(expected), "{}", lack.detail);
        }
    }

    #[tokio::test]
    async fn a_runbook_that_is_not_there_was_not_reviewed() {
        let runbook = Runbook { path: "absent.md".to_owned(), reviewed_within_days: 1 };
        let lack = look(Path::new("."), &runbook, Timestamp::UNIX_EPOCH).await.expect_err("none");
        assert!(lack.hint.contains("[[preflight.runbooks]]"), "{}", lack.hint);
    }
}
