//! Rules for single files, line by line. The forbidden words are written in two halves here, so
//! that this file keeps its own rules.

use super::Finding;

/// Longer files hold more than one noun.
const LONGEST_FILE_LINES: usize = 600;

/// A text that may not occur, where it may not, and what to do instead.
struct Ban {
    needles: &'static [&'static str],
    applies_to: fn(&str) -> bool,
    /// Whether `Name` and `NAME` count as `name`.
    any_case: bool,
    /// Whether comments are exempt.
    code_only: bool,
    why: &'static str,
    mend: &'static str,
}

const BANS: &[Ban] = &[
    Ban {
        needles: &[
            concat!("TO", "DO"),
            concat!("FIX", "ME"),
            concat!("to", "do!"),
            concat!("#[ign", "ore"),
        ],
        applies_to: is_rust,
        any_case: false,
        code_only: false,
        why: "what is promised in a comment is never done, and a test that is skipped proves nothing",
        mend: "do it now, or open an issue and leave the line out",
    },
    Ban {
        needles: &[
            concat!("hot", "dash"),
            concat!("llama", "index"),
            concat!("agent-", "service"),
            concat!("agent_", "service"),
        ],
        applies_to: is_product_source,
        any_case: true,
        code_only: false,
        why: "the product is general and does not know the project of its example",
        mend: "take the name from `holdpoint.toml`, or use a made-up one such as `rag` or `web`",
    },
    Ban {
        needles: &[concat!("/wo", "rk/"), concat!("/ro", "ot/")],
        applies_to: is_any,
        any_case: false,
        code_only: false,
        why: "a path of one machine means nothing on another",
        mend: "use a path from the repository's root, or a temporary folder",
    },
    Ban {
        needles: &[
            "std::time",
            "std::env",
            "std::fs",
            "std::net",
            "std::thread",
            "std::process",
            "async fn",
            "rand::",
        ],
        applies_to: is_core_source,
        any_case: false,
        code_only: true,
        why: "the core has no clock, randomness, environment, file, socket, thread or `async`",
        mend: "take the fact as an input, or return what is to be done as an effect",
    },
];

pub(super) fn findings(path: &str, text: &str) -> Vec<Finding> {
    let mut findings: Vec<_> = BANS
        .iter()
        .filter(|ban| (ban.applies_to)(path))
        .flat_map(|ban| banned_lines(ban, path, text))
        .collect();
    if is_rust(path) {
        findings.extend(shape_of_module(path, text));
    }
    findings
}

/// Whether a documentation comment of this file opens a block of Rust code.
pub(super) fn has_documentation_test(path: &str, text: &str) -> bool {
    if !is_rust(path) || !path.contains("/src/") {
        return false;
    }
    let mut is_code = false;
    for line in text.lines().map(str::trim_start) {
        let comment = line.strip_prefix("///").or_else(|| line.strip_prefix("//!"));
        let Some(language) = comment.and_then(|comment| comment.trim().strip_prefix("```")) else {
            continue;
        };
        if !is_code && ["", "rust", "no_run", "should_panic"].contains(&language) {
            return true;
        }
        is_code = !is_code;
    }
    false
}

fn banned_lines(ban: &Ban, path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        if ban.code_only && line.trim_start().starts_with("//") {
            continue;
        }
        let lower = line.to_lowercase();
        let line = if ban.any_case { &lower } else { line };
        findings.extend(ban.needles.iter().filter(|needle| occurs(line, needle)).map(|needle| {
            Finding {
                file: path.to_owned(),
                line: index + 1,
                what: format!("`{needle}`"),
                why: ban.why,
                mend: ban.mend,
            }
        }));
    }
    findings
}

/// Whether `needle` occurs where it is not the end of a longer word.
fn occurs(line: &str, needle: &str) -> bool {
    line.match_indices(needle).any(|(place, _)| {
        let before = line.get(..place).and_then(|head| head.chars().next_back());
        !before.is_some_and(|character| character.is_alphanumeric() || "_.-}".contains(character))
    })
}

