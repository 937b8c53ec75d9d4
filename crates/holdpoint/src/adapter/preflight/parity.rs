//! Whether staging and production are configured alike, field by field, as the files are written:
//! what soaked in staging says nothing about another configuration (the runbook's "memory/CPU
//! matches staging baseline", and whatever else is in the files).

use std::collections::BTreeMap;
use std::path::Path;

use holdpoint_core::app_config::may_differ;
use holdpoint_core::id::Environment;
use holdpoint_core::project::{PreflightPolicy, Service};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::app_config::{self, listed};
use super::finding::{Finding, Lack};

/// One field of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// As it is written.
    written: String,
    line: usize,
}

/// A field in which two files differ; `None` where a file does not have it.
struct Difference {
    field: String,
    staging: Option<Entry>,
    production: Option<Entry>,
}

pub(super) fn look(root: &Path, policy: &PreflightPolicy, service: &Service) -> Finding {
    let staging = fields(&app_config::text(root, service, Environment::Staging)?);
    let production = fields(&app_config::text(root, service, Environment::Production)?);
    let alike = staging
        .iter()
        .filter(|(field, entry)| {
            production.get(*field).is_some_and(|other| is_same(field, entry, other))
        })
        .count();
    let (mut wrong, mut meant, mut allowed) = (Vec::new(), Vec::new(), Vec::new());
    for difference in differences(staging, production) {
        let field = &difference.field;
        if may_differ(field, difference.staging.is_some() && difference.production.is_some()) {
            meant.push(field.clone());
        } else if let Some(reason) = policy.allows_field(&service.name, field) {
            allowed.push(format!("; `{field}` differs, allowed: {reason}"));
        } else {
            wrong.push(difference);
        }
    }
    if wrong.is_empty() {
        let meant = match meant.as_slice() {
            [] => String::new(),
            fields => format!(", {} differ as they may", listed(fields)),
        };
        return Ok(format!("{alike} fields are alike{meant}{}", allowed.concat()));
    }
    let names: Vec<String> = wrong.iter().map(|one| one.field.clone()).collect();
    let verb = if names.len() == 1 { "differs" } else { "differ" };
    let first = names.first().cloned().unwrap_or_default();
    let (staging, production) = (&service.staging.config, &service.production.config);
    Err(Lack::new(
        format!("{} {verb}\n{}", listed(&names), drawn(&wrong, staging, production)),
        format!(
            "write the same into `{staging}` and `{production}`, or say in \
             `[[preflight.allowed]]` why not: `field = \"{first}\"`"
        ),
    ))
}

/// Every field in which two files differ, in the order of their names.
fn differences(
    mut staging: BTreeMap<String, Entry>,
    mut production: BTreeMap<String, Entry>,
) -> Vec<Difference> {
    let mut fields: Vec<String> = staging.keys().chain(production.keys()).cloned().collect();
    fields.sort();
    fields.dedup();
    let differences = fields.into_iter().filter_map(|field| {
        let (staging, production) = (staging.remove(&field), production.remove(&field));
        if let (Some(one), Some(other)) = (&staging, &production)
            && is_same(&field, one, other)
        {
            return None;
        }
        Some(Difference { field, staging, production })
    });
    differences.collect()
}

