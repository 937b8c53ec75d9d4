//! One run: the loop over what happens next, first with faults, then healed. It ends with a
//! report; what must be true is said in [`crate::invariants`] and [`crate::liveness`].

mod calls;
mod telemetry;
#[cfg(test)]
mod tests;
mod verdicts;

use std::collections::BTreeMap;
use std::fmt;

use holdpoint_core::command::{Actor, Command};
use holdpoint_core::effect::Outcome;
use holdpoint_core::engine::Input;
use holdpoint_core::event::Event;
use holdpoint_core::id::EffectId;
use holdpoint_core::observation::Observation;
use holdpoint_core::state::State;
use holdpoint_core::view;
use jiff::{SignedDuration, Timestamp};

use self::calls::Call;
use crate::conductor::{Carried, Conductor};
use crate::invariants::{Fact, Invariants, Rest, Violation};
use crate::liveness::{self, Helpers};
use crate::people::{self, People};
use crate::seed::{Concern, Dice, Swarm};
use crate::story::{Story, event_line};
use crate::world::faults::Accident;
use crate::world::traffic::{Behaviour, Flaw};
use crate::world::{World, millis, project};

/// For how long the world may go wrong at most.
const FAULTS_FOR: SignedDuration = SignedDuration::from_hours(72);

/// How often the conductor dies at most: every replay reads the whole journal again.
const DEATHS_MAX: u32 = 6;

/// For how long a healed world may take: a freeze and the end of a quarter, and then some.
const HEALED_FOR: SignedDuration = SignedDuration::from_hours(24 * 30);

/// How a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// An invariant was broken.
    Safety(Violation),
    /// A healed world did not come to rest as it must.
    NoConvergence(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Safety(Violation { invariant, text }) => write!(f, "{invariant}: {text}"),
            Self::NoConvergence(text) => write!(f, "no convergence: {text}"),
        }
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// How it failed, if it did.
    pub failure: Option<Failure>,
    /// What happened; empty unless it was to be told.
    pub story: String,
    /// How often the conductor was called.
    pub steps: u64,
    /// Releases that brought their version to production.
    pub released: usize,
    /// Releases that ended otherwise.
    pub rolled_back: usize,
}

/// Runs one seed.
pub fn run(seed: u64, is_told: bool) -> Report {
    let mut simulation = Simulation::new(seed, Story::new(is_told));
    let failure = simulation.run().err();
    let ended = &simulation.invariants.ledger().ended;
    let released = ended.iter().filter(|(_, released)| *released).count();
    Report {
        seed,
        failure,
        story: simulation.story.text().to_owned(),
        steps: simulation.conductor.calls,
        released,
        rolled_back: ended.len() - released,
    }
}

/// Something that happens at a time.
#[derive(Debug)]
enum Happening {
    /// A call reaches the platform.
    Land(Box<Call>),
    /// An answer reaches a conductor in one of its lives.
    Answer { life: u32, id: EffectId, outcome: Outcome },
    /// Telemetry measures; the number tells the newest of these from earlier ones.
    Poll(u64),
    /// A measurement arrives.
    Hear(Box<Observation>),
    /// A person looks; the number as above.
    Person(u64),
    /// Something befalls a machine.
    Accident,
    /// The conductor wakes up, unless it was called since.
    Wake { calls: u64 },
    /// A dead conductor comes back; it had this state.
    ComeBack(Option<Box<State>>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Safety,
    Liveness,
}

#[derive(Debug)]
struct Simulation {
    swarm: Swarm,
    mode: Mode,
    started_at: Timestamp,
    healed_at: Timestamp,
    healed_at_calls: u64,
    now: Timestamp,
    queue: BTreeMap<(Timestamp, u64), Happening>,
    queued: u64,
    world: World,
    conductor: Conductor,
    people: People,
    helpers: Helpers,
    invariants: Invariants,
    story: Story,
    faults: Dice,
    delays: Dice,
    traffic: Dice,
    crashes: Dice,
    accidents: Dice,
    /// Signals are lost until then.
    silent_until: Timestamp,
    /// How often in a row telemetry looked while the release waited for a calendar or a person.
    idle: u32,
    /// The number of the newest series of polls and looks.
    series: u64,
    /// The number of calls at the newest check of what the release waits for.
    explained_at: u64,
    /// Whether the release that a healed world must carry out was started.
    is_last: bool,
}

impl Simulation {
    fn new(seed: u64, story: Story) -> Self {
        let swarm = Swarm::of(seed);
        let dice = &mut Dice::of(seed, Concern::Project);
        let now = project::beginning(dice);
        let project = project::project(dice, now);
        let machines = u32::try_from(dice.between(2, 3)).unwrap_or(2);
        let starts = Dice::of(seed, Concern::Starts);
        let mut world = World::new(project, now, swarm.beginning, machines, starts);
        for minor in 1..=swarm.releases {
            if dice.chance(swarm.flaw_permille) {
                let behaviour = Behaviour {
                    flaw: dice.pick(&Flaw::ALL),
                    in_production_only: dice.chance(500),
                    onset_secs: dice.pick(&[0, 0, 20, 60, 600]),
                };
                world.behaviours.insert(format!("1.{minor}.0"), behaviour);
            }
        }
        Self {
            mode: Mode::Safety,
            started_at: now,
            healed_at: now,
            healed_at_calls: 0,
            now,
            queue: BTreeMap::new(),
            queued: 0,
            conductor: Conductor::new(),
            people: People::new(Dice::of(seed, Concern::People), swarm.releases),
            helpers: Helpers::default(),
            invariants: Invariants::default(),
            story,
            faults: Dice::of(seed, Concern::Faults),
            delays: Dice::of(seed, Concern::Delays),
            traffic: Dice::of(seed, Concern::Traffic),
            crashes: Dice::of(seed, Concern::Crashes),
            accidents: Dice::of(seed, Concern::Accidents),
            silent_until: now,
            idle: 0,
            series: 0,
            explained_at: 0,
            is_last: false,
            world,
            swarm,
        }
    }