fn shape_of_module(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let lines = text.lines().count();
    if lines > LONGEST_FILE_LINES {
        findings.push(Finding {
            file: path.to_owned(),
            line: LONGEST_FILE_LINES + 1,
            what: format!("{lines} lines"),
            why: "a file holds one noun, in at most 600 lines",
            mend: "move the noun that can stand alone to a file of its own",
        });
    }
    if !text.starts_with("//!") {
        findings.push(Finding {
            file: path.to_owned(),
            line: 1,
            what: "no `//!` line".to_owned(),
            why: "a module says first what it decides or does, and what it does not",
            mend: "begin the file with `//! …`",
        });
    }
    findings
}

fn is_any(_: &str) -> bool {
    true
}

fn is_rust(path: &str) -> bool {
    std::path::Path::new(path).extension().is_some_and(|end| end == "rs")
}

/// The shipped code of the product; its end-to-end tests may use the example.
fn is_product_source(path: &str) -> bool {
    let crates = ["holdpoint", "machines-api/", "platform-local/", "oci-image/"];
    is_rust(path)
        && path.contains("/src/")
        && path
            .strip_prefix("crates/")
            .is_some_and(|rest| crates.iter().any(|name| rest.starts_with(name)))
}

/// The core without its unit tests, which may read the example's files.
fn is_core_source(path: &str) -> bool {
    path.starts_with("crates/holdpoint-core/src/")
        && !path.contains("/tests/")
        && !path.ends_with("/tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: &str = "crates/holdpoint-core/src/x.rs";

    fn found(path: &str, line: &str) -> Vec<String> {
        let text = format!("//! A module.\n{line}\n");
        findings(path, &text).into_iter().map(|finding| finding.what).collect()
    }

    #[test]
    fn promises_and_skipped_tests_are_found() {
        for word in
            [concat!("// TO", "DO later"), concat!("to", "do!()"), concat!("#[ign", "ore = \"\"]")]
        {
            assert_eq!(found("xtask/src/x.rs", word).len(), 1, "{word}");
        }
        assert!(found("xtask/src/x.rs", concat!("let MASTO", "DON = 1;")).is_empty());
    }

    #[test]
    fn the_product_does_not_name_its_example() {
        let line = concat!("// like Hot", "Dash");
        assert_eq!(found("crates/platform-local/src/x.rs", line).len(), 1);
        assert!(found("crates/holdpoint/tests/e2e/x.rs", line).is_empty());
        assert!(found(concat!("crates/agent-", "service/src/x.rs"), line).is_empty());
    }

    #[test]
    fn paths_of_one_machine_are_found_in_every_file() {
        assert_eq!(found("README.md", concat!("see /wo", "rk/x")).len(), 1);
        assert!(found("README.md", concat!("see target/wo", "rk/x")).is_empty());
    }

    #[test]
    fn the_core_touches_nothing_of_the_world() {
        assert_eq!(found(CORE, "use std::time::Instant;"), ["`std::time`"]);
        assert_eq!(found(CORE, "pub async fn go() {}"), ["`async fn`"]);
        assert_eq!(found(CORE, "let x = rand::random();"), ["`rand::`"]);
        assert!(found(CORE, "// no std::time here").is_empty());
        assert!(found(CORE, "operand::new()").is_empty());
        assert!(found("crates/holdpoint/src/x.rs", "use std::fs;").is_empty());
        assert!(found("crates/holdpoint-core/src/gate/tests.rs", "use std::fs;").is_empty());
    }

    #[test]
    fn a_module_begins_with_its_purpose_and_stays_short() {
        assert_eq!(findings("xtask/src/x.rs", "fn x() {}\n").len(), 1);
        let long = "//! x\n".repeat(LONGEST_FILE_LINES);
        assert_eq!(findings("xtask/src/x.rs", &long), []);
        assert_eq!(findings("xtask/src/x.rs", &format!("{long}// one more\n")).len(), 1);
    }

    #[test]
    fn only_rust_code_in_documentation_is_a_test() {
        let path = "crates/x/src/lib.rs";
        assert!(has_documentation_test(path, "/// ```\n/// f();\n/// ```\n"));
        assert!(!has_documentation_test(path, "/// ```text\n/// a picture\n/// ```\n"));
        assert!(!has_documentation_test("xtask/main.rs", "/// ```\n/// f();\n/// ```\n"));
    }
}
