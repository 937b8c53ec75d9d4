//! `[deploy]`: only its form is checked here; how a release goes is decided elsewhere.

use super::diagnostic::Problems;
use super::field::{BareNumber, Section};

const STRATEGIES: [&str; 4] = ["canary", "rolling", "immediate", "bluegreen"];

pub(super) fn check(root: &Section<'_>, has_mounts: bool, problems: &mut Problems) {
    let Some(section) = root.section("deploy", problems) else { return };
    if let Some(field) = section.get("strategy") {
        match field.text() {
            Some("canary") if has_mounts => field.wrong(
                problems,
                "another strategy, since the app has mounts and a canary has no volume",
                "write `strategy = \"rolling\"`",
            ),
            Some(strategy) if STRATEGIES.contains(&strategy) => {}
            Some(_) | None => field.wrong(
                problems,
                "`\"canary\"`, `\"rolling\"`, `\"immediate\"` or `\"bluegreen\"`",
                "write `strategy = \"rolling\"`",
            ),
        }
    }
    if let Some(field) = section.get("max_unavailable")
        && (field.text().is_some()
            || field.as_text().is_none_or(|text| text.parse::<f64>().is_err()))
    {
        let hint = "write a share such as `max_unavailable = 0.25` or a count of machines";
        field.wrong(problems, "a number", hint);
    }
    for key in ["wait_timeout", "release_command_timeout"] {
        section.duration(key, BareNumber::Nanoseconds, problems);
    }
    for key in ["release_command", "seed_command"] {
        section.string(key, problems);
    }
}
