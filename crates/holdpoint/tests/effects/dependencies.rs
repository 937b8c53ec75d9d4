//! What pre-flight hears from others: a service that speaks GitHub's API, a PostgreSQL server, a
//! model API and plain ports, all of them real ones on loopback.

use std::net::SocketAddr;
use std::path::Path;

use axum::extract::{Path as Route, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use holdpoint::adapter::clock::{Clock, Stopwatch, pause};
use holdpoint::adapter::preflight::{self, Subject, Surroundings};
use holdpoint::variables::Variables;
use holdpoint_core::effect::CheckResult;
use holdpoint_core::project;
use semver::Version;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::postgres::{PASSWORD, Postgres};
use crate::world::PATIENCE;

const PROJECT: &str = r#"
[project]
name = "shop"
time_zone = "UTC"
[[people]]
name = "ada"
roles = ["engineer", "manager"]
[[services]]
name = "web"
build = { command = ["true"], binary = "web" }
staging = { config = "staging.toml" }
production = { config = "production.toml" }
"#;

/// Looks at the checks of these kinds, in a project with these lines.
async fn look(
    root: &Path,
    lines: &str,
    variables: &[(&str, &str)],
    kinds: &[&str],
) -> Vec<CheckResult> {
    let (project, problems) = project::parse(&format!("{PROJECT}{lines}"));
    assert!(problems.is_empty(), "{problems:?}");
    let subject = Subject {
        project: project.expect("a project"),
        version: Some(Version::new(1, 0, 0)),
        is_rehearsal: false,
        images: Vec::new(),
        rolled_back_in_staging_at: None,
        previous: Vec::new(),
        requests_per_sec: std::collections::BTreeMap::new(),
    };
    let variables: Variables = variables.iter().copied().collect();
    let now = Clock::real().now();
    let surroundings =
        Surroundings { platform: None, project_root: root, variables: &variables, now };
    let mut checks = preflight::checks(&subject, surroundings);
    checks.retain(|check| kinds.iter().any(|kind| check.name.starts_with(kind)));
    preflight::look(checks, |_| {}).await
}

/// The only check's detail where it passed, else its detail and its mend.
async fn told(root: &Path, lines: &str, variables: &[(&str, &str)], kind: &str) -> String {
    let mut checks = look(root, lines, variables, &[kind]).await;
    assert_eq!(checks.len(), 1, "{checks:?}");
    let CheckResult { passed, detail, hint, .. } = checks.remove(0);
    if passed { detail } else { format!("FAILED {detail}; {}", hint.unwrap_or_default()) }
}

async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

async fn git(root: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
        .args(["-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"])
        .args(arguments)
        .current_dir(root)
        .output()
        .await
        .expect("git runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A repository whose first commit is 1.0.0; gives that commit.
async fn repository(root: &Path) -> String {
    git(root, &["init", "--quiet", "--initial-branch", "main"]).await;
    git(root, &["commit", "--quiet", "--allow-empty", "-m", "one"]).await;
    git(root, &["tag", "v1.0.0"]).await;
    git(root, &["rev-parse", "HEAD"]).await
}

/// What one commit has behind GitHub's API.
#[derive(Clone)]
struct Commit {
    id: String,
    runs: Value,
    statuses: Value,
    reviews: Value,
}

async fn github(commit: Commit) -> SocketAddr {
    let answer = |part: fn(&Commit) -> Value| {
        get(
            move |State(commit): State<Commit>, Route(id): Route<String>, headers: HeaderMap| async move {
                if headers.get("authorization").is_none_or(|it| it != "Bearer secret-token") {
                    return StatusCode::UNAUTHORIZED.into_response();
                }
                if id != commit.id && id != "7" {
                    return StatusCode::NOT_FOUND.into_response();
                }
                Json(part(&commit)).into_response()
            },
        )
    };
    let commits = "/repos/acme/shop/commits/{id}";
    let pulls = json!([
        {"number": 6, "merged_at": null, "user": {"login": "rita"}},
        {"number": 7, "merged_at": "2026-11-01T00:00:00Z", "user": {"login": "rita"}},
    ]);
    let router = Router::new()
        .route(
            &format!("{commits}/check-runs"),
            answer(|it| json!({"total_count": 1, "check_runs": it.runs})),
        )
        .route(&format!("{commits}/status"), answer(|it| json!({"statuses": it.statuses})))
        .route("/repos/acme/shop/pulls/{id}/reviews", answer(|it| it.reviews.clone()))
        .route(&format!("{commits}/pulls"), get(async move || Json(pulls)))
        .with_state(commit);
    serve(router).await
}

fn ci(address: SocketAddr) -> String {
    format!(
        "[preflight.ci]\nbase_url = \"http://{address}\"\nrepository = \"acme/shop\"\n\
         token_env = \"CI_TOKEN\"\nrequired = [\"test\"]\napproving_reviews = 1\n"
    )
}

#[tokio::test]
async fn the_commits_tests_are_asked_for_by_githubs_api() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    let id = repository(root).await;
    let run = |conclusion: &str| {
        json!([{
            "name": "test", "status": "completed", "conclusion": conclusion
        }])
    };
    let approved = json!([
        {"state": "APPROVED", "user": {"login": "rita"}},
        {"state": "CHANGES_REQUESTED", "user": {"login": "ada"}},
        {"state": "APPROVED", "user": {"login": "ada"}},
        {"state": "COMMENTED", "user": {"login": "ada"}},
    ]);
    let lint = |state: &str| json!([{"context": "lint", "state": state}]);
    let commit = Commit { id, runs: run("success"), statuses: lint("success"), reviews: approved };
    let token = [("CI_TOKEN", "secret-token")];
    let good = ci(github(commit.clone()).await);
    let detail = told(root, &good, &token, "ci").await;
    assert!(detail.starts_with("all 2 runs for "), "{detail}");
    let detail = told(root, &good, &token, "reviewed").await;
    assert!(detail.contains("pull request #7") && detail.ends_with("by `ada`"), "{detail}");

    let unset = told(root, &good, &[], "ci").await;
    assert!(unset.contains("FAILED the environment variable `CI_TOKEN` is not set"), "{unset}");
    let wrong = told(root, &good, &[("CI_TOKEN", "wrong-token")], "ci").await;
    assert!(wrong.contains("401") && wrong.contains("token_env"), "{wrong}");
    assert!(!wrong.contains("wrong-token"), "{wrong}");

    let failed = Commit { statuses: lint("failure"), ..commit.clone() };
    let detail = told(root, &ci(github(failed).await), &token, "ci").await;
    assert!(detail.contains("`lint` ended as failure"), "{detail}");
    let own = json!([{"state": "APPROVED", "user": {"login": "rita"}}]);
    let unreviewed = ci(github(Commit { reviews: own, ..commit.clone() }).await);
    let detail = told(root, &unreviewed, &token, "reviewed").await;
    assert!(detail.contains("#7 has 0 of 1 approving reviews"), "{detail}");
    let unpushed = ci(github(Commit { id: "0".repeat(40), ..commit }).await);
    let detail = told(root, &unpushed, &token, "ci").await;
    assert!(detail.contains("404") && detail.contains("must be pushed"), "{detail}");
}

#[tokio::test]
async fn a_command_of_the_project_may_say_whether_the_tests_passed() {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    let id = repository(root).await;
    let lines = |script: &str| {
        format!(
            "[preflight.ci]\ncommand = [\"sh\", \"-c\", '{script}', \"{{commit}}\", \"{{version}}\"]\n"
        )
    };
    let detail = told(root, &lines("echo $0 $1 passed"), &[], "ci").await;
    assert!(detail.ends_with(&format!("{id} 1.0.0 passed")), "{detail}");
    let detail = told(root, &lines("echo three failed; exit 3"), &[], "ci").await;
    assert!(detail.contains("FAILED") && detail.contains("three failed"), "{detail}");
}

#[tokio::test]
async fn a_database_is_reached_by_a_real_connection_and_encrypted_as_its_address_asks() {
    let root = Path::new("/");
    let postgres = Postgres::start().await;
    let lines = "[[preflight.databases]]\nname = \"orders\"\nurl_env = \"DATABASE_URL\"\n";
    let ask = async |url: String| told(root, lines, &[("DATABASE_URL", &url)], "database").await;
    let watch = Stopwatch::start();
    let plain = loop {
        let plain = ask(postgres.url(PASSWORD, "sslmode=disable")).await;
        if !plain.contains("FAILED") {
            break plain;
        }
        assert!(watch.elapsed() < PATIENCE, "the server does not come up: {plain}");
        pause(std::time::Duration::from_millis(50)).await;
    };
    assert!(plain.contains("answers: PostgreSQL ") && plain.ends_with("not encrypted"), "{plain}");
    let required = ask(postgres.url(PASSWORD, "sslmode=require")).await;
    assert!(required.ends_with(", encrypted"), "{required}");
    let trusted = format!("sslmode=verify-full&sslrootcert={}", postgres.certificate().display());
    let trusted = ask(postgres.url(PASSWORD, &trusted)).await;
    assert!(trusted.ends_with(", encrypted"), "{trusted}");
    let untrusted = ask(postgres.url(PASSWORD, "sslmode=verify-full")).await;
    assert!(untrusted.contains("FAILED") && untrusted.contains("sslrootcert"), "{untrusted}");
    let denied = ask(postgres.url("wrong-word", "sslmode=prefer")).await;
    assert!(denied.contains("password authentication failed"), "{denied}");
    for text in [plain, required, untrusted, denied] {
        assert!(!text.contains(PASSWORD) && !text.contains("wrong-word"), "{text}");
    }
    let nonsense = ask("mysql://shop:open-sesame@127.0.0.1/shop".to_owned()).await;
    assert!(nonsense.contains("holds no address") && !nonsense.contains(PASSWORD), "{nonsense}");
}

#[tokio::test]
async fn a_model_api_must_take_the_key_list_the_model_and_leave_room_under_its_limits() {
    let models = async |headers: HeaderMap| {
        let key = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let limits = match (key("authorization"), key("x-api-key")) {
            (Some("Bearer full"), _) => {
                [("x-ratelimit-limit-requests", "500"), ("x-ratelimit-remaining-requests", "480")]
            }
            (Some("Bearer empty"), _) => {
                [("x-ratelimit-limit-tokens", "30000"), ("x-ratelimit-remaining-tokens", "100")]
            }
            (_, Some("full")) => [
                ("anthropic-ratelimit-input-tokens-limit", "1000"),
                ("anthropic-ratelimit-input-tokens-remaining", "900"),
            ],
            (_, _) => return StatusCode::UNAUTHORIZED.into_response(),
        };
        (limits, Json(json!({"data": [{"id": "small"}, {"id": "large"}]}))).into_response()
    };
    let address = serve(Router::new().route("/v1/models", get(models))).await;
    let api = |more: &str| {
        format!(
            "[[preflight.model_apis]]\nname = \"drafts\"\nbase_url = \"http://{address}/v1\"\n\
             token_env = \"KEY\"\n{more}"
        )
    };
    let root = Path::new("/");
    let ask = async |more: &str, key: &str| told(root, &api(more), &[("KEY", key)], "model").await;
    let good = ask("model = \"small\"\n", "full").await;
    assert!(good.ends_with("lists 2 models; 480 of 500 requests left"), "{good}");
    let good = ask("style = \"anthropic\"\n", "full").await;
    assert!(good.ends_with("900 of 1000 input tokens left"), "{good}");
    let empty = ask("", "empty").await;
    assert!(empty.contains("100 of 30000 tokens left, and 10 % are wanted"), "{empty}");
    let enough = ask("headroom = 0.001\n", "empty").await;
    assert!(!enough.contains("FAILED"), "{enough}");
    let missing = ask("model = \"huge\"\n", "full").await;
    assert!(missing.contains("does not list the model `huge`"), "{missing}");
    let wrong = ask("", "stolen-key").await;
    assert!(
        wrong.contains("401") && wrong.contains("`KEY`") && !wrong.contains("stolen"),
        "{wrong}"
    );
}

#[tokio::test]
async fn ports_and_addresses_that_a_project_needs_are_reached() {
    let teapot = async || StatusCode::IM_A_TEAPOT;
    let broken = async || StatusCode::BAD_GATEWAY;
    let router = Router::new().route("/tea", get(teapot)).route("/broken", get(broken));
    let address = serve(router).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let gone = closed.local_addr().expect("an address");
    drop(closed);
    for (place, expected) in [
        (format!("tcp://{address}"), "takes a connection"),
        (format!("tcp://{gone}"), "FAILED"),
        (format!("http://{address}/tea"), "answered 418"),
        (format!("http://{address}/broken"), "FAILED"),
        (format!("http://{gone}"), "FAILED"),
    ] {
        let lines = format!("[[preflight.reachable]]\nname = \"mail\"\naddress = \"{place}\"\n");
        let told = told(Path::new("/"), &lines, &[], "reachable").await;
        assert!(told.contains(expected), "{place}: {told}");
    }
}
