//! The service as MCP clients see it: the official client of both wire generations, and raw JSON.

use crate::support::{Folders, Running};
use rmcp::model::{CallToolRequestParams, ProtocolVersion};
use rmcp::service::{ClientLifecycleMode, RunningService};
use rmcp::transport::StreamableHttpClientTransport;
use rmcp::{RoleClient, serve_client_with_lifecycle};
use serde_json::{Value, json};

async fn connect(running: &Running, mode: ClientLifecycleMode) -> RunningService<RoleClient, ()> {
    let transport = StreamableHttpClientTransport::from_uri(running.url("/mcp"));
    serve_client_with_lifecycle((), transport, mode).await.expect("connected")
}

fn question(query: &str) -> CallToolRequestParams {
    let arguments = json!({ "query": query, "top_k": 3 });
    CallToolRequestParams::new("query_support")
        .with_arguments(arguments.as_object().expect("an object").clone())
}

#[tokio::test]
async fn the_official_client_asks_a_question_on_either_wire() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    let newest = vec![ProtocolVersion::V_2026_07_28];
    for mode in [
        ClientLifecycleMode::Initialize,
        ClientLifecycleMode::Discover { preferred_versions: newest },
    ] {
        let client = connect(&running, mode.clone()).await;
        let tools = client.list_all_tools().await.expect("tools");
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(names, ["query_support", "refresh_index", "insight_report"], "{mode:?}");
        assert!(tools.iter().all(|tool| tool.output_schema.is_some()));
        let result = client.call_tool(question("How do I get my core deposit back?")).await;
        let found = result.expect("a result").structured_content.expect("structured");
        assert_eq!(found["passages"][0]["path"], "core-charges.md", "{mode:?}");
        client.cancel().await.expect("closed");
    }
}

#[tokio::test]
async fn a_question_gives_passages_that_can_be_cited_as_json_and_as_text() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    let result = running
        .call("query_support", json!({ "query": "Can I change the delivery address?", "top_k": 2 }))
        .await;
    assert_eq!(result["isError"], false);
    let found = &result["structuredContent"];
    assert_eq!(found["abstained"], false);
    assert!(found["passages"].as_array().expect("passages").len() <= 2);
    let passage = &found["passages"][0];
    assert_eq!(passage["title"], "Changing or cancelling an order");
    assert_eq!(passage["path"], "order-changes-and-cancellation.md");
    assert_eq!(passage["heading"], "Change the address");
    let text = std::fs::read_to_string(folders.docs().join("order-changes-and-cancellation.md"));
    let place =
        |name: &str| usize::try_from(passage[name].as_u64().expect("a number")).expect("fits");
    let (start, end) = (place("start"), place("end"));
    let quoted: String = text.expect("article").chars().skip(start).take(end - start).collect();
    assert_eq!(passage["text"], quoted);
    let repeated: Value =
        serde_json::from_str(result["content"][0]["text"].as_str().expect("text")).expect("JSON");
    assert_eq!(&repeated, found);
}

#[tokio::test]
async fn a_foreign_question_gets_no_passages_and_no_error() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    let result =
        running.call("query_support", json!({ "query": "How tall is Mount Everest?" })).await;
    assert_eq!(result["isError"], false);
    assert_eq!(result["structuredContent"]["abstained"], true);
    assert_eq!(result["structuredContent"]["passages"], json!([]));
}

