//! Tokens: one that may change a single app, and what a token is good for.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::reading::null_as_default;

/// Body of `POST …/deploy_token`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateDeployToken {
    /// A duration such as `720h`; 20 years when absent.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub expiry: String,
}

/// Reply to `POST …/deploy_token`. No debug text shows it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeployToken {
    pub token: String,
}

impl fmt::Debug for DeployToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DeployToken").finish_non_exhaustive()
    }
}

/// Reply to `GET /v1/tokens/current`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CurrentTokens {
    #[serde(deserialize_with = "null_as_default")]
    pub tokens: Vec<TokenInfo>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TokenInfo {
    pub token_id: String,
    pub organization: String,
    pub org_slug: String,
    /// The apps that it is restricted to; `*` for all.
    #[serde(deserialize_with = "null_as_default")]
    pub apps: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub user: String,
}
