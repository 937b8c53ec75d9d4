//! The text of the first project file. What it says beside the found services are the runbook's
//! defaults, written out so that they are at hand.

use std::path::Path;

use super::FoundService;

/// All settings that have defaults, with them.
const DEFAULTS: &str = include_str!("defaults.toml");

/// The whole text.
pub(super) fn write(project: &str, author: Option<&str>, services: &[FoundService]) -> String {
    let mut text = format!(
        r#"# How this repository's services go to production. Made by `holdpoint init`: what it could
# not know is marked "fill in". `holdpoint check` reads this file; paths are relative to it.

[project]
name = {name}
title = {name}{pad}# fill in: as announcements spell it
time_zone = "America/Chicago"       # fill in: of windows, holidays and ends of months
reliability_log = "feedback/reliability.md"
release_notes = "notes/{{version}}.md"

# A release needs one approval for each role in [production], and never its author's own.
[[people]]
name = {author}{author_pad}
roles = ["engineer"]

[[people]]
name = "second-engineer"            # fill in
roles = ["engineer", "reliability"]

[[people]]
name = "manager"                    # fill in
roles = ["manager"]
"#,
        name = quoted(project),
        pad = padding(&format!("title = {}", quoted(project))),
        author = quoted(author.unwrap_or("first-engineer")),
        author_pad = if author.is_some() { "" } else { "             # fill in" },
    );
    for service in services {
        text.push_str(&service_text(service));
    }
    text.push('\n');
    text.push_str(DEFAULTS);
    text
}

fn service_text(service: &FoundService) -> String {
    let FoundService { name, staging, production, production_machines, build } = service;
    let command: Vec<String> = build.command.iter().map(|word| quoted(word)).collect();
    format!(
        r#"
[[services]]
name = {name}
required_secrets = []               # fill in: names only, as in ["DATABASE_URL"]

[services.build]
# {comment}
command = [{command}]
binary = {binary}

[services.staging]
config = {staging}
machines = 1

[services.production]
config = {production}
machines = {production_machines}

# A question to the fresh service and the answer it must give:
# [[services.smoke]]
# name = "answers"
# path = "/"
# expect_status = 200
"#,
        name = quoted(name),
        comment = build.comment,
        command = command.join(", "),
        binary = quoted(&build.binary),
        staging = quoted_path(staging),
        production = quoted_path(production),
    )
}

/// So many blanks that comments stand below each other.
fn padding(line: &str) -> String {
    " ".repeat(36_usize.saturating_sub(line.chars().count()).max(1))
}

fn quoted_path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use holdpoint_core::project;

    use super::super::programs;
    use super::*;

    fn services() -> Vec<FoundService> {
        vec![FoundService {
            name: "shop".to_owned(),
            staging: PathBuf::from("fly.staging.toml"),
            production: PathBuf::from("fly.toml"),
            production_machines: 2,
            build: programs::build_of("shop", Some("Dockerfile"), &[]),
        }]
    }

    #[test]
    fn what_is_written_out_are_the_defaults() {
        let text = write("shop", Some("ada"), &services());
        let (written, findings) = project::parse(&text);
        assert_eq!(findings, []);
        let (short, _) = project::parse(&text.replace(DEFAULTS, ""));
        assert_eq!(written, short);
    }

    #[test]
    fn a_name_of_any_letters_is_text_and_nothing_else() {
        let text = write("shop", Some("a\"b\\c"), &services());
        let (written, findings) = project::parse(&text);
        assert_eq!(written.map(|it| it.people.len()), Some(3), "{findings:?}");
    }
}
