//! Writes messages to people and lines for the reliability log, numbered in their order, and says
//! which channels want them. What they say, and when, is decided elsewhere.

use jiff::Timestamp;

use crate::document::Document;
use crate::event::Event;
use crate::id::{Environment, IncidentId};
use crate::notice::{About, Fact, Milestone, Notice, NoticeKind};
use crate::project::Channel;
use crate::state::{Release, State};

/// The messages of one decision.
pub(super) struct Messages<'a> {
    state: &'a State,
    release: Option<&'a Release>,
    incident: Option<IncidentId>,
    now: Timestamp,
    events: Vec<Event>,
}

/// A message to be written.
pub(super) struct Draft {
    kind: NoticeKind,
    text: String,
    facts: Vec<Fact>,
    environment: Option<Environment>,
    milestone: Option<Milestone>,
}

impl Draft {
    pub(super) fn new(kind: NoticeKind, text: String) -> Self {
        Self { kind, text, facts: Vec::new(), environment: None, milestone: None }
    }

    pub(super) fn facts(self, facts: Vec<Fact>) -> Self {
        Self { facts, ..self }
    }

    pub(super) fn at(self, environment: Environment) -> Self {
        Self { environment: Some(environment), ..self }
    }

    pub(super) fn milestone(self, milestone: Milestone) -> Self {
        Self { milestone: Some(milestone), ..self }
    }
}

impl<'a> Messages<'a> {
    /// Messages about a release.
    pub(super) fn of(state: &'a State, release: &'a Release, now: Timestamp) -> Self {
        Self { state, release: Some(release), incident: None, now, events: Vec::new() }
    }

    /// Messages about no release in particular. They go where those of the newest one go.
    pub(super) fn of_newest(state: &'a State, now: Timestamp) -> Self {
        let release = state.releases.values().next_back();
        Self { state, release, incident: None, now, events: Vec::new() }
    }

    /// Messages about an incident, and the release during which it was opened.
    pub(super) fn about(state: &'a State, incident: IncidentId, now: Timestamp) -> Self {
        let found = state.incidents.get(&incident);
        let release = found.and_then(|found| state.releases.get(&found.release?));
        Self { state, release, incident: Some(incident), now, events: Vec::new() }
    }

    pub(super) fn events(self) -> Vec<Event> {
        self.events
    }

    /// A message without more than its text.
    pub(super) fn notice(self, kind: NoticeKind, text: String) -> Self {
        self.tell(Draft::new(kind, text))
    }

    pub(super) fn tell(self, draft: Draft) -> Self {
        self.tell_except(draft, &[])
    }

    /// A message to all channels that want it but some.
    pub(super) fn tell_except(mut self, draft: Draft, except: &[&str]) -> Self {
        let channels = self.channels(draft.kind);
        let channels = channels.filter(|channel| !except.contains(&channel.name.as_str()));
        let channels: Vec<String> = channels.map(|channel| channel.name.clone()).collect();
        let Draft { kind, text, facts, environment, milestone } = draft;
        let about = About { environment, milestone, ..self.subject() };
        let notice = Notice { at: self.now, kind, text, facts, about };
        self.events.push(Event::NoticeQueued { number: self.number(), notice, channels });
        self
    }

    /// Lines for the reliability log, the first one after a time stamp as the runbook writes it.
    pub(super) fn lines(mut self, heading: &str, rest: Vec<String>) -> Self {
        let at = self.now.strftime("%Y-%m-%dT%H:%M:%SZ");
        let mark = if self.is_rehearsal() { " (rehearsal)" } else { "" };
        let title = self.state.project().map_or("", |project| &project.title);
        let mut lines = vec![format!("[{at}] {heading} - {title}{mark}")];
        lines.extend(rest);
        self.events.push(Event::LinesQueued { number: self.number(), lines });
        self
    }

    /// Something that is no line of the reliability log.
    pub(super) fn write(mut self, document: Document) -> Self {
        let (number, document) = (self.number(), Box::new(document));
        self.events.push(Event::DocumentQueued { number, document });
        self
    }

    fn number(&self) -> u64 {
        let queued = u64::try_from(self.events.len()).unwrap_or(u64::MAX);
        self.state.next_message.saturating_add(queued)
    }

    fn is_rehearsal(&self) -> bool {
        self.release.is_some_and(|release| release.rehearsal.is_some())
    }

    /// A rehearsal is told on the terminal alone: nobody is to take it for the real thing.
    fn channels(&self, kind: NoticeKind) -> impl Iterator<Item = &'a Channel> + use<'a> {
        let rehearsal = self.is_rehearsal();
        let all = self.state.project().map_or([].as_slice(), |project| &project.notify.channels);
        all.iter().filter(move |channel| {
            channel.notices.contains(&kind) && (channel.is_terminal() || !rehearsal)
        })
    }

    fn subject(&self) -> About {
        let project = self.state.project();
        About {
            project: project.map_or_else(String::new, |project| project.name.clone()),
            title: project.map_or_else(String::new, |project| project.title.clone()),
            release: self.release.map(|release| release.id),
            incident: self.incident,
            version: self.release.map(|release| release.version.to_string()),
            rehearsal: self.is_rehearsal(),
            ..About::default()
        }
    }
}
