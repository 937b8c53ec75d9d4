//! `[[files]]` and `[[statics]]`: what is put into a machine beside its image, and what the proxy
//! serves by itself. Files of this computer are not read here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::PerGroup;
use super::diagnostic::{Problem, Problems};
use super::section::{Form, Section};

/// Where a file's content may come from, in the order in which Fly's client looks.
const SOURCES: [&str; 3] = ["local_path", "secret_name", "raw_value"];

pub(super) fn files(root: &Section<'_>, problems: &mut Problems) -> Vec<PerGroup<Value>> {
    let sections = root.sections("files", Form::List, problems);
    sections
        .iter()
        .filter_map(|section| {
            let processes = section.strings("processes", problems);
            file(section, problems).map(|value| PerGroup { value, processes })
        })
        .collect()
}

fn file(section: &Section<'_>, problems: &mut Problems) -> Option<Value> {
    needs(section, "guest_path", "/etc/app.conf", problems);
    let mut fields = Map::new();
    let guest_path = section.string("guest_path", problems)?;
    fields.insert("guest_path".to_owned(), guest_path.into());
    let given: Vec<&str> = SOURCES.into_iter().filter(|key| section.get(key).is_some()).collect();
    let texts = SOURCES.map(|key| section.string(key, problems));
    match given.as_slice() {
        [] => {
            let message = "this file has no content".to_owned();
            let hint = format!("write one of `{}`", SOURCES.join("`, `"));
            problems.add(&section.span, message, hint);
        }
        [_] => {}
        [first, ..] => {
            let message = format!("this file has several contents, and `{first}` is taken");
            problems.push(Problem::warning(&section.span, message, "leave only one of them"));
        }
    }
    match texts {
        // Only whoever deploys from here can read it; the machine config has no place for it.
        [Some(_), ..] => {
            let message = "`local_path` is not sent along by Holdpoint".to_owned();
            let hint = "put the file into the image, or write `raw_value` or `secret_name`";
            problems.push(Problem::warning(&section.span, message, hint));
            return None;
        }
        [None, Some(secret), _] => fields.insert("secret_name".to_owned(), secret.into()),
        [None, None, Some(raw)] => {
            fields.insert("raw_value".to_owned(), STANDARD.encode(raw).into())
        }
        [None, None, None] => return None,
    };
    Some(Value::Object(fields))
}

pub(super) fn statics(root: &Section<'_>, problems: &mut Problems) -> Vec<Value> {
    let sections = root.sections("statics", Form::List, problems);
    let read = sections.iter().map(|section| {
        needs(section, "guest_path", "/app/public", problems);
        needs(section, "url_prefix", "/public", problems);
        let keys = ["guest_path", "url_prefix", "tigris_bucket", "index_document"];
        let fields = keys
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), section.string(key, problems)?.into())));
        Value::Object(fields.collect())
    });
    read.collect()
}

fn needs(section: &Section<'_>, key: &str, example: &str, problems: &mut Problems) {
    if section.get(key).is_none() {
        let message = format!("`{}` needs a `{key}`", section.path);
        problems.add(&section.span, message, format!("write `{key} = \"{example}\"`"));
    }
}
