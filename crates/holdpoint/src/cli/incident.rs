//! `holdpoint incident …`. Incidents are looked after beside a running conductor, and without one
//! too: this process then conducts for as long as somebody is still to be called or told.

use holdpoint_core::command::{Actor, Command};
use holdpoint_core::engine::Input;
use holdpoint_core::id::IncidentId;
use holdpoint_core::view::{self, IncidentStatus};

use crate::adapter::platform::PlatformAddress;
use crate::cli::arguments::{Incident, Incidents, Platform, Reading};
use crate::daemon::{Assembly, Session, StopSignals, read_stored};
use crate::exit_code::ExitCode;
use crate::http::CommandRequest;
use crate::http::client::{self, AskError};
use crate::message::{self, Problem};
use crate::project_file;
use crate::render::time::LocalTime;
use crate::settings::Settings;

pub(super) async fn incident(
    settings: &Settings,
    incidents: Incidents,
) -> Result<ExitCode, Problem> {
    let Incidents { verb, platform } = incidents;
    let (command, refusal) = match verb {
        Incident::List(reading) => return list(settings, reading).await,
        Incident::Open { severity, title } => {
            let project = Box::new(project_file::load(&settings.project_file)?);
            let command = Command::OpenIncident { severity, title, project };
            (command, "cannot open an incident".to_owned())
        }
        Incident::Ack { incident } => {
            let incident = incident.map(IncidentId);
            let command = Command::AcknowledgeIncident { incident };
            (command, "cannot acknowledge the incident".to_owned())
        }
        Incident::Update { text, incident } => {
            let incident = incident.map(IncidentId);
            let command = Command::UpdateIncident { incident, text };
            (command, "cannot update the incident".to_owned())
        }
        Incident::Close { incident, resolution } => {
            let incident = IncidentId(incident);
            let command = Command::CloseIncident { incident, resolution };
            (command, format!("cannot close {incident}"))
        }
        Incident::Report { incident } => {
            let incident = IncidentId(incident);
            let command = Command::ReportIncident { incident };
            (command, format!("cannot write the report of {incident}"))
        }
    };
    act(settings, &platform, command, &refusal).await
}

/// Sends the command to the running conductor, or conducts here where none runs.
async fn act(
    settings: &Settings,
    platform: &Platform,
    command: Command,
    refusal: &str,
) -> Result<ExitCode, Problem> {
    let actor = Actor::new(&settings.actor);
    let request = CommandRequest { actor, command };
    match client::command(&settings.socket(), &request).await {
        Ok(accepted) => {
            message::print(&done(settings, accepted.record));
            Ok(ExitCode::Done)
        }
        Err(AskError::Unreachable { .. }) => conduct(settings, platform, request, refusal).await,
        Err(error) => Err(super::act::problem(refusal, error)),
    }
}

async fn conduct(
    settings: &Settings,
    platform: &Platform,
    request: CommandRequest,
    refusal: &str,
) -> Result<ExitCode, Problem> {
    let mut stop = StopSignals::listen()?;
    let lock = super::drive::lock(settings, "holdpoint incident".to_owned())?;
    let session = Session::open(&settings.state_dir).await?;
    if let Some(release) = session.engine.state().active() {
        return Err(Problem::new(ExitCode::Refused, refusal)
            .cause(format!(
                "{} of {} is under way, and nobody drives it",
                release.id, release.version
            ))
            .hint("drive it with `holdpoint resume`, and repeat this beside it"));
    }
    let assembly = Assembly {
        project: project_file::load(&settings.project_file)?,
        project_root: settings.project_dir(),
        state_dir: settings.state_dir.clone(),
        // an incident is opened also where no platform can be reached
        address: settings.platform(platform).unwrap_or_else(|_none| PlatformAddress::nowhere()),
    };
    let (mut conductor, handle) = assembly.conductor(session)?;
    let input = Input::Command(request.actor, request.command);
    let accepted = conductor.input(input).await?;
    accepted.map_err(|rejection| message::refused(refusal, &rejection))?;
    message::print(&done(settings, conductor.head_of_journal()));
    if view::has_calls(conductor.state()) {
        message::print(
            "this goes on calling people until somebody takes it on with `holdpoint incident \
             ack`; Ctrl-C leaves, and `holdpoint resume` goes on\n",
        );
    }
    let exit = super::drive::drive(settings, conductor, handle, &mut stop).await;
    drop(lock);
    exit
}

fn done(settings: &Settings, record: u64) -> String {
    format!("done as {}, record {record}\n", settings.actor)
}

async fn list(settings: &Settings, reading: Reading) -> Result<ExitCode, Problem> {
    // the journal can be read beside the conductor that writes it
    let stored = read_stored(&settings.state_dir).await?;
    let incidents = stored.map(|stored| view::incidents(&stored.state)).unwrap_or_default();
    if reading.json {
        message::print(&format!("{}\n", serde_json::to_string_pretty(&incidents)?));
        return Ok(ExitCode::Done);
    }
    if incidents.is_empty() {
        message::print("there was no incident yet\n");
        return Ok(ExitCode::Done);
    }
    let time = LocalTime::of(&project_file::load(&settings.project_file)?);
    for incident in &incidents {
        message::print(&line(incident, &time));
    }
    Ok(ExitCode::Done)
}

fn line(incident: &IncidentStatus, time: &LocalTime) -> String {
    let state = match (&incident.closed_at, &incident.acknowledged_by) {
        (Some(_), _) => "closed".to_owned(),
        (None, Some(by)) => format!("open, {by} has it"),
        (None, None) => "open, nobody has it".to_owned(),
    };
    let resolution = incident.resolution.as_ref();
    let resolution = resolution.map_or_else(String::new, |text| format!("\n        {text}"));
    let name = incident.incident.to_string();
    format!(
        "{name:<7} {}  {state}  since {}\n        {}{resolution}\n",
        incident.severity,
        time.full(incident.opened_at),
        incident.title
    )
}
