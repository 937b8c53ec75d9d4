//! Approved replies reach the customer, once, whatever dies meanwhile.

use serde_json::{Value, json};

use crate::chatwoot::{self, Mode};
use crate::harness::{Service, Setup, eventually, on_database};
use crate::knowledge;

fn setup(knowledge: &knowledge::Server, chatwoot_url: &str) -> Setup {
    Setup::knowing(knowledge)
        .with("CHATWOOT_BASE_URL", chatwoot_url)
        .with("CHATWOOT_API_TOKEN", "chatwoot-token")
        .with("SEND_SETTLE_MS", "500")
}

async fn approved(service: &Service) -> Value {
    service.customer_writes(1, 7, "May I return unused parts?").await;
    let item = service.draft().await;
    let (status, approved) = service.approve(&item).await;
    assert_eq!(status, 200, "{approved}");
    approved
}

async fn posted(chatwoot: &chatwoot::Server, count: usize) {
    let what = format!("{count} requests to send");
    eventually(&what, || async { (chatwoot.posts().len() >= count).then_some(()) }).await;
}

#[tokio::test]
async fn an_approved_reply_goes_to_the_conversation_of_the_webhook() {
    let knowledge = knowledge::Server::start().await;
    let chatwoot = chatwoot::Server::start().await;
    let service = setup(&knowledge, &chatwoot.url()).start().await;
    let item = approved(&service).await;
    let id = item["id"].as_str().unwrap();
    let executed = service.wait_for_state(id, "executed").await;
    assert_eq!(executed["channel"], "chatwoot");
    assert_eq!(executed["delivery"]["receipt"], "100");

    let posts = chatwoot.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].path, "3/7");
    assert_eq!(posts[0].token, "chatwoot-token");
    assert_eq!(posts[0].body["content"], item["text"]);
    assert_eq!(posts[0].body["message_type"], "outgoing");
    assert_eq!(posts[0].body["private"], false);
    assert_eq!(service.actions(id).await, ["drafted", "approved", "sending", "executed"]);
}

#[tokio::test]
async fn a_kill_after_chatwoot_took_the_reply_does_not_send_it_twice() {
    let knowledge = knowledge::Server::start().await;
    let chatwoot = chatwoot::Server::start().await;
    chatwoot.set(Mode::KeepsAndHangs);
    let setup = setup(&knowledge, &chatwoot.url());
    let service = setup.start().await;
    let item = approved(&service).await;
    posted(&chatwoot, 1).await;
    service.kill().await;
    // By the time that it looks, the reply is three pages back.
    chatwoot.customer_chats_on(50);

    chatwoot.set(Mode::Answers);
    let service = setup.start().await;
    let id = item["id"].as_str().unwrap();
    let executed = service.wait_for_state(id, "executed").await;
    assert_eq!(executed["delivery"]["receipt"], "100");
    assert_eq!((chatwoot.posts().len(), chatwoot.replies().len()), (1, 1));
    let actions = service.actions(id).await;
    assert_eq!(actions, ["drafted", "approved", "sending", "found", "executed"]);
}

#[tokio::test]
async fn a_chatwoot_that_forgets_our_marker_is_searched_by_the_words() {
    let knowledge = knowledge::Server::start().await;
    let chatwoot = chatwoot::Server::start_at("127.0.0.1:0", true).await;
    chatwoot.set(Mode::KeepsAndHangs);
    let setup = setup(&knowledge, &chatwoot.url());
    let service = setup.start().await;
    let item = approved(&service).await;
    posted(&chatwoot, 1).await;
    service.kill().await;
    chatwoot.set(Mode::Answers);
    let service = setup.start().await;
    service.wait_for_state(item["id"].as_str().unwrap(), "executed").await;
    assert_eq!(chatwoot.replies().len(), 1);
}

#[tokio::test]
async fn a_kill_before_chatwoot_took_the_reply_does_not_lose_it() {
    let knowledge = knowledge::Server::start().await;
    let chatwoot = chatwoot::Server::start().await;
    chatwoot.set(Mode::Hangs);
    let setup = setup(&knowledge, &chatwoot.url());
    let service = setup.start().await;
    let item = approved(&service).await;
    posted(&chatwoot, 1).await;
    service.kill().await;
    assert!(chatwoot.replies().is_empty());
    chatwoot.set(Mode::Answers);
    let service = setup.start().await;
    service.wait_for_state(item["id"].as_str().unwrap(), "executed").await;
    assert_eq!(chatwoot.replies().len(), 1);
}

#[tokio::test]
async fn a_kill_right_after_the_approval_does_not_lose_the_reply() {
    let knowledge = knowledge::Server::start().await;
    let chatwoot = chatwoot::Server::start().await;
    let setup = setup(&knowledge, &chatwoot.url());
    let service = setup.start().await;
    let item = approved(&service).await;
    service.kill().await;
    let service = setup.start().await;
    service.wait_for_state(item["id"].as_str().unwrap(), "executed").await;
    assert_eq!(chatwoot.replies().len(), 1);
}

#[tokio::test]
async fn an_answer_that_says_nothing_about_the_reply_is_looked_into() {
    let knowledge = knowledge::Server::start().await;
    let chatwoot = chatwoot::Server::start().await;
    chatwoot.set(Mode::KeepsAndFails);
    let service = setup(&knowledge, &chatwoot.url()).start().await;
    let item = approved(&service).await;
    let executed = service.wait_for_state(item["id"].as_str().unwrap(), "executed").await;
    assert_eq!(executed["delivery"]["receipt"], "100");
    assert_eq!((chatwoot.posts().len(), chatwoot.replies().len()), (1, 1));
}

