//! Reads the company's calendars from files and addresses, bounded in bytes and time. Which of
//! their events close production is told by `icalendar`; what follows from it is the core's to
//! decide.

mod icalendar;
mod lines;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdpoint_core::calendar::{CalendarReading, CompanyEvent};
use holdpoint_core::project::{CalendarSource, CompanyCalendar, Project};
use jiff::Timestamp;
use thiserror::Error;

use super::http_client;
use icalendar::Wanted;

/// The most bytes that are read: a busy company's calendar of ten years has fewer.
const BYTES_MAX: usize = 8 * 1024 * 1024;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why a calendar's events can't be told.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub struct Unreadable {
    /// The line of the text, from 1, where one is to blame.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
    /// What mends it.
    pub hint: Option<String>,
}

impl Unreadable {
    fn at(line: usize, message: impl Into<String>) -> Self {
        Self { line: Some(line), message: message.into(), hint: None }
    }

    fn whole(message: impl Into<String>) -> Self {
        Self { line: None, message: message.into(), hint: None }
    }

    fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(formatter, "line {line}: {}", self.message),
            None => formatter.write_str(&self.message),
        }
    }
}

/// Reads the calendars of one project.
#[derive(Clone, Debug)]
pub struct CalendarReader {
    project_root: PathBuf,
    /// The zone of events that name none.
    zone: String,
}

impl CalendarReader {
    /// A reader for this project, whose files are relative to `project_root`.
    pub fn new(project: &Project, project_root: &Path) -> Self {
        Self { project_root: project_root.to_path_buf(), zone: project.time_zone.clone() }
    }

    /// The events of the calendar that count from `now` on.
    ///
    /// # Errors
    /// When it is not there, does not answer, is too large or not understood.
    pub async fn read(
        &self,
        calendar: &CompanyCalendar,
        now: Timestamp,
    ) -> Result<Vec<CompanyEvent>, Unreadable> {
        let fetched = match &calendar.source {
            CalendarSource::Url(url) => Some(fetch(url).await?),
            CalendarSource::File(_) => None,
        };
        let (reader, calendar) = (self.clone(), calendar.clone());
        // writing out recurrences takes a while, and others wait on this thread
        let read = tokio::task::spawn_blocking(move || match fetched {
            Some(text) => reader.understand(&text, &calendar, now),
            None => reader.read_file(&calendar, now).1,
        });
        read.await.unwrap_or_else(|_broken_off| {
            Err(Unreadable::whole("reading it was broken off").hint("report this as a bug"))
        })
    }

    /// What the core is told of the calendar.
    pub async fn reading(&self, calendar: &CompanyCalendar, now: Timestamp) -> CalendarReading {
        match self.read(calendar, now).await {
            Ok(events) => CalendarReading::Read(events),
            Err(unreadable) => CalendarReading::Failed(unreadable.to_string()),
        }
    }

    /// The text and the events of a calendar that is a file; nothing of one that is not.
    pub fn read_file(
        &self,
        calendar: &CompanyCalendar,
        now: Timestamp,
    ) -> (String, Result<Vec<CompanyEvent>, Unreadable>) {
        let CalendarSource::File(name) = &calendar.source else {
            return (String::new(), Ok(Vec::new()));
        };
        let path = self.project_root.join(name);
        match text_of(&path) {
            Ok(text) => {
                let events = self.understand(&text, calendar, now);
                (text, events)
            }
            Err(unreadable) => (String::new(), Err(unreadable)),
        }
    }

    fn understand(
        &self,
        text: &str,
        calendar: &CompanyCalendar,
        now: Timestamp,
    ) -> Result<Vec<CompanyEvent>, Unreadable> {
        icalendar::read(text, Wanted { calendar, zone: &self.zone, now })
    }
}

fn text_of(path: &Path) -> Result<String, Unreadable> {
    let unreadable = |error: io::Error| {
        Unreadable::whole(format!("`{}` can't be read: {error}", path.display()))
            .hint("name the file in `source` of `[[calendar.events]]`, relative to the project's")
    };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let limit = u64::try_from(BYTES_MAX + 1).unwrap_or(u64::MAX);
    file.take(limit).read_to_end(&mut bytes).map_err(unreadable)?;
    checked(bytes)
}

async fn fetch(url: &str) -> Result<String, Unreadable> {
    // the address itself is not told: it may hold what gives access to the calendar
    let refused = |error: reqwest::Error| {
        Unreadable::whole(format!("its address can't be read: {}", http_client::described(error)))
            .hint("open the address of `source` in `[[calendar.events]]` by hand")
    };
    let client = http_client::for_address(url, TIMEOUT).map_err(refused)?;
    let mut response = client.get(url).send().await.map_err(refused)?;
    let status = response.status();
    if !status.is_success() {
        return Err(Unreadable::whole(format!("its address answers with status {}", status.as_u16()))
            .hint("name the address of the calendar itself, which needs no log-in and redirects to no other"));
    }
    let mut bytes = Vec::new();
    while bytes.len() <= BYTES_MAX
        && let Some(chunk) = response.chunk().await.map_err(refused)?
    {
        bytes.extend_from_slice(&chunk);
    }
    checked(bytes)
}

fn checked(bytes: Vec<u8>) -> Result<String, Unreadable> {
    if bytes.len() > BYTES_MAX {
        return Err(Unreadable::whole(format!("it has more than {BYTES_MAX} bytes"))
            .hint("subscribe to a calendar that holds what closes production"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        let line = String::from_utf8_lossy(valid).matches('\n').count() + 1;
        Unreadable::at(line, "the text is not UTF-8").hint("export the calendar again as UTF-8")
    })
}
