//! A smoke file: there are checks exactly if nothing is wrong, every problem has its place, and the
//! checks come back from the journal as they went into it.

use holdpoint_core::project::{Severity, SmokeCheck, parse_smoke};

pub(super) fn attempt(text: &str) {
    let (checks, diagnostics) = parse_smoke(text, &[]);
    let is_refused = diagnostics.iter().any(|it| it.severity == Severity::Error);
    assert_eq!(checks.is_none(), is_refused);
    for diagnostic in diagnostics {
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1, "{diagnostic:?}");
        assert!(diagnostic.span.end <= text.len(), "{diagnostic:?}");
        assert!(!diagnostic.message.is_empty(), "{diagnostic:?}");
    }
    let checks = checks.unwrap_or_default();
    let stored = serde_json::to_string(&checks).expect("checks are JSON");
    let read: Vec<SmokeCheck> = serde_json::from_str(&stored).expect("the JSON holds checks");
    assert_eq!(read, checks);
}
