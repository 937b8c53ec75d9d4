//! Checks against servers on this computer, good ones and those that mean no good.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use holdpoint_core::project::parse_smoke;
use serde_json::{Value, json};

use super::*;
use crate::adapter::clock::pause;
use crate::variables::Variables as Surroundings;

/// The orders that the server below took.
type Orders = Arc<Mutex<BTreeSet<String>>>;

async fn serve(routes: Router) -> Prober {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Prober::new(Some(&format!("http://{address}"))).expect("a prober")
}

async fn reports(prober: &Prober, file: &str, variables: &Surroundings) -> Vec<CheckReport> {
    let (checks, findings) = parse_smoke(file, &[]);
    let checks = checks.unwrap_or_else(|| panic!("{findings:?}"));
    let root = tempfile::tempdir().expect("a folder");
    let smoker = Smoker::new(prober.clone(), root.path().to_path_buf());
    let target = Target {
        service: "web".to_owned(),
        environment: Environment::Staging,
        app: AppName::new("shop"),
    };
    smoker.run(&target, &checks, &Secrets::of(&checks, variables)).await
}

/// The only step of the only check.
async fn step(prober: &Prober, settings: &str) -> StepReport {
    let file = format!("[[checks]]\nname = \"one\"\n{settings}\n");
    let mut reports = reports(prober, &file, &Surroundings::default()).await;
    reports.remove(0).steps.remove(0)
}

async fn place(
    State(orders): State<Orders>,
    Json(order): Json<Value>,
) -> (StatusCode, Json<Value>) {
    let key = order["key"].as_str().unwrap_or_default().to_owned();
    let status = if orders.lock().unwrap().insert(key.clone()) {
        StatusCode::CREATED
    } else {
        StatusCode::CONFLICT
    };
    (status, Json(json!({ "id": format!("{key}/1"), "number": order["number"] })))
}

async fn find(Path(id): Path<String>, headers: HeaderMap) -> Json<Value> {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    Json(json!({ "id": id, "host": host, "items": [{ "state": "open" }] }))
}

const ORDERS: &str = r#"
[[checks]]
name = "an order is found again"
[[checks.steps]]
name = "places it"
method = "POST"
path = "/orders"
headers = { content-type = "application/json" }
body = '{"key":"{run}","number":{run_number}}'
expect_status = 201
capture = { id = "$.id", number = "$.number" }
[[checks.steps]]
name = "finds it"
path = "/orders/{id}?number={number}"
expect_json = [
    { path = "$.id", equals = "{run}/1" },
    { path = "$.host", equals = "shop.localhost" },
    { path = "$.items[?@.state == 'open']", count = 1 },
]

[[checks]]
name = "in production alone"
environments = ["production"]
path = "/nowhere"

[[checks]]
name = "fails in the middle"
[[checks.steps]]
name = "asks"
path = "/orders/1"
expect_json = [{ path = "$.items[0].state", equals = "closed" }]
[[checks.steps]]
name = "is left out"
path = "/orders/1"
"#;

#[tokio::test]
async fn steps_go_on_with_what_was_captured_and_each_run_is_new_to_the_service() {
    let routes = Router::new()
        .route("/orders", post(place))
        .route("/orders/{id}", get(find))
        .with_state(Orders::default());
    let prober = serve(routes).await;
    for _ in 0..2 {
        let reports = reports(&prober, ORDERS, &Surroundings::default()).await;
        let names: Vec<&str> = reports.iter().map(|report| report.check.as_str()).collect();
        assert_eq!(names, ["an order is found again", "fails in the middle"]);
        assert!(reports[0].passed, "{reports:?}");
        assert_eq!(reports[1].not_asked, ["is left out"]);
        let result = reports[1].clone().into_result();
        assert!(!result.passed);
        assert_eq!(
            result.detail,
            "asks: GET /orders/1 of `shop`: status 200, but `$.items[0].state` is `\"open\"`, not \
             `\"closed\"`: {\"host\":\"shop.localhost\",\"id\":\"1\",\"items\":[{\"state\":\"open\"}]}"
        );
        assert!(result.hint.is_some_and(|hint| hint.contains("`holdpoint logs shop`")));
    }
}

/// Bytes without an end.
fn endless() -> Response {
    let chunks =
        futures::stream::repeat_with(|| Ok::<_, Infallible>(Bytes::from(vec![b'a'; 65536])));
    Body::from_stream(chunks).into_response()
}

/// A byte now and then, without an end.
fn trickle() -> Response {
    let chunks = futures::stream::unfold((), async |()| {
        pause(Duration::from_millis(20)).await;
        Some((Ok::<_, Infallible>(Bytes::from_static(b"a")), ()))
    });
    Body::from_stream(Box::pin(chunks)).into_response()
}

