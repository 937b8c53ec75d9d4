//! `holdpoint waive CHECK`: lets a pre-flight check that failed stand in nobody's way for a time.

use holdpoint_core::command::{Command, WaiveCheck};
use jiff::civil::DateTime;
use jiff::tz::TimeZoneDatabase;
use jiff::{SignedDuration, Timestamp};

use crate::adapter::clock::Clock;
use crate::cli::arguments::preflight::Waive;
use crate::exit_code::ExitCode;
use crate::message::Problem;
use crate::project_file;
use crate::settings::Settings;

pub(super) async fn waive(settings: &Settings, waive: &Waive) -> Result<ExitCode, Problem> {
    let project = project_file::load(&settings.project_file)?;
    let now = Clock::real().now();
    let until = until(&waive.until, &project.time_zone, now).ok_or_else(|| {
        Problem::new(ExitCode::Usage, format!("`{}` is no time", waive.until))
            .hint("write for example `--until 4h`, or `--until 2026-12-01T14:00`")
    })?;
    let command = Command::WaiveCheck(WaiveCheck {
        check: waive.check.clone(),
        role: waive.role,
        reason: waive.reason.clone(),
        until,
    });
    let refusal = format!("cannot waive `{}`", waive.check);
    super::act::act(settings, command, &refusal).await
}

fn until(text: &str, zone: &str, now: Timestamp) -> Option<Timestamp> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Some(instant);
    }
    if let Ok(local) = text.parse::<DateTime>() {
        let zone = TimeZoneDatabase::bundled().get(zone).ok()?;
        return zone.to_ambiguous_timestamp(local).compatible().ok();
    }
    let span: SignedDuration = text.parse().ok()?;
    now.checked_add(span).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_a_span_from_now_a_local_time_or_an_instant() {
        let now: Timestamp = "2026-11-25T12:00:00Z".parse().expect("a time");
        let told = |text| until(text, "America/Chicago", now).map(|at| at.to_string());
        assert_eq!(told("4h").as_deref(), Some("2026-11-25T16:00:00Z"));
        assert_eq!(told("2026-12-01T14:00").as_deref(), Some("2026-12-01T20:00:00Z"));
        assert_eq!(told("2026-12-01T14:00:00Z").as_deref(), Some("2026-12-01T14:00:00Z"));
        assert_eq!(told("soon"), None);
    }
}
