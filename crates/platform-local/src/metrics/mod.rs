//! What the platform measures, as Prometheus text under the names that Fly uses: answers and their
//! times are counted here while they pass; what is known of machines is asked at each scrape.
//!
//! The counters are our own. The crate made for it writes the newer format, which puts `_total`
//! behind each counter's name, where Fly's names end in `_count`; and each count there takes a
//! lock and hashes its labels, where this takes one atomic addition.

mod exposition;
mod family;
mod histogram;
mod meter;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, RwLock, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

pub(crate) use meter::{AppMeter, MachineMeter, ProcessorTime};

use crate::clock;
use exposition::{Exposition, Labels};
use family::Family;
use histogram::HistogramReading;

/// The series of a destroyed machine stay for so long: whoever scrapes every minute, as slow ones
/// do, still learns its last counts.
const RETIRED_FOR: Duration = Duration::from_mins(5);

/// At most so many destroyed machines are still shown, however fast machines come and go.
const RETIRED_MAX: usize = 1000;

/// What has been counted since the platform was started.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    apps: RwLock<BTreeMap<String, Arc<AppMeter>>>,
    machines: RwLock<BTreeMap<MachineKey, Arc<MachineMeter>>>,
    /// Machines that are destroyed, oldest first, and since when.
    retired: Mutex<Vec<(MachineKey, Instant)>>,
}

/// An app and one of its machines.
type MachineKey = (String, String);

/// What is known of a machine at the moment of a scrape.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gauge {
    pub(crate) app: String,
    pub(crate) machine: String,
    pub(crate) up: bool,
    pub(crate) memory_total_bytes: u64,
    pub(crate) memory_free_bytes: Option<u64>,
    pub(crate) memory_available_bytes: Option<u64>,
    pub(crate) exit_code: Option<i32>,
    pub(crate) exit_oom: bool,
    pub(crate) concurrency: usize,
    /// The start that runs, and what it has computed.
    pub(crate) processor: Option<(String, ProcessorTime)>,
}

/// What is the same for all machines of a scrape.
#[derive(Debug, Clone, Default)]
pub(crate) struct Surroundings {
    pub(crate) region: String,
    pub(crate) host: String,
    /// The load averages over 1, 5 and 15 minutes.
    pub(crate) load: Option<[String; 3]>,
}

impl Metrics {
    /// The counters of an app.
    pub(crate) fn app(&self, app: &str) -> Arc<AppMeter> {
        let known = self.apps.read().unwrap_or_else(PoisonError::into_inner).get(app).cloned();
        known.unwrap_or_else(|| {
            let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
            let meter = apps.entry(app.to_owned());
            Arc::clone(meter.or_insert_with(|| Arc::new(AppMeter::new())))
        })
    }

    /// The counters of a machine.
    pub(crate) fn machine(&self, app: &str, machine: &str) -> Arc<MachineMeter> {
        let key = (app.to_owned(), machine.to_owned());
        let mut machines = self.machines.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(machines.entry(key).or_insert_with(|| Arc::new(MachineMeter::new())))
    }

    /// Lets the series of a destroyed machine go after a while.
    pub(crate) fn retire(&self, app: &str, machine: &str) {
        let (key, now) = ((app.to_owned(), machine.to_owned()), clock::instant());
        self.retired.lock().unwrap_or_else(PoisonError::into_inner).push((key, now));
        // Not at a scrape alone: there may never be one.
        self.forget_retired(now);
    }

    /// Forgets an app that is deleted. Its machines were destroyed before.
    pub(crate) fn forget_app(&self, app: &str) {
        self.apps.write().unwrap_or_else(PoisonError::into_inner).remove(app);
    }

    /// All of it as Prometheus text.
    pub(crate) fn render(&self, around: &Surroundings, gauges: &[Gauge]) -> String {
        self.forget_retired(clock::instant());
        let mut page = Page { exposition: Exposition::default(), around };
        self.write_edge(&mut page);
        self.write_answers(&mut page);
        write_gauges(&mut page, gauges);
        self.write_lives(&mut page, gauges);
        page.exposition.finish()
    }

