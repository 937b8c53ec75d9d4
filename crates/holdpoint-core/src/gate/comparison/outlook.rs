//! Whether the comparison can decide at a service's traffic, known before the first request.

use std::fmt;

use super::{UNWANTED_TIMES, history};
use crate::gate::evidence::{requests_to_alarm, requests_to_certify_at};
use crate::gate::{human_secs, to_secs};
use crate::project::GatePolicy;

/// What can be expected of the comparison of errors; latency is decided by fewer requests.
#[derive(Clone, Debug, PartialEq)]
pub struct Outlook {
    /// How many requests are answered in a second.
    pub requests_per_sec: f64,
    /// For how long the new version is watched, in seconds.
    pub within_secs: u64,
    /// About how many requests it takes until a version that fails at the critical rate is rolled
    /// back; `None` if none do.
    pub to_roll_back: Option<u64>,
    /// About how many it takes until one that fails at the allowed rate is certified.
    pub to_certify: Option<u64>,
}

/// What can be expected at so much traffic, when a version is watched for so long.
pub fn outlook(policy: &GatePolicy, requests_per_sec: f64, within_secs: u64) -> Outlook {
    let comparison = &policy.comparison;
    let (allowed, critical) = (policy.error_share_warn, policy.error_share_critical);
    let log_needed = |to_one| history::evidence(to_one).ln();
    let to_roll_back = requests_to_alarm(allowed, critical, log_needed(comparison.roll_back_at));
    let to_certify = match comparison.certify_at {
        // nothing is asked for
        1 => Some(0),
        to_one => requests_to_certify_at(allowed, UNWANTED_TIMES * allowed, log_needed(to_one)),
    };
    Outlook { requests_per_sec, within_secs, to_roll_back, to_certify }
}

impl Outlook {
    /// How many probes a second are missing; 0 if it can decide as it is, `None` if no number of
    /// them would do.
    pub fn probes_missing_per_sec(&self) -> Option<f64> {
        let needed = self.to_roll_back?.max(self.to_certify?);
        let secs = float(self.within_secs.max(1));
        Some((float(needed) / secs - self.requests_per_sec).max(0.0))
    }
}

impl fmt::Display for Outlook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { requests_per_sec, within_secs, to_roll_back, to_certify } = self;
        let expected = requests_per_sec * float(*within_secs);
        let within = human_secs(to_secs(*within_secs));
        write!(f, "{requests_per_sec:.1} requests per second are {expected:.0} in {within}; ")?;
        if let (Some(to_roll_back), Some(to_certify)) = (to_roll_back, to_certify) {
            write!(
                f,
                "about {to_roll_back} show a version at the critical error rate, about {to_certify} \
                 certify one at the allowed rate"
            )?;
        } else {
            f.write_str("the allowed error rate is too close to the critical one")?;
        }
        match self.probes_missing_per_sec() {
            Some(0.0) => f.write_str(": the comparison can decide"),
            // rounded up, or the number told would not be enough
            Some(missing) => write!(
                f,
                ": the comparison cannot decide in that time, and the soak will last longer; {:.1} \
                 probes per second would make it so",
                (missing * 10.0).ceil() / 10.0
            ),
            None => f.write_str(": the comparison can never decide"),
        }
    }
}

/// Numbers of requests and seconds, which are far below 2^52.
fn float(count: u64) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
