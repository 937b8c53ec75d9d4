//! `holdpoint rehearse`: finds a project to rehearse with and a place to keep the rehearsal's
//! state, and says in the end whether everything went as it should.

use std::fs;
use std::path::{Path, PathBuf};

use crate::adapter::clock::Clock;
use crate::cli::arguments::{Rehearse, Shared};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::rehearsal::{self, Outcome};
use crate::settings::{PROJECT_FILE, Settings};

/// Where rehearsals are kept, beside the folder from which they are started.
const FOLDER: &str = ".holdpoint/rehearsals";

/// Where a checkout of this program has its example projects.
const EXAMPLES: &str = "examples";

pub(super) async fn rehearse(shared: &Shared, rehearse: &Rehearse) -> Result<ExitCode, Problem> {
    let project = match &shared.project {
        Some(project) => Some(project.clone()),
        None => Some(example()?),
    };
    let chosen = shared.state_dir.is_some();
    let started = Clock::real().now().strftime("%Y%m%d-%H%M%S").to_string();
    let state_dir = shared.state_dir.clone().unwrap_or_else(|| Path::new(FOLDER).join(started));
    let shared = Shared { project, state_dir: Some(made(&state_dir)?), ..shared.clone() };
    let settings = Settings::resolve(&shared)?;
    let outcome = Box::pin(rehearsal::run(&settings, rehearse)).await;
    let keeps = rehearse.keep || chosen || !matches!(outcome, Ok(Outcome::AsItShould));
    let state_dir = settings.state_dir.display();
    if keeps {
        message::tell(&format!(
            "the journal, images and logs are kept in `{state_dir}`; read them with \
             `holdpoint timeline --project {} --state-dir {state_dir}`\n",
            settings.project_file.display()
        ));
    } else if let Err(error) = fs::remove_dir_all(&settings.state_dir) {
        message::tell(&format!("`{state_dir}` could not be removed: {error}\n"));
    }
    outcome.map(|outcome| match outcome {
        Outcome::AsItShould => ExitCode::Done,
        Outcome::OtherThanItShould => ExitCode::RolledBack,
        Outcome::Stopped => {
            message::tell("the rehearsal was stopped before its end\n");
            ExitCode::Interrupted
        }
    })
}

/// The project of this folder or of one above it, or the first example beside it.
fn example() -> Result<PathBuf, Problem> {
    let here = std::env::current_dir()?;
    for folder in here.ancestors() {
        let own = folder.join(PROJECT_FILE);
        if own.is_file() {
            return Ok(own);
        }
        let Ok(entries) = fs::read_dir(folder.join(EXAMPLES)) else { continue };
        let mut found: Vec<PathBuf> = entries
            .filter_map(Result::ok)
            .map(|entry| entry.path().join(PROJECT_FILE))
            .filter(|file| file.is_file())
            .collect();
        found.sort();
        if let Some(first) = found.into_iter().next() {
            return Ok(first);
        }
    }
    Err(Problem::new(ExitCode::Usage, "there is no project to rehearse with")
        .cause(format!(
            "neither `{PROJECT_FILE}` nor `{EXAMPLES}/*/{PROJECT_FILE}` is here or above"
        ))
        .hint("name one with `--project PATH`, or run this in a checkout of holdpoint"))
}

fn made(state_dir: &Path) -> Result<PathBuf, Problem> {
    let made = fs::create_dir_all(state_dir).and_then(|()| state_dir.canonicalize());
    made.map_err(|error| {
        let sentence = format!("cannot use the state directory `{}`", state_dir.display());
        Problem::because(ExitCode::Refused, sentence, &error)
            .hint("choose another with `--state-dir`")
    })
}