    fn forget_retired(&self, now: Instant) {
        let mut retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner);
        let crowd = retired.len().saturating_sub(RETIRED_MAX);
        let old = retired.iter().take_while(|(_, since)| now.duration_since(*since) > RETIRED_FOR);
        let gone = crowd.max(old.count());
        let mut machines = self.machines.write().unwrap_or_else(PoisonError::into_inner);
        for (key, _) in retired.drain(..gone) {
            machines.remove(&key);
        }
    }

    fn write_edge(&self, page: &mut Page<'_>) {
        let apps = self.apps.read().unwrap_or_else(PoisonError::into_inner).clone();
        page.family(&family::EDGE_RESPONSES);
        for (app, meter) in &apps {
            for (status, count) in meter.answers() {
                page.sample(app, &[("status", &status)], count);
            }
        }
        page.family(&family::EDGE_TIMES);
        for (app, meter) in &apps {
            page.histogram(app, &[], meter.times.read());
        }
        page.family(&family::RETRIES);
        for (app, meter) in &apps {
            for (cause, count) in meter.retries() {
                page.sample(app, &[("cause", cause)], count);
            }
        }
        page.family(&family::HANDSHAKE_ERRORS);
        for (app, meter) in &apps {
            let errors = meter.handshake_errors.load(Relaxed);
            if errors > 0 || meter.handshakes.read().is_some() {
                page.sample(app, &[], errors);
            }
        }
        page.family(&family::HANDSHAKE_TIMES);
        for (app, meter) in &apps {
            page.histogram(app, &[], meter.handshakes.read());
        }
    }

    fn write_answers(&self, page: &mut Page<'_>) {
        let machines = self.every_machine();
        page.family(&family::APP_RESPONSES);
        for ((app, machine), meter) in &machines {
            for (status, count) in meter.answers() {
                page.sample(app, &[("instance", machine), ("status", &status)], count);
            }
        }
        page.family(&family::APP_TIMES);
        for ((app, machine), meter) in &machines {
            page.histogram(app, &[("instance", machine)], meter.times.read());
        }
        page.family(&family::CONNECT_TIMES);
        for ((app, machine), meter) in &machines {
            page.histogram(app, &[("instance", machine)], meter.connects.read());
        }
    }

    /// What is counted of machines over all their starts.
    fn write_lives(&self, page: &mut Page<'_>, gauges: &[Gauge]) {
        page.family(&family::PROCESSOR);
        for gauge in gauges {
            let Some((start, time)) = &gauge.processor else { continue };
            let time = self.machine(&gauge.app, &gauge.machine).processor(start, *time);
            for (mode, ticks) in [("user", time.user_centisecs), ("system", time.system_centisecs)]
            {
                let labels = [("instance", &*gauge.machine), ("cpu_id", "0"), ("mode", mode)];
                page.sample(&gauge.app, &labels, ticks);
            }
        }
        let machines = self.every_machine();
        page.family(&family::RESTARTS);
        for ((app, machine), meter) in &machines {
            page.sample(app, &[("instance", machine)], meter.restarts.load(Relaxed));
        }
        page.family(&family::OOM_KILLS);
        for ((app, machine), meter) in &machines {
            page.sample(app, &[("instance", machine)], meter.oom_kills.load(Relaxed));
        }
    }

    fn every_machine(&self) -> BTreeMap<MachineKey, Arc<MachineMeter>> {
        self.machines.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// What is being written, with the labels that every series has.
struct Page<'a> {
    exposition: Exposition,
    around: &'a Surroundings,
}

impl Page<'_> {
    fn family(&mut self, family: &Family) {
        self.exposition.family(family);
    }

    fn sample(&mut self, app: &str, labels: &Labels<'_>, value: impl std::fmt::Display) {
        self.exposition.sample(&self.around.labels(app, labels), value);
    }

    fn histogram(&mut self, app: &str, labels: &Labels<'_>, reading: Option<HistogramReading>) {
        if let Some(reading) = reading {
            self.exposition.histogram(&self.around.labels(app, labels), &reading);
        }
    }
}

impl Surroundings {
    fn labels<'a>(&'a self, app: &'a str, more: &Labels<'a>) -> Vec<(&'a str, &'a str)> {
        let mut labels = vec![("app", app), ("region", &*self.region), ("host", &*self.host)];
        labels.extend_from_slice(more);
        labels
    }
}

