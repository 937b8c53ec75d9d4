//! What size a service should have, from what it uses: the runbook's "Scaling Triggers", each with
//! the number behind it. It measures nothing and changes nothing. Two triggers are not seen from
//! outside and are left to people: frequent garbage collection, and where customers are.

use serde::Serialize;

use crate::gate::percent;

/// The runbook, "Scale up CPU if: CPU usage consistently > 70%".
const CPU_SHARE: f64 = 0.70;

/// The runbook, "Scale up Memory if: Memory usage > 70%".
const MEMORY_SHARE: f64 = 0.70;

/// At its soft limit a machine gets no new requests while another has room.
const QUEUE_SHARE: f64 = 1.0;

/// What the machines of a service use. What was not measured is missing, and advises nothing.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// The largest share of its CPUs that any machine used, over the time of the look.
    pub cpu_share: Option<f64>,
    /// The largest share of its memory that any machine uses.
    pub memory_share: Option<f64>,
    /// Programs that were killed for want of memory, as far back as the platform tells.
    pub oom_kills: u64,
    /// Programs that ended by themselves and were started again, as far back as it tells.
    pub restarts: u64,
    /// Requests that are with the busiest machine, as a share of its soft limit.
    pub queue_share: Option<f64>,
    /// The 95th percentile of the answers' latency over the time of the look.
    pub p95_ms: Option<u64>,
}

/// The size of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Memory of each machine.
    pub memory_mb: u64,
    /// CPUs of each machine.
    pub cpus: u32,
    /// Machines.
    pub machines: u32,
}

/// What to give more of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resource {
    /// Memory of each machine, in MB.
    Memory,
    /// CPUs of each machine.
    Cpus,
    /// Machines.
    Count,
}

/// One advice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// Of what.
    pub resource: Resource,
    /// How much it should be.
    pub to: u64,
    /// The runbook's trigger.
    pub trigger: &'static str,
    /// The number behind it.
    pub evidence: String,
}

/// What the runbook advises; nothing where no trigger is met. Sizes double: smaller steps come up
/// again too soon to be worth a restart. `p95_target_ms` is what the gates allow before they warn.
pub fn advise(usage: &Usage, size: Size, p95_target_ms: u64) -> Vec<Advice> {
    let mut advice = Vec::new();
    let mut add = |resource, to, trigger, evidence| {
        advice.push(Advice { resource, to, trigger, evidence });
    };
    let memory_to = size.memory_mb.saturating_mul(2);
    if usage.oom_kills > 0 {
        let evidence = format!("{} killed for want of memory", usage.oom_kills);
        add(Resource::Memory, memory_to, "OOM kills occurring", evidence);
    } else if let Some(share) = usage.memory_share.filter(|share| *share > MEMORY_SHARE) {
        let evidence = format!("{} of {} MB in use", percent(share), size.memory_mb);
        add(Resource::Memory, memory_to, "memory usage > 70 %", evidence);
    }
    let cpu = usage.cpu_share.map_or_else(String::new, |share| format!(", CPU {}", percent(share)));
    let cpus_to = u64::from(size.cpus.saturating_mul(2));
    let queue = usage.queue_share.filter(|share| *share > QUEUE_SHARE);
    if let Some(share) = usage.cpu_share.filter(|share| *share > CPU_SHARE) {
        let evidence = format!("{} of {} CPU in use", percent(share), size.cpus);
        add(Resource::Cpus, cpus_to, "CPU usage consistently > 70 %", evidence);
    } else if let Some(share) = queue {
        let evidence = format!("{} of the soft limit is with one machine{cpu}", percent(share));
        add(Resource::Cpus, cpus_to, "request queue building up", evidence);
    } else if let Some(p95_ms) = usage.p95_ms.filter(|p95_ms| *p95_ms > p95_target_ms) {
        let evidence = format!("P95 {p95_ms} ms, target {p95_target_ms} ms{cpu}");
        add(Resource::Cpus, cpus_to, "response times degrading", evidence);
    }
    if let Some(share) = queue {
        let evidence =
            format!("{} of the soft limit is with one of {}", percent(share), size.machines);
        let to = u64::from(size.machines.saturating_add(1));
        add(Resource::Count, to, "consistent traffic requiring > 1 machine", evidence);
    }
    advice
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The runbook, "Initial Deployment (Conservative)".
    const SIZE: Size = Size { memory_mb: 512, cpus: 1, machines: 2 };

    fn advised(usage: &Usage) -> Vec<(Resource, u64, &'static str)> {
        let advice = advise(usage, SIZE, 500);
        advice.into_iter().map(|it| (it.resource, it.to, it.trigger)).collect()
    }

    #[test]
    fn a_service_within_its_limits_and_one_without_numbers_get_no_advice() {
        assert_eq!(advised(&Usage::default()), []);
        let usage = Usage {
            cpu_share: Some(0.70),
            memory_share: Some(0.70),
            queue_share: Some(1.0),
            p95_ms: Some(500),
            ..Usage::default()
        };
        assert_eq!(advised(&usage), []);
    }

    #[test]
    fn each_trigger_of_the_runbook_advises_what_it_says() {
        let none = Usage::default;
        let memory = Usage { memory_share: Some(0.71), ..none() };
        assert_eq!(advised(&memory), [(Resource::Memory, 1024, "memory usage > 70 %")]);
        let killed = Usage { oom_kills: 1, ..memory };
        assert_eq!(advised(&killed), [(Resource::Memory, 1024, "OOM kills occurring")]);
        let cpu = Usage { cpu_share: Some(0.9), p95_ms: Some(900), ..none() };
        assert_eq!(advised(&cpu), [(Resource::Cpus, 2, "CPU usage consistently > 70 %")]);
        let slow = Usage { p95_ms: Some(501), cpu_share: Some(0.1), ..none() };
        assert_eq!(advised(&slow), [(Resource::Cpus, 2, "response times degrading")]);
        assert_eq!(advise(&slow, SIZE, 500)[0].evidence, "P95 501 ms, target 500 ms, CPU 10.0 %");
        let queue = Usage { queue_share: Some(1.5), ..none() };
        let expected = [
            (Resource::Cpus, 2, "request queue building up"),
            (Resource::Count, 3, "consistent traffic requiring > 1 machine"),
        ];
        assert_eq!(advised(&queue), expected);
    }
}
