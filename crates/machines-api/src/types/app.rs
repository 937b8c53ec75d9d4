//! An app: a name under which machines, secrets and an address are kept.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct App {
    pub id: String,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_numeric_id: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// `pending`, `deployed` or `suspended`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    pub machine_count: u64,
    pub volume_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization: Option<Organization>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Organization {
    pub name: String,
    pub slug: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub internal_numeric_id: Option<u64>,
}

/// Body of `POST /v1/apps`. Fly's documents call the name `app_name`, its client
/// `name`; both are read, also side by side, and `name` is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "CreateAppAsSent")]
pub struct CreateApp {
    pub name: String,
    pub org_slug: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct CreateAppAsSent {
    name: Option<String>,
    app_name: Option<String>,
    #[serde(deserialize_with = "super::reading::null_as_default")]
    org_slug: String,
    network: Option<String>,
}

impl TryFrom<CreateAppAsSent> for CreateApp {
    type Error = &'static str;

    fn try_from(sent: CreateAppAsSent) -> Result<Self, Self::Error> {
        let CreateAppAsSent { name, app_name, org_slug, network } = sent;
        let name = name.or(app_name).ok_or("missing field `name`")?;
        Ok(Self { name, org_slug, network })
    }
}

/// Reply to `GET /v1/apps`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppList {
    pub total_apps: u64,
    #[serde(deserialize_with = "super::reading::null_as_default")]
    pub apps: Vec<App>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_app_is_named_by_either_name_or_both() {
        for text in [
            r#"{"name": "shop"}"#,
            r#"{"app_name": "shop", "name": null}"#,
            r#"{"app_name": "shop", "name": "shop", "org_slug": "personal"}"#,
        ] {
            let read: CreateApp = serde_json::from_str(text).expect("a body");
            assert_eq!(read.name, "shop", "{text}");
        }
        assert!(serde_json::from_str::<CreateApp>("{}").is_err());
    }

    #[test]
    fn both_spellings_of_the_name_are_read() {
        for body in [r#"{"name":"a","org_slug":"o"}"#, r#"{"app_name":"a","org_slug":"o"}"#] {
            assert_eq!(serde_json::from_str::<CreateApp>(body).unwrap().name, "a");
        }
    }
}
