//! A `holdpoint.toml`: there is a project exactly if nothing is wrong, and every problem has its
//! place.

use holdpoint_core::project::{Severity, parse};

pub(super) fn attempt(text: &str) {
    let (project, diagnostics) = parse(text);
    let is_refused = diagnostics.iter().any(|it| it.severity == Severity::Error);
    assert_eq!(project.is_none(), is_refused);
    for diagnostic in diagnostics {
        assert!(diagnostic.line >= 1 && diagnostic.column >= 1, "{diagnostic:?}");
        assert!(diagnostic.line <= text.matches('\n').count() + 1, "{diagnostic:?}");
        assert!(diagnostic.span.end <= text.len(), "{diagnostic:?}");
        assert!(!diagnostic.message.is_empty(), "{diagnostic:?}");
    }
}
