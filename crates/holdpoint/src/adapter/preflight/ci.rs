//! Whether the commit's tests passed, and whether somebody reviewed it (the runbook's "All tests
//! passing in CI/CD" and "Code reviewed"): as a service that speaks GitHub's API says, or as a
//! command of the project does.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use holdpoint_core::project::{CiPolicy, CiSource};
use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{Client, StatusCode};
use semver::Version;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::app_config::listed;
use super::finding::{Finding, Lack};
use super::variables::required;
use crate::adapter::{http_client, project_command, vcs};
use crate::variables::Variables;

/// GitHub answers within a second or two; one that takes longer is in trouble.
const TIMEOUT: Duration = Duration::from_secs(15);

/// What GitHub calls the version of its API that is spoken here.
const API_VERSION: &str = "2022-11-28";

/// The most runs that GitHub tells at once.
const PAGE: usize = 100;

/// The most pages that are read: a thousand runs of one commit are more than anybody has.
const PAGES_MAX: usize = 10;

/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A command asks whether tests passed, and runs none: more than this it can't need. It is less than
/// the whole of pre-flight may take.
const COMMAND_TIME_MAX: Duration = Duration::from_mins(2);

/// How much of a command's output is told.
const TOLD_BYTES_MAX: usize = 400;

/// Whether the commit's tests passed.
pub(super) async fn passed(
    root: &Path,
    version: &Version,
    policy: &CiPolicy,
    variables: &Variables,
) -> Finding {
    let commit = commit(root, version).await?;
    match &policy.source {
        CiSource::Command(words) => run(root, words, &commit, version).await,
        CiSource::GitHub { base_url, repository, token_env } => {
            let api = Api::new(base_url, repository, token_env.as_deref(), variables)?;
            let signals = api.signals(&commit).await?;
            judge(&signals, &policy.required, repository, &commit)
        }
    }
}

/// Whether enough people other than its author approved the pull request by which the commit came.
pub(super) async fn reviewed(
    root: &Path,
    version: &Version,
    policy: &CiPolicy,
    variables: &Variables,
) -> Finding {
    let commit = commit(root, version).await?;
    let CiSource::GitHub { base_url, repository, token_env } = &policy.source else {
        return Err(Lack::new(
            "a command can't say who reviewed the commit",
            "name the `repository` in `[preflight.ci]`, or remove `approving_reviews`",
        ));
    };
    let api = Api::new(base_url, repository, token_env.as_deref(), variables)?;
    let short = short(&commit);
    let pulls: Vec<Pull> = api.get(&format!("commits/{commit}/pulls")).await?;
    let Some(pull) = pulls.iter().find(|pull| pull.merged_at.is_some()) else {
        return Err(Lack::new(
            format!("no merged pull request of `{repository}` brought {short}"),
            "release a commit that was merged by a reviewed pull request",
        ));
    };
    let number = pull.number;
    let reviews: Vec<Review> = api.get(&format!("pulls/{number}/reviews?per_page={PAGE}")).await?;
    let mut last: BTreeMap<&str, &str> = BTreeMap::new();
    for review in &reviews {
        let by = login(review.user.as_ref());
        // a comment takes nothing back
        if review.state != "COMMENTED" && by != login(pull.user.as_ref()) {
            last.insert(by, &review.state);
        }
    }
    let of = |state: &str| -> Vec<String> {
        let with = last.iter().filter(|(_, found)| **found == state);
        with.map(|(by, _)| (*by).to_owned()).collect()
    };
    let (approved, against) = (of("APPROVED"), of("CHANGES_REQUESTED"));
    let hint = format!("ask for a review of pull request #{number}");
    if !against.is_empty() {
        let detail = format!("{} want changes of pull request #{number}", listed(&against));
        return Err(Lack::new(detail, hint));
    }
    let wanted = usize::try_from(policy.approving_reviews).unwrap_or(usize::MAX);
    if approved.len() < wanted {
        let found = approved.len();
        let detail = format!("pull request #{number} has {found} of {wanted} approving reviews");
        return Err(Lack::new(detail, hint));
    }
    Ok(format!("pull request #{number} of {short} was approved by {}", listed(&approved)))
}

fn login(user: Option<&User>) -> &str {
    user.map_or("", |user| user.login.as_str())
}

fn short(commit: &str) -> &str {
    commit.get(..12).unwrap_or(commit)
}

