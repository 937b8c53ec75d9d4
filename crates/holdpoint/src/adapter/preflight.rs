//! The facts that must hold before a release (the runbook's pre-deployment check-list), looked at
//! all at once. Each says what it looked at and how to mend it; whether a failed one stops the
//! release is the core's decision.

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use futures::future::join_all;
use holdpoint_core::effect::CheckResult;
use holdpoint_core::id::{AppName, Environment};
use holdpoint_core::project::Service;
use machines_api::error::ApiError;
use reqwest::header::ACCEPT;
use reqwest::{Client, StatusCode};
use semver::Version;

use super::clock::Stopwatch;
use super::http_client;
use super::platform::{AppFile, Platform, app_file};
use super::vcs::{self, GitFacts, Tag};
use crate::executor::ReleaseFacts;

/// A registry that takes longer to say whether it has an image counts as not having it.
const REGISTRY_TIMEOUT: Duration = Duration::from_secs(20);

/// The kinds of manifest that we push.
const MANIFEST_TYPES: &str = "application/vnd.oci.image.manifest.v1+json";

/// What staging apps' names end in (the runbook, "staging environment").
const STAGING_SUFFIX: &str = "-staging";

/// What was found; or what is wrong, and how to mend it.
type Finding = Result<String, (String, String)>;

type Check<'a> = Pin<Box<dyn Future<Output = CheckResult> + Send + 'a>>;

/// Looks at everything that must hold before this release.
pub async fn run(
    platform: &Platform,
    project_root: &Path,
    release: &ReleaseFacts,
) -> Vec<CheckResult> {
    let mut checks: Vec<Check<'_>> = Vec::new();
    checks.push(check("the version is semantic", async { check_version(&release.version) }));
    checks.push(check("release notes", check_notes(project_root, release)));
    checks.push(check("git", check_git(project_root, release)));
    let apps: BTreeSet<&AppName> = release.images.iter().map(|(app, _)| app).collect();
    if let Some(app) = apps.first().copied() {
        checks.push(check("platform token", check_token(platform, app)));
    }
    for app in apps {
        checks.push(check(format!("app `{app}`"), check_app(platform, app)));
    }
    for (app, digest) in &release.images {
        let name = format!("image of `{app}`");
        checks.push(check(name, check_image(platform, app, digest.as_str())));
    }
    for service in &release.project.services {
        let name = format!("configuration of `{}`", service.name);
        checks.push(check(name, async move { check_config(project_root, service) }));
        for environment in [Environment::Staging, Environment::Production] {
            let name = format!("secrets of `{}` in {environment}", service.name);
            let secrets = check_secrets(platform, project_root, service, environment);
            checks.push(check(name, secrets));
        }
    }
    join_all(checks).await
}

fn check<'a>(
    name: impl Into<String>,
    finding: impl Future<Output = Finding> + Send + 'a,
) -> Check<'a> {
    let name = name.into();
    Box::pin(async move {
        let watch = Stopwatch::start();
        let (passed, detail, hint) = match finding.await {
            Ok(detail) => (true, detail, None),
            Err((detail, hint)) => (false, detail, Some(hint)),
        };
        CheckResult { name, passed, detail, hint, took_ms: watch.elapsed_ms() }
    })
}

fn check_version(version: &str) -> Finding {
    match Version::parse(version) {
        Ok(version) => Ok(format!("{version} is a semantic version")),
        Err(error) => Err((
            format!("`{version}` is no semantic version: {error}"),
            "name the release like `1.4.0`".to_owned(),
        )),
    }
}

async fn check_notes(project_root: &Path, release: &ReleaseFacts) -> Finding {
    let Some(pattern) = &release.project.release_notes else {
        return Ok("the project asks for none".to_owned());
    };
    let path = pattern.replace("{version}", &release.version);
    let hint = format!("write what changes for whom into `{path}`");
    match tokio::fs::read(project_root.join(&path)).await {
        Ok(text) if text.iter().all(u8::is_ascii_whitespace) => {
            Err((format!("`{path}` is empty"), hint))
        }
        Ok(text) => Ok(format!("`{path}` has {} bytes", text.len())),
        Err(error) => Err((format!("`{path}` can't be read: {error}"), hint)),
    }
}

async fn check_git(project_root: &Path, release: &ReleaseFacts) -> Finding {
    let version = Version::parse(&release.version)
        .map_err(|error| (error.to_string(), "name the release like `1.4.0`".to_owned()))?;
    let facts = match vcs::inspect(project_root, &version).await {
        Ok(Some(facts)) => facts,
        Ok(None) => return Ok("the project is in no git repository".to_owned()),
        Err(_) if release.is_rehearsal => {
            return Ok("a rehearsal needs no tag, and git can't be asked".to_owned());
        }
        Err(error) => {
            let text = error.to_string();
            let (detail, hint) = text.split_once("\nhint: ").unwrap_or((&text, "ask git by hand"));
            return Err((detail.to_owned(), hint.to_owned()));
        }
    };
    if release.is_rehearsal {
        let head = &facts.head;
        return Ok(format!("a rehearsal needs no tag; its images are built from {head}"));
    }
    judge_git(&facts, &version)
}

