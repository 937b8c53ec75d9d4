//! Made-up traces: a test feeds a checker what a broken engine or world would show, to see that
//! it is caught.

use holdpoint_core::command::{Actor, Command, StartRelease};
use holdpoint_core::effect::{Effect, Evidence, Outcome};
use holdpoint_core::engine::{Engine, Input};
use holdpoint_core::event::{Event, ReleaseStarted};
use holdpoint_core::id::{
    AppName, Course, EffectId, Environment, MachineId, MachinePhase, PlanDigest, ReleaseId,
    ServiceName, Slot,
};
use holdpoint_core::observation::{Histogram, Observation, Sample};
use holdpoint_core::plan::StepKind;
use holdpoint_core::planner;
use holdpoint_core::project::{Freeze, Role};
use holdpoint_core::state::State;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Checker, Fact, Ledger, Rest};
use crate::seed::{Beginning, Concern, Dice};
use crate::world::{World, project};

pub(super) struct Trace<C> {
    checker: C,
    ledger: Ledger,
    pub(super) now: Timestamp,
}

impl<C: Checker> Trace<C> {
    pub(super) fn of(checker: C) -> Self {
        Self { checker, ledger: Ledger::default(), now: Self::start() }
    }

    pub(super) fn start() -> Timestamp {
        "2026-03-03T12:00:00Z".parse().unwrap()
    }

    pub(super) fn fact(&mut self, fact: Fact<'_>) -> Result<(), String> {
        self.checker.see(&self.ledger, self.now, fact)?;
        self.ledger.fold(self.now, fact);
        Ok(())
    }

    pub(super) fn event(&mut self, event: &Event) -> Result<(), String> {
        self.fact(Fact::Event(event))
    }

    /// A step is over, and an effect is still waited for.
    pub(super) fn rest(&mut self) -> Result<(), String> {
        let state = State::default();
        let rest = Rest { state: &state, in_flight: 1, waits_for: None, wakes_at: None };
        self.fact(Fact::Rest(rest))
    }

    pub(super) fn event_at(&mut self, at: &str, event: &Event) -> Result<(), String> {
        self.now = at.parse().map_err(|error: jiff::Error| error.to_string())?;
        self.event(event)
    }

    pub(super) fn release(&mut self, number: u64) -> Result<(), String> {
        let release = ReleaseId(number);
        let start = start();
        let planned = planner::plan(release, &start, &planner::KnownMachines::new());
        let (plan, report) = planned.map_err(|obstacles| format!("{obstacles:?}"))?;
        self.event(&Event::ReleaseStarted(Box::new(ReleaseStarted {
            release,
            version: start.version,
            author: "linus".to_owned(),
            project: start.project,
            rehearsal: None,
            plan,
            report,
            again: None,
        })))
    }

    fn step(&self, wanted: impl Fn(&StepKind) -> bool) -> usize {
        let steps = &self.ledger.release.as_ref().unwrap().forward.steps;
        steps.iter().position(|step| wanted(&step.kind)).unwrap()
    }

    pub(super) fn first_rollout(&self) -> usize {
        self.step(|kind| kind.rollout().is_some())
    }

    pub(super) fn production_rollout(&self) -> usize {
        self.step(|kind| {
            kind.rollout().is_some_and(|one| one.environment == Environment::Production)
        })
    }

    /// The first machines of an environment begin to change.
    pub(super) fn begin(&mut self, environment: Environment) -> Result<(), String> {
        let step = self
            .step(|kind| kind.rollout().is_some_and(|rollout| rollout.environment == environment));
        self.event(&Event::WaveStarted { step, wave: 0 })
    }

    pub(super) fn soak_step(&self) -> usize {
        self.step(|kind| matches!(kind, StepKind::Soak(_)))
    }

    pub(super) fn update_asked(&mut self, step: usize) -> Result<(), String> {
        self.update_asked_with(step, "registry/search@sha256:search-1.0.0")
    }

    pub(super) fn update_asked_with(&mut self, step: usize, image: &str) -> Result<(), String> {
        let under = self.ledger.release.as_ref().unwrap();
        let rollout = under.rollout(Course::Forward, step).unwrap();
        let slot = rollout.waves[0].changes[0].slot.clone();
        let effect = update(rollout.app.clone(), "m0", json!({"image": image}));
        self.fact(Fact::Asked(&machine_effect(step, slot, MachinePhase::Update), &effect))
    }

    /// An update of a machine on the way back.
    pub(super) fn put_back(&mut self, config: Value) -> Result<(), String> {
        let (environment, service) = (Environment::Production, ServiceName::new("search"));
        let slot = Slot { environment, service, index: 0 };
        let (release, course, phase) = (ReleaseId(1), Course::Back, MachinePhase::Update);
        let id = EffectId::Machine { release, course, step: 0, slot, phase, attempt: 1 };
        self.fact(Fact::Asked(&id, &update(AppName::new("search"), "m0", config)))
    }

