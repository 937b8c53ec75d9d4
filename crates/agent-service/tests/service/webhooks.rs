//! What becomes of a webhook.

use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{Service, Setup, eventually, webhook};
use crate::knowledge;

#[tokio::test]
async fn a_customers_message_is_drafted_approved_and_sent() {
    let knowledge = knowledge::Server::start().await;
    let service = Setup::knowing(&knowledge).start().await;
    service.customer_writes(1, 7, "May I return unused parts?").await;

    let item = service.draft().await;
    assert_eq!(item["draft"]["kind"], "extractive");
    assert_eq!(item["customer_text"], "May I return unused parts?");
    assert_eq!(item["conversation_id"], 7);
    assert_eq!(item["channel"], "log");
    let citation = &item["draft"]["citations"][0];
    assert_eq!(citation["path"], "returns.md");
    assert_eq!((&citation["start"], &citation["end"]), (&json!(120), &json!(164)));
    let text = item["text"].as_str().unwrap();
    assert!(text.starts_with("Hello Ana,\n\nUnused parts can be returned"), "{text}");
    assert!(text.ends_with("From “Returns” (returns.md, characters 120–164)."), "{text}");
    assert_eq!(knowledge.questions(), ["May I return unused parts?"]);

    let (status, approved) = service.approve(&item).await;
    assert_eq!((status, &approved["state"]), (200, &json!("approved")), "{approved}");
    let id = item["id"].as_str().unwrap();
    let executed = service.wait_for_state(id, "executed").await;
    assert_eq!(executed["delivery"]["state"], "sent");
    assert_eq!(executed["decided_by"], "maria");
    let (_, sent) = service.get("/sent").await;
    let sent = sent["items"].as_array().unwrap();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0]["approval_id"], id);
    assert_eq!(sent[0]["digest"], item["digest"]);
    let arguments = json!({"account_id": 3, "conversation_id": 7, "content": text});
    assert_eq!(sent[0]["arguments"], arguments);
    assert_eq!(service.actions(id).await, ["drafted", "approved", "executed"]);
}

#[tokio::test]
async fn a_message_that_comes_many_times_at_once_makes_one_draft() {
    let knowledge = knowledge::Server::start().await;
    let service = Setup::knowing(&knowledge).start().await;
    let body = webhook(1, 7, "May I return unused parts?");
    let sending = (0..20).map(|_| service.post("/webhooks/chatwoot", &body));
    let answers = futures::future::join_all(sending).await;
    let count = |status: &str| {
        answers.iter().filter(|(code, body)| *code == 200 && body["status"] == status).count()
    };
    assert_eq!((count("accepted"), count("duplicate")), (1, 19));
    service.draft().await;
    let (_, again) = service.post("/webhooks/chatwoot", &body).await;
    assert_eq!(again["status"], "duplicate");
    service.draft().await;
    assert_eq!(knowledge.questions().len(), 1);
}

#[tokio::test]
async fn every_message_of_a_burst_is_drafted() {
    let knowledge = knowledge::Server::start().await;
    let service = Setup::knowing(&knowledge).start().await;
    let bodies: Vec<Value> = (1..=40).map(|number| webhook(number, number, "Hello?")).collect();
    let sending = bodies.iter().map(|body| service.post("/webhooks/chatwoot", body));
    let answers = futures::future::join_all(sending).await;
    assert!(answers.iter().all(|(_, body)| body["status"] == "accepted"));
    service.wait_for_items("pending", 40).await;
}

#[tokio::test]
async fn what_is_no_customers_message_is_answered_200_with_the_reason() {
    let service = Setup::new().start().await;
    let mut note = webhook(1, 7, "a note");
    note["private"] = json!(true);
    let mut own = webhook(2, 7, "our own reply");
    own["message_type"] = json!("outgoing");
    let event = json!({"event": "conversation_resolved", "id": 7});
    for (body, reason) in [(note, "private"), (own, "incoming"), (event, "conversation_resolved")] {
        let (status, answer) = service.post("/webhooks/chatwoot", &body).await;
        assert_eq!((status, &answer["status"]), (200, &json!("ignored")), "{answer}");
        assert!(answer["reason"].as_str().unwrap().contains(reason), "{answer}");
    }
    assert!(service.metrics().await.contains("queue_messages{state=\"waiting\"} 0"));
}

