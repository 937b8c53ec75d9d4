//! One spelling for one value: JSON with sorted keys, and digests over it.
//!
//! It does not depend on the order in which a map was built, so that equal plans have equal
//! digests whoever made them.

use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// The value as JSON text whose object keys are sorted at every depth.
///
/// # Panics
/// If the value's `Serialize` fails, which no type of this crate does.
pub fn text(value: &impl Serialize) -> String {
    let value = serde_json::to_value(value).expect("our types serialise");
    sorted(value).to_string()
}

/// `sha256:` and the hexadecimal digest of [`text`].
pub fn digest(value: &impl Serialize) -> String {
    sha256(text(value).as_bytes())
}

/// `sha256:` and the hexadecimal digest of the bytes.
pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            entries.sort_by(|left, right| left.0.cmp(&right.0));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        plain @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => plain,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn the_order_of_keys_does_not_change_the_digest() {
        let left = json!({"b": {"y": 1, "x": 2}, "a": [ {"d": 1, "c": 2} ]});
        let right = json!({"a": [ {"c": 2, "d": 1} ], "b": {"x": 2, "y": 1}});
        assert_eq!(super::digest(&left), super::digest(&right));
        assert_eq!(super::text(&left), r#"{"a":[{"c":2,"d":1}],"b":{"x":2,"y":1}}"#);
    }
}
