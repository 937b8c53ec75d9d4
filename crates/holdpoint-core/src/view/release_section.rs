//! What a release leaves in the runbooks, as Markdown: measured baselines, advice on sizes with the
//! numbers behind it, thresholds, and how long each step took (the runbook, "Documentation
//! Requirements").

use std::fmt::Write as _;

use jiff::Timestamp;

use super::incident::cell;
use super::{ServiceMeasures, measures};
use crate::gate::{human_secs, percent};
use crate::id::Environment;
use crate::plan::MachineAction;
use crate::project::GatePolicy;
use crate::sizing::{Resource, Size, Usage, advise};
use crate::state::Release;

/// The section of the deployment runbook.
pub(crate) fn runbook_section(release: &Release, now: Timestamp) -> String {
    let production = production_measures(release);
    let mut text = heading(release, now);
    text.push_str(&baselines(&production));
    text.push_str("\n### Resource sizing\n\n");
    for service in &production {
        for advice in sizing_advice(release, service) {
            // writing to a string can't fail
            let _infallible = writeln!(text, "- {}: {advice}", service.service);
        }
    }
    if production.is_empty() {
        text.push_str("- nothing was measured\n");
    }
    text.push_str("\n### Timeline\n\n| step | began (UTC) | took |\n|---|---|---|\n");
    for (step, times) in &release.forward.times {
        let name = release.forward.plan.steps.get(*step);
        let name = name.map_or("a step", |step| step.name.as_str());
        let began = times.started_at.strftime("%Y-%m-%d %H:%M:%S");
        let took = times.passed_at.map(|at| at.duration_since(times.started_at).as_secs());
        let took = took.map_or_else(|| "not finished".to_owned(), human_secs);
        let _infallible = writeln!(text, "| {} | {began} | {took} |", cell(name));
    }
    text
}

/// The section of the monitoring runbook.
pub(crate) fn monitoring_section(release: &Release, now: Timestamp) -> String {
    let mut text = heading(release, now);
    text.push_str(&baselines(&production_measures(release)));
    text.push_str(&thresholds(&release.project.gates));
    text
}

fn heading(release: &Release, now: Timestamp) -> String {
    let at = now.strftime("%Y-%m-%d %H:%M:%S UTC");
    format!(
        "_Written by Holdpoint after {} of {}, {at}; it is written anew after each release._\n\n",
        release.id, release.version
    )
}

fn production_measures(release: &Release) -> Vec<ServiceMeasures> {
    let all = measures(release).into_iter();
    all.filter(|one| one.environment == Environment::Production).collect()
}

fn baselines(services: &[ServiceMeasures]) -> String {
    let mut text = "### Measured baselines\n\n\
        | service | P50 | P95 | P99 | errors | memory | probes |\n|---|---|---|---|---|---|---|\n"
        .to_owned();
    for one in services {
        let ms = |value: Option<u64>| value.map_or_else(none, |ms| format!("{ms} ms"));
        let memory = one.memory_share.map_or_else(none, percent);
        let errors = match error_share(one) {
            Some(share) => format!("{} of {}", percent(share), one.requests),
            None => none(),
        };
        let probes = one.probes_passed + one.probes_failed;
        // writing to a string can't fail
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {} | {errors} | {memory} | {} of {probes} |",
            cell(one.service.as_str()),
            ms(one.p50_ms),
            ms(one.p95_ms),
            ms(one.p99_ms),
            one.probes_passed
        );
    }
    text
}

fn none() -> String {
    "not measured".to_owned()
}

fn error_share(measures: &ServiceMeasures) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    let share = measures.errors as f64 / measures.requests as f64;
    (measures.requests > 0).then_some(share)
}

fn thresholds(gates: &GatePolicy) -> String {
    let human = |secs: u64| human_secs(i64::try_from(secs).unwrap_or(i64::MAX));
    let rows = [
        format!(
            "| error rate | {} | {} for {} |",
            percent(gates.error_share_warn),
            percent(gates.error_share_critical),
            human(gates.error_critical_for_secs)
        ),
        format!(
            "| P95 latency | {} ms | {} ms for {} |",
            gates.latency_p95_warn_ms,
            gates.latency_p95_critical_ms,
            human(gates.latency_p95_critical_for_secs)
        ),
        format!(
            "| health | failing for {} | failing for {} |",
            human(gates.health_warn_for_secs),
            human(gates.health_critical_for_secs)
        ),
        format!(
            "| memory | {} | {} for {} |",
            percent(gates.memory_share_warn),
            percent(gates.memory_share_critical),
            human(gates.memory_critical_for_secs)
        ),
        "| OOM kills | | any |".to_owned(),
    ];
    let rows = rows.join("\n");
    format!(
        "\n### Thresholds in force\n\n| signal | warning | rolls back |\n|---|---|---|\n{rows}\n"
    )
}

/// What the runbook's scaling triggers say of a service, each with its number. Where none is
/// met there is one line that says so.
fn sizing_advice(release: &Release, measures: &ServiceMeasures) -> Vec<String> {
    let target_ms = release.project.gates.latency_p95_warn_ms;
    let usage = Usage {
        memory_share: measures.memory_share,
        oom_kills: measures.oom_kills,
        p95_ms: measures.p95_ms,
        ..Usage::default()
    };
    let advice = size_of(release, measures).map(|size| advise(&usage, size, target_ms));
    let lines = advice.unwrap_or_default().into_iter().map(|one| {
        let what = match one.resource {
            Resource::Memory => format!("memory of {} MB", one.to),
            Resource::Cpus => format!("{} CPUs", one.to),
            Resource::Count => format!("{} machines", one.to),
        };
        format!("{what}: {} ({})", one.trigger, one.evidence)
    });
    let lines: Vec<String> = lines.collect();
    if !lines.is_empty() {
        return lines;
    }
    let memory = measures.memory_share.map_or_else(none, percent);
    let latency = measures.p95_ms.map_or_else(none, |ms| format!("{ms} ms"));
    vec![format!("keep the size: memory {memory}, P95 {latency} of {target_ms} ms, no OOM kill")]
}

/// The size of a service's machines in production, as the release made them.
fn size_of(release: &Release, measures: &ServiceMeasures) -> Option<Size> {
    let rollouts = release.forward.plan.steps.iter().filter_map(|step| step.kind.rollout());
    let mut rollouts = rollouts.filter(|rollout| {
        rollout.environment == measures.environment && rollout.service == measures.service
    });
    let changes: Vec<_> = rollouts.next()?.waves.iter().flat_map(|wave| &wave.changes).collect();
    let guest = changes.iter().find_map(|change| match &change.action {
        MachineAction::Create { config, .. } | MachineAction::Update { config, .. } => {
            config.get("guest")
        }
        MachineAction::Retire { .. } | MachineAction::Withdraw { .. } => None,
    })?;
    let number = |key: &str| guest.get(key).and_then(serde_json::Value::as_u64);
    Some(Size {
        memory_mb: number("memory_mb")?,
        cpus: u32::try_from(number("cpus").unwrap_or(1)).ok()?,
        machines: u32::try_from(changes.len()).ok()?,
    })
}
