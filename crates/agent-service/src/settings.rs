//! What the service is told at its start: the command line and the environment, read once, checked
//! together, with every problem named by its variable.
//!
//! An environment variable that is set but empty counts as not set: that is how Fly's and
//! Docker's files write "none".

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use secrecy::{ExposeSecret, SecretString};

/// How long a stop may take in all. Fly sends SIGKILL after its own `kill_timeout`, 5 seconds
/// unless configured; the last half second is for closing the database.
pub const DRAIN_TIMEOUT: Duration = Duration::from_millis(4_500);

#[derive(Debug, Parser)]
#[command(name = "agent-service", version, about = "An agent service with an approval queue")]
struct Arguments {
    /// The port to listen on, on every address; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
    /// Where the database lives
    #[arg(long, env = "DATA_DIR", default_value = "data")]
    data_dir: PathBuf,
    /// The address of the knowledge server's MCP endpoint
    #[arg(long, env = "MCP_URL")]
    mcp_url: Option<String>,
    /// The Host header for the knowledge server, when it differs from the address
    #[arg(long, env = "MCP_HOST")]
    mcp_host: Option<String>,
    /// A bearer token for the knowledge server
    #[arg(long, env = "MCP_TOKEN", hide_env_values = true)]
    mcp_token: Option<SecretString>,
    /// A local proxy through which `MCP_APP` is reached
    #[arg(long, env = "FLY_LOCAL_PROXY")]
    local_proxy: Option<String>,
    /// The Fly app that serves knowledge: behind the local proxy, or else at `<app>.fly.dev`
    #[arg(long, env = "MCP_APP")]
    mcp_app: Option<String>,
    /// How long one question to the knowledge server or the model may take, in milliseconds
    #[arg(long, env = "CALL_TIMEOUT_MS", default_value_t = 15_000)]
    call_timeout_ms: u64,
    /// For how long a draft waits for a knowledge server or a model that is down, in seconds;
    /// then a person is asked to write the answer
    #[arg(long, env = "DRAFT_PATIENCE_SECS", default_value_t = 30)]
    draft_patience_secs: u32,
    /// The secrets with which Chatwoot signs its webhooks, separated by commas while one is rotated
    #[arg(long, env = "CHATWOOT_WEBHOOK_SECRET", hide_env_values = true)]
    chatwoot_webhook_secret: Option<SecretString>,
    /// Chatwoot's address; without it replies are only recorded
    #[arg(long, env = "CHATWOOT_BASE_URL")]
    chatwoot_base_url: Option<String>,
    /// The token with which replies are sent
    #[arg(long, env = "CHATWOOT_API_TOKEN", hide_env_values = true)]
    chatwoot_api_token: Option<SecretString>,
    /// The only account whose messages are taken
    #[arg(long, env = "CHATWOOT_ACCOUNT_ID")]
    chatwoot_account_id: Option<i64>,
    /// How long a reply whose fate is unknown is left alone before Chatwoot is asked about it, in
    /// milliseconds; longer than Chatwoot works on one request
    #[arg(long, env = "SEND_SETTLE_MS", default_value_t = 20_000)]
    send_settle_ms: u32,
    /// The key of an OpenAI-compatible chat API; without it the best passage is quoted
    #[arg(long, env = "OPENAI_API_KEY", hide_env_values = true)]
    openai_api_key: Option<SecretString>,
    /// The address of that API, with or without `/v1`
    #[arg(long, env = "OPENAI_BASE_URL", default_value = "https://api.openai.com")]
    openai_base_url: String,
    /// The model that writes drafts
    #[arg(long, env = "OPENAI_MODEL", default_value = "gpt-4.1-mini")]
    openai_model: String,
    /// When set, the approvals need this bearer token
    #[arg(long, env = "API_TOKEN", hide_env_values = true)]
    api_token: Option<SecretString>,
    /// This machine's id on Fly, part of every approval's id
    #[arg(long, env = "FLY_MACHINE_ID")]
    machine_id: Option<String>,
    /// The version that `/health` tells
    #[arg(long, env = "SERVICE_VERSION", default_value = env!("CARGO_PKG_VERSION"))]
    service_version: String,
    /// Which log lines are written, for example `info` or `agent_service=debug`
    #[arg(long, env = "RUST_LOG", default_value = "info,rmcp=warn")]
    log: String,
}

/// Everything the service was told, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub port: u16,
    pub data_dir: PathBuf,
    pub knowledge: KnowledgeSettings,
    /// How long one question to the knowledge server or the model may take.
    pub call_timeout: Duration,
    /// For how long a draft waits for a server that is down before a person is asked to write.
    pub draft_patience_ms: i64,
    pub webhook_secrets: Vec<SecretString>,
    pub chatwoot: Option<ChatwootSettings>,
    /// The only account whose messages are taken; with none, every account's are.
    pub account_id: Option<i64>,
    /// How long a reply whose fate is unknown is left alone before it is looked for.
    pub send_settle_ms: i64,
    pub chat: Option<ChatSettings>,
    pub api_token: Option<SecretString>,
    pub machine_id: Option<String>,
    pub service_version: String,
    pub log: String,
}