#[tokio::test]
async fn a_reply_waits_for_a_chatwoot_that_is_away() {
    let knowledge = knowledge::Server::start().await;
    let chatwoot = chatwoot::Server::start().await;
    let address = chatwoot.address.to_string();
    let service = setup(&knowledge, &chatwoot.url()).start().await;
    drop(chatwoot);
    eventually("nobody at the address", || async {
        tokio::net::TcpStream::connect(&address).await.is_err().then_some(())
    })
    .await;
    let item = approved(&service).await;
    let id = item["id"].as_str().unwrap();
    let path = format!("/approvals/{id}");
    let waiting = eventually("a failed attempt", || async {
        let (_, item) = service.get(&path).await;
        item["delivery"]["last_error"].is_string().then_some(item)
    })
    .await;
    assert_eq!(waiting["state"], "approved");
    let chatwoot = chatwoot::Server::start_at(&address, false).await;
    service.wait_for_state(id, "executed").await;
    assert_eq!(chatwoot.replies().len(), 1);
}

#[tokio::test]
async fn a_reply_that_chatwoot_refuses_is_failed_and_not_tried_again() {
    let knowledge = knowledge::Server::start().await;
    let chatwoot = chatwoot::Server::start().await;
    chatwoot.set(Mode::Refuses(422));
    let service = setup(&knowledge, &chatwoot.url()).start().await;
    let item = approved(&service).await;
    let id = item["id"].as_str().unwrap();
    let failed = service.wait_for_state(id, "failed").await;
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("Chatwoot answered 422"), "{reason}");
    assert_eq!(service.actions(id).await, ["drafted", "approved", "sending", "failed"]);

    // The next reply's way goes past it.
    chatwoot.set(Mode::Answers);
    service.customer_writes(2, 8, "And I?").await;
    let next = service.draft().await;
    assert_eq!(service.approve(&next).await.0, 200);
    service.wait_for_state(next["id"].as_str().unwrap(), "executed").await;
    assert_eq!(chatwoot.posts().len(), 2);
}

#[tokio::test]
async fn a_wrong_token_is_tried_again_until_somebody_mends_it() {
    let knowledge = knowledge::Server::start().await;
    let chatwoot = chatwoot::Server::start().await;
    chatwoot.set(Mode::Refuses(401));
    let service = setup(&knowledge, &chatwoot.url()).start().await;
    let item = approved(&service).await;
    posted(&chatwoot, 1).await;
    chatwoot.set(Mode::Answers);
    service.wait_for_state(item["id"].as_str().unwrap(), "executed").await;
    assert_eq!(chatwoot.replies().len(), 1);
}

#[tokio::test]
async fn what_was_not_approved_is_not_sent() {
    let knowledge = knowledge::Server::start().await;
    let chatwoot = chatwoot::Server::start().await;
    chatwoot.set(Mode::Refuses(401));
    let setup = setup(&knowledge, &chatwoot.url());
    let service = setup.start().await;
    let item = approved(&service).await;
    posted(&chatwoot, 1).await;
    service.kill().await;
    let tamper = "UPDATE outbox SET arguments =
        '{\"account_id\":3,\"content\":\"You get a refund.\",\"conversation_id\":8}'";
    on_database(&setup.data_dir(), tamper).await;
    chatwoot.set(Mode::Answers);
    let service = setup.start().await;
    let failed = service.wait_for_state(item["id"].as_str().unwrap(), "failed").await;
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("not the approved one"), "{reason}");
    assert!(chatwoot.replies().is_empty());
    let posts = chatwoot.posts();
    let log = json!(posts.iter().map(|post| post.body.clone()).collect::<Vec<_>>()).to_string();
    assert!(!log.contains("refund"), "{log}");
}

#[tokio::test]
async fn however_often_it_is_killed_every_approved_reply_arrives_once() {
    const REPLIES: i64 = 8;
    let knowledge = knowledge::Server::start().await;
    let chatwoot = chatwoot::Server::start().await;
    let setup = setup(&knowledge, &chatwoot.url());
    for number in 1..=REPLIES {
        let service = setup.start().await;
        service.customer_writes(number, number, "May I return unused parts?").await;
        let item = service.draft().await;
        let text = format!("Reply {number}");
        let path = format!("/approvals/{}/approve", item["id"].as_str().unwrap());
        let body = json!({"actor": "maria", "version": 1, "text": text});
        let before = chatwoot.posts().len();
        assert_eq!(service.post(&path, &body).await.0, 200);
        // Sometimes at once, sometimes around the answer to the request to send.
        if number % 2 == 0 {
            posted(&chatwoot, before + 1).await;
        }
        service.kill().await;
    }
    let service = setup.start().await;
    service.wait_for_items("executed", usize::try_from(REPLIES).unwrap()).await;
    let mut sent: Vec<String> = chatwoot
        .replies()
        .iter()
        .map(|reply| reply["content"].as_str().unwrap().to_owned())
        .collect();
    sent.sort();
    let expected: Vec<String> = (1..=REPLIES).map(|number| format!("Reply {number}")).collect();
    assert_eq!(sent, expected);
}
