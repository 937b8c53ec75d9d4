//! What a machine runs and how it ends: `[processes]`, `[env]`, `[[restart]]`,
//! `[experimental]`, `kill_signal` and `kill_timeout`.

use std::collections::BTreeMap;

use super::PerGroup;
use super::diagnostic::Problems;
use super::field::{BareNumber, Form, Section};
use crate::types::{Init, Restart, RestartPolicy, StopConfig};

/// Fly stops waiting after this and kills.
const LONGEST_KILL_TIMEOUT_SECS: u64 = 300;

const RETRIES: std::ops::RangeInclusive<i64> = 0..=1_000_000;

/// The command of each process group; `[[processes]]` with `name` and `command` is read too.
pub(super) fn processes(root: &Section<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let Some(field) = root.get("processes") else { return BTreeMap::new() };
    let mut groups = BTreeMap::new();
    if field.is_list() {
        for section in field.sections(Form::List, problems) {
            let command = section.string("command", problems).unwrap_or_default();
            groups.extend(section.string("name", problems).map(|name| (name, command)));
        }
    } else if let Some(section) = field.section(problems) {
        for (name, command) in section.fields() {
            groups.extend(command.string(problems).map(|command| (name, command)));
        }
    }
    groups
}

/// Values that are no texts are made texts, as in Fly's client.
pub(super) fn env(root: &Section<'_>, problems: &mut Problems) -> BTreeMap<String, String> {
    let mut env = BTreeMap::new();
    for section in root.sections("env", Form::ListOrTable, problems) {
        for (name, value) in section.fields() {
            match value.as_text() {
                Some(text) => {
                    env.insert(name, text);
                }
                None => {
                    value.wrong(problems, "a single value", &format!("write `{name} = \"…\"`"));
                }
            }
        }
    }
    env
}

pub(super) fn restarts(root: &Section<'_>, problems: &mut Problems) -> Vec<PerGroup<Restart>> {
    let mut restarts = Vec::new();
    for section in root.sections("restart", Form::List, problems) {
        let policy = match section.get("policy") {
            Some(field) => match field.text() {
                Some("always") => Some(RestartPolicy::Always),
                Some("never") => Some(RestartPolicy::No),
                Some("on-failure") => Some(RestartPolicy::OnFailure),
                Some(_) | None => {
                    let expected = "`\"always\"`, `\"never\"` or `\"on-failure\"`";
                    field.wrong(problems, expected, "write `policy = \"on-failure\"`");
                    None
                }
            },
            None => None,
        };
        let max_retries = section.integer("retries", RETRIES, problems);
        let processes = section.strings("processes", problems);
        let value = Restart { policy, max_retries, ..Restart::default() };
        restarts.push(PerGroup { value, processes });
    }
    restarts
}

/// `[experimental]`: what is run instead of the image's own entrypoint.
pub(super) fn init(root: &Section<'_>, problems: &mut Problems) -> Init {
    let mut init = Init {
        swap_size_mb: root.integer("swap_size_mb", 0..=1_000_000, problems),
        ..Init::default()
    };
    if let Some(section) = root.section("experimental", problems) {
        let mut words = |key| match section.get(key) {
            Some(field) => match field.text() {
                Some(text) => vec![text.to_owned()],
                None => field.strings(problems),
            },
            None => Vec::new(),
        };
        init.cmd = words("cmd");
        init.entrypoint = words("entrypoint");
        init.exec = words("exec");
    }
    init
}

pub(super) fn stop_config(root: &Section<'_>, problems: &mut Problems) -> Option<StopConfig> {
    let signal = root.string("kill_signal", problems);
    let field = root.get("kill_timeout").or_else(|| {
        root.get("experimental")
            .filter(super::field::Field::is_table)
            .and_then(|field| field.section(problems))
            .and_then(|section| section.get("kill_timeout"))
    });
    let timeout = field.and_then(|field| {
        let timeout = field.duration(BareNumber::Seconds, problems)?;
        if timeout.0.as_secs() > LONGEST_KILL_TIMEOUT_SECS {
            field.wrong(problems, "at most 300 s", "write `kill_timeout = \"300s\"`");
        }
        Some(timeout)
    });
    (signal.is_some() || timeout.is_some()).then(|| StopConfig {
        timeout,
        signal,
        ..StopConfig::default()
    })
}

/// A command as words: blanks part them, quotes and a backslash keep them together.
/// `None` if a quote isn't closed.
pub(super) fn words(command: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote: Option<char> = None;
    let mut characters = command.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().push(characters.next()?),
            (None, _) if character.is_whitespace() => words.extend(word.take()),
            (None | Some(_), _) => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_split_as_a_shell_splits_it() {
        for (command, expected) in [
            ("/app serve", Some(vec!["/app", "serve"])),
            (r#"sh -c "a b" 'c d'"#, Some(vec!["sh", "-c", "a b", "c d"])),
            (r"a\ b", Some(vec!["a b"])),
            ("a ''", Some(vec!["a", ""])),
            ("", Some(vec![])),
            ("a 'b", None),
        ] {
            let expected: Option<Vec<String>> =
                expected.map(|words| words.into_iter().map(str::to_owned).collect());
            assert_eq!(words(command), expected, "{command}");
        }
    }
}
