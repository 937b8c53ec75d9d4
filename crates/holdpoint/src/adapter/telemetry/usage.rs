//! Measures what the machines of an app use, from two looks at the platform's metrics. What the
//! numbers advise is decided by `holdpoint_core::sizing`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use holdpoint_core::gate::percentile_ms;
use holdpoint_core::id::AppName;
use holdpoint_core::observation::Sample;
use holdpoint_core::sizing::Usage;
use thiserror::Error;

use super::totals::Totals;
use super::{Page, TelemetryError};
use crate::adapter::platform::PlatformAddress;
use crate::adapter::prometheus_text;

/// Time in these is not work of the machine.
const IDLE_MODES: [&str; 3] = ["idle", "iowait", "steal"];

/// Why nothing could be measured.
#[derive(Debug, Error)]
#[error(
    "could not read the platform's metrics at `{url}`: {message}\nhint: check that the platform runs; name the metrics with `--metrics-url`"
)]
pub struct UsageError {
    /// Where.
    pub url: String,
    /// What went wrong.
    pub message: String,
}

/// The text of the platform's metrics, now.
///
/// # Errors
/// When the platform gives none.
pub async fn scrape(address: &PlatformAddress) -> Result<String, UsageError> {
    let failed = |message| UsageError { url: address.metrics_url.clone(), message };
    let page = Page::of(address).map_err(|error: TelemetryError| failed(error.to_string()))?;
    page.text().await.map_err(failed)
}

/// What the machines of an app used between two scrapes. `soft_limit` is of requests per machine.
pub fn between(
    app: &str,
    earlier: &str,
    later: &str,
    passed: Duration,
    cpus: u32,
    soft_limit: u32,
) -> Usage {
    let (before, now) = (Counters::read(app, earlier), Counters::read(app, later));
    let cpu_shares = now.cpu_centisecs.iter().filter_map(|(machine, used)| {
        // A machine that was not there before has no rate yet.
        let used = used - before.cpu_centisecs.get(machine)?;
        let share = used / 100.0 / passed.as_secs_f64() / f64::from(cpus.max(1));
        (used >= 0.0 && share.is_finite()).then_some(share)
    });
    let measured = measured(&AppName::new(app), earlier, later);
    let busiest = now.concurrency.values().copied().reduce(f64::max);
    Usage {
        cpu_share: cpu_shares.reduce(f64::max),
        memory_share: measured.memory_share,
        oom_kills: whole(now.oom_kills.max(now.oom_ends)),
        restarts: whole(now.restarts),
        queue_share: busiest.map(|requests| requests / f64::from(soft_limit.max(1))),
        p95_ms: percentile_ms(std::iter::once(&measured), 0.95),
    }
}

/// What a gate would be given of the same stretch.
fn measured(app: &AppName, earlier: &str, later: &str) -> Sample {
    let apps = BTreeSet::from([app]);
    let (before, now) = (Totals::read(earlier, &apps), Totals::read(later, &apps));
    let mut sample = Sample::default();
    now.since(&before, app, &mut sample);
    sample
}

/// The numbers of one scrape beside those that gates are given, as far as they are about one app.
#[derive(Debug, Default)]
struct Counters {
    cpu_centisecs: BTreeMap<String, f64>,
    concurrency: BTreeMap<String, f64>,
    oom_kills: f64,
    oom_ends: f64,
    restarts: f64,
}

impl Counters {
    fn read(app: &str, text: &str) -> Self {
        let mut counters = Self::default();
        for series in prometheus_text::series(text).filter(|series| series.label("app") == app) {
            let (machine, value) = (series.label("instance").to_owned(), series.value);
            match series.name {
                "fly_instance_cpu" if !IDLE_MODES.contains(&series.label("mode")) => {
                    *counters.cpu_centisecs.entry(machine).or_default() += value;
                }
                "fly_app_concurrency" => {
                    *counters.concurrency.entry(machine).or_default() += value;
                }
                "fly_instance_exit_oom" => counters.oom_ends += value,
                "platform_local_machine_oom_kills_total" => counters.oom_kills += value,
                "platform_local_machine_restarts_total" => counters.restarts += value,
                _ => {}
            }
        }
        counters
    }
}

/// A count: whole, and none where it is no number or below zero.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a count beyond 2^64 does not occur"
)]
fn whole(number: f64) -> u64 {
    number.round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_scrapes_give_what_was_used_between_them_by_this_app_alone() {
        let scrape = |cpu: u32, fast: u32, all: u32| {
            format!(
                "fly_instance_cpu{{app=\"shop\",instance=\"a\",mode=\"user\"}} {cpu}\n\
                 fly_instance_cpu{{app=\"shop\",instance=\"a\",mode=\"idle\"}} 9999\n\
                 fly_instance_cpu{{app=\"other\",instance=\"b\",mode=\"user\"}} 5000\n\
                 fly_instance_memory_mem_total{{app=\"shop\",instance=\"a\"}} 1000\n\
                 fly_instance_memory_mem_available{{app=\"shop\",instance=\"a\"}} 250\n\
                 fly_app_concurrency{{app=\"shop\",instance=\"a\"}} 30\n\
                 fly_instance_exit_oom{{app=\"shop\",instance=\"a\"}} 1\n\
                 fly_app_http_response_time_seconds_bucket{{app=\"shop\",instance=\"a\",le=\"0.1\"}} {fast}\n\
                 fly_app_http_response_time_seconds_bucket{{app=\"shop\",instance=\"a\",le=\"+Inf\"}} {all}\n"
            )
        };
        let (earlier, later) = (scrape(100, 10, 10), scrape(1000, 110, 110));
        let usage = between("shop", &earlier, &later, Duration::from_secs(10), 1, 20);
        let expected = Usage {
            cpu_share: Some(0.9),
            memory_share: Some(0.75),
            oom_kills: 1,
            restarts: 0,
            queue_share: Some(1.5),
            p95_ms: Some(100),
        };
        assert_eq!(usage, expected);
        let unseen = between("nobody", &earlier, &later, Duration::from_secs(10), 1, 20);
        assert_eq!(unseen, Usage::default());
    }
}
