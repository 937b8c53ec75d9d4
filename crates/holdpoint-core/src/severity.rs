//! How bad an incident is, from the numbers of the moment in which it is opened.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::gate::{Signals, percent, percentile_ms};
use crate::id::Environment;
use crate::notice::Fact;
use crate::observation::Sample;
use crate::project::GatePolicy;
use crate::state::Release;

/// Above this share of errors a service is as good as down.
const SEV1_ERROR_SHARE: f64 = 0.5;
/// From this share of errors on many people meet one.
const SEV2_ERROR_SHARE: f64 = 0.1;
/// Above this P95 many people give up, in milliseconds.
const SEV2_P95_MS: u64 = 2000;

/// How bad an incident is, the worst first.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// An outage, or more than half of all requests fail.
    Sev1,
    /// 10 to 50 % of requests fail, or P95 is over 2 s.
    Sev2,
    /// Everything else that somebody must look at.
    #[default]
    Sev3,
}

impl Severity {
    const ALL: [Self; 3] = [Self::Sev1, Self::Sev2, Self::Sev3];

    /// The word used in commands and texts.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sev1 => "SEV-1",
            Self::Sev2 => "SEV-2",
            Self::Sev3 => "SEV-3",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A word that names no severity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a severity\nhint: use `SEV-1` (an outage), `SEV-2` or `SEV-3`")]
pub struct UnknownSeverity(pub String);

impl FromStr for Severity {
    type Err = UnknownSeverity;

    /// `SEV-1`, `sev1` and `1` mean the same.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.to_ascii_uppercase();
        let digits = digits.trim_start_matches("SEV").trim_start_matches('-');
        let found = Self::ALL.into_iter().find(|one| one.as_str().ends_with(digits));
        found.filter(|_| digits.len() == 1).ok_or_else(|| UnknownSeverity(text.to_owned()))
    }
}

/// How bad it is in an environment of a release, and the numbers that say so. What happens in
/// staging reaches nobody: it is never worse than the mildest.
pub fn of_release(release: &Release, environment: Environment) -> (Severity, Vec<Fact>) {
    let services = release.signals.get(&environment).into_iter().flatten();
    let judged = services.map(|(service, signals)| {
        let (severity, mut facts) = of_signals(signals, &release.project.gates);
        facts.insert(0, Fact::new("service", service.as_str()));
        (severity, facts)
    });
    let (severity, facts) =
        judged.min_by_key(|(severity, _)| *severity).unwrap_or((Severity::Sev3, Vec::new()));
    match environment {
        Environment::Staging => (Severity::Sev3, facts),
        Environment::Production => (severity, facts),
    }
}

/// The numbers are those that the gates read: of the newest part of the time that a breach lasts.
fn of_signals(signals: &Signals, policy: &GatePolicy) -> (Severity, Vec<Fact>) {
    let mut severity = Severity::Sev3;
    let mut facts = Vec::new();
    let down = |sample: &Sample| sample.probes_failed > 0 && sample.probes_passed == 0;
    if signals.newest_sample().is_some_and(down) {
        severity = Severity::Sev1;
        facts.push(Fact::new("health", "no probe succeeds"));
    }
    let recent: Vec<&Sample> = signals.part_of(policy.error_critical_for_secs).collect();
    let (requests, errors) =
        recent.iter().fold((0, 0), |sum, one| (sum.0 + one.requests, sum.1 + one.errors));
    if requests > 0 {
        #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
        let share = errors as f64 / requests as f64;
        let text = format!("{} of {requests} requests", percent(share));
        facts.push(Fact::new("error rate", text));
        if share > SEV1_ERROR_SHARE {
            severity = Severity::Sev1;
        } else if share >= SEV2_ERROR_SHARE {
            severity = severity.min(Severity::Sev2);
        }
    }
    let slow = signals.part_of(policy.latency_p95_critical_for_secs);
    if let Some(p95_ms) = percentile_ms(slow, 0.95) {
        facts.push(Fact::new("P95 latency", format!("{p95_ms} ms")));
        if p95_ms > SEV2_P95_MS {
            severity = severity.min(Severity::Sev2);
        }
    }
    (severity, facts)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::gate::Span;
    use crate::observation::Histogram;

    fn severity(errors: u64, latency_ms: u64, probes_passed: u64) -> Severity {
        let policy = GatePolicy::default();
        let mut signals = Signals::default();
        for round in 1..=20 {
            let at = |second| Timestamp::from_second(second).expect("a time");
            let sample = Sample {
                service: "web".to_owned(),
                requests: 100,
                errors,
                latency: Histogram { buckets: vec![(latency_ms * 1000, 100)] },
                probes_passed,
                probes_failed: 1,
                ..Sample::default()
            };
            let span = Span { from: at(round * 30 - 30), to: at(round * 30), sample };
            signals.observe(span, &policy);
        }
        of_signals(&signals, &policy).0
    }

    #[test]
    fn the_numbers_of_the_runbook_decide() {
        for (errors, latency_ms, probes_passed, expected) in [
            (51, 10, 1, Severity::Sev1),
            (50, 10, 1, Severity::Sev2),
            (10, 10, 1, Severity::Sev2),
            (9, 10, 1, Severity::Sev3),
            (0, 2500, 1, Severity::Sev2),
            (0, 1500, 1, Severity::Sev3),
            (0, 10, 0, Severity::Sev1),
        ] {
            let found = severity(errors, latency_ms, probes_passed);
            assert_eq!(found, expected, "{errors} %, {latency_ms} ms, {probes_passed} well");
        }
    }

    #[test]
    fn a_severity_is_written_in_several_ways() {
        for text in ["SEV-2", "sev-2", "sev2", "2"] {
            assert_eq!(text.parse(), Ok(Severity::Sev2), "{text}");
        }
        for text in ["", "SEV", "4", "12", "high"] {
            assert!(text.parse::<Severity>().is_err(), "{text}");
        }
    }
}
