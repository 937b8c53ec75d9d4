//! What versions are like and what telemetry would measure of them at a moment. Whether the
//! measurement arrives is not decided here.

use holdpoint_core::id::{Environment, MachineId};
use holdpoint_core::observation::{Histogram, MachineSample, Observation, Sample};
use jiff::{SignedDuration, Timestamp};

use super::World;
use super::machine::Machine;
use crate::seed::{Dice, Traffic};

/// What is wrong with a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A fifth of its answers are errors.
    Errors,
    /// Two in a hundred are: worth a warning, a breach only by the evidence of many of them.
    FewErrors,
    /// It damages data.
    Damages,
    /// Its answers are slow.
    Slow,
    /// Its checks do not pass.
    Unhealthy,
    /// It takes nearly all of its memory.
    Memory,
    /// It is killed for want of memory.
    OomKills,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Errors,
        Self::FewErrors,
        Self::Damages,
        Self::Slow,
        Self::Unhealthy,
        Self::Memory,
        Self::OomKills,
    ];
}

/// How a flawed version behaves.
#[derive(Clone, Copy, Debug)]
pub struct Behaviour {
    /// What is wrong.
    pub flaw: Flaw,
    /// Whether it shows in production alone.
    pub in_production_only: bool,
    /// How long after a machine's start it shows, in seconds.
    pub onset_secs: i64,
}

impl World {
    /// What is wrong with a machine at `now`.
    pub fn flaw(&self, machine: &Machine, now: Timestamp) -> Option<Flaw> {
        let behaviour = self.behaviours.get(machine.version())?;
        let shows = (!behaviour.in_production_only
            || machine.environment == Environment::Production)
            && now >= machine.started_at + SignedDuration::from_secs(behaviour.onset_secs);
        shows.then_some(behaviour.flaw)
    }

    /// Whether a machine's checks pass at `now`.
    pub fn is_healthy(&self, machine: &Machine, now: Timestamp) -> bool {
        machine.is_started
            && now >= machine.ready_at
            && self.flaw(machine, now) != Some(Flaw::Unhealthy)
    }

    /// What an invariant's question is answered: a number that changes while a version in the
    /// rotation damages data, and stays as it is afterwards.
    pub fn answer(&mut self, environment: Environment, now: Timestamp) -> String {
        let damages = self.machines.values().any(|machine| {
            machine.environment == environment
                && machine.is_in_rotation()
                && self.flaw(machine, now) == Some(Flaw::Damages)
        });
        let damage = self.damage.entry(environment).or_default();
        *damage += u64::from(damages);
        damage.to_string()
    }

    /// What telemetry measures of an environment over the last `secs` seconds.
    pub fn measure(
        &self,
        environment: Environment,
        now: Timestamp,
        secs: i64,
        traffic: Traffic,
        dice: &mut Dice,
    ) -> Observation {
        let services = ["search", "desk"].into_iter();
        let samples = services.map(|service| {
            let requests = match traffic {
                Traffic::None => 0,
                Traffic::Trickle => dice.between(0, 30),
                Traffic::Plenty => dice.between(200, 400),
            };
            self.sample(environment, service, now, requests, dice)
        });
        let from = now - SignedDuration::from_secs(secs);
        Observation {
            environment,
            from,
            to: now,
            samples: samples.collect(),
            invariants: Vec::new(),
        }
    }

    fn sample(
        &self,
        environment: Environment,
        service: &str,
        now: Timestamp,
        requests: u64,
        dice: &mut Dice,
    ) -> Sample {
        let machines = self.machines.iter().filter(|(_, machine)| {
            machine.environment == environment
                && machine.service.as_str() == service
                && machine.is_in_rotation()
        });
        let mut sample = Sample { service: service.to_owned(), ..Sample::default() };
        let serving: Vec<(&MachineId, &Machine)> = machines.collect();
        let count = u64::try_from(serving.len()).unwrap_or_default();
        if count == 0 {
            sample.probes_failed = 2;
            sample.requests = requests;
            sample.errors = requests;
            sample.latency.buckets.push((50_000, requests));
            return sample;
        }
        let share = requests / count;
        sample.requests = share * count;
        let mut memory = 0.3_f64;
        let mut slow = 0;
        for (id, machine) in serving {
            let (errors, slow_before) = (sample.errors, slow);
            let is_healthy = self.is_healthy(machine, now);
            let probes =
                if is_healthy { &mut sample.probes_passed } else { &mut sample.probes_failed };
            *probes += 2;
            match self.flaw(machine, now) {
                Some(Flaw::Errors) => sample.errors += share / 5,
                Some(Flaw::FewErrors) => sample.errors += share.div_ceil(50),
                Some(Flaw::Slow) => slow += share,
                Some(Flaw::Memory) => memory = 0.95,
                Some(Flaw::OomKills) => sample.oom_kills += u64::from(dice.chance(700)),
                Some(Flaw::Unhealthy) => sample.errors += share,
                Some(Flaw::Damages) | None => {}
            }
            sample.machines.push(MachineSample {
                machine: id.clone(),
                requests: share,
                errors: sample.errors - errors,
                latency: times(share, slow - slow_before),
            });
        }
        sample.memory_share = Some(memory);
        sample.latency = times(sample.requests, slow);
        sample
    }
}

/// Answers of which some took between one and two seconds.
fn times(answers: u64, slow: u64) -> Histogram {
    Histogram { buckets: vec![(50_000, answers - slow), (1_000_000, 0), (2_000_000, slow)] }
}
