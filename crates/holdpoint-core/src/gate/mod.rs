//! Rules over signals: whether a service is good enough to go on, bad enough to go back, or not
//! yet to be judged.
//!
//! A gate never acts. Thresholds come from the project ([`GatePolicy`]), whose defaults are the
//! runbook's "Critical Metrics to Watch" and "When to Rollback". The readings of each kind are in
//! a file of their own; this one turns readings into verdicts over time.

pub mod comparison;
mod error_rate;
pub mod evidence;
mod health;
mod invariant;
mod latency_p95;
mod memory;
mod oom_kill;
mod signals;

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::id::{Environment, ServiceName};
use crate::project::GatePolicy;

use comparison::{Comparison, Said};

pub use invariant::{InvariantTrack, judge, unmeasured};
pub use latency_p95::percentile_ms;
pub use signals::{Signals, Span};

/// The kinds of gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// The share of requests answered with a server error.
    ErrorRate,
    /// The 95th percentile of the answers' latency.
    LatencyP95,
    /// Whether health probes succeed.
    Health,
    /// The share of memory in use.
    Memory,
    /// Machines killed for want of memory.
    OomKill,
    /// Server errors of the new version, compared with the one before it.
    ErrorComparison,
    /// Its latency, compared likewise.
    LatencyComparison,
    /// A value that must stay as it is.
    Invariant,
}

impl Gate {
    /// The gates that hold readings against thresholds, in the order in which they are shown.
    pub const THRESHOLDS: [Self; 5] =
        [Self::Health, Self::ErrorRate, Self::LatencyP95, Self::Memory, Self::OomKill];

    /// The gates that compare a new version with the one before it.
    pub const COMPARISONS: [Self; 2] = [Self::ErrorComparison, Self::LatencyComparison];

    /// For how long a critical reading must last before it is a breach.
    fn critical_for_secs(self, policy: &GatePolicy) -> u64 {
        match self {
            Self::ErrorRate => policy.error_critical_for_secs,
            Self::LatencyP95 => policy.latency_p95_critical_for_secs,
            Self::Health => policy.health_critical_for_secs,
            Self::Memory => policy.memory_critical_for_secs,
            // the runbook: "OOM kills occurring" is never waited out
            Self::OomKill => 0,
            // their evidence has time in it
            Self::ErrorComparison | Self::LatencyComparison => 0,
            // "any data corruption detected → rollback immediately"
            Self::Invariant => 0,
        }
    }

    fn read(self, signals: &Signals, policy: &GatePolicy) -> Reading {
        match self {
            Self::ErrorRate => error_rate::read(signals, policy),
            Self::LatencyP95 => latency_p95::read(signals, policy),
            Self::Health => health::read(signals),
            Self::Memory => memory::read(signals, policy),
            Self::OomKill => oom_kill::read(signals),
            Self::ErrorComparison | Self::LatencyComparison => {
                Reading { level: None, text: "is compared, not read".to_owned() }
            }
            Self::Invariant => Reading { level: None, text: "is asked, not sampled".to_owned() },
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ErrorRate => "error rate",
            Self::LatencyP95 => "P95 latency",
            Self::Health => "health",
            Self::Memory => "memory",
            Self::OomKill => "OOM kills",
            Self::ErrorComparison => "error comparison",
            Self::LatencyComparison => "latency comparison",
            Self::Invariant => "invariant",
        })
    }
}

/// What the newest signals say, before time comes into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// How bad it is; `None` when there is too little data to tell.
    pub level: Option<Level>,
    /// The numbers, for people.
    pub text: String,
}

/// How bad a reading is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Below every threshold.
    Good,
    /// Above the first threshold.
    Warn,
    /// Above the second.
    Critical,
}

/// What a verdict rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The gate.
    pub gate: Gate,
    /// Where.
    pub environment: Environment,
    /// Of which service.
    pub service: ServiceName,
    /// The numbers and the limits.
    pub text: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gate, environment, service, text } = self;
        write!(f, "{gate} of {service} in {environment}: {text}")
    }
}

