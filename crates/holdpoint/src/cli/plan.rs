//! `holdpoint plan`: what the release under way does, step by step, and what it leaves as it is.

use crate::cli::arguments::Reading;
use crate::daemon::{PlanView, read_stored, stored_plan};
use crate::exit_code::ExitCode;
use crate::http::client::{self, AskError};
use crate::message::{self, Problem};
use crate::settings::Settings;

pub(super) async fn plan(settings: &Settings, reading: Reading) -> Result<ExitCode, Problem> {
    let plan = match client::read::<Option<PlanView>>(&settings.socket(), "/plan").await {
        Ok(plan) => plan,
        Err(AskError::Unreachable { .. }) => {
            let stored = read_stored(&settings.state_dir).await?;
            stored.and_then(|stored| stored_plan(&stored.state))
        }
        Err(error) => return Err(super::act::problem("cannot show the plan", error)),
    };
    if reading.json {
        message::print(&format!("{}\n", serde_json::to_string_pretty(&plan)?));
        return Ok(ExitCode::Done);
    }
    let Some(plan) = plan else {
        message::print("there is no plan: nothing was released yet\n");
        return Ok(ExitCode::Done);
    };
    message::print(&plan.text);
    for left_out in &plan.left_out {
        message::print(&format!("left as it is: {left_out}\n"));
    }
    Ok(ExitCode::Done)
}
