//! A world for stories: it performs every effect at once and remembers what the machines run.
//! It has no faults of its own (the simulator has those); a story breaks what it wants broken.

use std::collections::{BTreeMap, VecDeque};

use holdpoint_core::command::{Actor, Command, Rejection, StartRelease};
use holdpoint_core::effect::{CheckResult, Delivery, Effect, Evidence, Failure, Outcome, Refusal};
use holdpoint_core::engine::{Engine, Input, Output};
use holdpoint_core::id::{
    AppName, EffectId, Environment, ImageDigest, InstanceId, MachineId, ServiceName,
};
use holdpoint_core::journal::Record;
use holdpoint_core::observation::{
    Histogram, InvariantReading, MachineSample, Observation, ObservedMachine, Sample, ServiceFacts,
};
use holdpoint_core::project::{self, Project, Role};
use holdpoint_core::view;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub(crate) const PROJECT: &str = r#"
[project]
name = "shop"
title = "Shop"
time_zone = "UTC"
reliability_log = "feedback/reliability.md"
[[people]]
name = "ada"
roles = ["engineer"]
[[people]]
name = "grace"
roles = ["manager"]
[[people]]
name = "linus"
roles = ["engineer", "manager"]
[[services]]
name = "search"
[services.build]
command = ["true"]
binary = "search"
[services.staging]
config = "fly.search.staging.toml"
machines = 1
[services.production]
config = "fly.search.production.toml"
machines = 2
[[services]]
name = "desk"
after = ["search"]
[services.build]
command = ["true"]
binary = "desk"
[services.staging]
config = "fly.desk.staging.toml"
machines = 1
[services.production]
config = "fly.desk.production.toml"
machines = 2
[calendar]
holidays = "none"
"#;

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Machine {
    pub(crate) app: AppName,
    pub(crate) config: Value,
    pub(crate) instance: u64,
    pub(crate) lease: Option<String>,
    pub(crate) cordoned: bool,
    pub(crate) stopped: bool,
}

impl Machine {
    fn instance_id(&self, id: &MachineId) -> InstanceId {
        InstanceId::new(format!("{id}-v{}", self.instance))
    }

    pub(crate) fn image(&self) -> &str {
        self.config.get("image").and_then(Value::as_str).unwrap_or_default()
    }
}

/// An answer that a story wants to one effect, instead of the world's own.
pub(crate) type Twist = Box<dyn FnMut(&EffectId, &Effect) -> Option<Outcome>>;

pub(crate) struct World {
    pub(crate) engine: Engine,
    pub(crate) now: Timestamp,
    pub(crate) records: Vec<Record>,
    pub(crate) machines: BTreeMap<MachineId, Machine>,
    pub(crate) performed: Vec<(EffectId, Effect)>,
    pub(crate) twist: Twist,
    /// Images whose answers are errors in production.
    pub(crate) bad_image: Option<String>,
    pub(crate) observing: bool,
    /// What the invariants' questions are answered in each environment.
    pub(crate) answers: BTreeMap<Environment, Result<String, String>>,
    pub(crate) project: Project,
    /// How often the world is observed, in seconds.
    pub(crate) observed_every_secs: i64,
    /// What each machine answers between two observations.
    pub(crate) answers_per_machine: u64,
    pending: VecDeque<(EffectId, Outcome)>,
    next_observation: Timestamp,
    created_by: BTreeMap<String, MachineId>,
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

pub(crate) fn project() -> Project {
    let (project, diagnostics) = project::parse(PROJECT);
    assert_eq!(diagnostics, [], "the project of the stories is in order");
    project.expect("a project")
}

impl World {
    /// A world at a moment, without machines.
    pub(crate) fn at(now: &str) -> Self {
        let now = time(now);
        Self {
            engine: Engine::new(),
            now,
            records: Vec::new(),
            machines: BTreeMap::new(),
            performed: Vec::new(),
            twist: Box::new(|_, _| None),
            bad_image: None,
            observing: true,
            answers: BTreeMap::new(),
            project: project(),
            observed_every_secs: 30,
            answers_per_machine: 300,
            pending: VecDeque::new(),
            next_observation: now,
            created_by: BTreeMap::new(),
        }
    }

