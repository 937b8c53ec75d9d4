//! Reads a webhook's body: either a customer's message, or the reason why it is none of ours.
//!
//! It believes no shape: a field of another type is a reason to ignore, not an error, because
//! Chatwoot turns off a webhook that answers with errors.

use serde_json::Value;

use crate::queue::{Customer, IncomingMessage};

/// Longest message that is kept, in characters; the rest is cut off.
const CONTENT_MAX_CHARS: usize = 20_000;
/// Longest name and address.
const NAME_MAX_CHARS: usize = 300;

/// What a webhook turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Webhook {
    Message(IncomingMessage),
    Ignored { reason: String },
}

/// Reads a JSON object as a webhook. `account_id` is the only account that is served; without
/// it, every account is, and a webhook that names none belongs to account 0.
pub(crate) fn read(body: &Value, account_id: Option<i64>) -> Webhook {
    match message(body, account_id) {
        Ok(message) => Webhook::Message(message),
        Err(reason) => Webhook::Ignored { reason },
    }
}

fn message(body: &Value, served: Option<i64>) -> Result<IncomingMessage, String> {
    let event = body.get("event").and_then(Value::as_str).unwrap_or("nothing");
    if event != "message_created" {
        return Err(format!("the event is {}, not message_created", shortened(event, 60)));
    }
    if !is_incoming(body.get("message_type")) {
        return Err("the message isn't incoming".to_owned());
    }
    if body.get("private").and_then(Value::as_bool).unwrap_or(false) {
        return Err("the message is private".to_owned());
    }
    let sender = body.get("sender").unwrap_or(&Value::Null);
    if sender.get("type").and_then(Value::as_str) != Some("contact") {
        return Err("the sender isn't a contact".to_owned());
    }
    let given = body.pointer("/account/id").and_then(Value::as_i64);
    let account_id = match (served, given) {
        (Some(served), Some(given)) if served != given => {
            return Err(format!("account {given} isn't the one that is served"));
        }
        (Some(served), _) => served,
        (None, given) => given.unwrap_or(0),
    };
    let identifier = |pointer: &str, name: &str| {
        let number = body.pointer(pointer).and_then(Value::as_i64).filter(|number| *number > 0);
        number.ok_or_else(|| format!("{name} isn't a positive number"))
    };
    let content = body.get("content").and_then(Value::as_str).map(str::trim).unwrap_or_default();
    if content.is_empty() {
        return Err("the message has no text".to_owned());
    }
    let text = |name: &str| {
        let value = sender.get(name).and_then(Value::as_str).map(str::trim);
        value.filter(|value| !value.is_empty()).map(|value| shortened(value, NAME_MAX_CHARS))
    };
    Ok(IncomingMessage {
        account_id,
        message_id: identifier("/id", "the message's id")?,
        conversation_id: identifier("/conversation/id", "the conversation's id")?,
        customer: Customer { name: text("name"), email: text("email") },
        content: shortened(content, CONTENT_MAX_CHARS),
    })
}

/// Webhooks write the word, the REST API the number.
fn is_incoming(message_type: Option<&Value>) -> bool {
    message_type
        .is_some_and(|value| value.as_str() == Some("incoming") || value.as_i64() == Some(0))
}

fn shortened(text: &str, max_chars: usize) -> String {
    text.chars().take(max_chars).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn webhook() -> Value {
        json!({
            "event": "message_created", "id": 42, "content": " Where is my order? ",
            "message_type": "incoming", "private": false,
            "sender": {"id": 9, "name": "Ana", "email": "ana@example.com", "type": "contact"},
            "conversation": {"id": 7, "status": "open"}, "account": {"id": 3}
        })
    }

    fn changed(pointer: &str, value: Value) -> Value {
        let mut body = webhook();
        *body.pointer_mut(pointer).unwrap() = value;
        body
    }

    #[test]
    fn a_customers_message_is_taken() {
        let expected = IncomingMessage {
            account_id: 3,
            message_id: 42,
            conversation_id: 7,
            customer: Customer {
                name: Some("Ana".to_owned()),
                email: Some("ana@example.com".to_owned()),
            },
            content: "Where is my order?".to_owned(),
        };
        assert_eq!(read(&webhook(), None), Webhook::Message(expected));
    }

    #[test]
    fn the_number_0_is_incoming_too() {
        let read = read(&changed("/message_type", json!(0)), Some(3));
        assert!(matches!(read, Webhook::Message(_)));
    }

    #[test]
    fn everything_else_is_ignored_with_its_reason() {
        let cases = [
            (changed("/event", json!("conversation_updated")), "the event is conversation_updated"),
            (changed("/event", json!(5)), "the event is nothing"),
            (changed("/message_type", json!("outgoing")), "isn't incoming"),
            (changed("/message_type", json!(1)), "isn't incoming"),
            (changed("/private", json!(true)), "private"),
            (changed("/sender/type", json!("user")), "isn't a contact"),
            (changed("/sender", json!("Ana")), "isn't a contact"),
            (changed("/id", json!("42")), "the message's id"),
            (changed("/conversation", json!(null)), "the conversation's id"),
            (changed("/content", json!("  ")), "no text"),
            (changed("/content", json!(["a"])), "no text"),
            (changed("/account/id", json!(4)), "account 4"),
            (json!([]), "the event is nothing"),
            (json!(null), "the event is nothing"),
        ];
        for (body, expected) in cases {
            let Webhook::Ignored { reason } = read(&body, Some(3)) else {
                panic!("taken: {body}");
            };
            assert!(reason.contains(expected), "{reason} for {body}");
        }
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let body = changed("/content", json!("é".repeat(CONTENT_MAX_CHARS + 5)));
        let Webhook::Message(message) = read(&body, None) else { panic!("ignored") };
        assert_eq!(message.content.chars().count(), CONTENT_MAX_CHARS);
    }
}
