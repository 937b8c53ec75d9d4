//! `holdpoint probe`: asks an address many times, holds the answers to a budget, and leaves the
//! figures as an artifact.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::adapter::clock::Clock;
use crate::adapter::files;
use crate::adapter::synthetic::{Measured, Question};
use crate::cli::arguments::{Probe, Shared};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::render::probe as render;
use crate::settings::Settings;

/// Where artifacts of monitoring are kept, in the project's folder.
const FOLDER: &str = "artifacts/monitoring";

pub(super) async fn probe(shared: &Shared, flags: &Probe) -> Result<ExitCode, Problem> {
    let at = Clock::real().now();
    let question = Question {
        url: flags.url.clone(),
        method: flags.method.clone(),
        expect_status: flags.expect_status,
    };
    let measured = question.measure(flags.samples, flags.concurrency).await.map_err(|cause| {
        Problem::new(ExitCode::Unexpected, "cannot prepare HTTP for probes")
            .cause(cause)
            .hint("install the system's root certificates (Debian: `ca-certificates`)")
    })?;
    let passed = measured.is_within(flags.budget);
    let document = document(flags, at, &measured, passed)?;
    let artifact = write(shared, flags, at, &document)?;
    if flags.reading.json {
        message::print(&format!("{}\n", serde_json::to_string_pretty(&document)?));
        message::tell(&format!("artifact  {}\n", artifact.display()));
    } else {
        let text = render::figures(flags.url.as_str(), flags.budget, &measured, passed);
        message::print(&format!("{text}artifact  {}\n", artifact.display()));
    }
    Ok(if passed { ExitCode::Done } else { ExitCode::Unexpected })
}

fn document(
    flags: &Probe,
    at: Timestamp,
    measured: &Measured,
    passed: bool,
) -> Result<Value, Problem> {
    // whoever reads the artifact need not know the password
    let mut url = flags.url.clone();
    if url.set_username("").and_then(|()| url.set_password(None)).is_err() {
        return Err(Problem::new(ExitCode::Usage, "the address can have no user"));
    }
    Ok(json!({
        "url": url.as_str(),
        "method": flags.method.as_str(),
        "expect_status": flags.expect_status,
        "at": at,
        "budget_ms": flags.budget.as_secs_f64() * 1000.0,
        "concurrency": flags.concurrency,
        "passed": passed,
        "asked": measured.asked,
        "failed": measured.failed,
        "failures": measured.failures,
        "figures": measured.figures,
    }))
}

/// Writes the artifact into the project's folder, or without a project into this one.
fn write(
    shared: &Shared,
    flags: &Probe,
    at: Timestamp,
    document: &Value,
) -> Result<PathBuf, Problem> {
    let root = Settings::resolve(shared).map_or_else(|_| PathBuf::from("."), |it| it.project_dir());
    let host = flags.url.host_str().unwrap_or_default();
    let host: String = host
        .chars()
        .map(|one| if one.is_ascii_alphanumeric() || one == '.' { one } else { '-' })
        .collect();
    let time = at.strftime("%Y%m%dT%H%M%S%.3fZ");
    let path = Path::join(&root, FOLDER).join(format!("probe-{host}-{time}.json"));
    let text = format!("{}\n", serde_json::to_string_pretty(document)?);
    files::replace(&path, text.as_bytes()).map_err(|error| {
        let sentence = format!("cannot write the artifact `{}`", path.display());
        Problem::because(ExitCode::Unexpected, sentence, &error)
            .hint("check that the folder may be written")
    })?;
    Ok(path)
}
