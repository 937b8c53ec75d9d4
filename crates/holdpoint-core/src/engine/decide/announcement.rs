//! What people are told and what the reliability log says, at which moment: the runbook's
//! "Communication Protocol" and "Documentation Requirements". Delivering it is not the core's
//! business, and never changes a release.

use jiff::{SignedDuration, SignedDurationRound, Timestamp, Unit};

use super::hold;
use super::messages::{Draft, Messages};
use crate::document::{Document, Section};
use crate::event::{Ending, Event};
use crate::gate::{human_secs, percent, percentile_ms, seconds};
use crate::id::{AppName, Course, Environment, IncidentId};
use crate::notice::{Fact, Milestone, NoticeKind};
use crate::observation::Sample;
use crate::plan::{Step, StepKind};
use crate::state::{Progress, Release, State};
use crate::view;

/// What the start of a step tells.
pub(super) fn step_started(
    state: &State,
    release: &Release,
    step: usize,
    now: Timestamp,
) -> Vec<Event> {
    let messages = Messages::of(state, release, now);
    let run = release.run();
    let Some(kind) = run.plan.steps.get(step).map(|step| &step.kind) else {
        return messages.events();
    };
    let (title, version) = (&release.project.title, &release.version);
    match kind {
        StepKind::Preflight => {
            let text = format!(
                "{title} {version}: release started by {}, plan {}",
                release.author,
                run.digest.short()
            );
            messages.notice(NoticeKind::Update, text).events()
        }
        StepKind::Approval { .. } => {
            let roles: Vec<&str> =
                release.missing_approvals().iter().map(|role| role.as_str()).collect();
            if roles.is_empty() {
                return messages.events();
            }
            let text = format!(
                "{title} {version} is stable in staging and wants approval by {}: \
                 `holdpoint approve --plan {}`",
                roles.join(" and "),
                run.digest.short()
            );
            messages.notice(NoticeKind::ApprovalWanted, text).events()
        }
        StepKind::Rollout(rollout)
            if release.course() == Course::Forward
                && rollout.environment == Environment::Production
                && is_first_of_production(run.plan.steps.get(..step).unwrap_or_default()) =>
        {
            let text = format!("{title} {version}: production deployment started");
            messages
                .tell(Draft::new(NoticeKind::Update, text).at(Environment::Production))
                .lines("PRODUCTION DEPLOYMENT STARTED", Vec::new())
                .events()
        }
        StepKind::Rollout(_)
        | StepKind::Smoke { .. }
        | StepKind::Soak(_)
        | StepKind::Window { .. }
        | StepKind::RestoreSecrets { .. } => messages.events(),
    }
}

fn is_first_of_production(before: &[Step]) -> bool {
    !before.iter().any(|step| {
        matches!(&step.kind, StepKind::Rollout(rollout)
            if rollout.environment == Environment::Production)
    })
}

/// "… production deployment starting in 15 minutes".
pub(super) fn start_announced(
    state: &State,
    release: &Release,
    start_at: Timestamp,
    now: Timestamp,
) -> Vec<Event> {
    let secs = start_at.duration_since(now).as_secs();
    let text =
        format!("{} production deployment starting in {}", release.project.title, spoken(secs));
    let draft = Draft::new(NoticeKind::Announcement, text).at(Environment::Production);
    let facts = vec![Fact::new("version", release.version.to_string())];
    Messages::of(state, release, now).tell(draft.facts(facts)).events()
}

/// The release stands still.
pub(super) fn halted(state: &State, release: &Release, reason: &str, now: Timestamp) -> Vec<Event> {
    let kind = match release.course() {
        Course::Forward => NoticeKind::Hold,
        Course::Back => NoticeKind::Escalation,
    };
    let text = format!(
        "{} {} needs a person: {reason}; go on with `holdpoint continue`",
        release.project.title, release.version
    );
    Messages::of(state, release, now).notice(kind, text).events()
}

/// The way back goes on although the secrets of an app are not as they were.
pub(super) fn secrets_not_restored(
    state: &State,
    release: &Release,
    app: &AppName,
    reason: &str,
    now: Timestamp,
) -> Vec<Event> {
    let text = format!(
        "{} {}: the secrets of {app} could not be put back: {reason}; the rollback goes on without \
         them, look at them with `fly secrets list --app {app}`",
        release.project.title, release.version
    );
    Messages::of(state, release, now).notice(NoticeKind::Escalation, text).events()
}

