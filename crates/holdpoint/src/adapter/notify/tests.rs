//! Messages on their way to real listeners on this computer: a web server, one that never
//! answers, and a mail server.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::routing::post;
use holdpoint_core::effect::{About, Fact, Milestone, NoticeKind};
use holdpoint_core::id::{Environment, IncidentId, ReleaseId};
use holdpoint_core::project::{EventFormat, MailSecurity, MailServer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;

mod smtp_sink;

use smtp_sink::SmtpSink;

/// One call that a webhook got.
#[derive(Clone, Debug)]
struct Call {
    headers: HeaderMap,
    body: String,
}

impl Call {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("JSON")
    }
}

type Calls = Arc<Mutex<Vec<Call>>>;

/// Answers 204 at `/hook`, and elsewhere the status that the path names.
async fn receive(
    State(calls): State<Calls>,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let body = String::from_utf8_lossy(&body).into_owned();
    calls.lock().expect("list").push(Call { headers, body });
    let wanted: Option<u16> = uri.path().trim_start_matches('/').parse().ok();
    wanted.and_then(|status| StatusCode::from_u16(status).ok()).unwrap_or(StatusCode::NO_CONTENT)
}

async fn receiver() -> (String, Calls) {
    let calls = Calls::default();
    let routes = Router::new().route("/{*path}", post(receive)).with_state(calls.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (format!("http://{address}"), calls)
}

fn notifier(variables: &[(&str, &str)]) -> Notifier {
    Notifier::new(mpsc::channel(4).0, variables.iter().copied().collect())
}

fn channel(medium: Medium) -> Channel {
    Channel { name: "team".to_owned(), notices: NoticeKind::ALL.to_vec(), medium }
}

fn slack() -> Channel {
    channel(Medium::Slack { url_from: "HOOK".to_owned() })
}

fn webhook(url: &str, format: EventFormat) -> Channel {
    let address = WebhookAddress::Url(url.to_owned());
    channel(Medium::Webhook { address, format, token_from: Some("TOKEN".to_owned()) })
}

fn notice() -> Notice {
    Notice {
        at: "2026-11-24T16:00:00Z".parse().expect("a time"),
        kind: NoticeKind::Complete,
        text: "Shop <production> deployment complete, monitoring".to_owned(),
        facts: vec![Fact::new("version", "1.0.0"), Fact::new("P95 latency", "5 ms")],
        about: About {
            project: "shop".to_owned(),
            title: "Shop".to_owned(),
            release: Some(ReleaseId(3)),
            version: Some("1.0.0".to_owned()),
            environment: Some(Environment::Production),
            ..About::default()
        },
    }
}

#[tokio::test]
async fn slack_gets_blocks_in_which_nothing_can_mention_a_whole_channel() {
    let (address, calls) = receiver().await;
    let notifier = notifier(&[("HOOK", &format!("{address}/hook"))]);
    let text = "halted: <!channel> & all".to_owned();
    notifier.tell(&slack(), "message-7/team", &notice()).await.expect("told");
    let shout = Notice { text, facts: Vec::new(), ..notice() };
    notifier.tell(&slack(), "message-8/team", &shout).await.expect("told");
    let calls = calls.lock().expect("list").clone();
    assert_eq!(calls[0].header(ID_HEADER), "message-7/team");
    insta::assert_json_snapshot!("slack", [calls[0].json(), calls[1].json()]);
}

#[tokio::test]
async fn a_webhook_gets_the_same_event_in_both_formats() {
    let (address, calls) = receiver().await;
    let notifier = notifier(&[("TOKEN", "t0ken")]);
    let url = format!("{address}/hook");
    let update = Notice { kind: NoticeKind::Update, ..notice() };
    for format in [EventFormat::Structured, EventFormat::Binary] {
        notifier.tell(&webhook(&url, format), "message-7/team", &update).await.expect("told");
    }
    let calls = calls.lock().expect("list").clone();
    let [structured, binary] = calls.as_slice() else { panic!("two calls: {calls:?}") };
    assert_eq!(structured.header("content-type"), "application/cloudevents+json");
    assert_eq!(structured.header("authorization"), "Bearer t0ken");
    let event = structured.json();
    assert_eq!(binary.header("content-type"), "application/json");
    for attribute in ["specversion", "id", "source", "type", "time", "subject"] {
        assert_eq!(binary.header(&format!("ce-{attribute}")), event[attribute], "{attribute}");
    }
    assert_eq!(binary.json(), event["data"]);
    insta::assert_json_snapshot!("cloud_event", event);
}

#[tokio::test]
async fn what_is_reached_is_told_as_a_cdevent() {
    let (address, calls) = receiver().await;
    let notifier = notifier(&[("TOKEN", "t0ken")]);
    let channel = webhook(&format!("{address}/hook"), EventFormat::Structured);
    for milestone in [
        Milestone::Deployed,
        Milestone::RolledBack,
        Milestone::IncidentDetected,
        Milestone::IncidentResolved,
    ] {
        let mut reached = notice();
        reached.about.milestone = Some(milestone);
        reached.about.incident = Some(IncidentId(4));
        notifier.tell(&channel, "message-7/team", &reached).await.expect("told");
    }
    let events: Vec<Value> = calls.lock().expect("list").iter().map(Call::json).collect();
    for event in &events {
        let context = &event["data"]["context"];
        let same = [&context["id"], &context["type"], &context["source"]];
        assert_eq!(same, [&event["id"], &event["type"], &event["source"]]);
    }
    let kept: Vec<Value> = events
        .iter()
        .map(|event| json!({"type": event["type"], "subject": event["data"]["subject"]}))
        .collect();
    insta::assert_json_snapshot!("cdevents", kept);
}

#[tokio::test]
async fn each_message_has_an_id_of_its_own_that_stays_the_same() {
    let id = |notice: &Notice| {
        let event = cloud_event::CloudEvent::new(notice);
        let request = reqwest::Client::new().post("http://127.0.0.1/");
        let request = event.put_into(request, EventFormat::Binary).build().expect("a request");
        request.headers()["ce-id"].to_str().expect("text").to_owned()
    };
    let later = Notice { at: "2026-11-24T16:00:01Z".parse().expect("a time"), ..notice() };
    assert_eq!(id(&notice()), id(&notice()));
    assert_ne!(id(&notice()), id(&later));
}

#[tokio::test]
async fn what_a_webhook_says_no_to_is_tried_again_only_where_that_can_help() {
    let (address, _) = receiver().await;
    for (status, is_final) in [(404, true), (410, true), (429, false), (503, false), (301, true)] {
        let notifier = notifier(&[("HOOK", &format!("{address}/{status}"))]);
        let error = notifier.tell(&slack(), "message-1/team", &notice()).await.expect_err("no");
        assert_eq!(error.is_final(), is_final, "{error}");
        assert!(error.to_string().contains(&status.to_string()), "{error}");
    }
}

#[tokio::test]
async fn no_error_tells_the_secret_part_of_an_address_or_a_token() {
    let hidden = "s3cret";
    let cases = [
        format!("http://127.0.0.1:1/{hidden}"),
        format!("ftp://example.com/{hidden}"),
        format!("{hidden} is no address"),
    ];
    for url in cases {
        let notifier = notifier(&[("HOOK", &url)]);
        let error = notifier.tell(&slack(), "message-1/team", &notice()).await.expect_err("no");
        let text = format!("{error} {error:?} {notifier:?}");
        assert!(!text.contains(hidden), "{text}");
    }
    let notifier = notifier(&[("TOKEN", "s3cret\u{1}")]);
    let channel = webhook("http://127.0.0.1:1/", EventFormat::Binary);
    let error = notifier.tell(&channel, "message-1/team", &notice()).await.expect_err("no");
    assert!(error.is_final() && !format!("{error:?}").contains(hidden), "{error:?}");
}

#[tokio::test]
async fn a_variable_that_is_not_set_is_named() {
    let error = notifier(&[("HOOK", "")]).tell(&slack(), "message-1/team", &notice()).await;
    let error = error.expect_err("no address");
    insta::assert_snapshot!(error, @r"
    the environment variable `HOOK` is not set
    hint: set it before `holdpoint release` or `holdpoint resume`
    ");
}

#[tokio::test]
async fn a_webhook_or_mail_server_that_hangs_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let short = Duration::from_millis(200);
    let notifier = Notifier {
        webhook_timeout: short,
        mail_timeout: short,
        ..notifier(&[("HOOK", &format!("http://{address}/hook"))])
    };
    let mail = channel(Medium::Email(mail_server(address.port())));
    for channel in [slack(), mail] {
        let error = notifier.tell(&channel, "message-1/team", &notice()).await.expect_err("hangs");
        assert!(error.to_string().contains("no answer within the time limit"), "{error}");
        assert!(!error.is_final());
    }
}

fn mail_server(port: u16) -> MailServer {
    MailServer {
        host: "127.0.0.1".to_owned(),
        port,
        security: MailSecurity::None,
        from: "releases@example.com".to_owned(),
        to: vec!["team@example.com".to_owned(), "boss@example.com".to_owned()],
        login_from: None,
    }
}

#[tokio::test]
async fn a_mail_arrives_whole_with_its_login_and_stands_in_its_thread() {
    let sink = SmtpSink::start().await;
    let login_from = Some(("SMTP_USER".to_owned(), "SMTP_PASSWORD".to_owned()));
    let server = MailServer { login_from, ..mail_server(sink.port) };
    let notifier = notifier(&[("SMTP_USER", "releases"), ("SMTP_PASSWORD", "s3cret")]);
    let channel = channel(Medium::Email(server));
    // a text that would end the mail, or add a header to it, if it were put there as it is
    let text = "rolled back\r\nBcc: all@example.com\r\n.\r\nQUIT".to_owned();
    let odd = Notice { text, facts: Vec::new(), ..notice() };
    for (id, notice) in [("message-7/team", notice()), ("message-8/team", odd)] {
        notifier.tell(&channel, id, &notice).await.expect("told");
    }
    let mails = sink.mails();
    let texts: Vec<String> = mails.iter().map(smtp_sink::Mail::text).collect();
    insta::with_settings!({filters => vec![(r"Date: .*", "Date: DATE")]}, {
        insta::assert_snapshot!("mails", texts.join("\n\n======\n\n"));
    });
}

#[tokio::test]
async fn a_mail_server_that_says_no_is_quoted() {
    let sink = SmtpSink::start().await;
    let tell = |to: &str| {
        let server = MailServer { to: vec![to.to_owned()], ..mail_server(sink.port) };
        let (notifier, channel) = (notifier(&[]), channel(Medium::Email(server)));
        async move { notifier.tell(&channel, "message-1/team", &notice()).await.expect_err("no") }
    };
    let nobody = tell("nobody@example.com").await;
    assert!(nobody.is_final() && nobody.to_string().contains("no such mailbox"), "{nobody}");
    let busy = tell("busy@example.com").await;
    assert!(!busy.is_final() && busy.to_string().contains("try again later"), "{busy}");
}
