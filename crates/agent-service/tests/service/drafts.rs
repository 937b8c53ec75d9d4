//! How drafts are made, and what happens when the parts that they need are away.

use serde_json::json;

use crate::harness::{Setup, eventually};
use crate::knowledge::Mode;
use crate::{chat_api, knowledge};

#[tokio::test]
async fn without_an_answer_a_person_writes_one() {
    let knowledge = knowledge::Server::start().await;
    knowledge.set(Mode::Abstains);
    let service = Setup::knowing(&knowledge).start().await;
    service.customer_writes(1, 7, "What is the meaning of life?").await;
    let item = service.draft().await;
    assert_eq!(item["draft"]["kind"], "unanswered");
    assert_eq!(item["text"], "");
    let note = item["draft"]["note"].as_str().unwrap();
    assert!(note.starts_with("no answer found, please write one: "), "{note}");

    let (status, refused) = service.approve(&item).await;
    assert_eq!(status, 422, "{refused}");
    assert!(refused["error"]["hint"].as_str().unwrap().contains("`text`"), "{refused}");
    let path = format!("/approvals/{}/approve", item["id"].as_str().unwrap());
    let body = json!({"actor": "maria", "version": 1, "text": "Forty-two."});
    assert_eq!(service.post(&path, &body).await.0, 200);
    service.wait_for_state(item["id"].as_str().unwrap(), "executed").await;
    let (_, sent) = service.get("/sent").await;
    assert_eq!(sent["items"][0]["arguments"]["content"], "Forty-two.");
}

#[tokio::test]
async fn a_message_survives_a_kill_between_its_answer_and_its_draft() {
    let knowledge = knowledge::Server::start().await;
    knowledge.set(Mode::Hangs);
    let setup = Setup::knowing(&knowledge);
    let service = setup.start().await;
    service.customer_writes(1, 7, "May I return unused parts?").await;
    eventually("the question", || async { knowledge.questions().first().cloned() }).await;
    service.kill().await;

    knowledge.set(Mode::Answers);
    let service = setup.start().await;
    let item = service.draft().await;
    assert_eq!(item["draft"]["kind"], "extractive");
    assert_eq!(item["message_id"], 1);
}

