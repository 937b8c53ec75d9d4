//! `holdpoint incident close`: production is no longer held by it.

use holdpoint_core::command::Command;
use holdpoint_core::id::IncidentId;

use crate::exit_code::ExitCode;
use crate::message::Problem;
use crate::settings::Settings;

pub(super) async fn close(
    settings: &Settings,
    incident: u64,
    resolution: String,
) -> Result<ExitCode, Problem> {
    let incident = IncidentId(incident);
    let refusal = format!("cannot close {incident}");
    super::act::act(settings, Command::CloseIncident { incident, resolution }, &refusal).await
}
