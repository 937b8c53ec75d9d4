//! What the service is told from outside: flags and environment, read once at start.
//!
//! It decides which `Host` and `Origin` values are the service's own; it opens nothing.

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use clap::Parser;

/// Serves a folder of Markdown articles to MCP clients: search with citations, at `/mcp`.
///
/// Beside `/mcp` it answers `/health`, `/ready` and `/metrics`. SIGTERM and SIGINT drain it:
/// requests in flight are answered, then it leaves with status 0.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "llamaindex-mcp",
    version,
    after_help = "Exit status: 0 after a drain, 1 when serving is impossible (port taken), \
                  2 when a setting is wrong (no such docs folder)."
)]
pub struct Settings {
    /// Port to listen on; 0 takes a free one, which the log names
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,

    /// Address to listen on
    #[arg(long, env = "LISTEN_ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::UNSPECIFIED))]
    pub address: IpAddr,

    /// Folder of the Markdown articles, read with its subfolders
    #[arg(long, env = "DOCS_DIR", default_value = "docs", value_name = "DIR")]
    pub docs: PathBuf,

    /// Folder in which the index is kept, made when missing
    #[arg(long, env = "INDEX_DIR", default_value = "index", value_name = "DIR")]
    pub index: PathBuf,

    /// Host names by which clients may call /mcp, comma-separated, any port; `*.example.com`
    /// stands for its subdomains [default: loopback names, *.localhost, and the app's own
    /// names when FLY_APP_NAME is set]
    #[arg(long, env = "ALLOWED_HOSTS", value_delimiter = ',', value_name = "HOSTS")]
    pub allowed_hosts: Vec<String>,

    /// Web origins whose pages may call /mcp, comma-separated [default: the loopback ones]
    #[arg(long, env = "ALLOWED_ORIGINS", value_delimiter = ',', value_name = "ORIGINS")]
    pub allowed_origins: Vec<String>,

    /// Version to report, when it is not the crate's own
    #[arg(long, env = "SERVICE_VERSION", default_value = env!("CARGO_PKG_VERSION"), hide = true)]
    pub service_version: String,

    /// Name of the app on Fly
    #[arg(long, env = "FLY_APP_NAME", hide = true)]
    pub fly_app_name: Option<String>,

    /// What to log, as `tracing` filters
    #[arg(long, env = "RUST_LOG", default_value = "info", value_name = "FILTER")]
    pub log: String,
}

impl Settings {
    /// The host patterns that /mcp accepts: those of the settings, else the defaults.
    pub fn host_patterns(&self) -> Vec<String> {
        let told = non_empty(&self.allowed_hosts);
        if !told.is_empty() {
            return told;
        }
        let mut hosts: Vec<String> =
            ["localhost", "127.0.0.1", "::1", "*.localhost"].map(str::to_owned).into();
        if let Some(app) = self.fly_app_name.as_deref().filter(|app| !app.is_empty()) {
            // `.internal` and `.flycast` are the names inside the organisation's own network.
            for domain in ["fly.dev", "internal", "flycast"] {
                hosts.push(format!("{app}.{domain}"));
            }
        }
        hosts
    }

    /// The origins that /mcp accepts. Never empty: an empty list would turn the check off.
    pub fn origins(&self) -> Vec<String> {
        let told = non_empty(&self.allowed_origins);
        if !told.is_empty() {
            return told;
        }
        ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"].map(str::to_owned).into()
    }
}

/// Whether a `Host` header's value names one of `patterns`, at whatever port.
///
/// A pattern is a name, or `*.` and a name for all its subdomains (not the name itself).
pub fn host_is_allowed(host: &str, patterns: &[String]) -> bool {
    let Ok(authority) = host.parse::<http::uri::Authority>() else { return false };
    if authority.as_str().contains('@') {
        return false;
    }
    let name = bare_name(authority.host());
    patterns.iter().any(|pattern| match pattern.strip_prefix("*.") {
        Some(parent) => name
            .strip_suffix(&bare_name(parent))
            .and_then(|rest| rest.strip_suffix('.'))
            .is_some_and(|label| !label.is_empty()),
        None => name == bare_name(pattern),
    })
}

fn bare_name(name: &str) -> String {
    name.trim_matches(['[', ']']).trim_end_matches('.').to_ascii_lowercase()
}

fn non_empty(values: &[String]) -> Vec<String> {
    values.iter().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(arguments: &[&str]) -> Settings {
        Settings::try_parse_from([&["llamaindex-mcp"], arguments].concat()).expect("arguments")
    }

    #[test]
    fn loopback_and_local_app_names_are_welcome_at_any_port() {
        let hosts = settings(&[]).host_patterns();
        for host in ["localhost", "localhost:8080", "127.0.0.1:9", "[::1]:80", "App.LOCALHOST:80"] {
            assert!(host_is_allowed(host, &hosts), "{host}");
        }
    }

    #[test]
    fn a_rebound_or_odd_host_is_refused() {
        let hosts = settings(&[]).host_patterns();
        for host in ["evil.example", "localhost.evil.example", "", "a b", "x@localhost", "."] {
            assert!(!host_is_allowed(host, &hosts), "{host}");
        }
    }

    #[test]
    fn an_app_on_fly_answers_to_its_own_names_only() {
        let hosts = settings(&["--fly-app-name", "kb-staging"]).host_patterns();
        assert!(host_is_allowed("kb-staging.fly.dev", &hosts));
        assert!(host_is_allowed("kb-staging.localhost:4280", &hosts));
        assert!(!host_is_allowed("kb.fly.dev", &hosts));
    }

    #[test]
    fn told_hosts_replace_the_defaults() {
        let hosts =
            settings(&["--allowed-hosts", "kb.example.com, *.shop.example"]).host_patterns();
        assert!(host_is_allowed("kb.example.com:443", &hosts));
        assert!(host_is_allowed("a.shop.example", &hosts));
        assert!(!host_is_allowed("shop.example", &hosts));
        assert!(!host_is_allowed("localhost", &hosts));
    }

    #[test]
    fn origins_are_never_an_empty_list() {
        assert!(!settings(&["--allowed-origins", " ,"]).origins().is_empty());
    }
}
