//! A check of a server that speaks MCP: its tools are listed, one is called, and its answer must
//! cite where it is from. It speaks to nobody itself.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::expectation::read_json;
use super::scope::Scope;
use super::step::{LIMIT_MS, read_headers, read_path};
use crate::project::reader::Table;

/// Where servers usually speak MCP.
const PATH: &str = "/mcp";

/// How long each question may take unless the file says otherwise.
const WITHIN_MS: u64 = 5 * 1000;

/// How many questions there are: agreeing on the protocol, listing, calling.
const QUESTIONS: u64 = 3;

/// A call of one tool of an MCP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct McpCheck {
    /// Path of the endpoint; `/mcp` by default.
    pub path: String,
    /// Header names in lower case with their values.
    pub headers: BTreeMap<String, String>,
    /// The tool that must be listed and is called.
    pub tool: String,
    /// The arguments of the call, an object.
    pub arguments: Json,
    /// Text that a citation must have in its title, path, address or quotation.
    pub cites: Option<String>,
    /// Each question must be answered within this time, in milliseconds; 5 s by default.
    pub within_ms: u64,
}

impl McpCheck {
    /// How long it may take in all, in milliseconds.
    pub fn limit_ms(&self) -> u64 {
        self.within_ms.saturating_mul(QUESTIONS).min(LIMIT_MS)
    }

    pub(super) fn read(table: &mut Table<'_>, scope: &Scope) -> Self {
        let path = table.take("path").and_then(|value| read_path(&value, scope));
        let headers = read_headers(table, scope).unwrap_or_default();
        let (tool, _) = table.required_line("tool", "\"search\"");
        let arguments = table.take("arguments").and_then(|value| {
            if !value.raw().is_table() {
                value
                    .refuse("must be a table", "write for example `arguments = { query = \"…\" }`");
                return None;
            }
            read_json(&value)
        });
        let cites = table.take("cites").and_then(|value| value.line());
        let within = table.take("within").and_then(|value| value.millis(&(1..=LIMIT_MS)));
        Self {
            path: path.unwrap_or_else(|| PATH.to_owned()),
            headers,
            tool,
            arguments: arguments.unwrap_or_else(|| Json::Object(serde_json::Map::new())),
            cites,
            within_ms: within.unwrap_or(WITHIN_MS),
        }
    }
}
