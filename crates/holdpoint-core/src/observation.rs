//! What was seen of the world: the facts a plan is made from, and the signals that gates judge.
//!
//! Nothing here decides anything. Secrets appear by name, digest and version, never by value.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::id::{AppName, Environment, ImageDigest, InstanceId, MachineId, ServiceName};

/// The facts about one service in one environment when a plan is made: what its configuration
/// asks for and what the platform shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ServiceFacts {
    /// The service.
    pub service: ServiceName,
    /// The environment.
    pub environment: Environment,
    /// Its app on the platform.
    pub app: AppName,
    /// The region of new machines.
    pub region: String,
    /// How many machines of the default process group the project wants there.
    pub machines_wanted: u32,
    /// The config of a new machine of that group, as the app's file asks for it, without an image.
    /// Opaque to the core.
    pub config: Value,
    /// The digest of the image to be released.
    pub image_digest: ImageDigest,
    /// The reference under which the platform finds that image; it ends in the digest.
    pub image_reference: String,
    /// The version of the app's secrets at the time, where the platform tells it.
    pub secrets_version: Option<u64>,
    /// The machines of the default process group that the platform shows.
    pub machines: Vec<ObservedMachine>,
    /// The other process groups of the app, whose programs are of the same image.
    pub other_groups: Vec<GroupFacts>,
}

impl ServiceFacts {
    /// The machines of every process group.
    pub fn every_machine(&self) -> impl Iterator<Item = &ObservedMachine> {
        self.machines.iter().chain(self.other_groups.iter().flat_map(|group| &group.machines))
    }
}

/// A process group beside the default one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GroupFacts {
    /// Its name.
    pub name: String,
    /// How many machines it is to have.
    pub machines_wanted: u32,
    /// The config of a new machine of this group, without an image.
    pub config: Value,
    /// The machines of this group that the platform shows.
    pub machines: Vec<ObservedMachine>,
}

/// One machine as the platform shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ObservedMachine {
    /// Its id.
    pub id: MachineId,
    /// The platform's word for its state.
    pub state: String,
    /// Its current version.
    pub instance_id: InstanceId,
    /// The digest of the image that it runs, where known.
    pub image_digest: Option<ImageDigest>,
    /// Its whole config: what a rollback puts back.
    pub config: Value,
    /// What the app's file makes of that config, without an image: what the file does not manage
    /// is as it was.
    pub updated_config: Value,
}

/// What was measured of one environment between two moments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// The environment.
    pub environment: Environment,
    /// The start of the interval.
    pub from: Timestamp,
    /// Its end.
    pub to: Timestamp,
    /// One sample per service that could be measured. A service that is missing has no data.
    pub samples: Vec<Sample>,
    /// What was answered to the questions of invariants, at the end of the interval.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invariants: Vec<InvariantReading>,
}

/// The answer to an invariant's question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvariantReading {
    /// The invariant.
    pub name: String,
    /// Its value, as it was printed; or why there is none.
    pub answer: Result<String, String>,
}

/// The signals of one service over the interval of an [`Observation`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// The service.
    pub service: String,
    /// Requests answered.
    pub requests: u64,
    /// Those answered with a server error (5xx).
    pub errors: u64,
    /// How long answers took.
    pub latency: Histogram,
    /// Health probes that succeeded.
    pub probes_passed: u64,
    /// Health probes that failed.
    pub probes_failed: u64,
    /// The largest share of its memory that any machine uses, 0 to 1, where known.
    pub memory_share: Option<f64>,
    /// Machines killed for want of memory during the interval.
    pub oom_kills: u64,
    /// The same by machine, as far as machines counted it themselves: what a proxy answered in
    /// their place is not in it. Empty where nobody counts by machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub machines: Vec<MachineSample>,
}

/// What one machine answered over the interval of an [`Observation`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineSample {
    /// The machine.
    pub machine: MachineId,
    /// Requests answered.
    pub requests: u64,
    /// Those answered with a server error (5xx).
    pub errors: u64,
    /// How long answers took.
    pub latency: Histogram,
}

/// Counts of answers by duration.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// `(upper bound in microseconds, answers in this bucket alone)`, by rising bound. The last
    /// bound may be `u64::MAX`.
    pub buckets: Vec<(u64, u64)>,
}

impl Histogram {
    /// How many answers there are.
    pub fn answers(&self) -> u64 {
        self.buckets.iter().fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// How many answers certainly took longer than `bound_us`: those of the buckets that begin
    /// there or above.
    pub fn slower_than(&self, bound_us: u64) -> u64 {
        let mut begins_at = 0;
        let mut slower = 0_u64;
        for (ends_at, count) in &self.buckets {
            if begins_at >= bound_us {
                slower = slower.saturating_add(*count);
            }
            begins_at = *ends_at;
        }
        slower
    }

    /// Adds another, bucket by bucket.
    pub fn add(&mut self, other: &Self) {
        for (bound, count) in &other.buckets {
            match self.buckets.binary_search_by_key(bound, |(bound, _)| *bound) {
                Ok(index) => {
                    if let Some((_, sum)) = self.buckets.get_mut(index) {
                        *sum = sum.saturating_add(*count);
                    }
                }
                Err(index) => self.buckets.insert(index, (*bound, *count)),
            }
        }
    }

    /// The upper bound, in microseconds, of the bucket in which the answer at `quantile` (0 to 1)
    /// lies. `None` without answers.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let rank = rank(self.answers(), quantile)?;
        let mut seen = 0_u64;
        self.buckets.iter().find_map(|(bound, count)| {
            seen = seen.saturating_add(*count);
            (seen >= rank).then_some(*bound)
        })
    }
}

/// Which of `total` sorted values stands at the quantile, counted from 1.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of answers are far below 2^52, and the product is not negative"
)]
fn rank(total: u64, quantile: f64) -> Option<u64> {
    (total > 0).then(|| ((total as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certainly_slower_counts_as_slower() {
        let mut times = Histogram { buckets: vec![(100, 5), (500, 3), (u64::MAX, 2)] };
        assert_eq!([0, 100, 101, 500, 501].map(|bound| times.slower_than(bound)), [10, 5, 2, 2, 0]);
        times.add(&Histogram { buckets: vec![(200, 1), (500, 1)] });
        assert_eq!(times.buckets, [(100, 5), (200, 1), (500, 4), (u64::MAX, 2)]);
        assert_eq!(
            [0.5, 0.6, 1.0].map(|q| times.quantile_us(q)),
            [Some(200), Some(500), Some(u64::MAX)]
        );
        assert_eq!(Histogram::default().quantile_us(0.5), None);
    }
}
