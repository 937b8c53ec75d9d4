//! The counters of one scrape, and what lies between two of them. A counter that fell was set
//! back (its machine or the platform was started anew), and what it shows now is all new.
//!
//! Requests and errors are what clients got, where the platform's edge counts it: the proxy's own
//! 502 and 503 are in it. Elsewhere they are the answers of the machines.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::id::{AppName, MachineId};
use holdpoint_core::observation::{Histogram, MachineSample, Sample};

use crate::adapter::prometheus_text::{self, Series};

/// The metrics that are read.
pub(super) const METRICS: [&str; 6] = [
    "fly_app_http_responses_count",
    "fly_edge_http_responses_count",
    "fly_app_http_response_time_seconds_bucket",
    "fly_instance_memory_mem_total",
    "fly_instance_memory_mem_available",
    "fly_instance_exit_oom",
];

/// What one scrape says, by app.
#[derive(Debug, Default)]
pub(super) struct Totals {
    apps: BTreeMap<String, App>,
    /// The apps that it was asked about.
    asked: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct App {
    /// Answers by machine and status.
    answers: BTreeMap<(String, String), u64>,
    /// What clients got, by region and status.
    edge: BTreeMap<(String, String), u64>,
    /// Answers within each bound (microseconds), by machine; cumulative as scraped.
    times: BTreeMap<String, BTreeMap<u64, u64>>,
    /// Bytes of memory by machine: all, and what is free.
    memory: BTreeMap<String, Memory>,
    /// Machines whose last end was for want of memory.
    oom_killed: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct Memory {
    total_bytes: Option<f64>,
    available_bytes: Option<f64>,
}

impl Totals {
    /// Reads a scrape, as far as it is about these apps.
    pub(super) fn read(text: &str, apps: &BTreeSet<&AppName>) -> Self {
        let mut totals = Self::about(apps);
        for series in prometheus_text::series(text) {
            totals.add(&series);
        }
        totals
    }

    /// Nothing yet about these apps.
    pub(super) fn about(apps: &BTreeSet<&AppName>) -> Self {
        let asked = apps.iter().map(|app| app.as_str().to_owned()).collect();
        Self { apps: BTreeMap::new(), asked }
    }

    /// Takes in a series, if it is about one of the apps.
    pub(super) fn add(&mut self, series: &Series<'_>) {
        let app = series.label("app");
        if self.asked.contains(app) {
            self.apps.entry(app.to_owned()).or_default().add(series);
        }
    }

    /// Puts into the sample what happened to an app since an earlier scrape. `false` when that one
    /// did not ask about it: what its counters have counted ever since is nothing new.
    pub(super) fn since(&self, before: &Self, app: &AppName, sample: &mut Sample) -> bool {
        if !before.asked.contains(app.as_str()) {
            return false;
        }
        let (none, nothing_before) = (App::default(), App::default());
        let app_now = self.apps.get(app.as_str()).unwrap_or(&none);
        let app_before = before.apps.get(app.as_str()).unwrap_or(&nothing_before);
        // before an app's first deployment there is nothing that clients could lose, and the edge
        // has no other answer for them than 503
        let never_answered = app_before.answers.is_empty();
        let (counted, counted_before) = if app_now.edge.is_empty() || never_answered {
            (&app_now.answers, &app_before.answers)
        } else {
            (&app_now.edge, &app_before.edge)
        };
        for (key, count) in counted {
            let earlier = counted_before.get(key).copied().unwrap_or(0);
            let grown = growth(earlier, *count);
            sample.requests += grown;
            if key.1.starts_with('5') {
                sample.errors += grown;
            }
        }
        sample.machines = app_now.machines_since(app_before);
        for machine in &sample.machines {
            sample.latency.add(&machine.latency);
        }
        sample.memory_share = app_now.memory.values().filter_map(Memory::share).reduce(f64::max);
        let fresh = app_now.oom_killed.difference(&app_before.oom_killed).count();
        sample.oom_kills = u64::try_from(fresh).unwrap_or(u64::MAX);
        true
    }
}

impl App {
    fn add(&mut self, series: &Series<'_>) {
        let machine = series.label("instance").to_owned();
        match series.name {
            "fly_app_http_responses_count" => {
                let status = series.label("status").to_owned();
                *self.answers.entry((machine, status)).or_default() += count(series.value);
            }
            "fly_edge_http_responses_count" => {
                let key = (series.label("region").to_owned(), series.label("status").to_owned());
                *self.edge.entry(key).or_default() += count(series.value);
            }
            "fly_app_http_response_time_seconds_bucket" => {
                if let Some(bound) = bound_us(series.label("le")) {
                    let bounds = self.times.entry(machine).or_default();
                    *bounds.entry(bound).or_default() += count(series.value);
                }
            }
            "fly_instance_memory_mem_total" => {
                self.memory.entry(machine).or_default().total_bytes = Some(series.value);
            }
            "fly_instance_memory_mem_available" => {
                self.memory.entry(machine).or_default().available_bytes = Some(series.value);
            }
            "fly_instance_exit_oom" if series.value > 0.0 => {
                self.oom_killed.insert(machine);
            }
            _ => {}
        }
    }

    /// What each machine answered. One that answered nothing is left out.
    fn machines_since(&self, before: &Self) -> Vec<MachineSample> {
        let mut machines: BTreeMap<&str, MachineSample> = BTreeMap::new();
        let named = |machine: &str| MachineSample {
            machine: MachineId::new(machine),
            requests: 0,
            errors: 0,
            latency: Histogram::default(),
        };
        for (key @ (machine, status), count) in &self.answers {
            let grown = growth(before.answers.get(key).copied().unwrap_or(0), *count);
            let sample = machines.entry(machine).or_insert_with(|| named(machine));
            sample.requests += grown;
            if status.starts_with('5') {
                sample.errors += grown;
            }
        }
        for (machine, bounds) in &self.times {
            let sample = machines.entry(machine).or_insert_with(|| named(machine));
            sample.latency = latency_since(bounds, before.times.get(machine));
        }
        let answered = |sample: &MachineSample| sample.requests > 0 || sample.latency.answers() > 0;
        machines.into_values().filter(answered).collect()
    }
}

fn latency_since(bounds: &BTreeMap<u64, u64>, earlier: Option<&BTreeMap<u64, u64>>) -> Histogram {
    let was_reset = |earlier: &&BTreeMap<u64, u64>| {
        bounds.iter().any(|(bound, count)| earlier.get(bound).is_some_and(|e| e > count))
    };
    let earlier = earlier.filter(|earlier| !was_reset(earlier));
    let mut below = 0;
    let buckets = bounds.iter().map(|(bound, within)| {
        let before = earlier.and_then(|earlier| earlier.get(bound)).copied().unwrap_or(0);
        let within = within.saturating_sub(before);
        let count = within.saturating_sub(below);
        below = below.max(within);
        (*bound, count)
    });
    Histogram { buckets: buckets.collect() }
}

impl Memory {
    fn share(&self) -> Option<f64> {
        let (total, available) = (self.total_bytes?, self.available_bytes?);
        (total > 0.0).then(|| (1.0 - available / total).clamp(0.0, 1.0))
    }
}

fn growth(earlier: u64, now: u64) -> u64 {
    if now < earlier { now } else { now - earlier }
}

/// A counter's value: whole, and none where it is no number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and a counter beyond 2^64 does not occur"
)]
fn count(value: f64) -> u64 {
    value as u64
}