    fn run(&mut self) -> Result<(), Failure> {
        self.tell_beginning();
        self.begin_series();
        if self.swarm.accident_every_secs > 0 {
            self.after(1_000, Happening::Accident);
        }
        while !self.is_over()? {
            let Some(((at, _), happening)) = self.queue.pop_first() else {
                return Err(Failure::NoConvergence("nothing happens any more".to_owned()));
            };
            self.now = self.now.max(at);
            self.happen(happening)?;
            self.rest()?;
        }
        self.check_replay()?;
        let Some(state) = self.conductor.state() else { return Ok(()) };
        let (ledger, known) = (self.invariants.ledger(), &state.known_machines);
        let leftover = liveness::leftovers(&self.world, ledger, known, self.now);
        leftover.map_or(Ok(()), |text| Err(Failure::NoConvergence(text)))
    }

    fn tell_beginning(&mut self) {
        let (swarm, world) = (&self.swarm, &self.world);
        self.story.tell(self.now, || format!("{swarm:?}").chars().take(290).collect());
        self.story.tell(self.now, || format!("{swarm:?}").chars().skip(290).collect());
        self.story.tell(self.now, || format!("flaws: {:?}", world.behaviours));
        self.story.tell(self.now, || {
            let project = &world.project;
            let windows: Vec<String> = project
                .windows
                .iter()
                .map(|one| format!("{} {}-{}", one.name, one.from_minute, one.to_minute))
                .collect();
            format!("{}: {}; {:?}", project.time_zone, windows.join(", "), project.freezes)
        });
    }

    fn happen(&mut self, happening: Happening) -> Result<(), Failure> {
        match happening {
            Happening::Land(call) => self.land(*call),
            Happening::Answer { life, id, outcome } => {
                if life != self.conductor.life {
                    return Ok(());
                }
                self.input(Input::Outcome(id, outcome)).map(drop)
            }
            Happening::Poll(series) if series == self.series => self.poll(),
            Happening::Person(series) if series == self.series => self.person(),
            Happening::Poll(_) | Happening::Person(_) => Ok(()),
            Happening::Hear(observation) => self.input(Input::Observed(*observation)).map(drop),
            Happening::Accident => {
                self.accident();
                Ok(())
            }
            Happening::Wake { calls } if calls == self.conductor.calls => {
                self.input(Input::Tick).map(drop)?;
                self.end_pause();
                Ok(())
            }
            Happening::Wake { .. } => Ok(()),
            Happening::ComeBack(before) => self.come_back(before.as_deref()),
        }
    }