/// The announced start no longer holds, because production closed in the middle of the rollout.
/// Told once: the withdrawn start is what remembers it.
pub(super) fn held(state: &State, release: &Release, now: Timestamp) -> Vec<Event> {
    let closed = hold::production_closed(state, release, now)
        .filter(|_| release.halt.is_none() && release.announced_start.is_some());
    let Some(closed) = closed else {
        return Vec::new();
    };
    let reason = closed.reason.to_string();
    let text = format!(
        "{} {}: the wave under way is finished, the next one waits for {reason}",
        release.project.title, release.version
    );
    let mut events = vec![Event::StartWithdrawn { reason }];
    events.extend(Messages::of(state, release, now).notice(NoticeKind::Hold, text).events());
    events
}

/// "Rolling back … - REASON", at once.
pub(super) fn rolling_back(
    state: &State,
    release: &Release,
    reason: &str,
    now: Timestamp,
) -> Vec<Event> {
    let environment = changed_environment(release);
    let text =
        format!("Rolling back {} {environment} deployment - {reason}", release.project.title);
    let lines = vec![format!("Reason: {reason}")];
    Messages::of(state, release, now)
        .tell(Draft::new(NoticeKind::Rollback, text).at(environment))
        .lines("ROLLBACK INITIATED", lines)
        .events()
}

/// A flag was raised while no release goes forward.
pub(super) fn flag_raised(
    state: &State,
    incident: IncidentId,
    why: &str,
    now: Timestamp,
) -> Vec<Event> {
    let text = format!("{why}; production is held until {incident} is closed");
    Messages::of_newest(state, now).notice(NoticeKind::Incident, text).events()
}

/// The last word on a release.
pub(super) fn ended(
    state: &State,
    release: &Release,
    ending: &Ending,
    now: Timestamp,
) -> Vec<Event> {
    let (title, version) = (&release.project.title, &release.version);
    let messages = Messages::of(state, release, now);
    let messages = match ending {
        Ending::Released => {
            let metrics = key_metrics(release);
            let mut facts = vec![Fact::new("version", version.to_string())];
            facts.extend(metrics.iter().cloned());
            let latency = production_p95_ms(release)
                .map_or_else(|| "not measured".to_owned(), |p95_ms| format!("{p95_ms}ms"));
            let text = format!("{title} production deployment complete, monitoring");
            let mut lines = vec![
                format!("Version: {version}"),
                "Health: PASSING".to_owned(),
                format!("Latency: {latency}"),
            ];
            // "Key metrics observed" and "Any issues and resolutions", behind the runbook's lines
            let others = metrics.iter().filter(|fact| fact.name != "P95 latency");
            lines.extend(others.map(|fact| format!("{}: {}", capitalised(&fact.name), fact.value)));
            lines.push(format!("Issues: {}", issues(state, release)));
            let draft = Draft::new(NoticeKind::Complete, text).at(Environment::Production);
            let messages = messages
                .tell(draft.facts(facts).milestone(Milestone::Deployed))
                .lines("PRODUCTION DEPLOYMENT COMPLETE", lines);
            sections(messages, release, now)
        }
        Ending::RolledBack => {
            let previous = previous_version(state, release);
            let lines = vec![format!("Rolled back to: {previous}"), "Status: stable".to_owned()];
            let text = "Rollback complete, system stable".to_owned();
            let facts = vec![Fact::new("version", format!("{version}, rolled back to {previous}"))];
            let draft = Draft::new(NoticeKind::Rollback, text).at(changed_environment(release));
            messages
                .tell(draft.facts(facts).milestone(Milestone::RolledBack))
                .lines("ROLLBACK COMPLETE", lines)
        }
        Ending::Refused { reason } => {
            let text = format!("{title} {version}: nothing was changed: {reason}");
            messages.notice(NoticeKind::Hold, text)
        }
    };
    messages.events()
}

/// What the runbooks are to say of a release. What a rehearsal measured is of no use there.
fn sections<'a>(messages: Messages<'a>, release: &Release, now: Timestamp) -> Messages<'a> {
    if release.rehearsal.is_some() {
        return messages;
    }
    let documents = &release.project.documents;
    let runbook = documents.runbook.as_ref();
    let runbook = runbook.map(|file| (file, view::runbook_section(release, now)));
    let monitoring = documents.monitoring_runbook.as_ref();
    let monitoring = monitoring.map(|file| (file, view::monitoring_section(release, now)));
    runbook.into_iter().chain(monitoring).fold(messages, |messages, (file, text)| {
        let section = Section { file: file.clone(), rehearsal: false, text, around: None };
        messages.write(Document::Section(section))
    })
}