/// The commit of the version's tag; where there is no tag yet, the one that is checked out.
async fn commit(root: &Path, version: &Version) -> Result<String, Lack> {
    match vcs::inspect(root, version).await {
        Ok(Some(facts)) => Ok(facts.tag.map_or(facts.head, |tag| tag.commit)),
        Ok(None) => Err(Lack::new(
            "the project is in no git repository, so there is no commit to ask for",
            "release from a checkout, or remove `[preflight.ci]`",
        )),
        Err(error) => Err(Lack::told(&error, "ask git by hand")),
    }
}

/// The command says yes by its exit status.
async fn run(root: &Path, words: &[String], commit: &str, version: &Version) -> Finding {
    let filled: Vec<String> = words
        .iter()
        .map(|word| word.replace("{commit}", commit).replace("{version}", &version.to_string()))
        .collect();
    let shown = format!("`{}`", filled.join(" "));
    if filled.is_empty() {
        return Err(Lack::new("the command is empty", "mend `[preflight.ci] command`"));
    }
    let command = project_command::command(root, &filled);
    let ran = project_command::run(command, COMMAND_TIME_MAX).await.map_err(|error| {
        Lack::new(format!("{shown} can't be run: {error}"), "mend `[preflight.ci] command`")
    })?;
    let last = ran.last_lines.last().map_or("it said nothing", String::as_str).trim();
    let last: String = last.chars().take(TOLD_BYTES_MAX).collect();
    let ended = match ran.status {
        Some(Ok(status)) if status.success() => return Ok(format!("{shown}: {last}")),
        Some(Ok(status)) => format!("ended with {status}"),
        Some(Err(error)) => format!("was lost: {error}"),
        None => format!("was killed after {} s", COMMAND_TIME_MAX.as_secs()),
    };
    let hint = "wait until the tests of the commit pass, then look again";
    Err(Lack::new(format!("{shown} {ended}: {last}"), hint))
}

/// One run or status of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signal {
    name: String,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Passed,
    Running,
    Failed(String),
}

fn judge(signals: &[Signal], required: &[String], repository: &str, commit: &str) -> Finding {
    let short = short(commit);
    if signals.is_empty() {
        return Err(Lack::new(
            format!("`{repository}` knows of no run for {short}"),
            "push the commit, and wait until its tests have passed",
        ));
    }
    let failed: Vec<String> = signals
        .iter()
        .filter_map(|signal| match &signal.outcome {
            Outcome::Failed(how) => Some(format!("`{}` ended as {how}", signal.name)),
            Outcome::Passed | Outcome::Running => None,
        })
        .collect();
    if !failed.is_empty() {
        let detail = format!("for {short}, {}", failed.join(", "));
        return Err(Lack::new(detail, "mend what failed, and release the commit that passes"));
    }
    let running = signals.iter().filter(|signal| signal.outcome == Outcome::Running);
    let running: Vec<String> = running.map(|signal| signal.name.clone()).collect();
    if !running.is_empty() {
        let detail = format!("for {short}, {} still run", listed(&running));
        return Err(Lack::new(detail, "wait until they have passed, then look again"));
    }
    let is_there = |name: &&String| signals.iter().any(|signal| signal.name == **name);
    let missing: Vec<String> = required.iter().filter(|name| !is_there(name)).cloned().collect();
    if !missing.is_empty() {
        let detail = format!("for {short}, {} never ran", listed(&missing));
        return Err(Lack::new(detail, "start them, or mend `[preflight.ci] required`"));
    }
    Ok(format!("all {} runs for {short} passed", signals.len()))
}

/// A repository behind GitHub's API.
struct Api {
    client: Client,
    base: String,
    token: Option<String>,
}

impl Api {
    fn new(
        base_url: &str,
        repository: &str,
        token_env: Option<&str>,
        variables: &Variables,
    ) -> Result<Self, Lack> {
        let token = token_env.map(|name| required(variables, name)).transpose()?;
        let client = http_client::for_address(base_url, TIMEOUT)
            .map_err(|error| Lack::new(http_client::described(error), "repeat it"))?;
        let base = format!("{}/repos/{repository}", base_url.trim_end_matches('/'));
        Ok(Self { client, base, token: token.map(str::to_owned) })
    }

