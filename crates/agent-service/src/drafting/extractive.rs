//! A draft without a model: the best passage, quoted, with where it stands.

use crate::approvals::Citation;
use crate::queue::Customer;

/// Longest quotation, in characters; the citation still names the whole passage.
const QUOTE_MAX_CHARS: usize = 3_000;

/// The reply that quotes `passage`.
pub(super) fn text(customer: &Customer, passage: &Citation) -> String {
    let greeting = match &customer.name {
        Some(name) => format!("Hello {name},"),
        None => "Hello,".to_owned(),
    };
    let mut quote: String = passage.text.trim().chars().take(QUOTE_MAX_CHARS).collect();
    if quote.len() < passage.text.trim().len() {
        quote.push('…');
    }
    let Citation { title, path, start, end, .. } = passage;
    let place = match start.zip(*end) {
        Some((start, end)) => format!("{path}, characters {start}–{end}"),
        None => path.clone(),
    };
    format!("{greeting}\n\n{quote}\n\nFrom “{title}” ({place}).")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(text: &str) -> Citation {
        Citation {
            title: "Returns".to_owned(),
            path: "returns.md".to_owned(),
            heading: None,
            start: Some(120),
            end: Some(171),
            score: None,
            text: text.to_owned(),
        }
    }

    #[test]
    fn the_passage_is_quoted_with_its_place() {
        let customer = Customer { name: Some("Ana".to_owned()), email: None };
        let text = text(&customer, &passage(" Unused parts can be returned within 30 days. "));
        insta::assert_snapshot!(text, @r"
        Hello Ana,

        Unused parts can be returned within 30 days.

        From “Returns” (returns.md, characters 120–171).
        ");
    }

    #[test]
    fn a_long_passage_is_cut_and_says_so() {
        let customer = Customer { name: None, email: None };
        let text = text(&customer, &passage(&"é".repeat(QUOTE_MAX_CHARS + 1)));
        assert!(text.starts_with("Hello,\n\né") && text.contains("é…\n\nFrom"), "{text}");
    }
}