/// How the knowledge server is reached.
#[derive(Debug, Clone)]
pub struct KnowledgeSettings {
    pub url: String,
    pub host: Option<String>,
    pub token: Option<SecretString>,
}

/// How replies reach the customer.
#[derive(Debug, Clone)]
pub struct ChatwootSettings {
    pub base_url: String,
    pub token: SecretString,
}

/// How the model is reached.
#[derive(Debug, Clone)]
pub struct ChatSettings {
    pub base_url: String,
    pub key: SecretString,
    pub model: String,
}

/// Why the service can't start as it was told to.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// Also the answer to `--help` and `--version`.
    #[error(transparent)]
    Arguments(#[from] clap::Error),
    #[error(
        "`{variable}` is `{value}`, which isn't an http or https address\nhint: write it like `{example}`"
    )]
    Address { variable: &'static str, value: String, example: &'static str },
    #[error(
        "`CHATWOOT_BASE_URL` is set but `CHATWOOT_API_TOKEN` isn't, so no reply could be sent\nhint: set `CHATWOOT_API_TOKEN`, or unset `CHATWOOT_BASE_URL` to only record replies"
    )]
    ChatwootToken,
    #[error(
        "`FLY_MACHINE_ID` is `{0}`, which can't be part of an approval's id\nhint: use 1 to 32 lower-case letters and digits"
    )]
    Machine(String),
    #[error("`DRAFT_PATIENCE_SECS` is {0}, more than a day\nhint: choose 0 to 86400")]
    Patience(u32),
    #[error("`CALL_TIMEOUT_MS` is {0}\nhint: choose 100 to 120000")]
    CallTimeout(u64),
}

impl Settings {
    /// Reads the process's own command line and environment.
    pub fn from_process() -> Result<Self, SettingsError> {
        Arguments::try_parse()?.check()
    }
}

impl Arguments {
    fn check(self) -> Result<Settings, SettingsError> {
        let knowledge = self.knowledge()?;
        let chatwoot = self.chatwoot()?;
        let chat = self.chat()?;
        let machine_id = filled(self.machine_id);
        if let Some(id) = &machine_id
            && !is_machine_id(id)
        {
            return Err(SettingsError::Machine(id.clone()));
        }
        if self.draft_patience_secs > 86_400 {
            return Err(SettingsError::Patience(self.draft_patience_secs));
        }
        if !(100..=120_000).contains(&self.call_timeout_ms) {
            return Err(SettingsError::CallTimeout(self.call_timeout_ms));
        }
        Ok(Settings {
            port: self.port,
            data_dir: self.data_dir,
            knowledge,
            call_timeout: Duration::from_millis(self.call_timeout_ms),
            draft_patience_ms: i64::from(self.draft_patience_secs) * 1_000,
            webhook_secrets: split_secrets(self.chatwoot_webhook_secret.as_ref()),
            chatwoot,
            account_id: self.chatwoot_account_id,
            send_settle_ms: i64::from(self.send_settle_ms),
            chat,
            api_token: filled_secret(self.api_token),
            machine_id,
            service_version: filled(Some(self.service_version))
                .unwrap_or_else(|| env!("CARGO_PKG_VERSION").to_owned()),
            log: filled(Some(self.log)).unwrap_or_else(|| "info,rmcp=warn".to_owned()),
        })
    }

    fn knowledge(&self) -> Result<KnowledgeSettings, SettingsError> {
        let token = filled_secret(self.mcp_token.clone());
        let host = filled(self.mcp_host.clone());
        if let Some(url) = filled(self.mcp_url.clone()) {
            let url = address("MCP_URL", &url, "http://127.0.0.1:8081/mcp")?;
            return Ok(KnowledgeSettings { url, host, token });
        }
        let Some(app) = filled(self.mcp_app.clone()) else {
            let url = "http://127.0.0.1:8081/mcp".to_owned();
            return Ok(KnowledgeSettings { url, host, token });
        };
        let Some(proxy) = filled(self.local_proxy.clone()) else {
            let url = address("MCP_APP", &format!("https://{app}.fly.dev/mcp"), "knowledge")?;
            return Ok(KnowledgeSettings { url, host, token });
        };
        let proxy = address("FLY_LOCAL_PROXY", &proxy, "http://127.0.0.1:8080")?;
        let host = host.unwrap_or_else(|| format!("{app}.localhost"));
        Ok(KnowledgeSettings { url: format!("{proxy}/mcp"), host: Some(host), token })
    }

    fn chatwoot(&self) -> Result<Option<ChatwootSettings>, SettingsError> {
        let Some(base_url) = filled(self.chatwoot_base_url.clone()) else { return Ok(None) };
        let base_url = address("CHATWOOT_BASE_URL", &base_url, "https://chat.example.com")?;
        let token = filled_secret(self.chatwoot_api_token.clone());
        let token = token.ok_or(SettingsError::ChatwootToken)?;
        Ok(Some(ChatwootSettings { base_url, token }))
    }

