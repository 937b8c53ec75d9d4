//! `holdpoint drill`: breaks something in staging on purpose, and tells how long it took to notice
//! and to recover.

use holdpoint_core::id::ServiceName;

use crate::cli::arguments::Drill;
use crate::daemon::{StopSignals, read_stored};
use crate::drill::{self, Setup};
use crate::drill_record::DrillRecord;
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::project_file;
use crate::settings::Settings;

pub(super) async fn drill(settings: &Settings, flags: &Drill) -> Result<ExitCode, Problem> {
    let project = project_file::load(&settings.project_file)?;
    let names: Vec<&str> = project.services.iter().map(|it| it.name.as_str()).collect();
    let named = flags.service.as_deref().or(names.first().copied()).unwrap_or_default();
    if !names.contains(&named) {
        let sentence = format!("the project has no service `{named}`");
        return Err(Problem::new(ExitCode::Usage, sentence)
            .hint(format!("name one of `{}`", names.join("`, `"))));
    }
    let mut stop = StopSignals::listen()?;
    // No release starts while we have it, and none that is under way lets us have it.
    let _lock = super::drive::lock(settings, format!("holdpoint drill {}", flags.name))?;
    let stored = read_stored(&settings.state_dir).await?;
    if let Some(release) = stored.as_ref().and_then(|stored| stored.state.active()) {
        return Err(Problem::new(ExitCode::Refused, format!("cannot drill `{}`", flags.name))
            .cause(format!("{} of {} is under way", release.id, release.version))
            .hint("let it end (`holdpoint resume`), then drill"));
    }
    let setup = Setup {
        service: ServiceName::new(named),
        project_root: settings.project_dir(),
        state_dir: std::path::absolute(&settings.state_dir)?,
        address: settings.platform(&flags.platform)?,
        actor: settings.actor.clone(),
        traffic: flags.traffic,
        project,
    };
    let record = Box::pin(drill::run(&setup, flags.name, &mut stop)).await?;
    message::print(&if flags.reading.json {
        format!("{}\n", serde_json::to_string_pretty(&record)?)
    } else {
        text(&record)
    });
    Ok(if record.passed { ExitCode::Done } else { ExitCode::RolledBack })
}

fn text(record: &DrillRecord) -> String {
    let word = if record.passed { "passed" } else { "FAILED" };
    let noticed = record.noticed.as_deref().unwrap_or("nothing");
    let head = format!(
        "drill {} of {} in {}: {word}\n  noticed    after {} ms, by: {noticed}\n  recovered  after {} ms more\n",
        record.drill,
        record.service,
        record.environment,
        record.detected_after_ms,
        record.recovered_after_ms,
    );
    let problems = record.problems.iter().map(|problem| format!("  problem    {problem}\n"));
    std::iter::once(head).chain(problems).collect()
}