#[tokio::test]
async fn input_that_does_not_fit_is_told_to_the_model_with_an_example() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    for (tool, arguments, words) in [
        ("query_support", json!({}), "missing field `query`"),
        ("query_support", json!({ "query": 5 }), "expected a string"),
        ("query_support", json!({ "query": "  " }), "`query` is empty"),
        ("query_support", json!({ "query": "x".repeat(2_001) }), "2001 characters"),
        ("query_support", json!({ "query": "pump", "top_k": 0 }), "not 1 to 20"),
        ("query_support", json!({ "query": "pump", "top_k": 21 }), "not 1 to 20"),
        ("query_support", json!({ "query": "pump", "top_k": -1 }), "invalid value"),
        ("query_support", json!({ "query": "pump", "top_k": "5" }), "expected u64"),
        ("query_support", json!({ "query": "pump", "topK": 5 }), "unknown field `topK`"),
        ("refresh_index", json!({ "full": true }), "unknown field `full`"),
        ("insight_report", json!({ "window": "7 days" }), "`window` is not"),
        ("insight_report", json!({ "format": "pdf" }), "unknown variant `pdf`"),
    ] {
        let result = running.call(tool, arguments.clone()).await;
        let text = result["content"][0]["text"].as_str().expect("text");
        assert_eq!(result["isError"], true, "{tool} {arguments}");
        assert!(text.contains(words) && text.contains("hint:"), "{tool} {arguments}: {text}");
    }
}

#[tokio::test]
async fn an_unknown_tool_is_an_error_of_the_protocol_that_names_the_tools() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    let answer = running.rpc("tools/call", json!({ "name": "rm", "arguments": {} })).await;
    assert_eq!(answer["error"]["code"], -32602);
    let message = answer["error"]["message"].as_str().expect("message");
    assert!(
        message.contains("unknown tool `rm`") && message.contains("query_support"),
        "{message}"
    );
}

#[tokio::test]
async fn a_refresh_serves_new_articles_and_a_failed_one_keeps_the_old() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    let boats = json!({ "query": "outboard boat primer bulb" });
    let before = running.call("query_support", boats.clone()).await;
    assert_eq!(before["structuredContent"]["abstained"], true);

    let article = folders.docs().join("boats.md");
    std::fs::write(
        &article,
        "# Boats\n\n## Primer bulb\n\nSqueeze the outboard primer bulb of the boat.\n",
    )
    .expect("written");
    let refreshed = running.call("refresh_index", json!({})).await;
    assert_eq!(refreshed["structuredContent"]["added"], json!(["boats.md"]));
    assert_eq!(refreshed["structuredContent"]["changed"], true);
    let after = running.call("query_support", boats.clone()).await;
    assert_eq!(after["structuredContent"]["passages"][0]["path"], "boats.md");

    std::fs::write(&article, [0xff, 0xfe]).expect("written");
    let failed = running.call("refresh_index", json!({})).await;
    assert_eq!(failed["isError"], true);
    let text = failed["content"][0]["text"].as_str().expect("text");
    assert!(text.contains("boats.md") && text.contains("go on being served"), "{text}");
    let still = running.call("query_support", boats).await;
    assert_eq!(still["structuredContent"]["passages"][0]["path"], "boats.md");
}

#[tokio::test]
async fn a_report_tells_what_was_asked_and_what_had_no_answer() {
    let folders = Folders::new();
    let running = Running::start(&folders).await;
    for query in
        ["My fuel pump whines loudly", "my fuel pump whines loudly?", "How tall is Mount Everest?"]
    {
        running.call("query_support", json!({ "query": query })).await;
    }
    let report = running.call("insight_report", json!({ "window": "1h" })).await;
    let report = &report["structuredContent"];
    assert_eq!(report["questions"], 3);
    assert_eq!(report["unanswered"], 1);
    assert_eq!(
        report["top_questions"][0],
        json!({ "question": "my fuel pump whines loudly", "count": 2 })
    );
    assert_eq!(report["unanswered_questions"][0]["question"], "how tall is mount everest");
    assert_eq!(report["top_articles"][0], json!({ "path": "noisy-fuel-pump.md", "count": 2 }));
    let markdown = running.call("insight_report", json!({ "format": "markdown" })).await;
    let text = markdown["content"][0]["text"].as_str().expect("text");
    assert!(
        text.starts_with("# Questions of the last 7d") && text.contains("## Without an answer")
    );
}