fn judge_git(facts: &GitFacts, version: &Version) -> Finding {
    let GitFacts { head, is_clean, tag } = facts;
    let Some(Tag { name, commit, main }) = tag else {
        return Err((
            format!("there is no tag `v{version}`"),
            format!("merge to the main branch, then `git tag v{version}`"),
        ));
    };
    if commit != head {
        return Err((
            format!("tag `{name}` is {commit}, but {head} is checked out"),
            format!("`git checkout {name}`, then release again"),
        ));
    }
    if !is_clean {
        return Err((
            format!("the files differ from tag `{name}`"),
            "commit or undo what `git status` shows, then release again".to_owned(),
        ));
    }
    match main {
        Some((branch, true)) => Ok(format!("tag `{name}` is {commit}, merged to `{branch}`")),
        Some((branch, false)) => Err((
            format!("tag `{name}` is not on `{branch}`"),
            format!("merge it to `{branch}` first"),
        )),
        None => Err((
            "there is no branch `main` or `master` to look for the tag on".to_owned(),
            "fetch the main branch".to_owned(),
        )),
    }
}

async fn check_token(platform: &Platform, app: &AppName) -> Finding {
    match platform.client().get_app(app.as_str()).await {
        Ok(_) => Ok("the platform accepts it".to_owned()),
        Err(error) if error.is_not_found() => Ok("the platform accepts it".to_owned()),
        Err(error) => Err(told(&error)),
    }
}

async fn check_app(platform: &Platform, app: &AppName) -> Finding {
    match platform.client().get_app(app.as_str()).await {
        Ok(_) => Ok("it exists".to_owned()),
        Err(error) if error.is_not_found() => Err((
            format!("the platform has no app `{app}`"),
            format!("create it: `fly apps create {app}`"),
        )),
        Err(error) => Err(told(&error)),
    }
}

async fn check_image(platform: &Platform, app: &AppName, digest: &str) -> Finding {
    let base = platform.address().registry_base_url.trim_end_matches('/');
    let hint = "build and push it again: start the release anew".to_owned();
    let client: Client = http_client::for_address(base, REGISTRY_TIMEOUT)
        .map_err(|error| (http_client::described(error), hint.clone()))?;
    let request = client
        .head(format!("{base}/v2/{app}/manifests/{digest}"))
        .bearer_auth(platform.address().token())
        .header(ACCEPT, MANIFEST_TYPES);
    match request.send().await.map(|response| response.status()) {
        Ok(status) if status.is_success() => Ok(format!("the registry has {digest}")),
        Ok(StatusCode::NOT_FOUND) => Err((format!("the registry has no {digest}"), hint)),
        Ok(status) => {
            Err((format!("the registry answered {} for {digest}", status.as_u16()), hint))
        }
        Err(error) => {
            Err((http_client::described(error), "check that the registry answers".to_owned()))
        }
    }
}

async fn check_secrets(
    platform: &Platform,
    project_root: &Path,
    service: &Service,
    environment: Environment,
) -> Finding {
    if service.required_secrets.is_empty() {
        return Ok("it needs none".to_owned());
    }
    let AppFile { app, .. } = read_app_file(project_root, service, environment)?;
    let secrets = platform.client().list_secrets(app.as_str()).await;
    let secrets = secrets.map_err(|error| told(&error))?;
    let digest = |name: &String| {
        let secret = secrets.iter().find(|secret| secret.name == *name);
        secret.map(|secret| format!("{name} ({})", secret.digest))
    };
    let missing: Vec<&str> = service
        .required_secrets
        .iter()
        .filter(|name| digest(name).is_none())
        .map(String::as_str)
        .collect();
    if missing.is_empty() {
        let found: Vec<String> = service.required_secrets.iter().filter_map(digest).collect();
        return Ok(format!("`{app}` has {}", found.join(", ")));
    }
    let assignments: Vec<String> = missing.iter().map(|name| format!("{name}=…")).collect();
    Err((
        format!("`{app}` has no secret {}", missing.join(", ")),
        format!("`fly secrets set --app {app} {}`", assignments.join(" ")),
    ))
}