/// What a gate says at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Good enough to go on.
    Pass(Finding),
    /// Bad enough to go back.
    Fail(Finding),
    /// Not good, and not yet bad for long enough to go back.
    Wait {
        /// When it will be a breach, if nothing changes; `None` for a warning, which never is.
        until: Option<Timestamp>,
        /// The numbers.
        finding: Finding,
    },
    /// Too little or too old data. It never promotes and never rolls back.
    Inconclusive(Finding),
}

impl Verdict {
    /// What it rests on.
    pub fn finding(&self) -> &Finding {
        match self {
            Self::Pass(finding)
            | Self::Fail(finding)
            | Self::Wait { finding, .. }
            | Self::Inconclusive(finding) => finding,
        }
    }
}

/// What gate `gate` says of a service at `now`.
pub fn evaluate(
    gate: Gate,
    environment: Environment,
    service: &ServiceName,
    signals: Option<&Signals>,
    policy: &GatePolicy,
    now: Timestamp,
) -> Verdict {
    let finding = |text: String| Finding { gate, environment, service: service.clone(), text };
    let Some((signals, track)) = signals.and_then(|all| Some((all, all.track(gate)?))) else {
        return Verdict::Inconclusive(finding("no data yet".to_owned()));
    };
    let age_secs = now.duration_since(signals.newest()).as_secs();
    if age_secs > to_secs(policy.stale_after_secs) {
        return Verdict::Inconclusive(finding(format!("no data for {age_secs} s")));
    }
    let finding = finding(track.reading.text.clone());
    if let Some(since) = track.critical_since {
        let breach_at = since + seconds(gate.critical_for_secs(policy));
        return if track.reading.level.is_none() {
            Verdict::Inconclusive(finding)
        } else if now >= breach_at {
            let lasted = now.duration_since(since).as_secs();
            let text = format!("{}, critical for {}", finding.text, human_secs(lasted));
            Verdict::Fail(Finding { text, ..finding })
        } else {
            Verdict::Wait { until: Some(breach_at), finding }
        };
    }
    match track.reading.level {
        None => Verdict::Inconclusive(finding),
        Some(Level::Good) => Verdict::Pass(finding),
        Some(Level::Warn | Level::Critical) => Verdict::Wait { until: None, finding },
    }
}

/// What a gate that compares says of a service at `now`.
pub fn compare(
    gate: Gate,
    environment: Environment,
    service: &ServiceName,
    comparison: Option<&Comparison>,
    policy: &GatePolicy,
    now: Timestamp,
) -> Verdict {
    let finding = |text: String| Finding { gate, environment, service: service.clone(), text };
    match comparison.map(|comparison| comparison.said(gate, policy, now)) {
        Some(Said::Worse(text)) => Verdict::Fail(finding(text)),
        Some(Said::Certified(text)) => Verdict::Pass(finding(text)),
        Some(Said::Undecided(text)) => Verdict::Inconclusive(finding(text)),
        None => Verdict::Inconclusive(finding("no data yet".to_owned())),
    }
}

/// A number of seconds as a duration; numbers beyond what fits are cut to a century.
pub(crate) fn seconds(secs: u64) -> SignedDuration {
    SignedDuration::from_secs(to_secs(secs))
}

/// Seconds as a signed number. A century is more than any policy means and always fits.
fn to_secs(secs: u64) -> i64 {
    const CENTURY_SECS: i64 = 100 * 366 * 86_400;
    i64::try_from(secs).unwrap_or(CENTURY_SECS).min(CENTURY_SECS)
}

/// Seconds as people say them: `45 s`, `5 min`, `1 h 30 min`.
pub fn human_secs(secs: i64) -> String {
    let (hours, minutes, rest) = (secs / 3600, secs % 3600 / 60, secs % 60);
    match (hours, minutes, rest) {
        (0, 0, rest) => format!("{rest} s"),
        (0, minutes, 0) => format!("{minutes} min"),
        (0, minutes, rest) => format!("{minutes} min {rest} s"),
        (hours, 0, _) => format!("{hours} h"),
        (hours, minutes, _) => format!("{hours} h {minutes} min"),
    }
}

/// A share as a percentage with one decimal.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

#[cfg(test)]
mod tests;
