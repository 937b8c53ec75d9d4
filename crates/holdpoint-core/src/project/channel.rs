//! The channels on which people are told: what each is, what it wants to hear, and where its
//! secrets come from. A secret itself never stands here: only the name of an environment variable
//! does.

use core::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::reader::{Table, Value};
use crate::effect::NoticeKind;

/// How many people one channel may write to.
const RECIPIENTS_LIMIT: usize = 64;

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    /// The name by which messages and `status` know it; unique in the project.
    pub name: String,
    /// What it wants to hear; never empty.
    pub notices: Vec<NoticeKind>,
    /// How it is reached.
    pub medium: Medium,
}

/// How a channel is reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Medium {
    /// Printed by the command that drives the release.
    Terminal,
    /// An incoming webhook of Slack.
    Slack {
        /// The environment variable that holds its address, which is a secret.
        url_from: String,
    },
    /// A webhook that takes CloudEvents.
    Webhook {
        /// Its address.
        address: WebhookAddress,
        /// How an event lies in the request.
        format: EventFormat,
        /// The environment variable that holds a bearer token.
        token_from: Option<String>,
    },
    /// A mail server.
    Email(MailServer),
}

/// A webhook's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WebhookAddress {
    /// An `http` or `https` URL that is no secret.
    Url(String),
    /// The environment variable that holds it.
    Variable(String),
}

/// How a CloudEvent lies in an HTTP request (CloudEvents' HTTP binding, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EventFormat {
    /// The whole event is the body.
    Structured,
    /// Its attributes are headers, and its data is the body.
    Binary,
}

impl EventFormat {
    const ALL: [Self; 2] = [Self::Structured, Self::Binary];

    fn as_str(self) -> &'static str {
        match self {
            Self::Structured => "structured",
            Self::Binary => "binary",
        }
    }
}

/// A mail server, and whom it writes to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailServer {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is protected.
    pub security: MailSecurity,
    /// Who writes.
    pub from: String,
    /// Who reads; never empty.
    pub to: Vec<String>,
    /// The environment variables that hold user and password, where the server asks for them.
    pub login_from: Option<(String, String)>,
}

/// How a connection to a mail server is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MailSecurity {
    /// TLS from the first byte.
    Tls,
    /// Plain at first, then TLS; without it nothing is sent.
    StartTls,
    /// Not at all: only to a server on this computer.
    None,
}

impl MailSecurity {
    const ALL: [Self; 3] = [Self::Tls, Self::StartTls, Self::None];

    fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::StartTls => "starttls",
            Self::None => "none",
        }
    }

    /// The port at which servers usually offer it (RFC 8314 and RFC 6409).
    fn usual_port(self) -> u16 {
        match self {
            Self::Tls => 465,
            Self::StartTls => 587,
            Self::None => 25,
        }
    }
}

/// The words for a channel's kind.
#[derive(Clone, Copy)]
enum Kind {
    Terminal,
    Slack,
    Webhook,
    Email,
}

impl Kind {
    const ALL: [Self; 4] = [Self::Terminal, Self::Slack, Self::Webhook, Self::Email];

    fn as_str(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Slack => "slack",
            Self::Webhook => "webhook",
            Self::Email => "email",
        }
    }
}

impl Channel {
    /// The terminal, for everything.
    pub fn terminal() -> Self {
        Self {
            name: Kind::Terminal.as_str().to_owned(),
            notices: NoticeKind::ALL.to_vec(),
            medium: Medium::Terminal,
        }
    }

    /// Whether it leaves this computer's terminal.
    pub fn is_terminal(&self) -> bool {
        self.medium == Medium::Terminal
    }

    pub(super) fn read(table: &mut Table<'_>) -> Self {
        let kind = table.require("kind", "\"slack\"");
        let kind = kind.and_then(|value| value.word("kind of channel", &Kind::ALL, Kind::as_str));
        let name = table.line("name");
        let notices = table.take("notices");
        let notices = notices
            .map(|value| value.words("kind of message", &NoticeKind::ALL, NoticeKind::as_str));
        // without a kind no key can be judged; what is known of all kinds is then known here
        let medium = match kind {
            Some(Kind::Terminal) | None => Medium::Terminal,
            Some(Kind::Slack) => read_slack(table),
            Some(Kind::Webhook) => read_webhook(table),
            Some(Kind::Email) => Medium::Email(read_mail_server(table)),
        };
        if kind.is_none() {
            table.ignore(&[
                "url",
                "url_from",
                "format",
                "token_from",
                "host",
                "port",
                "security",
                "from",
                "to",
                "user_from",
                "password_from",
            ]);
        }
        Self {
            name: name.unwrap_or_else(|| kind.map_or("", Kind::as_str).to_owned()),
            notices: notices.unwrap_or_else(|| NoticeKind::ALL.to_vec()),
            medium,
        }
    }
}

fn read_slack(table: &mut Table<'_>) -> Medium {
    if let Some(value) = table.take("url") {
        value.refuse(
            "is the address of a Slack webhook, which is a secret: who has it can post",
            "put it into an environment variable, and name that: `url_from = \"SLACK_WEBHOOK_URL\"`",
        );
        table.take("url_from");
        return Medium::Slack { url_from: String::new() };
    }
    let url_from = table.require("url_from", "\"SLACK_WEBHOOK_URL\"");
    let url_from = url_from.and_then(|value| read_variable(&value));
    Medium::Slack { url_from: url_from.unwrap_or_default() }
}