    pub(crate) fn facts(&self, version: &str) -> Vec<ServiceFacts> {
        let mut facts = Vec::new();
        for service in ["search", "desk"] {
            for environment in [Environment::Staging, Environment::Production] {
                let app = AppName::new(match environment {
                    Environment::Staging => format!("{service}-staging"),
                    Environment::Production => service.to_owned(),
                });
                let machines = self.machines.iter().filter(|(_, machine)| machine.app == app);
                let digest = format!("sha256:{service}-{version}");
                facts.push(ServiceFacts {
                    service: ServiceName::new(service),
                    environment,
                    app: app.clone(),
                    region: "ord".to_owned(),
                    machines_wanted: if environment == Environment::Staging { 1 } else { 2 },
                    config: json!({"guest": {"memory_mb": 512}, "metadata": {}}),
                    image_digest: ImageDigest::new(&digest),
                    image_reference: format!("registry/{service}@{digest}"),
                    secrets_version: Some(7),
                    machines: machines
                        .map(|(id, machine)| ObservedMachine {
                            id: id.clone(),
                            state: "started".to_owned(),
                            instance_id: machine.instance_id(id),
                            image_digest: machine.image().rsplit('@').next().map(ImageDigest::new),
                            config: machine.config.clone(),
                            updated_config: json!({"guest": {"memory_mb": 512}, "metadata": {}}),
                        })
                        .collect(),
                    other_groups: Vec::new(),
                });
            }
        }
        facts
    }

    pub(crate) fn start(&mut self, author: &str, version: &str) -> Result<(), Rejection> {
        let start = self.facts_to_start(version);
        self.command(author, Command::StartRelease(Box::new(start)))
    }

    /// Starts a release of which something is changed before.
    pub(crate) fn start_with(
        &mut self,
        author: &str,
        version: &str,
        change: impl FnOnce(&mut StartRelease),
    ) -> Result<(), Rejection> {
        let mut start = self.facts_to_start(version);
        change(&mut start);
        self.command(author, Command::StartRelease(Box::new(start)))
    }

    /// Tries an image again that was rolled back, for a reason.
    pub(crate) fn start_again(
        &mut self,
        author: &str,
        version: &str,
        why: &str,
    ) -> Result<(), Rejection> {
        let start = StartRelease { again: Some(why.to_owned()), ..self.facts_to_start(version) };
        self.command(author, Command::StartRelease(Box::new(start)))
    }

    pub(crate) fn facts_to_start(&self, version: &str) -> StartRelease {
        StartRelease {
            version: version.parse().expect("a version"),
            project: self.project.clone(),
            facts: self.facts(version),
            rehearsal: None,
            again: None,
        }
    }

    pub(crate) fn approve(&mut self, who: &str, role: Role) -> Result<(), Rejection> {
        let plan = self.engine.state().active().expect("a release").forward.digest.clone();
        self.command(who, Command::Approve { plan, role })
    }

    /// Both approvals that the project of the stories asks for.
    pub(crate) fn approve_all(&mut self) {
        self.approve("ada", Role::Engineer).expect("ada may approve");
        self.approve("grace", Role::Manager).expect("grace may approve");
    }

    pub(crate) fn command(&mut self, who: &str, command: Command) -> Result<(), Rejection> {
        self.input(Input::Command(Actor::new(who), command))
    }

    pub(crate) fn input(&mut self, input: Input) -> Result<(), Rejection> {
        self.engine.handle(self.now, input)?;
        self.drain();
        Ok(())
    }

    fn drain(&mut self) -> Option<Timestamp> {
        loop {
            match self.engine.poll_output() {
                Output::Append(record) => self.records.push(record),
                Output::Perform(id, effect) => {
                    let answer = match (self.twist)(&id, &effect) {
                        Some(outcome) => outcome,
                        None => self.perform(&id, &effect),
                    };
                    self.performed.push((id.clone(), effect));
                    self.pending.push_back((id, answer));
                }
                Output::WaitUntil(deadline) => return deadline.map(|(time, _)| time),
            }
        }
    }

    /// One outcome, one observation or one leap of the clock. False when nothing can happen any
    /// more without a person.
    pub(crate) fn step(&mut self) -> bool {
        if let Some((id, outcome)) = self.pending.pop_front() {
            self.input(Input::Outcome(id, outcome)).expect("outcomes are never refused");
            return true;
        }
        let watched = view::watched(self.engine.state());
        let asked = view::invariants(self.engine.state());
        let observed = self.observing && !(watched.is_empty() && asked.is_empty());
        let deadline = self.drain();
        let observation_at = observed.then_some(self.next_observation.max(self.now));
        match (deadline, observation_at) {
            (Some(deadline), at) if at.is_none_or(|at| deadline <= at) => {
                self.now = self.now.max(deadline);
                self.input(Input::Tick).expect("ticks are never refused");
            }
            (_, Some(at)) => {
                self.now = at;
                self.next_observation = at + SignedDuration::from_secs(self.observed_every_secs);
                for (environment, _) in watched {
                    let observation = self.observe(environment);
                    self.input(Input::Observed(observation)).expect("never refused");
                }
                for (environment, invariant) in asked {
                    let answer = self.answers.get(&environment).cloned();
                    let answer = answer.unwrap_or_else(|| Ok("42".to_owned()));
                    let invariants = vec![InvariantReading { name: invariant.name, answer }];
                    let (samples, from, to) = (Vec::new(), at, at);
                    let answered = Observation { environment, from, to, samples, invariants };
                    self.input(Input::Observed(answered)).expect("never refused");
                }
            }
            (_, None) => return false,
        }
        true
    }