fn write_gauges(page: &mut Page<'_>, gauges: &[Gauge]) {
    type Read = fn(&Gauge) -> Option<String>;
    let families: [(&Family, Read); 7] = [
        (&family::CONCURRENCY, |gauge| Some(gauge.concurrency.to_string())),
        (&family::UP, |gauge| Some(u8::from(gauge.up).to_string())),
        (&family::EXIT_CODE, |gauge| gauge.exit_code.map(|code| code.to_string())),
        (&family::EXIT_OOM, |gauge| Some(u8::from(gauge.exit_oom).to_string())),
        (&family::MEMORY_TOTAL, |gauge| Some(gauge.memory_total_bytes.to_string())),
        (&family::MEMORY_FREE, |gauge| gauge.memory_free_bytes.map(|bytes| bytes.to_string())),
        (&family::MEMORY_AVAILABLE, |gauge| {
            gauge.memory_available_bytes.map(|bytes| bytes.to_string())
        }),
    ];
    for (family, read) in families {
        page.family(family);
        for gauge in gauges {
            if let Some(value) = read(gauge) {
                page.sample(&gauge.app, &[("instance", &gauge.machine)], value);
            }
        }
    }
    let Some(load) = page.around.load.as_ref() else { return };
    page.family(&family::LOAD);
    for gauge in gauges.iter().filter(|gauge| gauge.up) {
        for (minutes, average) in ["1", "5", "15"].into_iter().zip(load) {
            let labels = [("instance", &*gauge.machine), ("minutes", minutes)];
            page.sample(&gauge.app, &labels, average);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Surroundings {
        Surroundings { region: "local".to_owned(), host: "0f0f".to_owned(), load: None }
    }

    #[test]
    fn answers_are_counted_by_status_and_time() {
        let metrics = Metrics::default();
        let meter = metrics.machine("shop", "m1");
        meter.answered(200, Duration::from_millis(480));
        meter.answered(500, Duration::from_secs(40));
        metrics.app("shop").answered(503, Duration::from_millis(1));
        metrics.app("shop").retried("refused");
        let text = metrics.render(&around(), &[]);
        let labels = r#"app="shop",region="local",host="0f0f",instance="m1""#;
        let edge = r#"app="shop",region="local",host="0f0f""#;
        for line in [
            format!(r#"fly_app_http_responses_count{{{labels},status="200"}} 1"#),
            format!(r#"fly_app_http_response_time_seconds_bucket{{{labels},le="0.5"}} 1"#),
            format!(r#"fly_app_http_response_time_seconds_bucket{{{labels},le="+Inf"}} 2"#),
            format!("fly_app_http_response_time_seconds_count{{{labels}}} 2"),
            format!(r#"fly_edge_http_responses_count{{{edge},status="503"}} 1"#),
            format!("fly_edge_http_response_time_seconds_sum{{{edge}}} 0.001"),
            format!(r#"platform_local_proxy_retries_total{{{edge},cause="refused"}} 1"#),
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\nin\n{text}");
        }
    }

    #[test]
    fn a_destroyed_machine_is_shown_for_a_while_and_no_longer() {
        let metrics = Metrics::default();
        metrics.machine("shop", "m1").answered(200, Duration::ZERO);
        metrics.machine("shop", "m2").answered(200, Duration::ZERO);
        metrics.retire("shop", "m1");
        assert!(metrics.render(&around(), &[]).contains("m1"));
        metrics.forget_retired(clock::instant() + RETIRED_FOR * 2);
        let text = metrics.render(&around(), &[]);
        assert!(!text.contains("m1") && text.contains("m2"), "{text}");
        for number in 0..RETIRED_MAX + 7 {
            metrics.machine("shop", &number.to_string()).restarted();
            metrics.retire("shop", &number.to_string());
        }
        assert_eq!(metrics.every_machine().len(), RETIRED_MAX + 1);
    }

    #[test]
    fn a_machine_that_is_down_has_an_exit_code_and_no_memory() {
        let gauge = Gauge {
            app: "shop".to_owned(),
            machine: "m1".to_owned(),
            memory_total_bytes: 268_435_456,
            exit_code: Some(137),
            ..Gauge::default()
        };
        let text = Metrics::default().render(&around(), &[gauge]);
        let labels = r#"{app="shop",region="local",host="0f0f",instance="m1"}"#;
        assert!(text.contains(&format!("fly_instance_up{labels} 0\n")), "{text}");
        assert!(text.contains(&format!("fly_instance_exit_code{labels} 137\n")), "{text}");
        assert!(!text.contains("mem_available"), "{text}");
    }
}