/// One line a field: where it differs, and what is written there.
fn drawn(differences: &[Difference], staging: &str, production: &str) -> String {
    let width = differences.iter().map(|one| one.field.chars().count()).max().unwrap_or(0);
    let side = |file: &str, entry: &Option<Entry>| match entry {
        Some(Entry { written, line }) => format!("{written} ({file}:{line})"),
        None => format!("nothing ({file})"),
    };
    let left: Vec<String> = differences.iter().map(|one| side(staging, &one.staging)).collect();
    let wide = left.iter().map(|text| text.chars().count()).max().unwrap_or(0);
    let lines = differences.iter().zip(left).map(|(one, left)| {
        let right = side(production, &one.production);
        format!("  {:width$}  {left:wide$}  ->  {right}", one.field)
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Whether two ways to write a field mean the same to Fly.
fn is_same(field: &str, one: &Entry, other: &Entry) -> bool {
    let meaning = |entry: &Entry| {
        let text = entry.written.trim_matches('"').to_ascii_lowercase();
        match (field.rsplit('.').next(), text.as_str()) {
            (Some("auto_stop_machines"), "true") => "stop".to_owned(),
            (Some("auto_stop_machines"), "false") => "off".to_owned(),
            (Some("memory"), text) => {
                let text = text.replace(' ', "");
                text.strip_suffix("mb").map_or(text.clone(), str::to_owned)
            }
            (Some("interval" | "timeout" | "grace_period" | "kill_timeout"), text) => {
                text.strip_suffix('s').unwrap_or(text).to_owned()
            }
            (Some("auto_stop_machines" | "method"), text) => text.to_owned(),
            (_, _) => entry.written.clone(),
        }
    };
    meaning(one) == meaning(other)
}

/// Every field of a file by its dotted name. A list of one table counts as that table, since both
/// are in use for the same thing.
fn fields(text: &str) -> BTreeMap<String, Entry> {
    let mut fields = BTreeMap::new();
    let (document, _) = DeTable::parse_recoverable(text);
    table(text, "", document.get_ref(), &mut fields);
    fields
}

fn table(text: &str, path: &str, entries: &DeTable<'_>, fields: &mut BTreeMap<String, Entry>) {
    for (name, content) in entries {
        let name = name.get_ref();
        let path = if path.is_empty() { name.to_string() } else { format!("{path}.{name}") };
        value(text, &path, content, fields);
    }
}

fn value(
    text: &str,
    path: &str,
    content: &Spanned<DeValue<'_>>,
    fields: &mut BTreeMap<String, Entry>,
) {
    match content.get_ref() {
        DeValue::Table(entries) => table(text, path, entries, fields),
        DeValue::Array(items)
            if items.iter().any(|item| matches!(item.get_ref(), DeValue::Table(_))) =>
        {
            let is_one = items.len() == 1;
            for (number, item) in items.iter().enumerate() {
                let path = if is_one { path.to_owned() } else { format!("{path}[{number}]") };
                value(text, &path, item, fields);
            }
        }
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_) => {
            let span = content.span();
            let written = text.get(span.clone()).unwrap_or_default();
            let written = written.split_whitespace().collect::<Vec<_>>().join(" ");
            let line = text.get(..span.start).unwrap_or_default().matches('\n').count() + 1;
            fields.insert(path.to_owned(), Entry { written, line });
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use holdpoint_core::project;

    use super::*;

    const PROJECT: &str = r#"
[project]
name = "shop"
time_zone = "UTC"
[[people]]
name = "ada"
roles = ["engineer", "manager"]
[[services]]
name = "api"
build = { command = ["true"], binary = "api" }
staging = { config = "staging.toml" }
production = { config = "production.toml" }
"#;

    /// A service with these two files, in a project with these rules.
    pub(in super::super) fn service(
        staging: &str,
        production: &str,
        rules: &str,
    ) -> (tempfile::TempDir, Service, PreflightPolicy) {
        let directory = tempfile::tempdir().expect("directory");
        std::fs::write(directory.path().join("staging.toml"), staging).expect("written");
        std::fs::write(directory.path().join("production.toml"), production).expect("written");
        let (project, problems) = project::parse(&format!("{PROJECT}{rules}"));
        let mut project = project.unwrap_or_else(|| panic!("{problems:?}"));
        (directory, project.services.remove(0), project.preflight)
    }

    fn told(staging: &str, production: &str, rules: &str) -> Finding {
        let (directory, service, policy) = service(staging, production, rules);
        look(directory.path(), &policy, &service)
    }

    #[test]
    fn the_difference_names_field_file_line_and_both_values() {
        let staging = "app = \"shop-staging\"\nkill_timeout = 10\n\n[env]\nA = \"1\"\nB = \"2\"\n\n\
                       [[vm]]\nmemory = \"256mb\"\ncpus = 1\n";
        let production = "app = \"shop\"\n\n[env]\nA = \"3\"\n\n[[vm]]\nmemory = \"1gb\"\ncpus = 1\n\
                          \n[http_service]\nmin_machines_running = 2\n";
        let Lack { detail, hint } = told(staging, production, "").expect_err("they differ");
        insta::assert_snapshot!(format!("{detail}\nhint: {hint}"), @r#"
        `env.B`, `kill_timeout` and `vm.memory` differ
          env.B         "2" (staging.toml:6)      ->  nothing (production.toml)
          kill_timeout  10 (staging.toml:2)       ->  nothing (production.toml)
          vm.memory     "256mb" (staging.toml:9)  ->  "1gb" (production.toml:7)
        hint: write the same into `staging.toml` and `production.toml`, or say in `[[preflight.allowed]]` why not: `field = "env.B"`
        "#);
    }

    #[test]
    fn every_example_follows_the_rules_and_is_alike_in_both_environments() {
        let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples"));
        for example in std::fs::read_dir(folder).expect("the examples") {
            let root = example.expect("an example").path();
            let text = std::fs::read_to_string(root.join("holdpoint.toml")).expect("its project");
            let project = project::parse(&text).0.expect("it is in order");
            for service in &project.services {
                let findings = [
                    look(&root, &project.preflight, service),
                    super::super::config::look(&root, &project.preflight, service),
                ];
                assert!(findings.iter().all(Result::is_ok), "{findings:?}");
            }
        }
    }

    #[test]
    fn ways_to_write_the_same_are_the_same() {
        let staging = "[http_service]\nauto_stop_machines = true\n[[http_service.checks]]\n\
                       interval = \"15s\"\nmethod = \"get\"\n[vm]\nmemory = \"512MB\"\n";
        let production = "[http_service]\nauto_stop_machines = \"stop\"\n\
                          checks = [{ interval = 15, method = \"GET\" }]\n[[vm]]\nmemory = 512\n";
        assert_eq!(told(staging, production, ""), Ok("4 fields are alike".to_owned()));
    }

    #[test]
    fn a_difference_may_be_meant_with_everything_below_it() {
        let (staging, production) = ("[[vm]]\nmemory = \"256mb\"\n", "[[vm]]\nmemory = \"1gb\"\n");
        let rule = "[[preflight.allowed]]\nfield = \"vm\"\nreason = \"nobody shops in staging\"\n";
        let detail = told(staging, production, rule).expect("allowed");
        assert!(detail.contains("`vm.memory` differs, allowed: nobody shops"), "{detail}");
        assert!(told(staging, production, &rule.replace("\"vm\"", "\"v\"")).is_err());
    }
}
