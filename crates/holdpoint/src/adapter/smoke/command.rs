//! Runs a program of the project as a check. What it wrote last is what is told of it.

use std::process::ExitStatus;
use std::time::Duration;

use holdpoint_core::project::smoke::CommandCheck;
use holdpoint_core::project::smoke::template::{self, RUN};

use super::{Context, Ended, StepReport, Trouble};
use crate::adapter::clock::Stopwatch;
use crate::adapter::project_command;

/// How many of its last lines are told.
const TOLD_LINES: usize = 10;

pub(super) async fn run(context: &Context<'_>, check: &CommandCheck) -> StepReport {
    let watch = Stopwatch::start();
    let words: Result<Vec<String>, String> = check
        .command
        .iter()
        .map(|word| template::fill(word, &context.variables, template::as_it_is))
        .collect();
    let (asked, ended) = match words {
        Err(name) => (
            check.command.join(" "),
            Err(Trouble::new(format!("`{{{name}}}` has no value"), "correct `command`")),
        ),
        Ok(words) => {
            let ended = run_words(context, check, &words).await;
            (format!("`{}`", words.join(" ")), ended)
        }
    };
    StepReport::new("runs to its end", asked, ended, watch)
}

async fn run_words(context: &Context<'_>, check: &CommandCheck, words: &[String]) -> Ended {
    let directory = context.smoker.project_root.join(&check.directory);
    let target = context.target;
    let mut command = project_command::command(&directory, words);
    command
        .env("HOLDPOINT_ENVIRONMENT", target.environment.to_string())
        .env("HOLDPOINT_SERVICE", &target.service)
        .env("HOLDPOINT_APP", target.app.as_str())
        .env("HOLDPOINT_URL", context.smoker.prober.url(&target.app))
        .env("HOLDPOINT_RUN", context.variables.get(RUN).map_or("", String::as_str));
    let limit = Duration::from_millis(check.within_ms);
    let ran = project_command::run(command, limit).await.map_err(|error| {
        Trouble::new(
            format!("could not be run in `{}`: {error}", directory.display()),
            "check `command` and `directory` of the check, and that the program may be executed",
        )
    })?;
    let surplus = ran.last_lines.len().saturating_sub(TOLD_LINES);
    let told = ran.last_lines.get(surplus..).unwrap_or_default().join(" | ");
    match ran.status {
        Some(Ok(status)) if status.success() => {
            Ok(if told.is_empty() { "done".to_owned() } else { format!("done: {told}") })
        }
        Some(Ok(status)) => Err(Trouble::new(ended_badly(status, &told), context.logs_hint())),
        Some(Err(error)) => {
            Err(Trouble::new(format!("its end could not be seen: {error}"), context.logs_hint()))
        }
        None => Err(Trouble::new(
            format!("killed after {} ms, with all that it started: {told}", check.within_ms),
            "see where it hangs, or raise `within`",
        )),
    }
}

fn ended_badly(status: ExitStatus, told: &str) -> String {
    if told.is_empty() { format!("{status}, without a word") } else { format!("{status}: {told}") }
}
