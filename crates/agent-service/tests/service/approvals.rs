//! What people can do with the queue.

use serde_json::{Value, json};

use crate::harness::{Service, Setup};
use crate::knowledge;

/// A service with one item that waits. The knowledge server must live as long.
async fn with_draft(setup: Setup) -> (Service, Value, Setup) {
    let service = setup.start().await;
    service.customer_writes(1, 7, "May I return unused parts?").await;
    let item = service.draft().await;
    (service, item, setup)
}

fn path(item: &Value, verb: &str) -> String {
    format!("/approvals/{}/{verb}", item["id"].as_str().unwrap())
}

#[tokio::test]
async fn of_two_people_who_approve_at_once_exactly_one_wins() {
    let knowledge = knowledge::Server::start().await;
    let (service, item, _setup) = with_draft(Setup::knowing(&knowledge)).await;
    let approve = path(&item, "approve");
    let people: Vec<Value> =
        (0..10).map(|number| json!({"actor": format!("person-{number}"), "version": 1})).collect();
    let deciding = people.iter().map(|body| service.post(&approve, body));
    let answers = futures::future::join_all(deciding).await;

    let winners: Vec<&Value> =
        answers.iter().filter(|(status, _)| *status == 200).map(|(_, body)| body).collect();
    assert_eq!(winners.len(), 1);
    let winner = &winners[0]["decided_by"];
    for (status, body) in answers.iter().filter(|(status, _)| *status != 200) {
        assert_eq!(*status, 409, "{body}");
        assert_eq!(body["action_taken"], "approved");
        assert_eq!(&body["processed_by"], winner);
        assert!(body["processed_at"].is_string(), "{body}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(winner.as_str().unwrap()), "{message}");
    }
    service.wait_for_state(item["id"].as_str().unwrap(), "executed").await;
    let (_, sent) = service.get("/sent").await;
    assert_eq!(sent["items"].as_array().unwrap().len(), 1);
    let actions = service.actions(item["id"].as_str().unwrap()).await;
    assert_eq!(actions, ["drafted", "approved", "executed"]);
}

#[tokio::test]
async fn an_edited_draft_is_sent_as_edited_and_not_by_who_saw_the_old_one() {
    let knowledge = knowledge::Server::start().await;
    let (service, item, _setup) = with_draft(Setup::knowing(&knowledge)).await;
    let body = json!({"actor": "jo", "version": 1, "text": " Yes, within 30 days. "});
    let (status, edited) = service.post(&path(&item, "edit"), &body).await;
    assert_eq!(status, 200, "{edited}");
    assert_eq!((&edited["state"], &edited["version"]), (&json!("pending"), &json!(2)));
    assert_eq!(edited["text"], "Yes, within 30 days.");
    assert_eq!(edited["draft"]["text"], item["text"]);
    assert_ne!(edited["digest"], item["digest"]);

    let (status, refused) = service.approve(&item).await;
    assert_eq!(status, 409, "{refused}");
    assert_eq!(
        (&refused["action_taken"], &refused["processed_by"]),
        (&json!("edited"), &json!("jo"))
    );
    assert_eq!(refused["version"], 2);

    let (status, approved) = service.approve(&edited).await;
    assert_eq!(status, 200, "{approved}");
    service.wait_for_state(item["id"].as_str().unwrap(), "executed").await;
    let (_, sent) = service.get("/sent").await;
    assert_eq!(sent["items"][0]["arguments"]["content"], "Yes, within 30 days.");
    assert_eq!(sent["items"][0]["digest"], edited["digest"]);
}

#[tokio::test]
async fn a_rejected_draft_is_never_sent_and_keeps_its_reason() {
    let knowledge = knowledge::Server::start().await;
    let (service, item, _setup) = with_draft(Setup::knowing(&knowledge)).await;
    let reject = path(&item, "reject");
    let (status, body) = service.post(&reject, &json!({"actor": "jo", "version": 1})).await;
    assert_eq!(status, 422, "{body}");
    let (status, body) =
        service.post(&reject, &json!({"actor": "jo", "version": 1, "reason": " "})).await;
    assert_eq!(status, 422, "{body}");
    let right = json!({"actor": "jo", "version": 1, "reason": "wrong article"});
    let (status, rejected) = service.post(&reject, &right).await;
    assert_eq!((status, &rejected["state"]), (200, &json!("rejected")), "{rejected}");
    assert_eq!(rejected["reason"], "wrong article");
    let (status, refused) = service.approve(&item).await;
    assert_eq!((status, &refused["action_taken"]), (409, &json!("rejected")), "{refused}");
    let (_, sent) = service.get("/sent").await;
    assert_eq!(sent["items"], json!([]));

    let (_, audit) = service.get(&path(&item, "audit")).await;
    let last = &audit["entries"][1];
    assert_eq!((&last["actor"], &last["action"]), (&json!("jo"), &json!("rejected")));
    assert_eq!(last["details"]["reason"], "wrong article");
    assert_eq!(last["version"], 2);
}

#[tokio::test]
async fn a_decision_that_makes_no_sense_is_refused_in_words() {
    let knowledge = knowledge::Server::start().await;
    let (service, item, _setup) = with_draft(Setup::knowing(&knowledge)).await;
    let long = "a".repeat(30_000);
    let cases = [
        ("approve", json!({"version": 1}), 422, "actor"),
        ("approve", json!({"actor": "jo"}), 422, "version"),
        ("approve", json!({"actor": " ", "version": 1}), 422, "`actor`"),
        ("approve", json!({"actor": "jo\nmaria", "version": 1}), 422, "control"),
        ("approve", json!({"actor": "jo", "version": "1"}), 422, "version"),
        ("approve", json!({"actor": "jo", "version": 1, "txt": "Yes"}), 422, "txt"),
        ("approve", json!({"actor": "jo", "version": 1, "text": " "}), 422, "`text`"),
        ("approve", json!({"actor": "jo", "version": 1, "text": long}), 422, "20000"),
        ("edit", json!({"actor": "jo", "version": 1}), 422, "text"),
        ("edit", json!([]), 422, ""),
    ];
    for (verb, body, expected, word) in cases {
        let (status, answer) = service.post(&path(&item, verb), &body).await;
        assert_eq!(status, expected, "{body}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(word), "{answer}");
    }
    let request = service.client.post(service.at(&path(&item, "approve")));
    let request = request.header("content-type", "application/json").body("{");
    assert_eq!(request.send().await.unwrap().status().as_u16(), 400);
    let request = service.client.post(service.at(&path(&item, "approve")));
    let request =
        request.header("content-type", "application/json").body(vec![b' '; 256 * 1024 + 1]);
    assert_eq!(request.send().await.unwrap().status().as_u16(), 413);
    let (status, _) = service.post(&path(&item, "destroy"), &json!({})).await;
    assert_eq!(status, 404);
    let (_, after) = service.get(&format!("/approvals/{}", item["id"].as_str().unwrap())).await;
    assert_eq!(after, item);
}

#[tokio::test]
async fn the_list_comes_in_pages_oldest_first() {
    let knowledge = knowledge::Server::start().await;
    let service = Setup::knowing(&knowledge).start().await;
    for number in 1..=5 {
        service.customer_writes(number, number, "Hello?").await;
        service.wait_for_items("pending", usize::try_from(number).unwrap()).await;
    }
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) =
            service.get(&format!("/approvals?state=pending&limit=2{cursor}")).await;
        assert_eq!(status, 200, "{page}");
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|item| item["message_id"].as_i64().unwrap()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    let (_, all) = service.get("/approvals").await;
    assert_eq!(all["items"].as_array().unwrap().len(), 5);
    for query in ["conversation_id=3", "state=pending&conversation_id=3"] {
        let (_, one) = service.get(&format!("/approvals?{query}")).await;
        let items = one["items"].as_array().unwrap();
        assert_eq!((items.len(), &items[0]["message_id"]), (1, &json!(3)), "{query}");
    }
    for query in [
        "conversation_id=x",
        "state=done",
        "limit=0",
        "limit=201",
        "limit=x",
        "cursor=abc",
        "stat=pending",
    ] {
        let (status, body) = service.get(&format!("/approvals?{query}")).await;
        assert_eq!(status, 400, "{query}: {body}");
    }
}

#[tokio::test]
async fn an_item_of_another_machine_is_replayed_there_once() {
    let knowledge = knowledge::Server::start().await;
    let setup = Setup::knowing(&knowledge).with("FLY_MACHINE_ID", "9185340f4d6789");
    let (service, item, _setup) = with_draft(setup).await;
    let id = item["id"].as_str().unwrap();
    let ulid = id.strip_prefix("9185340f4d6789-").unwrap();
    assert_eq!(ulid, ulid.to_lowercase());
    let again = super::harness::webhook(1, 7, "Hello?");
    let (_, taken) = service.post("/webhooks/chatwoot", &again).await;
    assert_eq!(taken["machine_id"], "9185340f4d6789");

    let elsewhere = format!("/approvals/148ed193b07198-{ulid}");
    let response = service.client.get(service.at(&elsewhere)).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 409);
    assert_eq!(response.headers()["fly-replay"], "instance=148ed193b07198");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], "other_machine");
    let body = json!({"actor": "jo", "version": 1});
    let post = service.client.post(service.at(&format!("{elsewhere}/approve"))).json(&body);
    let response = post.send().await.unwrap();
    assert_eq!(response.headers()["fly-replay"], "instance=148ed193b07198");

    let request = service.client.get(service.at(&elsewhere));
    let request = request.header("fly-replay-src", "instance=1;t=1;region=local");
    let response = request.send().await.unwrap();
    assert_eq!(response.status().as_u16(), 404);
    assert!(!response.headers().contains_key("fly-replay"));
    for path in
        ["/approvals/nonsense", "/approvals/9185340f4d6789-nonsense", "/approvals/%0d%0aa-b"]
    {
        assert_eq!(service.get(path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn the_approvals_need_the_token_when_one_is_set() {
    let service = Setup::new().with("API_TOKEN", "open-sesame").start().await;
    for path in ["/approvals", "/sent", "/approvals/1", "/approvals/1/audit"] {
        let (status, body) = service.get(path).await;
        assert_eq!((status, &body["error"]["code"]), (401, &json!("unauthorized")), "{path}");
    }
    let (status, _) = service.post("/approvals/1/approve", &json!({})).await;
    assert_eq!(status, 401);
    let with = |token: &str| {
        let request = service.client.get(service.at("/approvals")).header("authorization", token);
        request.send()
    };
    assert_eq!(with("Bearer open-sesam").await.unwrap().status().as_u16(), 401);
    assert_eq!(with("Basic open-sesame").await.unwrap().status().as_u16(), 401);
    assert_eq!(with("Bearer open-sesame").await.unwrap().status().as_u16(), 200);
    assert_eq!(service.get("/health").await.0, 200);
    assert_eq!(service.post("/webhooks/chatwoot", &json!({})).await.0, 200);
}
