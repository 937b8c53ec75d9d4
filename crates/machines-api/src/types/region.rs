//! The regions of a platform, as `GET /v1/platform/regions` lists them.

use serde::{Deserialize, Serialize};

use super::reading::null_as_default;

/// Fly's file writes the keys in lower case, its live API with a capital: both are read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Regions {
    #[serde(alias = "Nearest")]
    pub nearest: String,
    #[serde(alias = "Regions", deserialize_with = "null_as_default")]
    pub regions: Vec<Region>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Region {
    pub code: String,
    pub name: String,
    pub latitude: f64,
    pub longitude: f64,
    pub gateway_available: bool,
    pub requires_paid_plan: bool,
    pub deprecated: bool,
}
