//! Where signals come from, if not from the platform's own metrics. It asks nobody.

use serde::{Deserialize, Serialize};

use super::channel::read_variable;
use super::reader::Table;

/// The source of signals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetrySource {
    /// The base of a Prometheus HTTP API that has the platform's metrics; without one they are
    /// scraped from the platform.
    pub prometheus: Option<String>,
    /// The environment variable that holds the token for it. Fly's own takes the platform's.
    pub token_from: Option<String>,
}

impl TelemetrySource {
    pub(super) fn read(root: &mut Table<'_>) -> Self {
        root.table("telemetry", Self::read_table).unwrap_or_default()
    }

    fn read_table(table: &mut Table<'_>) -> Self {
        let prometheus = table.take("prometheus").and_then(|value| {
            let url = value.line()?;
            if !url.starts_with("https://") && !url.starts_with("http://") {
                value.refuse(
                    format!("is `{url}`, which is no address"),
                    "write it as `prometheus = \"https://api.fly.io/prometheus/personal\"`",
                );
                return None;
            }
            Some(url)
        });
        let token_from = table.take("token_from").and_then(|value| read_variable(&value));
        Self { prometheus, token_from }
    }
}