    /// Lets time pass, with all that is due meanwhile.
    pub(crate) fn wait_mins(&mut self, mins: i64) {
        let until = self.now + SignedDuration::from_mins(mins);
        while !self.pending.is_empty() || self.drain().is_some_and(|deadline| deadline <= until) {
            assert!(self.step());
        }
        self.now = until;
    }

    /// Goes on until a condition holds.
    pub(crate) fn run_until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        for steps in 0.. {
            if condition(self) {
                return;
            }
            assert!(self.step(), "the world stands still before: {what}\n{}", self.story());
            assert!(steps < 20_000, "it takes too long until: {what}\n{}", self.story());
        }
    }

    pub(crate) fn run_to_end(&mut self) {
        self.run_until("the end", |world| world.engine.state().active().is_none());
        self.run_until("all messages delivered", |world| world.engine.state().outbox.is_empty());
    }

    pub(crate) fn run_until_step(&mut self, name: &str) {
        self.run_until(name, |world| {
            let active = world.engine.state().active();
            active.and_then(|release| release.current_step()).is_some_and(|s| s.name == name)
        });
    }

    /// The conductor dies and comes back with what it had written.
    pub(crate) fn crash(&mut self) {
        self.pending.clear();
        self.engine = Engine::recover(self.records.iter().cloned()).expect("a journal in order");
        self.input(Input::Tick).expect("ticks are never refused");
    }

    fn observe(&self, environment: Environment) -> Observation {
        let from = self.now - SignedDuration::from_secs(self.observed_every_secs);
        let samples = ["search", "desk"].map(|service| {
            let bad = environment == Environment::Production
                && self.bad_image.as_ref().is_some_and(|bad| {
                    self.machines.values().any(|machine| {
                        machine.app.as_str() == service && machine.image().contains(bad.as_str())
                    })
                });
            Sample {
                service: service.to_owned(),
                requests: 600,
                errors: if bad { 120 } else { 0 },
                latency: Histogram { buckets: vec![(5_000, 580), (50_000, 20)] },
                probes_passed: 6,
                probes_failed: 0,
                memory_share: Some(0.25),
                oom_kills: 0,
                machines: self.answers_by_machine(environment, service),
            }
        });
        Observation {
            environment,
            from,
            to: self.now,
            samples: samples.to_vec(),
            invariants: Vec::new(),
        }
    }

    fn answers_by_machine(&self, environment: Environment, service: &str) -> Vec<MachineSample> {
        let app = match environment {
            Environment::Staging => format!("{service}-staging"),
            Environment::Production => service.to_owned(),
        };
        let in_rotation = self.machines.iter().filter(|(_, machine)| {
            machine.app.as_str() == app && !machine.cordoned && !machine.stopped
        });
        let answers = in_rotation.map(|(id, machine)| {
            let bad = environment == Environment::Production
                && self.bad_image.as_ref().is_some_and(|bad| machine.image().contains(bad));
            MachineSample {
                machine: id.clone(),
                requests: self.answers_per_machine,
                errors: if bad { self.answers_per_machine / 5 } else { 0 },
                latency: Histogram { buckets: vec![(5_000, self.answers_per_machine)] },
            }
        });
        answers.collect()
    }