    /// An update of a machine of `search` in production.
    pub(super) fn update_landed(
        &mut self,
        index: u32,
        machine: &str,
        config: Value,
    ) -> Result<(), String> {
        let effect = update(AppName::new("search"), machine, config);
        self.landed(index, machine, MachinePhase::Update, &effect)
    }

    pub(super) fn cordon_landed(&mut self, index: u32) -> Result<(), String> {
        let name = format!("m{index}");
        let (app, machine) = (AppName::new("search"), MachineId::new(&name));
        let effect = Effect::Cordon { app, machine, nonce: "nonce".to_owned() };
        self.landed(index, &name, MachinePhase::Cordon, &effect)
    }

    pub(super) fn uncordon_landed(&mut self, index: u32) -> Result<(), String> {
        let name = format!("m{index}");
        let (app, machine) = (AppName::new("search"), MachineId::new(&name));
        let effect = Effect::Uncordon { app, machine, nonce: None };
        self.landed(index, &name, MachinePhase::Uncordon, &effect)
    }

    fn landed(
        &mut self,
        index: u32,
        machine: &str,
        phase: MachinePhase,
        effect: &Effect,
    ) -> Result<(), String> {
        let service = ServiceName::new("search");
        let slot = Slot { environment: Environment::Production, service, index };
        let id = machine_effect(self.production_rollout(), slot, phase);
        self.fact(Fact::Landed(&id, effect, &MachineId::new(machine)))
    }

    pub(super) fn message_asked(&mut self, number: u64) -> Result<(), String> {
        let (file, lines) = ("log.md".to_owned(), Vec::new());
        self.fact(Fact::Asked(&EffectId::Message { number }, &Effect::Document { file, lines }))
    }

    pub(super) fn lease_answered(&mut self, nonce: &str) -> Result<(), String> {
        let instance_id = holdpoint_core::id::InstanceId::new("m0-v1");
        let outcome = Outcome::Done(Evidence::Lease { nonce: nonce.to_owned(), instance_id });
        self.fact(Fact::Answered(&outcome))
    }

    /// Consent to the plan in force, or to another, that the engine accepts.
    pub(super) fn consent(
        &mut self,
        who: &str,
        role: Role,
        plan: Option<PlanDigest>,
    ) -> Result<(), String> {
        let in_force = self.ledger.release.as_ref().unwrap().digest.clone();
        let plan = plan.unwrap_or(in_force);
        self.fact(Fact::Accepted(&Actor::new(who), &Command::Approve { plan, role }))?;
        self.event(&Event::Approved { actor: who.to_owned(), role })
    }

    /// Samples of staging that are measured and heard now.
    pub(super) fn observe(&mut self, samples: &[Sample]) -> Result<(), String> {
        let from = self.now - SignedDuration::from_secs(10);
        let (environment, samples) = (Environment::Staging, samples.to_vec());
        let observation =
            Observation { environment, from, to: self.now, samples, invariants: Vec::new() };
        self.fact(Fact::Measured(&observation))?;
        self.event(&Event::Observed(observation))
    }
}

pub(super) fn good_sample(service: &str) -> Sample {
    Sample {
        service: service.to_owned(),
        requests: 100,
        errors: 0,
        latency: Histogram { buckets: vec![(50_000, 100)] },
        probes_passed: 2,
        probes_failed: 0,
        memory_share: Some(0.2),
        oom_kills: 0,
        machines: Vec::new(),
    }
}

pub(super) fn state_with_a_release() -> State {
    let mut engine = Engine::new();
    let command = Command::StartRelease(Box::new(start()));
    let now = "2026-03-03T12:00:00Z".parse().unwrap();
    engine.handle(now, Input::Command(Actor::new("linus"), command)).unwrap();
    engine.state().clone()
}

/// A release over machines that are there, by a project with the runbook's window and a freeze.
fn start() -> StartRelease {
    let now = "2026-03-03T12:00:00Z".parse().unwrap();
    let mut project = project::plain();
    project.freezes.push(Freeze {
        name: "sale".to_owned(),
        owner: "rita".to_owned(),
        reason: "the shop has a sale".to_owned(),
        from: "2026-04-01T00:00:00Z".parse().unwrap(),
        to: "2026-04-02T00:00:00Z".parse().unwrap(),
    });
    let starts = Dice::of(0, Concern::Starts);
    let world = World::new(project.clone(), now, Beginning::All, 2, starts);
    let version = "1.0.0".parse().unwrap();
    StartRelease { version, project, facts: world.facts("1.0.0"), rehearsal: None, again: None }
}

fn machine_effect(step: usize, slot: Slot, phase: MachinePhase) -> EffectId {
    let (release, course) = (ReleaseId(1), Course::Forward);
    EffectId::Machine { release, course, step, slot, phase, attempt: 1 }
}

fn update(app: AppName, machine: &str, config: Value) -> Effect {
    let (machine, nonce) = (MachineId::new(machine), "nonce".to_owned());
    Effect::UpdateMachine { app, machine, config, secrets_version: None, nonce }
}