    /// Everything that reports on a commit, in both of GitHub's ways.
    async fn signals(&self, commit: &str) -> Result<Vec<Signal>, Lack> {
        let mut signals = Vec::new();
        for page in 1..=PAGES_MAX {
            let path = format!("commits/{commit}/check-runs?per_page={PAGE}&page={page}");
            let runs: CheckRuns = self.get(&path).await?;
            let is_last = runs.check_runs.len() < PAGE;
            signals.extend(runs.check_runs.into_iter().map(CheckRun::signal));
            if is_last {
                break;
            }
        }
        let path = format!("commits/{commit}/status?per_page={PAGE}");
        let combined: CombinedStatus = self.get(&path).await?;
        signals.extend(combined.statuses.into_iter().map(Status::signal));
        Ok(signals)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Lack> {
        let url = format!("{}/{path}", self.base);
        let mut request = self
            .client
            .get(&url)
            .header(ACCEPT, "application/vnd.github+json")
            .header("x-github-api-version", API_VERSION);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let unreached = |error| {
            let detail =
                format!("`{}` can't be asked: {}", self.base, http_client::described(error));
            Lack::new(detail, "check `[preflight.ci] base_url`, then look again")
        };
        let response = request.send().await.map_err(unreached)?;
        let status = response.status();
        if !status.is_success() {
            return Err(self.refused(status, response.headers()));
        }
        let body = http_client::text(response, ANSWER_BYTES_MAX).await.map_err(unreached)?;
        serde_json::from_str(&body).map_err(|error| {
            let detail = format!("`{url}` does not answer as GitHub does: {error}");
            Lack::new(detail, "check `[preflight.ci] base_url`")
        })
    }

    fn refused(&self, status: StatusCode, headers: &HeaderMap) -> Lack {
        let detail = format!("`{}` answered {status}", self.base);
        let is_used_up = headers.get("x-ratelimit-remaining").is_some_and(|left| left == "0");
        let hint = match status {
            _ if is_used_up => "wait: the calls of this hour are used up",
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                "set the variable that `[preflight.ci] token_env` names to a token that may read it"
            }
            StatusCode::NOT_FOUND => {
                "check `[preflight.ci] repository`; a private one needs `token_env`, and the commit \
                 must be pushed"
            }
            _ => "look again later",
        };
        Lack::new(detail, hint)
    }
}

#[derive(Deserialize)]
struct CheckRuns {
    check_runs: Vec<CheckRun>,
}

#[derive(Deserialize)]
struct CheckRun {
    name: String,
    status: String,
    conclusion: Option<String>,
}

impl CheckRun {
    fn signal(self) -> Signal {
        let outcome = match (self.status.as_str(), self.conclusion) {
            ("completed", Some(how)) => match how.as_str() {
                "success" | "neutral" | "skipped" => Outcome::Passed,
                _ => Outcome::Failed(how),
            },
            (_, _) => Outcome::Running,
        };
        Signal { name: self.name, outcome }
    }
}

#[derive(Deserialize)]
struct CombinedStatus {
    statuses: Vec<Status>,
}

#[derive(Deserialize)]
struct Status {
    context: String,
    state: String,
}

impl Status {
    fn signal(self) -> Signal {
        let outcome = match self.state.as_str() {
            "success" => Outcome::Passed,
            "pending" => Outcome::Running,
            _ => Outcome::Failed(self.state),
        };
        Signal { name: self.context, outcome }
    }
}

#[derive(Deserialize)]
struct Pull {
    number: u64,
    merged_at: Option<String>,
    user: Option<User>,
}

#[derive(Deserialize)]
struct Review {
    state: String,
    user: Option<User>,
}

#[derive(Deserialize)]
struct User {
    login: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_runs_that_all_passed_let_a_commit_go() {
        let run = |name: &str, status: &str, conclusion: Option<&str>| {
            let (name, status) = (name.to_owned(), status.to_owned());
            CheckRun { name, status, conclusion: conclusion.map(str::to_owned) }.signal()
        };
        let told = |signals: &[Signal], required: &[&str]| {
            let required: Vec<String> = required.iter().map(|name| (*name).to_owned()).collect();
            judge(signals, &required, "acme/shop", "0123456789abcdef")
                .map_err(|Lack { detail, .. }| detail)
        };
        let good = run("test", "completed", Some("success"));
        let skipped = run("docs", "completed", Some("skipped"));
        assert!(told(&[good.clone(), skipped], &["test"]).is_ok());
        for (signals, required, expected) in [
            (vec![], vec![], "knows of no run for 0123456789ab"),
            (vec![run("lint", "completed", Some("failure"))], vec![], "`lint` ended as failure"),
            (vec![run("lint", "completed", Some("timed_out"))], vec![], "ended as timed_out"),
            (vec![run("lint", "in_progress", None)], vec![], "`lint` still run"),
            (vec![good.clone()], vec!["e2e"], "`e2e` never ran"),
        ] {
            let detail = told(&signals, &required).expect_err(expected);
            assert!(detail.contains(expected), "{detail}");
        }
    }
}