#[tokio::test]
async fn a_message_survives_a_kill_right_after_its_answer() {
    let knowledge = knowledge::Server::start().await;
    let setup = Setup::knowing(&knowledge);
    for number in 1..=5 {
        let service = setup.start().await;
        service.customer_writes(number, number, "May I return unused parts?").await;
        service.kill().await;
    }
    let service = setup.start().await;
    let items = service.wait_for_items("pending", 5).await;
    let mut messages: Vec<i64> =
        items.iter().map(|item| item["message_id"].as_i64().unwrap()).collect();
    messages.sort_unstable();
    assert_eq!(messages, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn a_draft_that_the_customer_overtook_is_dropped() {
    let knowledge = knowledge::Server::start().await;
    knowledge.set(Mode::Hangs);
    let service = Setup::knowing(&knowledge).start().await;
    service.customer_writes(1, 7, "May I return parts?").await;
    eventually("the question", || async { knowledge.questions().first().cloned() }).await;
    service.customer_writes(2, 7, "They are unused.").await;
    eventually("both", || async { knowledge.questions().get(1).cloned() }).await;
    knowledge.set(Mode::Answers);
    let item = service.draft().await;
    assert_eq!(item["customer_text"], "May I return parts?\n\nThey are unused.");
    eventually("the first draft dropped", || async {
        let log = service.log.lock().unwrap();
        let dropped = "draft dropped: the customer went on";
        log.iter().any(|line| line["message"] == dropped).then_some(())
    })
    .await;
    let (_, all) = service.get("/approvals").await;
    assert_eq!(all["items"], json!([item]));
}

#[tokio::test]
async fn a_knowledge_server_that_comes_back_still_answers() {
    let knowledge = knowledge::Server::start().await;
    let address = knowledge.address.to_string();
    let service = Setup::knowing(&knowledge).start().await;
    drop(knowledge);
    service.customer_writes(1, 7, "May I return unused parts?").await;
    eventually("a failed attempt", || async {
        service.metrics().await.contains("knowledge_calls_total{outcome=\"failed\"}").then_some(())
    })
    .await;
    assert!(service.items("pending").await.is_empty());

    let knowledge = eventually("the address again", || async {
        // The old listener ends a moment after it was dropped.
        let free = tokio::net::TcpListener::bind(&address).await.is_ok();
        free.then_some(())
    });
    knowledge.await;
    let _knowledge = knowledge::Server::start_at(&address, &["127.0.0.1"]).await;
    assert_eq!(service.draft().await["draft"]["kind"], "extractive");
}

#[tokio::test]
async fn when_the_knowledge_server_stays_away_a_person_is_told_why() {
    let service = Setup::new().with("DRAFT_PATIENCE_SECS", "1").start().await;
    service.customer_writes(1, 7, "May I return unused parts?").await;
    let item = service.draft().await;
    assert_eq!(item["draft"]["kind"], "unanswered");
    let note = item["draft"]["note"].as_str().unwrap();
    assert!(note.contains("can't connect to the knowledge server"), "{note}");
    assert!(service.metrics().await.contains("drafts_total{kind=\"unanswered\"} 1"));
}

#[tokio::test]
async fn a_knowledge_server_that_hangs_refuses_or_talks_nonsense_costs_no_message() {
    let knowledge = knowledge::Server::start().await;
    let setup =
        Setup::knowing(&knowledge).with("DRAFT_PATIENCE_SECS", "0").with("CALL_TIMEOUT_MS", "1000");
    let service = setup.start().await;
    let cases = [
        (Mode::Hangs, "didn't answer within 1s"),
        (Mode::Refuses, "refused the question: `query` is odd"),
        (Mode::TalksNonsense, "can't be read"),
    ];
    for (number, (mode, cause)) in (1..).zip(cases) {
        knowledge.set(mode);
        service.customer_writes(number, number, "Hello?").await;
        let items = service.wait_for_items("pending", usize::try_from(number).unwrap()).await;
        let note = items.last().unwrap()["draft"]["note"].as_str().unwrap();
        assert!(note.contains(cause), "{note}");
    }
    knowledge.set(Mode::Answers);
    service.customer_writes(9, 9, "May I return unused parts?").await;
    let items = service.wait_for_items("pending", 4).await;
    assert_eq!(items.last().unwrap()["draft"]["kind"], "extractive");
}

#[tokio::test]
async fn knowledge_is_reached_through_the_local_proxy_under_the_apps_name() {
    let hosts = ["knowledge-staging.localhost"];
    let knowledge = knowledge::Server::start_at("127.0.0.1:0", &hosts).await;
    let setup = Setup::new()
        .with("MCP_URL", "")
        .with("FLY_LOCAL_PROXY", &format!("http://{}", knowledge.address))
        .with("MCP_APP", "knowledge-staging");
    let service = setup.start().await;
    service.customer_writes(1, 7, "May I return unused parts?").await;
    assert_eq!(service.draft().await["draft"]["kind"], "extractive");
}

#[tokio::test]
async fn a_long_message_is_asked_in_a_length_that_the_tool_takes() {
    let knowledge = knowledge::Server::start().await;
    let service = Setup::knowing(&knowledge).start().await;
    service.customer_writes(1, 7, &"Où est mon colis ? ".repeat(500)).await;
    assert_eq!(service.draft().await["draft"]["kind"], "extractive");
}

#[tokio::test]
async fn with_a_key_a_model_writes_from_the_passages() {
    let knowledge = knowledge::Server::start().await;
    let says = "Yes, unused parts within 30 days [1].";
    let chat = chat_api::Server::start(vec![chat_api::Answer::Says(says)]).await;
    let setup = Setup::knowing(&knowledge)
        .with("OPENAI_API_KEY", "sk-test")
        .with("OPENAI_BASE_URL", &chat.url())
        .with("OPENAI_MODEL", "small-model");
    let service = setup.start().await;
    service.customer_writes(1, 7, "May I return unused parts?").await;
    let item = service.draft().await;
    assert_eq!(item["draft"]["kind"], "chat");
    assert_eq!(item["text"], says);
    assert_eq!(item["draft"]["citations"].as_array().unwrap().len(), 2);

    let requests = chat.requests();
    assert_eq!(requests.len(), 1);
    let (authorization, body) = &requests[0];
    assert_eq!(authorization, "Bearer sk-test");
    assert_eq!(body["model"], "small-model");
    assert_eq!(body["stream"], false);
    let prompt = body["messages"][1]["content"].as_str().unwrap();
    assert!(prompt.contains("May I return unused parts?"), "{prompt}");
    assert!(prompt.contains("[1] Returns (returns.md)\nUnused parts can be"), "{prompt}");
    let log = format!("{:?}", service.log.lock().unwrap());
    assert!(!log.contains("sk-test"), "the key is in the log");
}

#[tokio::test]
async fn a_chat_api_that_fails_at_first_is_asked_again() {
    let knowledge = knowledge::Server::start().await;
    let script = vec![chat_api::Answer::Status(429), chat_api::Answer::Says("Yes [1].")];
    let chat = chat_api::Server::start(script).await;
    let setup = Setup::knowing(&knowledge)
        .with("OPENAI_API_KEY", "sk-test")
        .with("OPENAI_BASE_URL", &chat.url());
    let service = setup.start().await;
    service.customer_writes(1, 7, "May I return unused parts?").await;
    assert_eq!(service.draft().await["text"], "Yes [1].");
    assert_eq!(chat.requests().len(), 2);
}

#[tokio::test]
async fn a_model_that_hangs_or_talks_nonsense_is_replaced_by_a_quotation_that_says_so() {
    let knowledge = knowledge::Server::start().await;
    let cases = [
        (chat_api::Answer::Hangs, "can't be reached"),
        (chat_api::Answer::Raw("<html>"), "can't be read"),
        (chat_api::Answer::Raw("{\"choices\":[]}"), "empty or cut off"),
        (chat_api::Answer::Status(500), "answered 500"),
    ];
    for (answer, cause) in cases {
        let chat = chat_api::Server::start(vec![answer]).await;
        let setup = Setup::knowing(&knowledge)
            .with("OPENAI_API_KEY", "sk-test")
            .with("OPENAI_BASE_URL", &chat.url())
            .with("CALL_TIMEOUT_MS", "1000")
            .with("DRAFT_PATIENCE_SECS", "0");
        let service = setup.start().await;
        service.customer_writes(1, 7, "May I return unused parts?").await;
        let item = service.draft().await;
        assert_eq!(item["draft"]["kind"], "extractive");
        let note = item["draft"]["note"].as_str().unwrap();
        assert!(note.contains("quoted instead of written") && note.contains(cause), "{note}");
    }
}

#[tokio::test]
async fn a_model_that_finds_no_answer_leaves_it_to_a_person() {
    let knowledge = knowledge::Server::start().await;
    let chat = chat_api::Server::start(vec![chat_api::Answer::Says("NO_ANSWER")]).await;
    let setup = Setup::knowing(&knowledge)
        .with("OPENAI_API_KEY", "sk-test")
        .with("OPENAI_BASE_URL", &chat.url());
    let service = setup.start().await;
    service.customer_writes(1, 7, "May I pay in shells?").await;
    let item = service.draft().await;
    assert_eq!(item["draft"]["kind"], "unanswered");
    assert_eq!(item["draft"]["citations"].as_array().unwrap().len(), 2);
}