    fn chat(&self) -> Result<Option<ChatSettings>, SettingsError> {
        let Some(key) = filled_secret(self.openai_api_key.clone()) else { return Ok(None) };
        let base_url = filled(Some(self.openai_base_url.clone()));
        let base_url = base_url.unwrap_or_else(|| "https://api.openai.com".to_owned());
        let base_url = address("OPENAI_BASE_URL", &base_url, "https://api.openai.com")?;
        let base_url = base_url.strip_suffix("/v1").unwrap_or(&base_url).to_owned();
        Ok(Some(ChatSettings { base_url, key, model: self.openai_model.clone() }))
    }
}

/// Whether `id` may name a machine: such an id goes into a response header.
pub fn is_machine_id(id: &str) -> bool {
    (1..=32).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

fn filled(value: Option<String>) -> Option<String> {
    value.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn filled_secret(value: Option<SecretString>) -> Option<SecretString> {
    value.filter(|secret| !secret.expose_secret().trim().is_empty())
}

fn split_secrets(list: Option<&SecretString>) -> Vec<SecretString> {
    let list = list.map(ExposeSecret::expose_secret).unwrap_or_default();
    list.split(',')
        .map(str::trim)
        .filter(|secret| !secret.is_empty())
        .map(SecretString::from)
        .collect()
}

/// An address without the slash at its end.
fn address(
    variable: &'static str,
    value: &str,
    example: &'static str,
) -> Result<String, SettingsError> {
    let refused = || SettingsError::Address { variable, value: value.to_owned(), example };
    let uri: http::Uri = value.parse().map_err(|_unreadable: http::uri::InvalidUri| refused())?;
    let web = matches!(uri.scheme_str(), Some("http" | "https"));
    if !web || uri.host().is_none_or(str::is_empty) {
        return Err(refused());
    }
    Ok(value.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Settings, SettingsError> {
        let words = ["agent-service"].iter().chain(words);
        Arguments::try_parse_from(words)?.check()
    }

    #[test]
    fn knowledge_is_reached_through_the_local_proxy_under_the_apps_name() {
        let words = ["--local-proxy", "http://127.0.0.1:9000", "--mcp-app", "knowledge-staging"];
        let settings = read(&words).unwrap();
        assert_eq!(settings.knowledge.url, "http://127.0.0.1:9000/mcp");
        assert_eq!(settings.knowledge.host.as_deref(), Some("knowledge-staging.localhost"));
    }

    #[test]
    fn without_a_local_proxy_the_app_is_reached_on_fly() {
        let settings = read(&["--mcp-app", "knowledge"]).unwrap();
        assert_eq!(settings.knowledge.url, "https://knowledge.fly.dev/mcp");
        assert_eq!(settings.knowledge.host, None);
        let settings = read(&[]).unwrap();
        assert_eq!(settings.knowledge.url, "http://127.0.0.1:8081/mcp");
    }

    #[test]
    fn a_given_knowledge_address_beats_the_proxy() {
        let words = [
            "--local-proxy=http://127.0.0.1:9000",
            "--mcp-app=a",
            "--mcp-url=http://127.0.0.1:7000/mcp",
        ];
        let settings = read(&words).unwrap();
        assert_eq!(settings.knowledge.url, "http://127.0.0.1:7000/mcp");
        assert_eq!(settings.knowledge.host, None);
    }

    #[test]
    fn an_empty_value_counts_as_none() {
        let settings = read(&["--openai-api-key=", "--api-token=", "--machine-id="]).unwrap();
        assert!(settings.chat.is_none());
        assert!(settings.api_token.is_none());
        assert!(settings.machine_id.is_none());
    }

    #[test]
    fn an_address_without_a_scheme_is_refused_by_its_variable() {
        let error = read(&["--mcp-url", "127.0.0.1:7000"]).unwrap_err().to_string();
        assert!(error.contains("`MCP_URL` is `127.0.0.1:7000`"), "{error}");
        assert!(error.contains("hint: write it like"), "{error}");
    }

    #[test]
    fn a_chatwoot_address_without_a_token_is_refused() {
        let error = read(&["--chatwoot-base-url=https://chat.example.com"]).unwrap_err();
        assert!(matches!(error, SettingsError::ChatwootToken));
    }

    #[test]
    fn both_secrets_of_a_rotation_are_taken() {
        let settings = read(&["--chatwoot-webhook-secret= new , old ,"]).unwrap();
        let secrets: Vec<&str> =
            settings.webhook_secrets.iter().map(ExposeSecret::expose_secret).collect();
        assert_eq!(secrets, ["new", "old"]);
    }

    #[test]
    fn a_machine_id_that_could_not_stand_in_a_header_is_refused() {
        let error = read(&["--machine-id=a b"]).unwrap_err();
        assert!(matches!(error, SettingsError::Machine(_)));
    }

    #[test]
    fn secrets_are_not_printed() {
        let settings = read(&["--api-token=open-sesame", "--openai-api-key=sk-1"]).unwrap();
        let text = format!("{settings:?}");
        assert!(!text.contains("open-sesame") && !text.contains("sk-1"), "{text}");
    }
}
