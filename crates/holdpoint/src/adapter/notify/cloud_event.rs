//! A message as a CloudEvent (version 1.0, HTTP binding), and as a CDEvent (version 0.4.1) inside
//! it where that vocabulary has a word for what happened. The project as a whole is CDEvents'
//! service: its services change version together.

use std::fmt::Write as _;

use holdpoint_core::effect::{Milestone, Notice};
use holdpoint_core::project::EventFormat;
use reqwest::RequestBuilder;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

/// The version of CDEvents whose shapes are sent.
const CDEVENTS_VERSION: &str = "0.4.1";

/// One event. Its id is the same whenever the same message is sent, on whatever channel, and no
/// other journal's message has it.
#[derive(Debug)]
pub(super) struct CloudEvent {
    attributes: Vec<(&'static str, String)>,
    data: Value,
}

impl CloudEvent {
    pub(super) fn new(notice: &Notice) -> Self {
        let about = &notice.about;
        let source = format!("/holdpoint/{}", about.project);
        let subject = about.incident.map(|incident| incident.to_string());
        let subject = subject.or_else(|| about.release.map(|release| release.to_string()));
        let subject = subject.unwrap_or_else(|| about.project.clone());
        let kind = notice.kind.as_str();
        let id = format!("{subject}/{kind}/{}", digest(notice));
        let event_type =
            about.milestone.map_or_else(|| format!("dev.holdpoint.{kind}"), cdevent_type);
        let data = match about.milestone {
            Some(milestone) => cdevent(notice, milestone, &id, &source),
            None => own_data(notice),
        };
        let attributes = vec![
            ("specversion", "1.0".to_owned()),
            ("id", id),
            ("source", source),
            ("type", event_type),
            ("time", notice.at.to_string()),
            ("subject", subject),
        ];
        Self { attributes, data }
    }

    pub(super) fn put_into(&self, request: RequestBuilder, format: EventFormat) -> RequestBuilder {
        match format {
            EventFormat::Structured => {
                let attributes = self.attributes.iter();
                let mut event: Map<String, Value> = attributes
                    .map(|(name, value)| ((*name).to_owned(), Value::from(value.as_str())))
                    .collect();
                event.insert("datacontenttype".to_owned(), Value::from("application/json"));
                event.insert("data".to_owned(), self.data.clone());
                let body = Value::Object(event).to_string();
                request.header(CONTENT_TYPE, "application/cloudevents+json").body(body)
            }
            EventFormat::Binary => {
                let attributes = self.attributes.iter();
                let request = attributes.fold(request, |request, (name, value)| {
                    request.header(format!("ce-{name}"), percent_encoded(value))
                });
                request.header(CONTENT_TYPE, "application/json").body(self.data.to_string())
            }
        }
    }
}

/// Tells two messages of the same kind about the same thing apart, also those of two journals:
/// the time in it is that of the decision.
fn digest(notice: &Notice) -> String {
    let written = format!("{}\n{}", notice.at, notice.text);
    let digest = Sha256::digest(written.as_bytes());
    hex::encode(digest.get(..8).unwrap_or_default())
}

fn own_data(notice: &Notice) -> Value {
    let facts: Map<String, Value> = notice
        .facts
        .iter()
        .map(|fact| (fact.name.clone(), Value::from(fact.value.as_str())))
        .collect();
    json!({
        "kind": notice.kind,
        "text": notice.text,
        "facts": facts,
        "about": notice.about,
    })
}

fn cdevent_type(milestone: Milestone) -> String {
    let word = match milestone {
        Milestone::Deployed => "service.deployed",
        Milestone::RolledBack => "service.rolledback",
        Milestone::IncidentDetected => "incident.detected",
        Milestone::IncidentResolved => "incident.resolved",
    };
    format!("dev.cdevents.{word}.0.2.0")
}

fn cdevent(notice: &Notice, milestone: Milestone, id: &str, source: &str) -> Value {
    let about = &notice.about;
    let environment =
        about.environment.map_or_else(|| "production".to_owned(), |one| one.to_string());
    let artifact = about.version.as_ref();
    let artifact = artifact.map(|version| format!("pkg:generic/{}@{version}", about.project));
    let mut content = json!({"environment": {"id": environment}});
    if let (Some(artifact), Some(content)) = (artifact, content.as_object_mut()) {
        content.insert("artifactId".to_owned(), Value::from(artifact));
    }
    let subject = match milestone {
        Milestone::Deployed | Milestone::RolledBack => {
            json!({"id": about.project, "type": "service", "content": content})
        }
        Milestone::IncidentDetected | Milestone::IncidentResolved => {
            if let Some(content) = content.as_object_mut() {
                content.insert("description".to_owned(), Value::from(notice.text.as_str()));
                content.insert("service".to_owned(), json!({"id": about.project}));
            }
            let incident = about.incident.map_or_else(String::new, |one| one.to_string());
            json!({"id": incident, "type": "incident", "content": content})
        }
    };
    json!({
        "context": {
            "version": CDEVENTS_VERSION,
            "id": id,
            "source": source,
            "type": cdevent_type(milestone),
            "timestamp": notice.at.to_string(),
        },
        "subject": subject,
        "customData": own_data(notice),
        "customDataContentType": "application/json",
    })
}

/// A header's value as the HTTP binding spells it (section 3.1.3.2).
fn percent_encoded(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for one in value.bytes() {
        match one {
            b'"' | b'%' | b' ' | 0..=0x20 | 0x7f..=0xff => {
                // writing to a string can't fail
                let _infallible = write!(encoded, "%{one:02X}");
            }
            _ => encoded.push(char::from(one)),
        }
    }
    encoded
}