    /// Whether the run is over. Heals the world when the time for faults is over.
    fn is_over(&mut self) -> Result<bool, Failure> {
        let is_at_rest = self
            .conductor
            .state()
            .is_some_and(|state| state.active().is_none() && state.outbox.is_empty())
            && self.conductor.in_flight.is_empty();
        if self.mode == Mode::Safety {
            let is_enough = self.conductor.calls >= self.swarm.steps_max
                || (is_at_rest && self.people.releases_left == 0)
                || self.now.duration_since(self.started_at) > FAULTS_FOR;
            if is_enough {
                self.heal();
            }
            return Ok(false);
        }
        let calls = self.conductor.calls - self.healed_at_calls;
        if calls > liveness::STEPS_MAX || self.now.duration_since(self.healed_at) > HEALED_FOR {
            let waits = self.conductor.state().and_then(|state| {
                view::status(state, self.now).release.and_then(|release| release.waits_for)
            });
            let text = match waits {
                Some(waits) => format!("it still waits for {waits}"),
                None => "it goes on and on".to_owned(),
            };
            return Err(Failure::NoConvergence(text));
        }
        let has_call = self.queue.values().any(|one| matches!(one, Happening::Land(_)));
        if !is_at_rest || has_call {
            return Ok(false);
        }
        if self.swarm.one_more && !self.is_last {
            // a lease whose answer came too late stands in the way until it expires
            if self.world.machines.values().any(|one| one.lease_at(self.now).is_some()) {
                return Ok(false);
            }
            self.start_last()?;
            return Ok(false);
        }
        if self.is_last && !self.invariants.ledger().ended.last().is_some_and(|(_, ok)| *ok) {
            let text = "a good version was not released in a healed world".to_owned();
            return Err(Failure::NoConvergence(text));
        }
        Ok(true)
    }

    fn heal(&mut self) {
        self.story.tell(self.now, || "--- the world is healed".to_owned());
        let active = self.conductor.state().and_then(State::active);
        let version = active.map(|release| release.version.to_string());
        self.world.heal(version.as_deref(), self.now);
        self.swarm.heal();
        self.mode = Mode::Liveness;
        (self.healed_at, self.healed_at_calls) = (self.now, self.conductor.calls);
        self.silent_until = self.now;
        self.begin_series();
    }

    /// A good version, in a healed world.
    fn start_last(&mut self) -> Result<(), Failure> {
        self.is_last = true;
        if let Some((actor, command)) =
            self.conductor.state().and_then(people::go_on_after_rollback)
        {
            self.input(Input::Command(actor, command))?;
        }
        let start = people::start(self.people.next_minor(), &self.swarm, &self.world);
        self.world.behaviours.clear();
        let command = Command::StartRelease(Box::new(start));
        let accepted = self.input(Input::Command(Actor::new("ada"), command))?;
        if accepted {
            return Ok(());
        }
        Err(Failure::NoConvergence("a healed world can't start a release".to_owned()))
    }

    fn person(&mut self) -> Result<(), Failure> {
        let Some(state) = self.conductor.state() else {
            self.look_again();
            return Ok(());
        };
        let asked = match self.mode {
            Mode::Safety => self.people.ask(&self.swarm, state, &self.world),
            Mode::Liveness => self.helpers.answer(state, self.now),
        };
        if let Some((actor, command)) = asked {
            let is_start = matches!(command, Command::StartRelease(_));
            let accepted = self.input(Input::Command(actor, command))?;
            if is_start && accepted {
                self.people.has_started();
            }
        }
        self.look_again();
        Ok(())
    }

    fn look_again(&mut self) {
        let pause_ms = match self.mode {
            Mode::Safety => self.people.pause_ms(self.swarm.person_every_secs),
            Mode::Liveness => self.gap_ms(liveness::LOOK_EVERY_MS),
        };
        self.after(pause_ms, Happening::Person(self.series));
    }

    fn accident(&mut self) {
        if self.mode == Mode::Liveness {
            return;
        }
        let accident = Accident::draw(&mut self.accidents);
        if let Some(told) = self.world.suffer(accident, self.now, &mut self.accidents) {
            self.story.tell(self.now, || told);
        }
        let every_ms = self.swarm.accident_every_secs * 2000;
        let pause_ms = self.accidents.between(500, every_ms);
        self.after(pause_ms, Happening::Accident);
    }

