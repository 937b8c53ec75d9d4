//! A message as a mail, and its way to the server by SMTP. Mails of one release or incident stand
//! in one thread.

use std::time::Duration;

use holdpoint_core::effect::Notice;
use holdpoint_core::project::{MailSecurity, MailServer};
use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::{AsyncSmtpTransport, Error};
use lettre::{Address, AsyncTransport as _, Message, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};

use super::NotifyError;

/// What of a message stands in the subject, in characters: more is cut by most readers.
const SUBJECT_MAX: usize = 120;

/// Sends a message within a time.
pub(super) async fn send(
    server: &MailServer,
    login: Option<(&SecretString, &SecretString)>,
    notice: &Notice,
    id: &str,
    timeout: Duration,
) -> Result<(), NotifyError> {
    let mail = mail(server, notice, id)?;
    let transport = transport(server, login, timeout)?;
    let unreached = |message: String| NotifyError::Unreached { host: server.host.clone(), message };
    match tokio::time::timeout(timeout, transport.send(mail)).await {
        Ok(Ok(_accepted)) => Ok(()),
        Ok(Err(error)) if error.is_permanent() || error.is_transient() => Err(NotifyError::Mail {
            host: server.host.clone(),
            message: described(&error),
            is_final: error.is_permanent(),
        }),
        Ok(Err(error)) => Err(unreached(described(&error))),
        Err(_elapsed) => Err(unreached("no answer within the time limit".to_owned())),
    }
}

fn transport(
    server: &MailServer,
    login: Option<(&SecretString, &SecretString)>,
    timeout: Duration,
) -> Result<AsyncSmtpTransport<Tokio1Executor>, NotifyError> {
    let parameters = || {
        let parameters = TlsParameters::new(server.host.clone());
        parameters.map_err(|error| unfit("`host`", described(&error)))
    };
    let tls = match server.security {
        MailSecurity::Tls => Tls::Wrapper(parameters()?),
        MailSecurity::StartTls => Tls::Required(parameters()?),
        MailSecurity::None => Tls::None,
    };
    let builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
        .port(server.port)
        .tls(tls)
        .timeout(Some(timeout));
    Ok(match login {
        Some((user, password)) => {
            let (user, password) = (user.expose_secret(), password.expose_secret());
            builder.credentials(Credentials::new(user.to_owned(), password.to_owned())).build()
        }
        None => builder.build(),
    })
}

fn mail(server: &MailServer, notice: &Notice, id: &str) -> Result<Message, NotifyError> {
    let about = &notice.about;
    let mailbox = |key: &str, text: &String| {
        let address: Result<Address, _> = text.parse();
        let address = address.map_err(|error| unfit(key, error.to_string()))?;
        Ok::<_, NotifyError>(Mailbox::new(None, address))
    };
    let thread = match (about.incident, about.release) {
        (Some(incident), _) => incident.to_string(),
        (None, Some(release)) => release.to_string(),
        (None, None) => "messages".to_owned(),
    };
    // two journals of one project have the same numbers; the time tells them apart
    let at = notice.at.as_second();
    let mut builder = Message::builder()
        .from(mailbox("`from`", &server.from)?)
        .message_id(Some(format!("<{}.{at}.{}@holdpoint>", id.replace('/', "."), about.project)))
        .in_reply_to(format!("<{thread}.{}@holdpoint>", about.project))
        .references(format!("<{thread}.{}@holdpoint>", about.project))
        .subject(subject(notice))
        .header(ContentType::TEXT_PLAIN);
    for recipient in &server.to {
        builder = builder.to(mailbox("`to`", recipient)?);
    }
    let mail = builder.body(body(notice));
    let mut mail = mail.map_err(|error| unfit("the message", error.to_string()))?;
    // so that holiday notices of mailboxes don't answer (RFC 3834)
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    mail.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
    Ok(mail)
}

fn unfit(what: &str, message: String) -> NotifyError {
    NotifyError::Unfit { what: what.to_owned(), message }
}

fn subject(notice: &Notice) -> String {
    let mark = if notice.about.rehearsal { "rehearsal: " } else { "" };
    let one_line = notice.text.replace(char::is_control, " ");
    let title = format!("[{}] {mark}{one_line}", notice.about.title.replace(char::is_control, " "));
    if title.chars().count() <= SUBJECT_MAX {
        return title;
    }
    let kept: String = title.chars().take(SUBJECT_MAX - 1).collect();
    format!("{kept}…")
}

fn body(notice: &Notice) -> String {
    let about = &notice.about;
    let mut lines = vec![notice.text.clone(), String::new()];
    lines.extend(notice.facts.iter().map(|fact| format!("{}: {}", fact.name, fact.value)));
    if !notice.facts.is_empty() {
        lines.push(String::new());
    }
    let mut footer = vec![about.title.clone()];
    footer.extend(about.release.map(|release| release.to_string()));
    footer.extend(about.version.as_ref().map(|version| format!("version {version}")));
    footer.extend(about.incident.map(|incident| incident.to_string()));
    footer.push(notice.at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    lines.push(format!("-- \n{}", footer.join(", ")));
    lines.join("\n").replace('\n', "\r\n")
}

/// An error and what caused it.
fn described(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.replace(char::is_control, " ")
}
