//! Times as people of the project read them: its own time zone, always named, never relative
//! alone.

use std::time::Duration;

use holdpoint_core::project::Project;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ZonedDateTime};

/// The zone in which times are written.
#[derive(Clone, Debug)]
pub struct LocalTime {
    zone: TimeZone,
}

impl LocalTime {
    /// The project's zone.
    pub fn of(project: &Project) -> Self {
        Self::named(&project.time_zone)
    }

    /// The zone of this name, from the rules that are compiled in; UTC where they don't know it.
    pub fn named(zone: &str) -> Self {
        Self { zone: TimeZoneDatabase::bundled().get(zone).unwrap_or(TimeZone::UTC) }
    }

    /// `10:00:05`.
    pub fn clock(&self, at: Timestamp) -> String {
        self.zoned(at).strftime("%H:%M:%S").to_string()
    }

    /// `Tue 2026-12-01`.
    pub fn date(&self, at: Timestamp) -> String {
        self.zoned(at).strftime("%a %Y-%m-%d").to_string()
    }

    /// `Tue 2026-12-01 10:00 CST`.
    pub fn full(&self, at: Timestamp) -> String {
        self.zoned(at).strftime("%a %Y-%m-%d %H:%M %Z").to_string()
    }

    /// The clock time alone where the day is that of `now`, otherwise the date with it.
    pub fn until(&self, at: Timestamp, now: Timestamp) -> String {
        if self.zoned(at).date() == self.zoned(now).date() {
            self.zoned(at).strftime("%H:%M:%S %Z").to_string()
        } else {
            self.full(at)
        }
    }

    fn zoned(&self, at: Timestamp) -> ZonedDateTime {
        at.to_zoned_datetime(self.zone.clone())
    }
}

/// A span as people say it: `350 ms`, `4.2 s`, `3 min 05 s`, `1 h 20 min`.
pub fn human(span: Duration) -> String {
    let (millis, secs) = (span.as_millis(), span.as_secs());
    match secs {
        0 => format!("{millis} ms"),
        1..60 => format!("{:.1} s", span.as_secs_f64()),
        60..3600 => format!("{} min {:02} s", secs / 60, secs % 60),
        _ => format!("{} h {:02} min", secs / 3600, secs % 3600 / 60),
    }
}

/// The time from one moment to a later one; nothing if it is not later.
pub fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_today_needs_no_date_and_one_of_another_day_has_it() {
        let chicago = LocalTime::named("America/Chicago");
        let now: Timestamp = "2026-12-01T15:20:00Z".parse().expect("a time");
        let today: Timestamp = "2026-12-01T16:00:00Z".parse().expect("a time");
        let tomorrow: Timestamp = "2026-12-02T16:00:00Z".parse().expect("a time");
        assert_eq!(chicago.until(today, now), "10:00:00 CST");
        assert_eq!(chicago.until(tomorrow, now), "Wed 2026-12-02 10:00 CST");
    }

    #[test]
    fn a_span_is_told_in_the_unit_that_fits_it() {
        let spans = [350, 4_200, 185_000, 4_800_000].map(Duration::from_millis).map(human);
        assert_eq!(spans, ["350 ms", "4.2 s", "3 min 05 s", "1 h 20 min"]);
    }
}
