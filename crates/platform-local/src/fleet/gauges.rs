//! What is measured of machines at the moment of a scrape: whether they run, how their last
//! program ended, what memory and processor time the one that runs has taken.

use std::sync::Arc;

use machines_api::types::MachineState;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{Fleet, machine::Machine, record::MachineRecord};
use crate::{
    metrics::{Gauge, ProcessorTime, Surroundings},
    supervisor::{computed_ticks, load_averages},
};

impl Fleet {
    /// What is the same for every machine.
    pub(crate) fn surroundings(&self) -> Surroundings {
        Surroundings {
            region: self.context.settings.region.clone(),
            host: host_id(&self.context.platform_id),
            load: load_averages(),
        }
    }

    /// What is measured of each machine now.
    pub(crate) fn gauges(&self) -> Vec<Gauge> {
        let machines = self.all_machines();
        machines.iter().filter_map(|machine| self.gauge(machine)).collect()
    }

    /// Where the started machines serve metrics of their own, by their config's `metrics`.
    pub(crate) fn metrics_targets(&self) -> Vec<Value> {
        let host = host_id(&self.context.platform_id);
        let machines = self.all_machines();
        let target = |machine: &Arc<Machine>| metrics_target(&machine.snapshot().record, &host);
        machines.iter().filter_map(target).collect()
    }

    fn gauge(&self, machine: &Machine) -> Option<Gauge> {
        let snapshot = machine.snapshot();
        let record = &snapshot.record;
        if record.is_gone() {
            return None;
        }
        let memory_total_bytes = record.memory_mb() << 20;
        let program = machine.program();
        let used = program.as_ref().and_then(|program| program.stats().memory_bytes);
        let left = used.map(|used| memory_total_bytes.saturating_sub(used));
        let instances = self.routes().of(&machine.app);
        let concurrency = instances
            .iter()
            .filter(|instance| instance.machine == machine.id)
            .map(|instance| instance.in_flight())
            .sum();
        let computed = program
            .and_then(|program| computed_ticks(program.pid()?))
            .map(|(user, system)| ProcessorTime { user_centisecs: user, system_centisecs: system });
        Some(Gauge {
            app: machine.app.clone(),
            machine: machine.id.clone(),
            up: record.state == MachineState::Started,
            memory_total_bytes,
            memory_free_bytes: left,
            memory_available_bytes: left,
            exit_code: record.last_exit.map(|exit| exit.code),
            exit_oom: record.last_exit.is_some_and(|exit| exit.oom_killed),
            concurrency,
            processor: record.run.as_ref().map(|run| run.start.clone()).zip(computed),
        })
    }
}

/// Where a program serves metrics of its own, in the form that Prometheus' service discovery
/// reads. A port that a service names is one that the program was given; any other one the program
/// has opened itself.
fn metrics_target(record: &MachineRecord, host: &str) -> Option<Value> {
    let run = record.run.as_ref().filter(|_| record.state == MachineState::Started)?;
    let metrics = record.config.rest.get("metrics")?;
    let wanted = u16::try_from(metrics.get("port")?.as_u64()?).ok()?;
    let is_service = record.config.services.iter().any(|one| one.internal_port == wanted);
    let port = if is_service { run.port_of(wanted) } else { wanted };
    let path = metrics.get("path").and_then(Value::as_str).unwrap_or("/metrics");
    Some(json!({
        "targets": [format!("127.0.0.1:{port}")],
        "labels": {
            "__metrics_path__": path,
            "app": record.app,
            "region": record.region,
            "host": host,
            "instance": record.id,
        },
    }))
}

/// Four hexadecimal digits, as Fly names its hosts; the same for a platform at each start.
fn host_id(platform_id: &str) -> String {
    let digest = Sha256::digest(platform_id.as_bytes());
    let [first, second, ..] = digest.0;
    format!("{first:02x}{second:02x}")
}
