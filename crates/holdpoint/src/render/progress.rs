//! The progress of a release while it runs: one line per step that ended, per message to people
//! and per thing that went wrong; and, on a terminal, one last line that says what is waited for
//! and until when. Lines go to stdout as they are, so that a pipe gets a log.

use std::io::IsTerminal;
use std::time::Duration;

use holdpoint_core::effect::{Notice, Outcome};
use holdpoint_core::engine::WaitReason;
use holdpoint_core::event::{Ending, Event, ReleaseStarted};
use holdpoint_core::gate::Verdict;
use holdpoint_core::id::EffectId;
use holdpoint_core::plan::{Plan, StepKind};
use holdpoint_core::preflight::Waiver;
use holdpoint_core::state::{Release, State};
use holdpoint_core::view;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;

use super::checks;
use super::measure::counted;
use super::step_detail::StepNotes;
use super::time::{LocalTime, between, human};
use super::waiting::ends_at;
use crate::message;

/// How often the last line's mark turns on a terminal, in milliseconds.
const TURN_MS: u64 = 120;

/// Shows how a release goes.
#[derive(Debug)]
pub struct Progress {
    time: LocalTime,
    /// How many seconds of the release's clock pass in a real one.
    speed: u32,
    bar: Option<ProgressBar>,
    notes: StepNotes,
    waited_for: Option<String>,
    beside_data: bool,
}

impl Progress {
    /// A display for times of a zone. On a terminal its last line is alive.
    pub fn new(time: LocalTime, speed: u32) -> Self {
        let bar = std::io::stdout().is_terminal().then(live_line);
        Self {
            time,
            speed: speed.max(1),
            bar,
            notes: StepNotes::default(),
            waited_for: None,
            beside_data: false,
        }
    }

    /// From now on standard output belongs to somebody else's data.
    pub fn tell_beside_data(&mut self) {
        self.finish();
        self.bar = None;
        self.beside_data = true;
    }

    /// Shows what a record says. `state` is the state after it.
    pub fn record(&mut self, at: Timestamp, events: &[Event], state: &State) {
        for event in events {
            self.notes.note(event);
            let release = state.releases.values().next_back();
            for line in self.event_lines(at, event, release) {
                self.line(&line);
            }
        }
    }

    /// Shows what is waited for. `now` is the time of the release's clock.
    pub fn waiting(&mut self, now: Timestamp, state: &State) {
        let Some(release) = view::status(state, now).release.filter(|one| one.ended.is_none())
        else {
            self.live("");
            return;
        };
        let step = state.active().and_then(Release::current_step);
        let step = step.map_or("between two steps", |step| step.name.as_str());
        let Some(reason) = release.waits_for else {
            self.live(step);
            return;
        };
        let ends_at = state.active().and_then(|one| ends_at(one, &reason, release.next_at));
        let until = ends_at.map_or_else(String::new, |end| {
            let left = human(between(now, end) / self.speed);
            format!(", until {} ({left})", self.time.until(end, now))
        });
        if let WaitReason::Effect { what } = &reason {
            let doing = if what == step { step.to_owned() } else { format!("{step}: {what}") };
            self.live(&doing);
            return;
        }
        self.live(&format!("{step}: waits for {reason}{until}"));
        let key = format!("{step} {:?}", std::mem::discriminant(&reason));
        if is_hold(&reason) && self.bar.is_none() && self.waited_for.as_ref() != Some(&key) {
            let clock = self.time.clock(now);
            self.line(&format!("{clock}  ·  {step}: waits for {reason}{until}"));
            self.waited_for = Some(key);
        }
    }

    /// Shows a message to people, as the terminal's channel delivers it.
    pub fn notice(&self, notice: &Notice) {
        self.line(&format!("{}  »  {notice}", self.time.clock(notice.at)));
    }

