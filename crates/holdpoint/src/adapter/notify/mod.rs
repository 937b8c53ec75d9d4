//! Tells people on one channel: a line for the terminal, a post to Slack, a CloudEvent to a
//! webhook, a mail. Every message carries an id, by which a receiver knows one that it has had
//! already. When and what to tell, and how often to try, is the core's decision.

mod cloud_event;
mod email;
mod slack;

use std::time::Duration;

use holdpoint_core::effect::Notice;
use holdpoint_core::project::{Channel, Medium, WebhookAddress};
use reqwest::header::HeaderValue;
use reqwest::{RequestBuilder, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use thiserror::Error;
use tokio::sync::mpsc;

use super::http_client;
use crate::variables::Variables;

/// Chat systems answer within a second; one that takes longer than this is not waited for.
const WEBHOOK_TIMEOUT: Duration = Duration::from_secs(5);

/// A mail server looks at sender and recipients before it answers, and a conversation has some
/// ten answers.
const MAIL_TIMEOUT: Duration = Duration::from_secs(20);

/// The header by which receivers tell a repeated message (draft-ietf-httpapi-idempotency-key).
const ID_HEADER: &str = "idempotency-key";

/// Tells people.
#[derive(Debug)]
pub struct Notifier {
    terminal: mpsc::Sender<Notice>,
    variables: Variables,
    webhook_timeout: Duration,
    mail_timeout: Duration,
}

/// Why a message did not reach a channel. No text has more of an address than its host: the rest
/// may be a secret.
#[derive(Debug, Error)]
pub enum NotifyError {
    /// The place of a secret is empty.
    #[error(
        "the environment variable `{name}` is not set\nhint: set it before `holdpoint release` or `holdpoint resume`"
    )]
    Variable {
        /// The variable.
        name: String,
    },
    /// An address or a token can't be used.
    #[error(
        "{what} can't be used: {message}\nhint: correct it and start again with `holdpoint resume`"
    )]
    Unfit {
        /// What, by the key or variable that holds it.
        what: String,
        /// What is wrong with it.
        message: String,
    },
    /// The receiver could not be reached, or did not answer.
    #[error("`{host}` was not reached: {message}\nhint: check that the receiver runs")]
    Unreached {
        /// The host alone.
        host: String,
        /// How the call failed.
        message: String,
    },
    /// A webhook said no.
    #[error("`{host}` answered {status}\nhint: check the channel against the receiver's settings")]
    Refused {
        /// The host alone.
        host: String,
        /// The answer's status.
        status: StatusCode,
    },
    /// A mail server said no.
    #[error(
        "the mail server `{host}` refused it: {message}\nhint: check the channel's addresses and login"
    )]
    Mail {
        /// The server.
        host: String,
        /// Its words.
        message: String,
        /// Whether it would refuse the same mail again.
        is_final: bool,
    },
}

impl NotifyError {
    /// Whether the same message would fail again.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Variable { .. } | Self::Unfit { .. } => true,
            Self::Unreached { .. } => false,
            Self::Refused { status, .. } => {
                let passes = [
                    StatusCode::REQUEST_TIMEOUT,
                    StatusCode::TOO_EARLY,
                    StatusCode::TOO_MANY_REQUESTS,
                ];
                !status.is_server_error() && !passes.contains(status)
            }
            Self::Mail { is_final, .. } => *is_final,
        }
    }
}

impl Notifier {
    /// A notifier whose lines for the terminal go into `terminal`; whoever holds the other end
    /// prints them. Secrets of channels come from `variables`.
    pub fn new(terminal: mpsc::Sender<Notice>, variables: Variables) -> Self {
        let (webhook_timeout, mail_timeout) = (WEBHOOK_TIMEOUT, MAIL_TIMEOUT);
        Self { terminal, variables, webhook_timeout, mail_timeout }
    }

    /// Tells one channel. `id` is the same whenever the same message is told.
    ///
    /// # Errors
    /// When the message did not arrive, or it is not known whether it did.
    pub async fn tell(
        &self,
        channel: &Channel,
        id: &str,
        notice: &Notice,
    ) -> Result<(), NotifyError> {
        match &channel.medium {
            Medium::Terminal => {
                self.show(notice);
                Ok(())
            }
            Medium::Slack { url_from } => {
                let url = parse_url(url_from, self.variable(url_from)?.expose_secret())?;
                self.send(url, |request| request.json(&slack::payload(notice)), id).await
            }
            Medium::Webhook { address, format, token_from } => {
                let url = match address {
                    WebhookAddress::Url(url) => parse_url("url", url)?,
                    WebhookAddress::Variable(name) => {
                        parse_url(name, self.variable(name)?.expose_secret())?
                    }
                };
                let token = token_from.as_deref().map(|name| self.token(name)).transpose()?;
                let event = cloud_event::CloudEvent::new(notice);
                let put = |request: RequestBuilder| {
                    let request = event.put_into(request, *format);
                    match token {
                        Some(token) => request.header(http::header::AUTHORIZATION, token),
                        None => request,
                    }
                };
                self.send(url, put, id).await
            }
            Medium::Email(server) => {
                let login = match &server.login_from {
                    Some((user, password)) => {
                        Some((self.variable(user)?, self.variable(password)?))
                    }
                    None => None,
                };
                email::send(server, login, notice, id, self.mail_timeout).await
            }
        }
    }

    /// Every secret that may be in a text of this process: values of telling variables, and the
    /// platform's token.
    pub fn secrets(&self, token: &str) -> Vec<SecretString> {
        let mut secrets = self.variables.telling();
        secrets.push(SecretString::from(token));
        secrets
    }

    /// Hands a message to the terminal. A terminal that doesn't keep up loses lines: they are in
    /// the journal all the same.
    fn show(&self, notice: &Notice) {
        if let Err(error) = self.terminal.try_send(notice.clone()) {
            tracing::debug!(%error, "a message was not shown on the terminal");
        }
    }

    fn variable(&self, name: &str) -> Result<&SecretString, NotifyError> {
        self.variables.get(name).ok_or_else(|| NotifyError::Variable { name: name.to_owned() })
    }

    fn token(&self, name: &str) -> Result<HeaderValue, NotifyError> {
        let token = self.variable(name)?.expose_secret().trim();
        let value = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut value = value.map_err(|_unfit| NotifyError::Unfit {
            what: format!("the token in `{name}`"),
            message: "it has characters that fit into no header".to_owned(),
        })?;
        value.set_sensitive(true);
        Ok(value)
    }

    async fn send(
        &self,
        url: Url,
        put: impl FnOnce(RequestBuilder) -> RequestBuilder,
        id: &str,
    ) -> Result<(), NotifyError> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let unreached = |error: reqwest::Error| NotifyError::Unreached {
            host: host.clone(),
            message: http_client::described(error),
        };
        let client = http_client::for_address(url.as_str(), self.webhook_timeout);
        let request = client.map_err(unreached)?.post(url).header(ID_HEADER, id);
        let status = put(request).send().await.map_err(unreached)?.status();
        if status.is_success() {
            return Ok(());
        }
        Err(NotifyError::Refused { host, status })
    }
}

/// `place` is the key or variable that holds the address, which itself is not repeated.
fn parse_url(place: &str, text: &str) -> Result<Url, NotifyError> {
    let unfit =
        |message: String| NotifyError::Unfit { what: format!("the address in `{place}`"), message };
    let url = Url::parse(text.trim()).map_err(|error| unfit(error.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(unfit("it begins with neither `https://` nor `http://`".to_owned()));
    }
    Ok(url)
}

#[cfg(test)]
mod tests;
