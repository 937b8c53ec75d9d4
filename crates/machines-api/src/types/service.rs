//! A service of a machine: the port that the proxy hands requests to, and how.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::check::Check;
use super::reading::null_as_default;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// `tcp` or `udp`.
    #[serde(default)]
    pub protocol: String,
    #[serde(default)]
    pub internal_port: u16,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostart: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autostop: Option<Autostop>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_machines_running: Option<u32>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub ports: Vec<Port>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub checks: Vec<Check>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<Concurrency>,
    /// Fields this crate doesn't know, kept as they came.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

/// A port, or a range of ports, of the app's public address.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
pub struct Port {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_port: Option<u16>,
    /// `http`, `tls`, `proxy_proto`, `pg_tls`, ….
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub handlers: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub force_https: Option<bool>,
    /// `tls_options`, `http_options`, `proxy_proto_options` and what else stands there.
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_field_names, reason = "the names on the wire")]
pub struct Concurrency {
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub concurrency_type: Option<ConcurrencyType>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_limit: Option<u32>,
    /// No limit when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_limit: Option<u32>,
    #[serde(flatten)]
    pub rest: BTreeMap<String, Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ConcurrencyType {
    Connections,
    Requests,
    #[serde(untagged)]
    Other(String),
}

/// What the proxy does with a machine that isn't needed. Fly's API writes
/// `false`, `true` and `"suspend"`, and reads `"off"` and `"stop"` too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Autostop {
    #[default]
    Off,
    Stop,
    Suspend,
}

impl Serialize for Autostop {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_bool(false),
            Self::Stop => serializer.serialize_bool(true),
            Self::Suspend => serializer.serialize_str("suspend"),
        }
    }
}

impl<'de> Deserialize<'de> for Autostop {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "`off`, `stop`, `suspend`, true or false")]
        enum Written {
            Flag(bool),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Flag(false) => Ok(Self::Off),
            Written::Flag(true) => Ok(Self::Stop),
            Written::Word(word) => match word.as_str() {
                "off" => Ok(Self::Off),
                "stop" => Ok(Self::Stop),
                "suspend" => Ok(Self::Suspend),
                other => Err(serde::de::Error::custom(format!(
                    "autostop is `{other}`, but must be `off`, `stop`, `suspend`, true or false"
                ))),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autostop_is_written_as_fly_writes_it() {
        for (read, written) in [
            ("true", "true"),
            ("false", "false"),
            (r#""off""#, "false"),
            (r#""stop""#, "true"),
            (r#""suspend""#, r#""suspend""#),
        ] {
            let autostop: Autostop = serde_json::from_str(read).unwrap();
            assert_eq!(serde_json::to_string(&autostop).unwrap(), written);
        }
        assert!(serde_json::from_str::<Autostop>(r#""true""#).is_err());
    }
}
