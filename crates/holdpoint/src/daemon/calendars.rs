//! Reads the company's calendars again and again, beside the loop, as long as it runs. By the
//! release's clock: it is that clock by which a reading becomes too old.

use std::time::Duration;

use holdpoint_core::calendar::CalendarReading;
use holdpoint_core::project::{CompanyCalendar, Project};
use jiff::SignedDuration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::adapter::clock::{Clock, pause};
use crate::adapter::company_calendar::CalendarReader;

/// Readings that wait for the loop; it takes them faster than they come.
const WAITING_MAX: usize = 16;

/// The shortest time between two readings, however fast the clock runs.
const READ_EVERY_MIN: Duration = Duration::from_millis(100);

/// A calendar's name, and what came of reading it.
pub(super) type Reading = (String, CalendarReading);

/// The calendars of one conductor. They are no longer read once this is dropped.
#[derive(Debug)]
pub struct Calendars {
    readings: mpsc::Receiver<Reading>,
    _tasks: JoinSet<()>,
}

impl Calendars {
    /// Starts to read every calendar of the project, at once and from then on.
    pub fn start(project: &Project, reader: &CalendarReader, clock: &Clock) -> Self {
        let (sender, readings) = mpsc::channel(WAITING_MAX);
        let mut tasks = JoinSet::new();
        for calendar in project.calendar.events.clone() {
            tasks.spawn(run(calendar, reader.clone(), clock.clone(), sender.clone()));
        }
        Self { readings, _tasks: tasks }
    }

    /// The next reading; `None` at once where there are no calendars.
    pub(super) async fn next(&mut self) -> Option<Reading> {
        self.readings.recv().await
    }
}

async fn run(
    calendar: CompanyCalendar,
    reader: CalendarReader,
    clock: Clock,
    sender: mpsc::Sender<Reading>,
) {
    let refresh_secs = i64::try_from(calendar.refresh_secs).unwrap_or(i64::MAX);
    loop {
        let now = clock.now();
        let reading = reader.reading(&calendar, now).await;
        if sender.send((calendar.name.clone(), reading)).await.is_err() {
            return;
        }
        let due = now.saturating_add(SignedDuration::from_secs(refresh_secs));
        let wait = due.map_or(READ_EVERY_MIN, |due| clock.real_until(due));
        pause(wait.max(READ_EVERY_MIN)).await;
    }
}
