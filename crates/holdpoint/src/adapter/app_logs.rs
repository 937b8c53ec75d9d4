//! Reads the log lines of apps over the route that Fly's own client polls. A platform on this
//! computer serves the same one.

use std::time::Duration;

use machines_api::client::{ClientError, authorization};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::{Client, Url};
use serde::Deserialize;
use thiserror::Error;

use super::http_client;

/// A page is small; a server that needs longer is not well.
const TIMEOUT: Duration = Duration::from_secs(15);

/// A page of some hundred lines stays far below this.
const PAGE_LIMIT_BYTES: usize = 16 * 1024 * 1024;

/// What of a refusal is quoted.
const QUOTED_CHARACTERS: usize = 300;

/// The log lines of the apps of one platform.
#[derive(Debug)]
pub struct AppLogs {
    client: Client,
    base_url: Url,
    authorization: HeaderValue,
}

/// Some lines, oldest first, and where the next ones begin.
#[derive(Debug, Default)]
pub struct LogPage {
    /// The lines.
    pub lines: Vec<AppLogLine>,
    /// Asked with this, the platform goes on behind the last line.
    pub next_token: Option<String>,
}

/// One line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AppLogLine {
    /// When it was written, as the platform writes it: RFC 3339, UTC.
    pub timestamp: String,
    /// The line itself.
    pub message: String,
    /// `info`, `error`, ….
    pub level: String,
    /// The machine's id; empty where the line is about none.
    #[serde(rename = "instance")]
    pub machine: String,
    /// Where the machine is.
    pub region: String,
    meta: Meta,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Meta {
    machine_name: String,
    event: MetaEvent,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct MetaEvent {
    provider: String,
}

impl AppLogLine {
    /// The machine's name, where the platform tells it with the line.
    pub fn machine_name(&self) -> Option<&str> {
        Some(self.meta.machine_name.as_str()).filter(|name| !name.is_empty())
    }

    /// Who wrote it: `app`, `proxy` or `runner`.
    pub fn provider(&self) -> &str {
        &self.meta.event.provider
    }
}

/// Why no lines could be read.
#[derive(Debug, Error)]
pub enum AppLogsError {
    /// The address is none, or no client could be made for it.
    #[error(
        "could not prepare HTTP for the logs at `{base_url}`: {message}\nhint: write the address as `https://api.fly.io` or `http://127.0.0.1:4280`"
    )]
    Client {
        /// Where.
        base_url: String,
        /// What is wrong.
        message: String,
    },
    /// The token fits into no header.
    #[error(transparent)]
    Token(#[from] ClientError),
    /// The platform refuses.
    #[error("the platform gives no logs of app `{app}`: {message}")]
    Refused {
        /// Of which app.
        app: String,
        /// In the platform's words.
        message: String,
    },
    /// Nothing that can be read came; it may come later.
    #[error(
        "could not read the logs of app `{app}`: {message}\nhint: check that the platform runs"
    )]
    Unreachable {
        /// Of which app.
        app: String,
        /// What went wrong.
        message: String,
    },
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Reply {
    data: Vec<Entry>,
    meta: ReplyMeta,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    attributes: AppLogLine,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReplyMeta {
    next_token: String,
}

impl AppLogs {
    /// The logs at this address, which has no path.
    pub fn new(base_url: &str, token: &str) -> Result<Self, AppLogsError> {
        let failed = |message| AppLogsError::Client { base_url: base_url.to_owned(), message };
        let url = Url::parse(base_url).map_err(|error| failed(error.to_string()))?;
        if url.cannot_be_a_base() {
            return Err(failed("it is no web address".to_owned()));
        }
        let client = http_client::for_address(base_url, TIMEOUT)
            .map_err(|error| failed(http_client::described(error)))?;
        Ok(Self { client, base_url: url, authorization: authorization(token)? })
    }

    /// The newest lines of an app, or those behind the token of an earlier page.
    pub async fn page(
        &self,
        app: &str,
        next_token: Option<&str>,
        machine: Option<&str>,
    ) -> Result<LogPage, AppLogsError> {
        let unreachable = |message| AppLogsError::Unreachable { app: app.to_owned(), message };
        let mut url = self.base_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(["api", "v1", "apps", app, "logs"]);
        }
        let query = [("next_token", next_token), ("instance", machine)];
        let query: Vec<_> = query.into_iter().filter(|(_, value)| value.is_some()).collect();
        let request = self.client.get(url).query(&query);
        let request = request.header(AUTHORIZATION, &self.authorization);
        let response = request.send().await.map_err(http_client::described).map_err(unreachable)?;
        let status = response.status();
        let text = http_client::text(response, PAGE_LIMIT_BYTES).await;
        let text = text.map_err(http_client::described).map_err(unreachable)?;
        if status.is_client_error() {
            return Err(AppLogsError::Refused { app: app.to_owned(), message: words(&text) });
        }
        if !status.is_success() {
            return Err(unreachable(format!("status {}", status.as_u16())));
        }
        let reply: Reply =
            serde_json::from_str(&text).map_err(|error| unreachable(error.to_string()))?;
        let lines = reply.data.into_iter().map(|entry| entry.attributes).collect();
        let next_token = Some(reply.meta.next_token).filter(|token| !token.is_empty());
        Ok(LogPage { lines, next_token })
    }
}

/// What a refusal says.
fn words(text: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let said = ["message", "error"].iter().find_map(|name| body.get(name)?.as_str());
    said.unwrap_or(text).chars().take(QUOTED_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::get;

    use super::*;

    #[tokio::test]
    async fn a_macaroon_of_fly_is_sent_as_fly_takes_it() {
        let logs = |headers: HeaderMap| async move {
            if headers.get(AUTHORIZATION).is_some_and(|value| value == "FlyV1 fm2_secret") {
                (StatusCode::OK, r#"{"data":[{"attributes":{"message":"hello"}}]}"#)
            } else {
                (StatusCode::UNAUTHORIZED, "")
            }
        };
        let routes = Router::new().route("/api/v1/apps/shop/logs", get(logs));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("address"));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        for token in ["fm2_secret", "FlyV1 fm2_secret"] {
            let logs = AppLogs::new(&url, token).expect("logs");
            let page = logs.page("shop", None, None).await.expect("a page");
            assert_eq!(page.lines[0].message, "hello");
        }
    }
}