/// The runbook's "staging matches production", and the names that keep the two apart.
fn check_config(project_root: &Path, service: &Service) -> Finding {
    let staging = read_app_file(project_root, service, Environment::Staging)?;
    let production = read_app_file(project_root, service, Environment::Production)?;
    if !staging.app.as_str().ends_with(STAGING_SUFFIX) {
        return Err((
            format!("the staging app `{}` does not end in `{STAGING_SUFFIX}`", staging.app),
            format!("name it `{}{STAGING_SUFFIX}` in `{}`", staging.app, service.staging.config),
        ));
    }
    if production.app.as_str().ends_with(STAGING_SUFFIX) {
        return Err((
            format!("the production app `{}` is named like a staging app", production.app),
            format!("name another app in `{}`", service.production.config),
        ));
    }
    let size = |file: &AppFile| {
        let config = &file.config;
        format!("{} × {} CPU, {} MB", config.cpus(), config.cpu_kind(), config.memory_mb())
    };
    let (there, here) = (size(&staging), size(&production));
    if there != here {
        return Err((
            format!("staging machines have {there}, production's {here}"),
            format!(
                "give `[[vm]]` the same size in `{}` and `{}`",
                service.staging.config, service.production.config
            ),
        ));
    }
    Ok(format!("`{}` and `{}` both have {here}", staging.app, production.app))
}

fn read_app_file(
    project_root: &Path,
    service: &Service,
    environment: Environment,
) -> Result<AppFile, (String, String)> {
    let placement = service.placement(environment);
    app_file(project_root, placement).map_err(|error| {
        let text = error.to_string();
        let (detail, hint) = text.split_once("\nhint: ").unwrap_or((&text, ""));
        let hint = hint.lines().next().unwrap_or_default();
        (detail.to_owned(), format!("mend `{}`: {hint}", placement.config))
    })
}

fn told(error: &ApiError) -> (String, String) {
    let text = error.to_string();
    let (detail, hint) = text.split_once("\nhint: ").unwrap_or((&text, "repeat it"));
    (detail.to_owned(), hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(tag: Option<Tag>) -> GitFacts {
        GitFacts { head: "abc".to_owned(), is_clean: true, tag }
    }

    fn tag(commit: &str, is_on_main: bool) -> Tag {
        let main = Some(("main".to_owned(), is_on_main));
        Tag { name: "v1.0.0".to_owned(), commit: commit.to_owned(), main }
    }

    #[test]
    fn a_release_comes_from_a_clean_tag_on_main() {
        let version = Version::new(1, 0, 0);
        assert!(judge_git(&facts(Some(tag("abc", true))), &version).is_ok());
        for (wrong, expected) in [
            (facts(None), "there is no tag `v1.0.0`"),
            (facts(Some(tag("def", true))), "but abc is checked out"),
            (facts(Some(tag("abc", false))), "is not on `main`"),
            (GitFacts { is_clean: false, ..facts(Some(tag("abc", true))) }, "the files differ"),
        ] {
            let (detail, hint) = judge_git(&wrong, &version).expect_err("refused");
            assert!(detail.contains(expected) && !hint.is_empty(), "{detail}");
        }
    }

    fn service(staging: &str, production: &str) -> (tempfile::TempDir, Service) {
        use holdpoint_core::project::Placement;
        let directory = tempfile::tempdir().expect("directory");
        std::fs::write(directory.path().join("staging.toml"), staging).expect("written");
        std::fs::write(directory.path().join("production.toml"), production).expect("written");
        let placement = |name: &str| Placement { config: name.to_owned(), machines: 1 };
        let service = Service {
            name: "shop".to_owned(),
            after: Vec::new(),
            required_secrets: Vec::new(),
            build: holdpoint_core::project::Build::default(),
            staging: placement("staging.toml"),
            production: placement("production.toml"),
            smoke: Vec::new(),
        };
        (directory, service)
    }

    #[test]
    fn staging_and_production_are_told_apart_and_have_one_size() {
        let of =
            |app: &str, memory: &str| format!("app = \"{app}\"\n[[vm]]\nmemory = \"{memory}\"\n");
        for (staging, production, expected) in [
            (of("shop-staging", "512mb"), of("shop", "512mb"), None),
            (of("shop-test", "512mb"), of("shop", "512mb"), Some("does not end in `-staging`")),
            (of("a-staging", "512mb"), of("b-staging", "512mb"), Some("named like a staging app")),
            (of("shop-staging", "256mb"), of("shop", "512mb"), Some("256 MB, production's 1")),
            ("app = ".to_owned(), of("shop", "512mb"), Some("staging.toml")),
        ] {
            let (directory, service) = service(&staging, &production);
            let finding = check_config(directory.path(), &service);
            match (finding, expected) {
                (Ok(_), None) => {}
                (Err((detail, hint)), Some(expected)) => {
                    assert!(detail.contains(expected) && !hint.is_empty(), "{detail}");
                }
                (finding, expected) => panic!("{finding:?}, not {expected:?}"),
            }
        }
    }
}
