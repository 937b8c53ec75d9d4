//! Channels: every kind with its defaults, and what is told about a wrong one.

use insta::assert_snapshot;

use super::*;
use crate::effect::NoticeKind;

fn channels(text: &str) -> Vec<Channel> {
    let (project, findings) = parse(&format!("{LEAST}{text}"));
    assert_eq!(findings, []);
    project.unwrap().notify.channels
}

#[test]
fn without_any_channel_the_terminal_hears_everything() {
    assert_eq!(channels(""), [Channel::terminal()]);
    assert_eq!(channels("[[notify.channels]]\nkind = \"terminal\"\n"), [Channel::terminal()]);
}

#[test]
fn each_kind_of_channel_needs_little_and_has_safe_defaults() {
    let channels = channels(
        r#"
[[notify.channels]]
kind = "slack"
name = "team"
url_from = "SLACK_WEBHOOK_URL"
notices = ["announcement", "rollback"]
[[notify.channels]]
kind = "webhook"
url = "https://events.example.com/x"
[[notify.channels]]
kind = "email"
host = "smtp.example.com"
from = "releases@example.com"
to = ["team@example.com"]
[[notify.channels]]
kind = "email"
name = "here"
host = "127.0.0.1"
from = "releases@example.com"
to = ["team@example.com"]
"#,
    );
    assert_eq!(channels[0].notices, [NoticeKind::Announcement, NoticeKind::Rollback]);
    assert_eq!(channels[1].notices, NoticeKind::ALL);
    let secured: Vec<_> = channels
        .iter()
        .filter_map(|channel| match &channel.medium {
            Medium::Email(server) => Some((server.security, server.port)),
            Medium::Terminal | Medium::Slack { .. } | Medium::Webhook { .. } => None,
        })
        .collect();
    assert_eq!(secured, [(MailSecurity::StartTls, 587), (MailSecurity::None, 25)]);
}

#[test]
fn what_is_wrong_with_a_channel_is_told_without_its_secrets() {
    let told = told_after_least(
        r#"[[notify.channels]]
kind = "slack"
url = "https://hooks.slack.com/services/T0/B0/s3cret"
[[notify.channels]]
kind = "slack"
url_from = "https://hooks.slack.com/services/T0/B0/s3cret"
[[notify.channels]]
kind = "pager"
number = 7
url = "https://pager.example.com"
[[notify.channels]]
kind = "webhook"
[[notify.channels]]
kind = "webhook"
name = "events"
url = "events.example.com"
format = "binry"
notices = ["rollbck"]
[[notify.channels]]
kind = "email"
host = "smtp.example.com"
security = "none"
port = 70000
from = "releases"
to = []
user_from = "SMTP_USER"
"#,
    );
    assert!(!told.contains("s3cret"), "{told}");
    assert_snapshot!(told);
}