/// The upper bound of a bucket, in microseconds.
fn bound_us(label: &str) -> Option<u64> {
    if label == "+Inf" {
        return Some(u64::MAX);
    }
    let secs: f64 = label.parse().ok()?;
    (secs >= 0.0).then(|| count((secs * 1_000_000.0).round()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Totals {
        let app = AppName::new("shop");
        Totals::read(text, &BTreeSet::from([&app]))
    }

    fn between(before: &str, after: &str) -> Sample {
        let mut sample = Sample::default();
        assert!(read(after).since(&read(before), &AppName::new("shop"), &mut sample));
        sample
    }

    fn answers(machine: &str, status: u16, count: u64) -> String {
        format!(
            "fly_app_http_responses_count{{app=\"shop\",instance=\"{machine}\",status=\"{status}\"}} {count}\n"
        )
    }

    fn buckets(machine: &str, counts: [u64; 3]) -> String {
        let lines = ["0.1", "0.5", "+Inf"].iter().zip(counts).map(|(bound, count)| {
            let labels = format!("app=\"shop\",instance=\"{machine}\",le=\"{bound}\"");
            format!("fly_app_http_response_time_seconds_bucket{{{labels}}} {count}\n")
        });
        lines.collect::<Vec<_>>().concat()
    }

    #[test]
    fn requests_and_errors_are_counted_over_all_machines() {
        let before = answers("a", 200, 10) + &answers("b", 500, 2);
        let after = answers("a", 200, 15) + &answers("b", 500, 5) + &answers("c", 404, 1);
        let sample = between(&before, &after);
        assert_eq!((sample.requests, sample.errors), (9, 3));
    }

    #[test]
    fn answers_that_only_clients_saw_count_where_the_edge_tells_them() {
        let edge = |status: u16, count: u64| {
            format!(
                "fly_edge_http_responses_count{{app=\"shop\",region=\"local\",status=\"{status}\"}} {count}\n"
            )
        };
        let before = answers("a", 200, 10) + &edge(200, 10);
        let after = answers("a", 200, 15) + &edge(200, 15) + &edge(502, 2) + &edge(503, 1);
        let sample = between(&before, &after);
        assert_eq!((sample.requests, sample.errors), (8, 3));
    }

    #[test]
    fn what_clients_missed_before_the_first_deployment_is_no_error_of_it() {
        let edge = |status: u16, count: u64| {
            format!(
                "fly_edge_http_responses_count{{app=\"shop\",region=\"local\",status=\"{status}\"}} {count}\n"
            )
        };
        let sample = between(&edge(503, 2), &edge(503, 9));
        assert_eq!((sample.requests, sample.errors), (0, 0));
        let sample =
            between(&edge(503, 2), &(answers("a", 200, 4) + &edge(503, 9) + &edge(200, 4)));
        assert_eq!((sample.requests, sample.errors), (4, 0));
    }

    #[test]
    fn a_counter_that_was_set_back_counts_from_nothing() {
        let sample = between(&answers("a", 200, 100), &answers("a", 200, 7));
        assert_eq!(sample.requests, 7);
        let sample = between(&buckets("a", [50, 60, 70]), &buckets("a", [1, 3, 4]));
        assert_eq!(sample.latency.buckets, [(100_000, 1), (500_000, 2), (u64::MAX, 1)]);
    }

    #[test]
    fn buckets_hold_the_answers_of_their_own_range() {
        let before = buckets("a", [1, 1, 1]);
        let after = buckets("a", [3, 7, 8]) + &buckets("b", [1, 1, 2]);
        let sample = between(&before, &after);
        assert_eq!(sample.latency.buckets, [(100_000, 3), (500_000, 4), (u64::MAX, 2)]);
    }

    #[test]
    fn the_fullest_machine_speaks_for_memory_and_a_kill_counts_once() {
        let memory = |machine: &str, available: u64| {
            format!(
                "fly_instance_memory_mem_total{{app=\"shop\",instance=\"{machine}\"}} 1000\n\
                 fly_instance_memory_mem_available{{app=\"shop\",instance=\"{machine}\"}} {available}\n"
            )
        };
        let killed = "fly_instance_exit_oom{app=\"shop\",instance=\"a\"} 1\n";
        let after = memory("a", 900) + &memory("b", 250) + killed;
        let sample = between("", &after);
        assert_eq!((sample.memory_share, sample.oom_kills), (Some(0.75), 1));
        assert_eq!(between(&after, &after).oom_kills, 0);
        assert_eq!(between("", "").memory_share, None);
    }

    #[test]
    fn each_machine_has_its_own_counts() {
        let before = answers("a", 200, 10) + &answers("b", 500, 2) + &buckets("a", [1, 1, 1]);
        let after = answers("a", 200, 15)
            + &answers("b", 500, 5)
            + &answers("b", 200, 1)
            + &answers("idle", 200, 0)
            + &buckets("a", [3, 7, 8]);
        let machines = between(&before, &after).machines;
        let counts: Vec<_> =
            machines.iter().map(|one| (one.machine.as_str(), one.requests, one.errors)).collect();
        assert_eq!(counts, [("a", 5, 0), ("b", 4, 3)]);
        assert_eq!(machines[0].latency.buckets, [(100_000, 2), (500_000, 4), (u64::MAX, 1)]);
    }

    #[test]
    fn what_an_app_counted_before_it_was_asked_about_is_nothing_new() {
        let app = AppName::new("shop");
        let mut sample = Sample::default();
        let before = Totals::read(&answers("a", 500, 10), &BTreeSet::new());
        assert!(!read(&answers("a", 500, 15)).since(&before, &app, &mut sample));
        assert_eq!(sample, Sample::default());
    }

    #[test]
    fn other_apps_are_none_of_our_business() {
        let other = "fly_app_http_responses_count{app=\"other\",status=\"500\"} 5\n";
        assert_eq!(between("", other), Sample::default());
    }
}