/// The incidents of a release, each with what was found and done.
fn issues(state: &State, release: &Release) -> String {
    let of_release =
        state.incidents.iter().filter(|(_, incident)| incident.release == Some(release.id));
    let issues: Vec<String> = of_release
        .map(|(id, incident)| {
            let end = incident.closed.as_ref();
            let end = end.map_or("still open", |closed| closed.resolution.as_str());
            format!("{id} ({}) {}: {end}", incident.severity, incident.title)
        })
        .collect();
    if issues.is_empty() { "none".to_owned() } else { issues.join("; ") }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// The environment of production where it was touched, and staging otherwise.
pub(super) fn changed_environment(release: &Release) -> Environment {
    if release.forward.touched(Environment::Production) {
        Environment::Production
    } else {
        Environment::Staging
    }
}

fn previous_version(state: &State, release: &Release) -> String {
    let mut before = state.releases.values().rev().filter(|other| {
        other.id < release.id && matches!(other.ended, Some((_, Ending::Released)))
    });
    before.next().map_or_else(
        || "the state before the first release".to_owned(),
        |previous| previous.version.to_string(),
    )
}

/// "Share key metrics (latency, error rate, resource usage)", of what production showed.
fn key_metrics(release: &Release) -> Vec<Fact> {
    let services = release.signals.get(&Environment::Production).into_iter().flatten();
    let samples: Vec<&Sample> = services.flat_map(|(_, signals)| signals.samples()).collect();
    let mut facts = Vec::new();
    if let Some(p95_ms) = production_p95_ms(release) {
        facts.push(Fact::new("P95 latency", format!("{p95_ms} ms")));
    }
    let (requests, errors) =
        samples.iter().fold((0, 0), |sum, one| (sum.0 + one.requests, sum.1 + one.errors));
    if requests > 0 {
        let text = format!("{} of {requests} requests", share(errors, requests));
        facts.push(Fact::new("error rate", text));
    }
    let memory = samples.iter().filter_map(|sample| sample.memory_share).reduce(f64::max);
    facts.extend(memory.map(|memory| Fact::new("memory", percent(memory))));
    facts
}

fn share(part: u64, whole: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
    let share = part as f64 / whole as f64;
    percent(share)
}

/// A length of time in whole words, as the runbook announces it: "15 minutes".
fn spoken(secs: i64) -> String {
    let part = |number: i64, noun: &str| {
        let ending = if number == 1 { "" } else { "s" };
        (number > 0).then(|| format!("{number} {noun}{ending}"))
    };
    let parts =
        [part(secs / 3600, "hour"), part(secs % 3600 / 60, "minute"), part(secs % 60, "second")];
    let spoken: Vec<String> = parts.into_iter().flatten().collect();
    if spoken.is_empty() { "no time".to_owned() } else { spoken.join(" ") }
}

fn production_p95_ms(release: &Release) -> Option<u64> {
    let services = release.signals.get(&Environment::Production)?;
    percentile_ms(services.values().flat_map(crate::gate::Signals::samples), 0.95)
}

/// A word on how it goes: every 5 minutes while production changes, every 2 during a rollback.
pub(super) fn regular_update(state: &State, release: &Release, now: Timestamp) -> Vec<Event> {
    let due = update_due_at(release).is_some_and(|time| now >= time);
    if !due {
        return Vec::new();
    }
    let step = release.current_step().map_or("between two steps", |step| step.name.as_str());
    let (kind, word) = match release.course() {
        Course::Forward => (NoticeKind::Update, "deployment"),
        Course::Back => (NoticeKind::Rollback, "rollback"),
    };
    let text = format!(
        "{} {} {word}: {step}{}",
        release.project.title,
        release.version,
        step_detail(release, now)
    );
    Messages::of(state, release, now).notice(kind, text).events()
}

/// When people are to be told how it goes; `None` while nothing in production changes, and while
/// the rollout holds, which was told when it began.
pub(crate) fn update_due_at(release: &Release) -> Option<Timestamp> {
    let every_secs = match release.course() {
        Course::Back => release.project.communication.update_every_during_rollback_secs,
        Course::Forward
            if release.forward.touched(Environment::Production)
                && release.announced_start.is_some() =>
        {
            release.project.communication.update_every_secs
        }
        Course::Forward => return None,
    };
    // a halted release was announced as halted; repeating that every few minutes helps nobody
    (release.halt.is_none() && every_secs > 0).then(|| release.told_at + seconds(every_secs))
}

fn step_detail(release: &Release, now: Timestamp) -> String {
    let started = release.run().current.and_then(|step| release.run().times.get(&step));
    let since = started.map(|times| now.duration_since(times.started_at));
    let whole = SignedDurationRound::new().smallest(Unit::Second);
    let for_secs = since.and_then(|since| since.round(whole).ok()).unwrap_or(SignedDuration::ZERO);
    match &release.run().progress {
        Progress::Soak { good_since: Some(since), .. } => {
            format!(
                ", every gate has held for {}",
                human_secs(now.duration_since(*since).as_secs())
            )
        }
        Progress::Soak { good_since: None, .. } => ", the gates do not hold yet".to_owned(),
        Progress::Single(_) | Progress::Rollout { .. } | Progress::Waiting => {
            format!(", for {}", human_secs(for_secs.as_secs()))
        }
    }
}
