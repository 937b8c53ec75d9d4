//! The user flow of an approval queue, as steps: a message is posted, waits in the queue, is
//! approved, is sent once, and posting it again changes nothing. What a file does not say of a
//! step is as a queue behind Chatwoot's webhooks has it.

use std::collections::BTreeMap;

use super::expectation::{JsonExpectation, JsonRule};
use super::json_path::JsonPath;
use super::scope::Scope;
use super::step::HttpStep;
use crate::project::reader::Table;

/// For how long a message may be on its way into the queue, or an answer on its way out, in
/// milliseconds: a draft may wait for a model.
const PATIENCE_MS: u64 = 60 * 1000;

/// The header by which Fly's proxy sends a request to one machine.
const MACHINE_HEADER: &str = "fly-force-instance-id";

/// The variable with that machine's id.
const MACHINE: &str = "machine";

/// A customer's message, in a conversation of its own.
const MESSAGE: &str = r#"{"event":"message_created","id":{run_number},"content":"This is a check after a deployment.","message_type":"incoming","private":false,"sender":{"id":{run_number},"name":"Smoke check","type":"contact"},"conversation":{"id":{run_number},"status":"open"},"account":{"id":1}}"#;

/// The approver writes the answer, so that it does not matter what was drafted.
const APPROVAL: &str = r#"{"actor":"holdpoint","version":{version},"text":"This check after a deployment was approved."}"#;

/// Where the message waits.
const QUEUED: &str = "$.items[?@.message_id == {run_number}]";

/// What says that the answer was sent.
const SENT: &str = "$.entries[?@.action == 'executed']";

/// Reads the flow's steps.
pub(super) fn read(table: &mut Table<'_>, scope: &mut Scope) -> Vec<HttpStep> {
    let machine = table.take("machine").and_then(|value| scope.json_path(&value));
    let mut post = HttpStep {
        headers: BTreeMap::from([("content-type".to_owned(), "application/json".to_owned())]),
        body: Some(MESSAGE.to_owned()),
        capture: machine.map(|path| (MACHINE.to_owned(), path)).into_iter().collect(),
        ..HttpStep::new("posts a message", "POST", "/webhooks/chatwoot")
    };
    read_step(table, "post", &mut post, scope);
    let on_machine = post.capture.contains_key(MACHINE).then(|| format!("{{{MACHINE}}}"));
    let headers: BTreeMap<String, String> =
        on_machine.into_iter().map(|machine| (MACHINE_HEADER.to_owned(), machine)).collect();

    let mut queue = HttpStep {
        headers: headers.clone(),
        capture: [("id", "id"), ("version", "version")]
            .map(|(name, field)| (name.to_owned(), known_path(&format!("{QUEUED}.{field}"))))
            .into(),
        retry_for_ms: PATIENCE_MS,
        ..HttpStep::new(
            "finds it in the queue",
            "GET",
            "/approvals?state=pending&conversation_id={run_number}",
        )
    };
    read_step(table, "queue", &mut queue, scope);

    let mut approve = HttpStep {
        headers: post.headers.iter().chain(&headers).map(|(k, v)| (k.clone(), v.clone())).collect(),
        body: Some(APPROVAL.to_owned()),
        ..HttpStep::new("approves it", "POST", "/approvals/{id}/approve")
    };
    read_step(table, "approve", &mut approve, scope);

    let sent_once = JsonExpectation { path: known_path(SENT), rule: JsonRule::Count(1) };
    let mut sent = HttpStep {
        headers: headers.clone(),
        expect_json: vec![sent_once],
        retry_for_ms: PATIENCE_MS,
        ..HttpStep::new("sees it sent once", "GET", "/approvals/{id}/audit")
    };
    read_step(table, "sent", &mut sent, scope);

    let mut repeat = HttpStep {
        name: "posts it again".to_owned(),
        headers: post.headers.iter().chain(&headers).map(|(k, v)| (k.clone(), v.clone())).collect(),
        capture: BTreeMap::new(),
        ..post.clone()
    };
    read_step(table, "repeat", &mut repeat, scope);
    // what came of the repetition must be there by now: it is not waited for
    let again =
        HttpStep { name: "sees it still sent once".to_owned(), retry_for_ms: 0, ..sent.clone() };
    let absent = |path: &JsonPath| JsonExpectation { path: path.clone(), rule: JsonRule::Absent };
    let none_waits = HttpStep {
        name: "finds nothing new in the queue".to_owned(),
        expect_json: queue.capture.values().map(absent).collect(),
        capture: BTreeMap::new(),
        retry_for_ms: 0,
        ..queue.clone()
    };
    vec![post, queue, approve, sent, repeat, again, none_waits]
}

/// What the table says of the step, over what holds by default; either must fit to the steps
/// before.
fn read_step(table: &mut Table<'_>, key: &'static str, step: &mut HttpStep, scope: &mut Scope) {
    let errors = table.report.errors();
    let before = scope.clone();
    let place = table.table(key, |table| {
        step.read_over(table, scope);
        table.span.clone()
    });
    step.capture.keys().for_each(|name| scope.add(name));
    if table.report.errors() == errors {
        before.check_step(table.report, &place.unwrap_or_else(|| table.span.clone()), step);
    }
}

/// A path of this file.
fn known_path(text: &str) -> JsonPath {
    JsonPath::read(text).expect("the paths of this file are read in the tests")
}
