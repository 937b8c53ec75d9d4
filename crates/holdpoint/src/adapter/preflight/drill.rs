//! Whether rolling back was tried in staging of late (the runbook's "Rollback procedure tested in
//! staging"): by the record of a drill, or by a release that was rolled back there.

use std::path::Path;

use holdpoint_core::id::Environment;
use jiff::Timestamp;

use super::finding::{Finding, Lack};
use super::{Subject, skipped};
use crate::drill_record::{self, DrillRecord};

pub(super) async fn look(
    root: &Path,
    within_days: u32,
    subject: &Subject,
    now: Timestamp,
) -> Finding {
    if subject.is_rehearsal {
        return Ok(skipped("a rehearsal is one"));
    }
    let folder = root.join(drill_record::FOLDER);
    let read = tokio::task::spawn_blocking(move || drill_record::read_all(&folder)).await;
    let (records, unreadable) = read.unwrap_or_default();
    let by_release = subject
        .rolled_back_in_staging_at
        .map(|at| (at, "a release that was rolled back there".to_owned()));
    let by_drill = records.iter().filter(|record| counts(record)).map(|record| {
        let secs = record.recovered_after_ms / 1000;
        (record.ended_at, format!("a drill by {}, which took {secs} s", record.by))
    });
    let newest = by_drill.chain(by_release).filter(|(at, _)| *at <= now).max();
    let hint = "roll back in staging once: `holdpoint drill rollback`";
    let unread = match unreadable.as_slice() {
        [] => String::new(),
        [first, ..] => format!("; {first}"),
    };
    let Some((at, by)) = newest else {
        let detail = format!("rolling back was never tried in staging{unread}");
        return Err(Lack::new(detail, hint));
    };
    let days = now.duration_since(at).as_hours() / 24;
    let told = format!("{days} days ago, by {by}; {within_days} are allowed{unread}");
    if days > i64::from(within_days) {
        return Err(Lack::new(format!("rolling back was last tried in staging {told}"), hint));
    }
    Ok(format!("tried in staging {told}"))
}

fn counts(record: &DrillRecord) -> bool {
    record.drill == drill_record::ROLLBACK
        && record.environment == Environment::Staging
        && record.passed
}
