//! What a machine runs and how it ends: `[processes]`, `[env]`, `[[restart]]`,
//! `[experimental]`, `kill_signal` and `kill_timeout`.

use std::collections::BTreeMap;

use super::diagnostic::{Problem, Problems};
use super::field::{BareNumber, Field};
use super::group::PerGroup;
use super::literal;
use super::section::{Form, Section};
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
            let text = |key| section.get(key).and_then(|field: Field<'_>| field.as_text());
            groups.extend(text("name").map(|name| (name, text("command").unwrap_or_default())));
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
            if !section.is_mended {
                env.extend(value.string(problems).map(|text| (name, text)));
                continue;
            }
            let text = literal::go_text(value.value);
            if value.is_list() || value.is_table() {
                let message =
                    format!("`env.{name}` is no text, and Fly's client makes `{text}` of it");
                let hint = format!("write the text that the app reads: `{name} = \"…\"`");
                problems.push(Problem::warning(&value.span, message, hint));
            }
            env.insert(name, text);
        }
    }
    env
}

pub(super) fn restarts(root: &Section<'_>, problems: &mut Problems) -> Vec<PerGroup<Restart>> {
    let mut restarts = Vec::new();
    for section in root.sections("restart", Form::List, problems) {
        let policy = policy(&section, problems);
        let max_retries = section.integer("retries", RETRIES, problems);
        let processes = section.strings("processes", problems);
        let value = Restart { policy, max_retries, ..Restart::default() };
        restarts.push(PerGroup { value, processes });
    }
    restarts
}

fn policy(section: &Section<'_>, problems: &mut Problems) -> Option<RestartPolicy> {
    let hint = "write `policy = \"on-failure\"`";
    let Some(field) = section.get("policy") else {
        problems.add(&section.span, format!("`{}` needs a policy", section.path), hint);
        return None;
    };
    match field.text() {
        Some("always") => return Some(RestartPolicy::Always),
        Some("never") => return Some(RestartPolicy::No),
        Some("on-failure") => return Some(RestartPolicy::OnFailure),
        Some(_) | None => {}
    }
    let word = field.text().unwrap_or_default().to_ascii_lowercase().replace(['_', ' '], "-");
    let meant = match word.as_str() {
        "always" => Some("always"),
        // As the Machines API and other tools call it.
        "no" | "never" => Some("never"),
        "on-failure" | "onfailure" => Some("on-failure"),
        _ => None,
    };
    let hint = meant.map_or_else(|| hint.to_owned(), |word| format!("write `policy = \"{word}\"`"));
    let expected = "`\"always\"`, `\"never\"` or `\"on-failure\"`";
    let repair = meant.map(|word| field.becomes(literal::quoted(word)));
    problems.push(field.mistake(expected, &hint).mended_by(repair));
    None
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
                Some(text) if field.is_mended => vec![text.to_owned()],
                Some(_) | None => field.strings(problems),
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
            .filter(Field::is_table)
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