async fn hostile() -> Prober {
    let routes = Router::new()
        .route("/endless", any(async || endless()))
        .route("/trickle", any(async || trickle()))
        .route("/silent", any(std::future::pending::<StatusCode>))
        .route("/moved", any(async || Redirect::temporary("https://login.example/?next=a")))
        .route("/page", any(async || "<html>\n  down for maintenance\n</html>"))
        .route("/null", any(async || Json(json!({ "id": null, "list": [1, 2] }))))
        .route("/closed", any(async || (StatusCode::FORBIDDEN, "no")));
    serve(routes).await
}

#[tokio::test]
async fn answers_that_mean_no_good_are_told_apart_and_none_is_waited_for_without_end() {
    let prober = hostile().await;
    let found = async |settings: &str| {
        let report = step(&prober, settings).await;
        assert!(!report.passed, "{report:?}");
        let hint = report.hint.expect("a hint");
        format!("{}: {}\n  hint: {hint}", report.asked, report.found)
    };
    let told = [
        found("path = \"/endless\"\nwithin = \"1m\"").await,
        found("path = \"/trickle\"\nwithin = \"100ms\"").await,
        found("path = \"/silent\"\nwithin = \"100ms\"").await,
        found("path = \"/moved\"").await,
        found("path = \"/page\"\nexpect_json = [{ path = \"$.status\" }]").await,
        found("path = \"/page\"\nexpect_body_contains = \"welcome\"").await,
        found("path = \"/null\"\ncapture = { id = \"$.id\" }").await,
        found("path = \"/null\"\ncapture = { id = \"$.list[*]\" }").await,
        found("path = \"/closed\"").await,
        found("path = \"/nowhere\"\nmethod = \"POST\"\nbody = \"x\"").await,
    ];
    insta::assert_snapshot!(told.join("\n"), @r#"
    GET /endless of `shop`: status 200 with an answer of more than 4 MB, which has perhaps no end
      hint: ask for a smaller part of it
    GET /trickle of `shop`: no whole answer within 100 ms
      hint: `holdpoint logs shop` shows what its machines say; or raise `within`
    GET /silent of `shop`: no whole answer within 100 ms
      hint: `holdpoint logs shop` shows what its machines say; or raise `within`
    GET /moved of `shop`: status 307, not 200: a redirect to `https://login.example/?next=a`
      hint: ask for the path that it leads to, or expect the redirect with `expect_status`
    GET /page of `shop`: status 200, but the answer is no JSON (expected value at line 1 column 1): <html> down for maintenance </html>
      hint: `holdpoint logs shop` shows what its machines say
    GET /page of `shop`: status 200, but no `welcome` in the answer: <html> down for maintenance </html>
      hint: `holdpoint logs shop` shows what its machines say
    GET /null of `shop`: status 200, but `$.id` is no text or number to capture: {"id":null,"list":[1,2]}
      hint: `holdpoint logs shop` shows what its machines say
    GET /null of `shop`: status 200, but `$.list[*]` selects 2 values, not one: {"id":null,"list":[1,2]}
      hint: `holdpoint logs shop` shows what its machines say
    GET /closed of `shop`: status 403, not 200: no
      hint: check the header, token or secret that the step sends
    POST /nowhere of `shop` with x: status 404, not 200: an empty answer
      hint: check `path` and `method` against the service's routes
    "#);
    let again = step(&prober, "path = \"/silent\"\nwithin = \"50ms\"\nretry_for = \"60ms\"").await;
    assert!(again.found.contains("no whole answer within 50 ms"), "{again:?}");
    let nobody = Prober::new(Some("http://127.0.0.1:1")).expect("a prober");
    let report = step(&nobody, "path = \"/\"").await;
    assert!(report.found.contains("refused"), "{report:?}");
}

#[tokio::test]
async fn a_step_is_asked_again_until_its_answer_is_as_expected() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let routes = Router::new().route(
        "/",
        get(async move || Json(json!({ "done": count.fetch_add(1, Ordering::SeqCst) >= 2 }))),
    );
    let prober = serve(routes).await;
    let wanted =
        "path = \"/\"\nretry_for = \"1m\"\nexpect_json = [{ path = \"$.done\", equals = true }]";
    let report = step(&prober, wanted).await;
    assert!(report.passed, "{report:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn the_95th_percentile_of_many_answers_is_held_to_its_budget() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = asked.clone();
    let routes = Router::new().route(
        "/",
        get(async move || {
            count.fetch_add(1, Ordering::SeqCst);
            pause(Duration::from_millis(20)).await;
        }),
    );
    let prober = serve(routes).await;
    let report = step(&prober, "path = \"/\"\np95 = \"10ms\"\nsamples = 5").await;
    assert!(!report.passed);
    assert!(report.found.contains("of 5 answers, over the budget of 10 ms"), "{report:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 5);
    let report = step(&prober, "path = \"/\"\np95 = \"1m\"\nsamples = 3").await;
    assert!(report.passed && report.found.contains("(budget 60000 ms)"), "{report:?}");
}

const SIGNED: &str = r#"
[[checks]]
name = "a signed message is taken"
method = "POST"
path = "/hook?token={env:TOKEN}"
headers = { authorization = "Bearer {env:TOKEN}" }
body = 'from {env:TOKEN}'
sign = { secret = "KEY", header = "X-Signature", timestamp_header = "X-Timestamp" }
"#;

#[tokio::test]
async fn secrets_reach_the_service_and_are_told_nowhere() {
    let routes = Router::new().route(
        "/hook",
        post(async |headers: HeaderMap, body: String| {
            let signature = headers.get("x-signature").and_then(|it| it.to_str().ok());
            let is_signed = signature.is_some_and(|it| it.starts_with("sha256="));
            let is_timed = headers.contains_key("x-timestamp");
            let status =
                if is_signed && is_timed { StatusCode::OK } else { StatusCode::BAD_REQUEST };
            (status, format!("{body} {:?}", headers.get("authorization")))
        }),
    );
    let prober = serve(routes).await;
    let values = [("TOKEN", "planted-token"), ("KEY", "planted-key")];
    let secrets = values.into_iter().collect();
    let refused = format!("{SIGNED}expect_body_contains = \"nothing like it\"\n");
    for (file, passes) in [(SIGNED, true), (refused.as_str(), false)] {
        let reports = reports(&prober, file, &secrets).await;
        assert_eq!(reports[0].passed, passes, "{reports:?}");
        let told = format!("{reports:?} {:?}", reports[0].clone().into_result());
        assert!(!told.contains("planted"), "{told}");
        assert!(told.contains("{env:TOKEN}"), "{told}");
    }
    let reports = reports(&prober, SIGNED, &Surroundings::default()).await;
    let step = &reports[0].steps[0];
    assert_eq!(step.found, "the variable `TOKEN` is not set, and the check needs its value");
}

#[tokio::test]
async fn what_speaks_no_mcp_is_told_and_not_waited_for() {
    let prober = hostile().await;
    for (path, within) in [
        ("/endless", "2s"),
        ("/trickle", "300ms"),
        ("/silent", "100ms"),
        ("/page", "5s"),
        ("/x", "5s"),
    ] {
        let settings =
            format!("kind = \"mcp\"\ntool = \"find\"\npath = \"{path}\"\nwithin = \"{within}\"");
        let file = format!("[[checks]]\nname = \"one\"\n{settings}\n");
        let reports = reports(&prober, &file, &Surroundings::default()).await;
        assert!(!reports[0].passed, "{path}: {reports:?}");
        assert_eq!(reports[0].not_asked, ["lists its tools", "cites where it is from"], "{path}");
        assert!(reports[0].steps[0].hint.is_some());
    }
}

/// A command in a folder of its own.
async fn command(script: &str, settings: &str) -> StepReport {
    let prober = Prober::new(Some("http://127.0.0.1:4281")).expect("a prober");
    let script = script.replace('\'', "'\\''");
    step(&prober, &format!("kind = \"command\"\ncommand = [\"sh\", \"-c\", '''{script}''', \"{{environment}}\"]\n{settings}"))
        .await
}

#[tokio::test]
async fn a_command_is_told_whom_to_ask_and_its_last_lines_are_shown() {
    let told = command(
        "echo $0 $HOLDPOINT_ENVIRONMENT $HOLDPOINT_SERVICE $HOLDPOINT_APP $HOLDPOINT_URL",
        "",
    )
    .await;
    assert!(told.passed, "{told:?}");
    assert_eq!(told.found, "done: staging staging web shop http://shop.localhost:4281");
    let failed = command("seq 1 100; echo wrong >&2; exit 3", "").await;
    assert!(!failed.passed);
    assert!(failed.found.starts_with("exit status: 3: "), "{failed:?}");
    assert!(failed.found.contains("99 | 100") && failed.found.contains("wrong"), "{failed:?}");
    assert!(!failed.found.contains(" 50 "), "{failed:?}");
    let prober = Prober::new(None).expect("a prober");
    let absent = step(&prober, "kind = \"command\"\ncommand = [\"./absent\"]").await;
    assert!(absent.found.contains("could not be run"), "{absent:?}");
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("child");
    let name = file.display();
    // the shell's child would keep the pipe open, and the shell itself waits for it
    let script = format!("sleep 1000 & echo $! > {name}; echo started; wait");
    let killed = command(&script, "within = \"2s\"").await;
    assert!(!killed.passed);
    assert_eq!(killed.found, "killed after 2000 ms, with all that it started: started");
    assert_gone(&std::fs::read_to_string(&file).expect("written")).await;
    // one that ends leaves nothing behind either
    let script = format!("sleep 1000 & echo $! > {name}; echo done");
    let ended = command(&script, "").await;
    assert!(ended.passed, "{ended:?}");
    assert_gone(&std::fs::read_to_string(&file).expect("written")).await;
}

/// A killed process may stay as a zombie where nobody takes its status.
async fn assert_gone(process: &str) {
    let status = format!("/proc/{}/stat", process.trim());
    let gone = async {
        while std::fs::read_to_string(&status).is_ok_and(|text| !text.contains(") Z ")) {
            pause(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), gone).await.expect("it ends");
}