#[tokio::test]
async fn a_customer_who_writes_again_supersedes_the_waiting_draft() {
    let knowledge = knowledge::Server::start().await;
    let service = Setup::knowing(&knowledge).start().await;
    service.customer_writes(1, 7, "May I return parts?").await;
    let first = service.draft().await;
    service.customer_writes(2, 8, "Another customer.").await;
    service.wait_for_items("pending", 2).await;
    service.customer_writes(3, 7, "They are unused.").await;

    let superseded = service.wait_for_items("superseded", 1).await;
    assert_eq!(superseded[0]["id"], first["id"]);
    let (status, refused) = service.approve(&first).await;
    assert_eq!(status, 409, "{refused}");
    assert_eq!(refused["action_taken"], "superseded");
    assert_eq!(refused["processed_by"], "customer");

    let pending = service.wait_for_items("pending", 2).await;
    let second = pending.iter().find(|item| item["conversation_id"] == 7).unwrap();
    assert_eq!(second["customer_text"], "May I return parts?\n\nThey are unused.");
    assert_eq!(second["message_id"], 3);
}

#[tokio::test]
async fn a_body_that_is_too_large_or_no_json_is_refused() {
    let service = Setup::new().start().await;
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [(Vec<u8>, u16); 6] = [
        (vec![b'a'; 1024 * 1024 + 1], 413),
        (b"\xff\xfe{}".to_vec(), 400),
        (br#"{"event": "message_created", "content": "#.to_vec(), 400),
        (b"{\"event\": \"\xc3\x28\"}".to_vec(), 400),
        (deep.into_bytes(), 400),
        (Vec::new(), 400),
    ];
    for (body, expected) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(30)]).into_owned();
        let request = service.client.post(service.at("/webhooks/chatwoot")).body(body);
        let response = request.send().await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{shown}");
        let body: Value = response.json().await.unwrap();
        assert!(body["error"]["message"].is_string(), "{body}");
    }
    assert_eq!(service.get("/health").await.0, 200);
}

fn signed(secret: &str, timestamp_secs: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{timestamp_secs}.{body}").as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

async fn post_signed(
    service: &Service,
    body: &str,
    signature: Option<&str>,
    timestamp_secs: i64,
) -> u16 {
    let request = service.client.post(service.at("/webhooks/chatwoot")).body(body.to_owned());
    let mut request = request.header("x-chatwoot-timestamp", timestamp_secs.to_string());
    if let Some(signature) = signature {
        request = request.header("x-chatwoot-signature", signature);
    }
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn only_webhooks_that_chatwoot_signed_just_now_are_believed() {
    let setup = Setup::new().with("CHATWOOT_WEBHOOK_SECRET", "new-secret,old-secret");
    let service = setup.start().await;
    let now_secs = jiff::Timestamp::now().as_second();
    let body = webhook(1, 7, "Hello?").to_string();
    let other = webhook(2, 7, "Give me a refund").to_string();
    let right = signed("new-secret", now_secs, &body);

    assert_eq!(post_signed(&service, &body, None, now_secs).await, 401);
    let wrong = signed("guess", now_secs, &body);
    assert_eq!(post_signed(&service, &body, Some(&wrong), now_secs).await, 401);
    assert_eq!(post_signed(&service, &other, Some(&right), now_secs).await, 401);
    assert_eq!(post_signed(&service, &body, Some(&right), now_secs - 1).await, 401);
    let recorded = signed("new-secret", now_secs - 600, &body);
    assert_eq!(post_signed(&service, &body, Some(&recorded), now_secs - 600).await, 401);
    assert!(service.metrics().await.contains("queue_messages{state=\"waiting\"} 0"));

    assert_eq!(post_signed(&service, &body, Some(&right), now_secs).await, 200);
    assert_eq!(post_signed(&service, &body, Some(&right), now_secs).await, 200);
    let rotated = signed("old-secret", now_secs, &other);
    assert_eq!(post_signed(&service, &other, Some(&rotated), now_secs).await, 200);
    eventually("one message stored once, one merged into the next", || async {
        let text = service.metrics().await;
        let counted = text.contains("webhooks_total{outcome=\"accepted\"} 2")
            && text.contains("webhooks_total{outcome=\"duplicate\"} 1")
            && text.contains("webhooks_total{outcome=\"refused\"} 5");
        counted.then_some(())
    })
    .await;
}

#[tokio::test]
async fn messages_of_another_account_are_ignored() {
    let service = Setup::new().with("CHATWOOT_ACCOUNT_ID", "4").start().await;
    let (status, answer) = service.post("/webhooks/chatwoot", &webhook(1, 7, "Hello?")).await;
    assert_eq!((status, &answer["status"]), (200, &json!("ignored")), "{answer}");
}
