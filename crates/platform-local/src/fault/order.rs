//! Reads an order for a fault, and refuses what makes no sense with what would.

use serde_json::{Map, Value};

use super::{
    kind::{Kind, Place},
    scope::{LIMITS, Scope},
};
use crate::error::Refusal;

/// A fault as it was ordered: one object with the fields of its kind and its limits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) kind: Kind,
    pub(crate) scope: Scope,
}

impl Order {
    /// Reads an order and checks it.
    pub(crate) fn read(body: &[u8]) -> Result<Self, Refusal> {
        let value = serde_json::from_slice(body).map_err(|error| {
            Refusal::bad_request(format!(
                "a fault is a JSON object: {error}\nhint: {}",
                r#"such as `{"kind":"error","status":500,"share":0.2,"app":"shop"}`"#
            ))
        })?;
        let order = Self::from_fields(value)?;
        order.check()?;
        Ok(order)
    }

    /// Parts the fields of the kind from the limits.
    pub(super) fn from_fields(fields: Map<String, Value>) -> Result<Self, Refusal> {
        let (limits, of_kind): (Map<_, _>, Map<_, _>) =
            fields.into_iter().partition(|(name, _)| LIMITS.contains(&name.as_str()));
        let unreadable = |error: serde_json::Error| {
            let limits = LIMITS.map(|limit| format!("`{limit}`")).join(", ");
            Refusal::bad_request(format!(
                "the fault cannot be read: {error}\nhint: every kind also takes its limits: {limits}"
            ))
        };
        let kind = serde_json::from_value(Value::Object(of_kind)).map_err(unreadable)?;
        let scope = serde_json::from_value(Value::Object(limits)).map_err(unreadable)?;
        Ok(Self { kind, scope })
    }

    /// All fields in one object.
    pub(super) fn fields(&self) -> Map<String, Value> {
        let mut fields = Map::new();
        for part in [serde_json::to_value(&self.kind), serde_json::to_value(&self.scope)] {
            if let Ok(Value::Object(part)) = part {
                fields.extend(part);
            } else {
                tracing::error!(kind = self.kind.name(), "a fault is no object");
            }
        }
        fields
    }

    fn check(&self) -> Result<(), Refusal> {
        self.kind.check()?;
        self.scope.check()?;
        let kind = self.kind.name();
        let refused = self.kind.refused_limits().iter().find(|limit| self.scope.has(limit));
        if let Some(limit) = refused {
            return Err(Refusal::bad_request(format!(
                "`{limit}` has no meaning for a fault of kind `{kind}`\nhint: leave it out"
            )));
        }
        if self.kind.place() == Place::Machine && !self.scope.names_somebody() {
            return Err(Refusal::bad_request(format!(
                "a fault of kind `{kind}` must say whom it strikes\nhint: name its `app`, \
                 `machine` or `image_digest`"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Order::read(text.as_bytes()).expect_err("refused").message
    }

    #[test]
    fn every_kind_is_read_and_written_as_it_was() {
        for text in [
            r#"{"kind":"latency","ms":100,"jitter_ms":20,"app":"shop","share":0.5}"#,
            r#"{"kind":"error","status":503,"machine":"m1","after":2,"count":3}"#,
            r#"{"kind":"reset","when":"mid_body","for_secs":60}"#,
            r#"{"kind":"kill","every_secs":5,"app":"shop"}"#,
            r#"{"kind":"slow_start","ms":100,"part":"readiness"}"#,
            r#"{"kind":"failing_check","check":"alive"}"#,
            r#"{"kind":"memory","app":"shop"}"#,
            r#"{"kind":"disk_full","app":"shop"}"#,
            r#"{"kind":"api_error","status":429,"message":"slow down","routes":["POST /v1/apps"]}"#,
            r#"{"kind":"api_lost","routes":["/v1/apps/*/machines/**"]}"#,
            r#"{"kind":"api_slow","ms":5,"app":"shop"}"#,
        ] {
            let order = Order::read(text.as_bytes()).expect(text);
            let written = Order::from_fields(order.fields()).expect("read again");
            assert_eq!(written, order, "{text}");
            let fields: Map<String, Value> = serde_json::from_str(text).expect("an object");
            assert!(fields.iter().all(|(name, value)| order.fields().get(name) == Some(value)));
        }
    }

    #[test]
    fn a_fault_that_makes_no_sense_is_refused_with_what_would() {
        for (text, told) in [
            ("[]", "a fault is a JSON object"),
            (r#"{"status":500}"#, "missing field `kind`"),
            (r#"{"kind":"boom"}"#, "expected one of `latency`, `error`"),
            (r#"{"kind":"latency","ms":1,"milliseconds":1}"#, "expected `ms` or `jitter_ms`"),
            (r#"{"kind":"memory","mb":1,"app":"a"}"#, "unknown field `mb`"),
            (r#"{"kind":"error","status":200}"#, "status must be from 400 to 599, and is 200"),
            (r#"{"kind":"error","status":500,"share":0}"#, "share must be above 0"),
            (r#"{"kind":"error","status":500,"for_secs":0}"#, "for_secs must be from 1"),
            (r#"{"kind":"kill"}"#, "must say whom it strikes"),
            (r#"{"kind":"kill","app":"a","share":0.5}"#, "`share` has no meaning"),
            (r#"{"kind":"error","status":500,"image_digest":"x"}"#, "image_digest cannot be read"),
            (r#"{"kind":"api_lost","routes":["v1/apps"]}"#, "`v1/apps` is no route"),
        ] {
            let found = refusal(text);
            assert!(found.contains(told), "{text}: {found}");
        }
        let hint = refusal(r#"{"kind":"latency","ms":1,"nonsense":1}"#);
        assert!(hint.contains("`image_digest`, `share`"), "{hint}");
    }
}