    /// Shows a line among the others.
    pub fn line(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.println(line),
            None if self.beside_data => message::tell(&format!("{line}\n")),
            None => message::print(&format!("{line}\n")),
        }
    }

    /// Takes the live line away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn live(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.to_owned());
        }
    }

    fn real(&self, from: Timestamp, to: Timestamp) -> Duration {
        between(from, to) / self.speed
    }

    fn event_lines(&self, at: Timestamp, event: &Event, release: Option<&Release>) -> Vec<String> {
        let marked =
            |mark: &str, text: String| vec![format!("{}  {mark}  {text}", self.time.clock(at))];
        match event {
            Event::ReleaseStarted(started) => self.start_lines(at, started),
            Event::StepPassed { step } => {
                release.map(|release| self.step_lines(at, *step, release)).unwrap_or_default()
            }
            Event::StepFailed { step, reason } => {
                marked("✖", format!("{} failed: {reason}", step_name(release, *step)))
            }
            Event::SoakInterrupted { reason, .. } => {
                marked("·", format!("the count begins anew: {reason}"))
            }
            Event::Approved { actor, role } => {
                marked("✔", format!("approved by {actor} as {role}"))
            }
            Event::ApprovalExpired { actor, role } => {
                marked("·", format!("the approval by {actor} as {role} expired"))
            }
            Event::CheckWaived { waiver } => {
                marked("~", format!("`{}` {}", waiver.check, self.waived(waiver, at)))
            }
            Event::StartAnnounced { start_at } => {
                let start = self.time.until(*start_at, at);
                marked("·", format!("start in production announced for {start}"))
            }
            Event::StartWithdrawn { reason } => {
                marked("·", format!("the announced start is withdrawn: {reason}"))
            }
            Event::Halted { by, reason } => {
                marked("॥", format!("halted{}: {reason}", by_whom(by.as_deref())))
            }
            Event::Resumed { by } => marked("·", format!("continued by {by}")),
            Event::FlagRaised { flag, by, reason, .. } => {
                marked("✖", format!("{flag} flag raised by {by}: {reason}"))
            }
            Event::Breached { finding } => marked("✖", format!("breach: {finding}")),
            Event::RollbackStarted { reason, by, plan, suspects: _ } => {
                marked("◂", rollback_line(reason, by.as_deref(), plan))
            }
            Event::IncidentOpened { incident, title, severity, .. } => {
                marked("!", format!("{incident} ({severity}) opened: {title}"))
            }
            Event::IncidentClosed { incident, by, resolution } => {
                marked("·", format!("{incident} closed by {by}: {resolution}"))
            }
            Event::EffectEnded { effect, outcome } => match effect_trouble(effect, outcome) {
                Some(text) => marked("·", text),
                None => checks::failed_lines(outcome),
            },
            Event::ReleaseEnded { ending } => {
                release.map(|release| self.end_lines(at, ending, release)).unwrap_or_default()
            }
            Event::CalendarFailed { calendar, problem } => {
                marked("!", format!("calendar `{calendar}` can't be read: {problem}"))
            }
            Event::StepStarted { .. }
            | Event::WaveStarted { .. }
            | Event::Observed(_)
            | Event::CalendarRead { .. }
            | Event::SoakStarted { .. }
            | Event::RollbackAcknowledged { .. }
            | Event::NoticeQueued { .. }
            | Event::LinesQueued { .. }
            | Event::DocumentQueued { .. }
            | Event::DeliveryGivenUp { .. }
            | Event::IncidentAcknowledged { .. }
            | Event::IncidentUpdated { .. }
            | Event::IncidentEscalated { .. } => Vec::new(),
        }
    }

    fn waived(&self, waiver: &Waiver, now: Timestamp) -> String {
        checks::waived(waiver, &self.time, now)
    }

    fn start_lines(&self, at: Timestamp, started: &ReleaseStarted) -> Vec<String> {
        let rehearsal = started.rehearsal.map_or_else(String::new, |rehearsal| {
            format!(", a rehearsal with the clock at {} times its pace", rehearsal.speed)
        });
        let mut lines = vec![
            String::new(),
            format!(
                "{} of {} by {}, {}{rehearsal}",
                started.release,
                started.version,
                started.author,
                self.time.full(at)
            ),
            plan_line(&started.plan),
        ];
        let left_out = started.report.left_out.iter();
        lines.extend(left_out.map(|left_out| format!("left as it is: {left_out}")));
        lines
    }

    fn step_lines(&self, at: Timestamp, step: usize, release: &Release) -> Vec<String> {
        let run = release.run();
        let Some(planned) = run.plan.steps.get(step) else {
            return Vec::new();
        };
        let started = run.times.get(&step).map_or(at, |times| times.started_at);
        let took = human(self.real(started, at));
        let detail = self.notes.detail(&planned.kind, release);
        let clock = self.time.clock(at);
        let mut lines = vec![format!("{clock}  ✔  {:<40} {took:>12}  {detail}", planned.name)];
        if let StepKind::Soak(soak) = &planned.kind {
            let verdicts = release.verdicts(soak.environment, at);
            lines.extend(verdicts_by_service(&verdicts));
        }
        lines
    }

    fn end_lines(&self, at: Timestamp, ending: &Ending, release: &Release) -> Vec<String> {
        let version = &release.version;
        let by_clock = between(release.started_at, at);
        let took = if self.speed == 1 {
            human(by_clock)
        } else {
            format!("{} ({} by its clock)", human(by_clock / self.speed), human(by_clock))
        };
        let clock = self.time.clock(at);
        vec![match ending {
            Ending::Released => format!("{clock}  ✔  {version} is released, in {took}"),
            Ending::RolledBack => {
                let since = release.back.as_ref().and_then(|back| back.times.get(&0));
                let since = since.map_or(at, |times| times.started_at);
                let back = human(self.real(since, at));
                format!(
                    "{clock}  ✔  {version} is rolled back, {back} after the rollback began; \
                     {took} in all"
                )
            }
            Ending::Refused { reason } => {
                format!("{clock}  ✖  {version} is refused and nothing was changed: {reason}")
            }
        }]
    }
}

