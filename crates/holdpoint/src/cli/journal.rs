//! `holdpoint journal verify`: whether the journal is whole and unaltered.

use serde_json::json;

use crate::cli::arguments::Reading;
use crate::daemon::read_stored;
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::render::measure::counted;
use crate::settings::Settings;

pub(super) async fn verify(settings: &Settings, reading: Reading) -> Result<ExitCode, Problem> {
    // reading it checks every record's number, hash and content
    let stored = read_stored(&settings.state_dir).await?;
    let records = stored.map(|stored| stored.records).unwrap_or_default();
    let head = records.last().map(|record| record.hash.clone());
    if reading.json {
        let verified = json!({ "records": records.len(), "head": head });
        message::print(&format!("{}\n", serde_json::to_string_pretty(&verified)?));
        return Ok(ExitCode::Done);
    }
    let records = counted(records.len(), "record");
    message::print(&match head {
        Some(head) => format!("the journal is whole: {records}, head {head}\n"),
        None => "there is no journal yet\n".to_owned(),
    });
    Ok(ExitCode::Done)
}