fn read_webhook(table: &mut Table<'_>) -> Medium {
    let (url, url_from) = (table.take("url"), table.take("url_from"));
    let address = match (&url, &url_from) {
        (Some(_), Some(variable)) => {
            variable.refuse("stands beside `url`", "keep one of the two");
            None
        }
        (Some(url), None) => read_url(url).map(WebhookAddress::Url),
        (None, Some(variable)) => read_variable(variable).map(WebhookAddress::Variable),
        (None, None) => {
            table.require("url", "\"https://events.example.com/releases\"");
            None
        }
    };
    let format = table.take("format");
    let format = format.and_then(|value| {
        value.word("format of CloudEvents", &EventFormat::ALL, EventFormat::as_str)
    });
    let token_from = table.take("token_from").and_then(|value| read_variable(&value));
    Medium::Webhook {
        address: address.unwrap_or(WebhookAddress::Url(String::new())),
        format: format.unwrap_or(EventFormat::Structured),
        token_from,
    }
}

fn read_mail_server(table: &mut Table<'_>) -> MailServer {
    let (host, host_place) = table.required_line("host", "\"smtp.example.com\"");
    if host.contains(['/', '@', ' ']) {
        table.report.error(
            &host_place,
            format!("`{host}` is no name of a mail server"),
            "write the host alone, such as `host = \"smtp.example.com\"`",
        );
    }
    let security = table.take("security");
    let security_place = security.as_ref().map_or_else(|| host_place.clone(), Value::span);
    let security = security
        .and_then(|value| value.word("kind of security", &MailSecurity::ALL, MailSecurity::as_str));
    let local = is_this_computer(&host);
    let usual = if local { MailSecurity::None } else { MailSecurity::StartTls };
    let security = security.unwrap_or(usual);
    if security == MailSecurity::None && !local && !host.is_empty() {
        table.report.error(
            &security_place,
            format!("mail to `{host}` would cross the network unprotected"),
            "write `security = \"starttls\"` or `\"tls\"`",
        );
    }
    let port = table.take("port").and_then(|value| value.number(&(1..=u64::from(u16::MAX))));
    let port = port.and_then(|port| u16::try_from(port).ok());
    let from = table.require("from", "\"releases@example.com\"");
    let from = from.and_then(|value| read_mail_address(&value, value.line()?));
    let to = table.require("to", "[\"team@example.com\"]");
    let to = to.map_or_else(Vec::new, |value| read_recipients(&value));
    MailServer {
        host,
        port: port.unwrap_or_else(|| security.usual_port()),
        security,
        from: from.unwrap_or_default(),
        to,
        login_from: read_login(table),
    }
}

fn read_recipients(value: &Value<'_>) -> Vec<String> {
    let lines = value.lines(RECIPIENTS_LIMIT);
    if lines.is_empty() && value.is_empty_list() {
        value.refuse("is empty", "name at least one address");
    }
    let mut recipients = Vec::new();
    for (line, place) in lines {
        if is_mail_address(&line) {
            recipients.push(line);
        } else {
            value.report.error(&place, no_mail_address(&line), MAIL_ADDRESS_HINT);
        }
    }
    recipients
}

fn read_login(table: &mut Table<'_>) -> Option<(String, String)> {
    let (user, password) = (table.take("user_from"), table.take("password_from"));
    match (user, password) {
        (Some(user), Some(password)) => Some((read_variable(&user)?, read_variable(&password)?)),
        (Some(alone), None) => {
            alone.refuse("stands alone", "add `password_from`, or remove it");
            None
        }
        (None, Some(alone)) => {
            alone.refuse("stands alone", "add `user_from`, or remove it");
            None
        }
        (None, None) => None,
    }
}

/// Whether a host is this computer, as far as its name tells.
fn is_this_computer(host: &str) -> bool {
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

/// The name of an environment variable. What is none is not repeated: it may be the secret itself.
pub(super) fn read_variable(value: &Value<'_>) -> Option<String> {
    let name = value.line()?;
    let is_name = !name.starts_with(|first: char| first.is_ascii_digit())
        && name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
    if !is_name {
        value.refuse(
            "is no name of an environment variable",
            "write the variable's name here, such as `\"SLACK_WEBHOOK_URL\"`, and the secret into it",
        );
        return None;
    }
    Some(name)
}

fn read_url(value: &Value<'_>) -> Option<String> {
    let url = value.line()?;
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let is_url = host.is_some_and(|rest| {
        !rest.is_empty() && !rest.starts_with('/') && !rest.contains(char::is_whitespace)
    });
    if !is_url {
        value.refuse(
            format!("is `{url}`, which is no address that a message can be sent to"),
            "write a whole URL, such as `\"https://chat.example.com/hooks/releases\"`",
        );
        return None;
    }
    Some(url)
}

const MAIL_ADDRESS_HINT: &str = "write for example `\"team@example.com\"`";

fn no_mail_address(text: &str) -> String {
    format!("`{text}` is no mail address")
}

fn read_mail_address(value: &Value<'_>, address: String) -> Option<String> {
    if is_mail_address(&address) {
        return Some(address);
    }
    value.report.error(&value.span(), no_mail_address(&address), MAIL_ADDRESS_HINT);
    None
}

/// Whether a text can be a mail address; the server has the last word on it.
fn is_mail_address(text: &str) -> bool {
    let odd = |one: char| one.is_whitespace() || one.is_control() || "<>,;:\"()[]\\".contains(one);
    let Some((name, host)) = text.split_once('@') else { return false };
    let has_odd = text.contains(odd) || host.contains('@') || !text.is_ascii();
    !has_odd && !name.is_empty() && !host.is_empty() && !host.starts_with('.')
}
