//! What every service uses and what the runbook advises for it, for people and for programs.

use holdpoint_core::id::Environment;
use holdpoint_core::sizing::{Advice, Resource, Size, Usage};
use serde::Serialize;

use crate::render::measure::share_percent;

/// One service in one environment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ServiceReport {
    /// Its name.
    pub service: String,
    /// Where.
    pub environment: Environment,
    /// Its app.
    pub app: String,
    /// What it has.
    pub size: Size,
    /// What it uses.
    pub usage: Usage,
    /// What it should have, each with the command that gives it.
    pub advice: Vec<Advised>,
}

/// An advice and its command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advised {
    #[serde(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub advice: Advice,
    /// What to type.
    pub command: String,
}

impl ServiceReport {
    /// The advice with its commands.
    pub fn advised(service: &str, environment: Environment, advice: Vec<Advice>) -> Vec<Advised> {
        let command = |advice: &Advice| {
            let flag = match advice.resource {
                Resource::Memory => "memory",
                Resource::Cpus => "cpus",
                Resource::Count => "count",
            };
            let Advice { to, trigger, .. } = advice;
            format!("holdpoint scale {service} {environment} --{flag} {to} --reason \"{trigger}\"")
        };
        advice.into_iter().map(|it| Advised { command: command(&it), advice: it }).collect()
    }

    /// For people.
    pub fn text(&self) -> String {
        let Self { service, environment, size, usage, .. } = self;
        let share = |share: Option<f64>| share.map_or("unknown".to_owned(), share_percent);
        let p95 = usage.p95_ms.map_or("no answers".to_owned(), |ms| format!("P95 {ms} ms"));
        let head = format!(
            "{service} in {environment}: {} × {} MB, {} CPU\n  CPU {}, memory {}, queue {} of the \
             soft limit, {} OOM kills, {} restarts, {p95}\n",
            size.machines,
            size.memory_mb,
            size.cpus,
            share(usage.cpu_share),
            share(usage.memory_share),
            share(usage.queue_share),
            usage.oom_kills,
            usage.restarts,
        );
        let advised = self.advice.iter().map(|Advised { advice, command }| {
            format!("  {}: {}\n    {command}\n", advice.trigger, advice.evidence)
        });
        let nothing = self.advice.is_empty().then(|| "  nothing to scale\n".to_owned());
        std::iter::once(head).chain(advised).chain(nothing).collect()
    }
}

#[cfg(test)]
mod tests {
    use holdpoint_core::sizing::advise;

    use super::*;

    #[test]
    fn advice_names_the_trigger_the_number_behind_it_and_the_command() {
        let size = Size { memory_mb: 512, cpus: 1, machines: 2 };
        let usage = Usage { memory_share: Some(0.82), p95_ms: Some(120), ..Usage::default() };
        let advice = advise(&usage, size, 500);
        let report = ServiceReport {
            service: "web".to_owned(),
            environment: Environment::Production,
            app: "shop".to_owned(),
            size,
            usage,
            advice: ServiceReport::advised("web", Environment::Production, advice),
        };
        insta::assert_snapshot!(report.text(), @r#"
        web in production: 2 × 512 MB, 1 CPU
          CPU unknown, memory 82.00 %, queue unknown of the soft limit, 0 OOM kills, 0 restarts, P95 120 ms
          memory usage > 70 %: 82.0 % of 512 MB in use
            holdpoint scale web production --memory 1024 --reason "memory usage > 70 %"
        "#);
    }
}
