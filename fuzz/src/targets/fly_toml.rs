//! A `fly.toml`: every problem has its place, what is mended can be read again and has lost no
//! comment, and an accepted file makes a config that survives the wire.

use machines_api::fly_toml::{Diagnostic, Severity, check, fix};
use machines_api::types::MachineConfig;
use toml_edit::DocumentMut;

pub(super) fn attempt(text: &str) {
    let checked = check(text, Severity::Warning);
    assert_places(text, &checked.diagnostics);
    let errors = count_errors(&checked.diagnostics);
    assert_eq!(checked.config.is_none(), errors > 0, "there is a config or an error");
    if let Some(config) = checked.config {
        let config = config.machine_config("image");
        let written = serde_json::to_string(&config).expect("a config can be written");
        let read: MachineConfig = serde_json::from_str(&written).expect("and read again");
        assert_eq!(read, config);
    }
    let fixed = fix(text, Severity::Warning);
    assert_places(&fixed.text, &fixed.left);
    assert!(count_errors(&fixed.left) <= errors, "mending makes nothing worse");
    assert_eq!(fix(&fixed.text, Severity::Warning).text, fixed.text, "mending twice changes it");
    if fixed.edits == 0 {
        assert_eq!(fixed.text, text);
        return;
    }
    fixed.text.parse::<DocumentMut>().expect("what is mended is TOML");
    let mut left = comments(&fixed.text);
    for comment in comments(text) {
        let place = left.iter().position(|known| *known == comment);
        assert!(place.is_some(), "the comment `{comment}` is lost in:\n{}", fixed.text);
        place.map(|place| left.swap_remove(place));
    }
}

fn count_errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics.iter().filter(|it| it.severity == Severity::Error).count()
}

fn assert_places(text: &str, diagnostics: &[Diagnostic]) {
    for diagnostic in diagnostics {
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1, "{diagnostic:?}");
        assert!(diagnostic.line <= text.matches('\n').count() + 1, "{diagnostic:?}");
        assert!(diagnostic.span.end <= text.len(), "{diagnostic:?}");
        assert!(!diagnostic.hint.is_empty(), "{diagnostic:?}");
    }
}

/// The comments of a text that is TOML.
fn comments(text: &str) -> Vec<&str> {
    let mut comments = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(['#', '"', '\'']) {
        rest = rest.split_at(start).1;
        if rest.starts_with('#') {
            let (comment, after) = rest.split_at(rest.find('\n').unwrap_or(rest.len()));
            comments.push(comment.trim_end());
            rest = after;
            continue;
        }
        let quote = ["\"\"\"", "'''", "\"", "'"].into_iter().find(|it| rest.starts_with(it));
        rest = after_string(rest, quote.unwrap_or_default());
    }
    comments
}

fn after_string<'t>(text: &'t str, quote: &str) -> &'t str {
    let mut rest = text.strip_prefix(quote).unwrap_or_default();
    while !rest.starts_with(quote) {
        let mut characters = rest.chars();
        let escaped = characters.next() == Some('\\') && quote.starts_with('"');
        if escaped {
            characters.next();
        }
        if rest.is_empty() {
            return rest;
        }
        rest = characters.as_str();
    }
    // Of four or five quotes, the first ones belong to the string.
    let mut rest = rest.strip_prefix(quote).unwrap_or_default();
    if quote.len() == 3 {
        rest = rest.trim_start_matches(quote.chars().next().unwrap_or_default());
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_found_and_strings_are_not_taken_for_them() {
        let text = "a = \"#\\\"#\" # one\nb = '''\n# text'''''# two\n# three";
        assert_eq!(comments(text), ["# one", "# two", "# three"]);
    }
}