fn step_name(release: Option<&Release>, step: usize) -> &str {
    let step = release.and_then(|one| one.run().plan.steps.get(step));
    step.map_or("a step", |step| step.name.as_str())
}

fn live_line() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stdout());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(TURN_MS));
    bar
}

fn rollback_line(reason: &str, by: Option<&str>, plan: &Plan) -> String {
    let steps = counted(plan.steps.len(), "step");
    let plan = plan.digest();
    format!("rolls back{} in {steps}, plan {}: {reason}", by_whom(by), plan.short())
}

fn by_whom(by: Option<&str>) -> String {
    by.map_or_else(String::new, |by| format!(" by {by}"))
}

fn plan_line(plan: &Plan) -> String {
    let machines: usize = plan
        .steps
        .iter()
        .filter_map(|step| match &step.kind {
            StepKind::Rollout(rollout) => {
                Some(rollout.waves.iter().map(|wave| wave.changes.len()).sum::<usize>())
            }
            StepKind::Preflight
            | StepKind::Smoke { .. }
            | StepKind::Soak(_)
            | StepKind::Approval { .. }
            | StepKind::Window { .. }
            | StepKind::RestoreSecrets { .. } => None,
        })
        .sum();
    let steps = counted(plan.steps.len(), "step");
    let machines = counted(machines, "machine");
    format!("plan {}: {steps}, {machines} to change", plan.digest().short())
}

/// What the gates say, one line a service.
fn verdicts_by_service(verdicts: &[Verdict]) -> Vec<String> {
    let mut lines: Vec<(String, Vec<String>)> = Vec::new();
    for verdict in verdicts {
        let finding = verdict.finding();
        let service = finding.service.to_string();
        let text = finding.text.clone();
        match lines.last_mut() {
            Some((last, texts)) if *last == service => texts.push(text),
            Some(_) | None => lines.push((service, vec![text])),
        }
    }
    let lines = lines.into_iter();
    lines.map(|(service, texts)| format!("{:13}{service}: {}", "", texts.join("; "))).collect()
}

/// Whether a wait is one that people should hear of, rather than the time that a call takes.
fn is_hold(reason: &WaitReason) -> bool {
    match reason {
        WaitReason::SoakEnds { .. }
        | WaitReason::Gates { .. }
        | WaitReason::Breach { .. }
        | WaitReason::Approvals { .. }
        | WaitReason::Window { .. }
        | WaitReason::AnnouncedStart
        | WaitReason::Incident { .. }
        | WaitReason::Halted { .. } => true,
        WaitReason::Effect { .. }
        | WaitReason::Signals
        | WaitReason::ApprovalExpires
        | WaitReason::Update
        | WaitReason::Escalation { .. }
        | WaitReason::Message => false,
    }
}

/// What went wrong with an effect, if anything did.
fn effect_trouble(effect: &EffectId, outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Done(_) => None,
        Outcome::Refused(refusal) => Some(format!("{effect} was refused: {}", refusal.message)),
        Outcome::Failed(failure) => Some(format!("{effect} failed: {}", failure.message)),
        Outcome::Unknown => {
            Some(format!("{effect}: it is not known whether it was done; looking it up"))
        }
    }
}