    /// Gives the conductor an input, and carries out what comes of it. Says whether it was taken.
    fn input(&mut self, input: Input) -> Result<bool, Failure> {
        let command = match &input {
            Input::Command(actor, command) => Some((actor.clone(), command.clone())),
            Input::Outcome(..) | Input::Observed(_) | Input::CalendarRead(..) | Input::Tick => None,
        };
        let may_die = self.conductor.life < DEATHS_MAX;
        let permille = if may_die { self.swarm.crash_permille } else { 0 };
        let crashes = &mut self.crashes;
        let carried = match self.conductor.handle(self.now, input, || crashes.chance(permille)) {
            Ok(carried) => carried,
            Err(rejection) => {
                self.story.tell(self.now, || format!("refused: {rejection}"));
                return Ok(false);
            }
        };
        let is_durable = matches!(carried.first(), Some(Carried::Appended(_)));
        if let Some((actor, command)) = &command
            && is_durable
        {
            self.see(Fact::Accepted(actor, command))?;
        }
        for one in carried {
            self.carry(one)?;
        }
        if let Some((at, _)) = self.conductor.wakes {
            let late_ms = self.delays.between(0, self.swarm.tick_late_ms_max);
            let calls = self.conductor.calls;
            self.at(at.max(self.now) + millis(late_ms), Happening::Wake { calls });
        }
        Ok(is_durable)
    }

    fn carry(&mut self, carried: Carried) -> Result<(), Failure> {
        match carried {
            Carried::Appended(record) => {
                let events = record.events().map_err(|error| {
                    let (invariant, text) = ("journal-chain-intact", error.to_string());
                    Failure::Safety(Violation { invariant, text })
                })?;
                for event in &events {
                    self.story
                        .tell(self.now, || format!("{:>4} {}", record.seq, event_line(event)));
                    self.check_verdict(event)?;
                    self.see(Fact::Event(event))?;
                    if matches!(event, Event::StepStarted { .. } | Event::WaveStarted { .. }) {
                        self.begin_series();
                    }
                }
                Ok(())
            }
            Carried::Asked(id, effect) => {
                self.see(Fact::Asked(&id, &effect))?;
                self.call(id, effect);
                Ok(())
            }
            Carried::Died(before) => {
                self.story.tell(self.now, || "the conductor dies".to_owned());
                let down_ms = self.crashes.between(10, self.swarm.down_secs_max * 1000);
                self.after(down_ms, Happening::ComeBack(before));
                Ok(())
            }
        }
    }

    fn come_back(&mut self, before: Option<&State>) -> Result<(), Failure> {
        self.story.tell(self.now, || "the conductor comes back".to_owned());
        if let Err(error) = self.conductor.come_back() {
            return self.see(Fact::Recovered { before, after: Err(&error) });
        }
        if let Some(after) = self.conductor.state() {
            let fact = Fact::Recovered { before, after: Ok(after) };
            self.invariants.see(self.now, fact).map_err(Failure::Safety)?;
        }
        // what it waits for is known after its first input
        self.explained_at = self.conductor.calls;
        // that is a tick, or whatever happens within some seconds
        if self.crashes.chance(700) {
            return self.input(Input::Tick).map(drop);
        }
        let (pause_ms, calls) = (self.crashes.between(100, 8_000), self.conductor.calls);
        self.after(pause_ms, Happening::Wake { calls });
        Ok(())
    }

    fn check_replay(&mut self) -> Result<(), Failure> {
        let (before, after) = (self.conductor.state(), self.conductor.replayed());
        let after = after.as_ref().map_err(String::as_str);
        let fact = Fact::Recovered { before, after };
        self.invariants.see(self.now, fact).map_err(Failure::Safety)
    }

    /// The end of a step: what must be true of the state as it is.
    fn rest(&mut self) -> Result<(), Failure> {
        let Some(state) = self.conductor.state() else { return Ok(()) };
        let calls = self.conductor.calls;
        let in_flight = self.conductor.in_flight.len();
        if self.explained_at == calls || calls == 0 {
            return Ok(());
        }
        self.explained_at = calls;
        let status = (in_flight == 0).then(|| view::status(state, self.now));
        let waits_for = status.and_then(|status| status.release?.waits_for);
        let wakes_at = self.conductor.wakes.as_ref().map(|(at, _)| *at);
        let rest = Rest { state, in_flight, waits_for: waits_for.as_ref(), wakes_at };
        self.invariants.see(self.now, Fact::Rest(rest)).map_err(Failure::Safety)
    }

    fn see(&mut self, fact: Fact<'_>) -> Result<(), Failure> {
        self.invariants.see(self.now, fact).map_err(Failure::Safety)
    }

    fn after(&mut self, pause_ms: u64, happening: Happening) {
        self.at(self.now + millis(pause_ms), happening);
    }

    fn at(&mut self, at: Timestamp, happening: Happening) {
        self.queued += 1;
        self.queue.insert((at, self.queued), happening);
    }
}