    fn perform(&mut self, id: &EffectId, effect: &Effect) -> Outcome {
        let plain = Outcome::Done(Evidence::Plain);
        match effect {
            Effect::Preflight { .. } | Effect::Smoke { .. } => {
                Outcome::Done(Evidence::Checks(vec![check("answers", true)]))
            }
            Effect::RestoreSecrets { .. }
            | Effect::Notify(_)
            | Effect::Write(_)
            | Effect::Document { .. } => plain,
            Effect::AcquireLease { machine, .. } => {
                let found = self.machines.get_mut(machine).expect("a known machine");
                let nonce = format!("nonce-{id}");
                found.lease = Some(nonce.clone());
                let instance_id = found.instance_id(machine);
                Outcome::Done(Evidence::Lease { nonce, instance_id })
            }
            Effect::Cordon { machine, .. } => self.change(machine, |one| one.cordoned = true),
            Effect::Uncordon { machine, .. } => self.change(machine, |one| one.cordoned = false),
            Effect::ReleaseLease { machine, .. } => self.change(machine, |one| one.lease = None),
            Effect::AwaitHealth { .. } => Outcome::Done(Evidence::Healthy { after_ms: 300 }),
            Effect::CreateMachine { app, config, .. } => self.create(id, app, config),
            Effect::UpdateMachine { machine, config, nonce, .. } => {
                let found = self.machines.get_mut(machine).expect("a known machine");
                assert_eq!(found.lease.as_ref(), Some(nonce), "only the holder of the lease acts");
                assert!(found.cordoned, "a machine is out of the rotation while it changes");
                if found.config != *config {
                    found.config = config.clone();
                    found.instance += 1;
                }
                let instance_id = found.instance_id(machine);
                Outcome::Done(Evidence::Machine { machine: machine.clone(), instance_id })
            }
            Effect::StopMachine { machine, created_by, .. } => {
                let found = machine.clone();
                let found = found.or_else(|| self.created_by.get(&created_by.to_string()).cloned());
                match found {
                    Some(machine) => self.change(&machine, |one| {
                        one.stopped = true;
                        one.cordoned = true;
                    }),
                    None => plain,
                }
            }
        }
    }

    fn change(&mut self, id: &MachineId, change: impl FnOnce(&mut Machine)) -> Outcome {
        change(self.machines.get_mut(id).expect("a known machine"));
        Outcome::Done(Evidence::Plain)
    }

    fn create(&mut self, id: &EffectId, app: &AppName, config: &Value) -> Outcome {
        let count = self.created_by.len();
        let machine = self
            .created_by
            .entry(id.to_string())
            .or_insert_with(|| MachineId::new(format!("m{count:02}")))
            .clone();
        let found = self.machines.entry(machine.clone()).or_insert_with(|| Machine {
            app: app.clone(),
            config: config.clone(),
            instance: 1,
            lease: None,
            cordoned: true,
            stopped: false,
        });
        let instance_id = found.instance_id(&machine);
        Outcome::Done(Evidence::Machine { machine, instance_id })
    }

    /// What the machines run, one line each.
    pub(crate) fn fleet(&self) -> String {
        let lines = self.machines.iter().map(|(id, machine)| {
            let image = machine.image().rsplit(':').next().unwrap_or_default();
            let cordoned = if machine.cordoned { ", cordoned" } else { "" };
            let stopped = if machine.stopped { ", stopped" } else { "" };
            let leased = if machine.lease.is_some() { ", leased" } else { "" };
            format!("{id} {}: {image}{cordoned}{stopped}{leased}", machine.app)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The journal as a story, with the day left out of the times.
    pub(crate) fn story(&self) -> String {
        let entries = view::timeline(&self.records).expect("a readable journal");
        let lines = entries.into_iter().map(|entry| {
            let at = entry.at.strftime("%H:%M:%S");
            format!("{at} {}", entry.text)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// What people were told and what the reliability log got.
    pub(crate) fn told(&self) -> String {
        let mut told = Vec::new();
        for (_, effect) in &self.performed {
            if let Effect::Notify(delivery) = effect {
                let Delivery { channel, notice } = &**delivery;
                let at = notice.at.strftime("%H:%M:%S");
                // most stories have one channel, whose name says nothing
                let to = if channel.is_terminal() { "" } else { &format!("{}: ", channel.name) };
                told.push(format!("{at} {to}{notice}"));
            }
            if let Effect::Document { lines, .. } = effect {
                told.push(format!("         log: {}", lines.join(" | ")));
            }
        }
        told.join("\n")
    }

    /// A good release from its start to its end, with both approvals.
    pub(crate) fn release(&mut self, version: &str) {
        self.start("linus", version).expect("a release may start");
        self.run_until_step("approvals");
        self.approve_all();
        self.run_to_end();
    }
}

pub(crate) fn check(name: &str, passed: bool) -> CheckResult {
    let detail = if passed { "as expected" } else { "not as expected" };
    CheckResult { name: name.to_owned(), passed, detail: detail.to_owned(), hint: None, took_ms: 1 }
}

pub(crate) fn failed(message: &str) -> Outcome {
    Outcome::Failed(Failure { message: message.to_owned() })
}

pub(crate) fn refused(kind: holdpoint_core::effect::RefusalKind, message: &str) -> Outcome {
    Outcome::Refused(Refusal { kind, message: message.to_owned() })
}
