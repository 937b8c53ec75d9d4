//! Text with variables: `{name}` stands for what an earlier step captured or what the run brings,
//! `{env:NAME}` for a variable of the conductor's own environment. Every other brace is text, so
//! that JSON stands as it is. It knows no values; whoever asks brings them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Unique in each run, as text: digits, letters and hyphens.
pub const RUN: &str = "run";

/// Unique in each run, as a positive whole number that any JSON reader keeps exactly.
pub const RUN_NUMBER: &str = "run_number";

/// The name of the environment that is asked.
pub const ENVIRONMENT: &str = "environment";

/// What begins the name of a variable of the conductor's environment. Its value is a secret.
pub const ENV: &str = "env:";

/// What every run brings.
pub(super) const BUILT_IN: [&str; 3] = [RUN, RUN_NUMBER, ENVIRONMENT];

/// Values by the names of their variables.
pub type Variables = BTreeMap<String, String>;

/// A text's parts, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'a> {
    Text(&'a str),
    Variable(&'a str),
}

/// The names of the variables in a text, in order.
pub fn variables(text: &str) -> Vec<&str> {
    let names = parts(text).into_iter().filter_map(|part| match part {
        Part::Variable(name) => Some(name),
        Part::Text(_) => None,
    });
    names.collect()
}

/// The text with each variable's value, encoded for the place that it gets into.
///
/// # Errors
/// The name of the first variable that has no value.
pub fn fill(
    text: &str,
    values: &Variables,
    encode: impl Fn(&str) -> String,
) -> Result<String, String> {
    let mut filled = String::with_capacity(text.len());
    for part in parts(text) {
        match part {
            Part::Text(text) => filled.push_str(text),
            Part::Variable(name) => {
                let value = values.get(name).ok_or_else(|| name.to_owned())?;
                filled.push_str(&encode(value));
            }
        }
    }
    Ok(filled)
}

/// For places that take any text.
pub fn as_it_is(value: &str) -> String {
    value.to_owned()
}

/// For the inside of a JSON text or for a whole JSON number.
pub fn as_json(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    let inside = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    inside.unwrap_or_default().to_owned()
}

/// For a segment of a path or the value of a query (RFC 3986: all but the unreserved).
pub fn as_path(value: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else if write!(encoded, "%{byte:02X}").is_err() {
            // a String takes everything
        }
    }
    encoded
}

fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut searched = 0;
    while let Some(open) = rest.get(searched..).and_then(|tail| tail.find('{')) {
        let open = searched + open;
        let after = rest.get(open + 1..).unwrap_or_default();
        let name = after.split_once('}').map_or("", |(name, _)| name);
        if is_name(name) {
            parts.push(Part::Text(rest.get(..open).unwrap_or_default()));
            parts.push(Part::Variable(name));
            rest = after.get(name.len() + 1..).unwrap_or_default();
            searched = 0;
        } else {
            searched = open + 1;
        }
    }
    parts.push(Part::Text(rest));
    parts
}

fn is_name(name: &str) -> bool {
    match name.strip_prefix(ENV) {
        Some(name) => is_environment_variable(name),
        None => is_variable(name),
    }
}

/// Whether a capture can have this name.
pub(super) fn is_variable(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

/// Whether a variable of an environment can have this name.
pub(in crate::project) fn is_environment_variable(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Variables {
        let pairs = [("id", "a/b \"c\""), ("env:TOKEN", "secret"), ("run_number", "7")];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    #[test]
    fn json_needs_no_escapes_around_variables() {
        let body = r#"{"id":"{id}","list":[{}],"number":{run_number},"open":{"#;
        assert_eq!(variables(body), ["id", "run_number"]);
        let filled = fill(body, &values(), as_json).expect("all are known");
        assert_eq!(filled, r#"{"id":"a/b \"c\"","list":[{}],"number":7,"open":{"#);
    }

    #[test]
    fn a_value_does_not_break_out_of_the_path_that_it_gets_into() {
        let filled = fill("/items/{id}?n={run_number}", &values(), as_path);
        assert_eq!(filled.expect("all are known"), "/items/a%2Fb%20%22c%22?n=7");
    }

    #[test]
    fn the_environment_is_named_apart_and_what_is_unknown_is_told() {
        assert_eq!(fill("Bearer {env:TOKEN}", &values(), as_it_is).as_deref(), Ok("Bearer secret"));
        assert_eq!(fill("{else}", &values(), as_it_is), Err("else".to_owned()));
        assert_eq!(variables("{ shop } {Shop} {env:} {env:1} {{id}} {"), ["id"]);
    }
}
