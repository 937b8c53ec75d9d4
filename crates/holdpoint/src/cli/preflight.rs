//! The part of `holdpoint check` that looks beyond the files: pre-flight for the version that is
//! to be released, without a release.

use std::collections::{BTreeMap, BTreeSet};

use holdpoint_core::effect::CheckResult;
use holdpoint_core::preflight::{CheckKind, Objection, Standing};
use holdpoint_core::project::Project;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use crate::adapter::clock::Clock;
use crate::adapter::platform::Platform;
use crate::adapter::preflight::{self, Check, Reach, Subject, Surroundings};
use crate::adapter::vcs;
use crate::cli::arguments::preflight::Preflight;
use crate::daemon::read_stored;
use crate::executor::{requests_per_sec, rolled_back_in_staging_at};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::render;
use crate::render::time::LocalTime;
use crate::settings::Settings;
use crate::variables::Variables;

/// What pre-flight found.
#[derive(Debug)]
pub(super) struct Found {
    version: Option<String>,
    checks: Vec<(CheckResult, Standing)>,
    /// Waivers of the file that count for nothing any more.
    over: Vec<Objection>,
    text: String,
}

/// Looks, if a platform is chosen or none is to be asked.
pub(super) async fn look(
    settings: &Settings,
    project: &Project,
    flags: &Preflight,
) -> Result<Option<Found>, Problem> {
    let platform = match settings.platform(&flags.platform) {
        _ if flags.offline => None,
        Ok(address) => Some(Platform::new(&address)?),
        Err(problem) if flags.only.is_empty() && flags.version.is_none() => {
            let cause = problem.causes.first().cloned().unwrap_or_default();
            message::tell(&format!(
                "pre-flight was not looked at: {}: {cause}\nhint: start a platform with `holdpoint \
                 up`, or look at what needs none with `holdpoint check --offline`\n",
                problem.error
            ));
            return Ok(None);
        }
        Err(problem) => return Err(problem),
    };
    let root = settings.project_dir();
    let version = match &flags.version {
        Some(version) => Some(version.clone()),
        None => vcs::version_at_head(&root).await.ok().flatten(),
    };
    if version.is_none() {
        message::tell(
            "no version is looked at: no tag of one is checked out\nhint: name it with \
             `--version`\n",
        );
    }
    let stored = read_stored(&settings.state_dir).await?;
    let subject = Subject {
        project: project.clone(),
        version,
        is_rehearsal: false,
        images: Vec::new(),
        previous: Vec::new(),
        rolled_back_in_staging_at: stored
            .as_ref()
            .and_then(|it| rolled_back_in_staging_at(&it.state)),
        requests_per_sec: stored.map_or_else(BTreeMap::new, |it| requests_per_sec(&it.state)),
    };
    let now = Clock::real().now();
    let variables = Variables::of_process();
    let platform = platform.as_ref();
    let surroundings = Surroundings { platform, project_root: &root, variables: &variables, now };
    let checks = chosen(preflight::checks(&subject, surroundings), flags)?;
    let results = look_with_progress(checks).await;
    let waivers = &project.preflight.waivers;
    let judged = results.into_iter().map(|check| {
        let standing = Standing::of(&check, waivers, project, None, now);
        (check, standing)
    });
    let checks: Vec<(CheckResult, Standing)> = judged.collect();
    let over = waivers.iter().filter_map(|waiver| waiver.objection_at(project, None, now));
    let time = LocalTime::of(project);
    let mut text = render::checks::table(&checks, &time, now);
    text.push_str(&render::checks::summary(&checks));
    let version = subject.version.as_ref().map(ToString::to_string);
    Ok(Some(Found { version, over: over.collect(), text, checks }))
}

impl Found {
    /// What it means for the exit status.
    pub(super) fn exit(&self) -> ExitCode {
        let holds = self.checks.iter().all(|(_, standing)| standing.holds());
        if holds { ExitCode::Done } else { ExitCode::Refused }
    }

    /// Prints the table, and beside it which waivers are over.
    pub(super) fn print(&self) {
        for objection in &self.over {
            let hint = objection.hint();
            message::tell(&format!("warning: {objection}: it counts for nothing\nhint: {hint}\n"));
        }
        message::print(&self.text);
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let checks: Vec<Value> = self
            .checks
            .iter()
            .map(|(check, standing)| {
                let (word, waiver, objections) = match standing {
                    Standing::Passed => ("passed", None, Vec::new()),
                    Standing::Waived(waiver) => ("waived", Some(waiver), Vec::new()),
                    Standing::Failed(objections) => {
                        ("failed", None, objections.iter().map(ToString::to_string).collect())
                    }
                };
                json!({
                    "name": check.name,
                    "standing": word,
                    "detail": check.detail,
                    "hint": check.hint,
                    "took_ms": check.took_ms,
                    "waiver": waiver,
                    "no_waiver_because": objections,
                    "waivable_by": CheckKind::of(&check.name).map(CheckKind::waivable_by),
                })
            })
            .collect();
        let over: Vec<String> = self.over.iter().map(ToString::to_string).collect();
        json!({ "version": self.version, "checks": checks, "waivers_over": over })
    }
}

/// Those of the checks that are asked for.
fn chosen<'a>(checks: Vec<Check<'a>>, flags: &Preflight) -> Result<Vec<Check<'a>>, Problem> {
    let is_named = |check: &Check<'_>, name: &String| {
        check.name == *name || check.name.split_once(':').is_some_and(|(kind, _)| kind == name)
    };
    let unknown = flags.only.iter().find(|name| !checks.iter().any(|one| is_named(one, name)));
    if let Some(name) = unknown {
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        return Err(Problem::new(
            ExitCode::Usage,
            format!("pre-flight has no check `{name}` here"),
        )
        .hint(format!("name one of these, or its kind: {}", names.join(", "))));
    }
    let chosen = checks.into_iter().filter(|check| {
        let is_near = !flags.offline || check.reach == Reach::Here;
        let is_wanted =
            flags.only.is_empty() || flags.only.iter().any(|name| is_named(check, name));
        is_near && is_wanted
    });
    Ok(chosen.collect())
}

/// On a terminal, a line beneath says how far it is and what is still looked at.
async fn look_with_progress(checks: Vec<Check<'_>>) -> Vec<CheckResult> {
    let all = checks.len();
    let mut open: BTreeSet<String> = checks.iter().map(|check| check.name.clone()).collect();
    let bar = ProgressBar::new(u64::try_from(all).unwrap_or(u64::MAX));
    if let Ok(style) = ProgressStyle::with_template("{spinner} {pos} of {len} checked {wide_msg}") {
        bar.set_style(style);
    }
    let results = preflight::look(checks, |check| {
        open.remove(&check.name);
        let open: Vec<&str> = open.iter().map(String::as_str).collect();
        bar.set_message(format!("looks at {}", open.join(", ")));
        bar.inc(1);
    });
    let results = results.await;
    bar.finish_and_clear();
    results
}
