//! `[deploy]`, `[build]` and `[[machine_checks]]`: only their form is checked here; how an image
//! is built and how a release goes is decided elsewhere.

use super::compute;
use super::diagnostic::{Problem, Problems};
use super::field::{BareNumber, Field};
use super::literal;
use super::process;
use super::section::Section;

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
            Some(strategy) if strategy.is_empty() || STRATEGIES.contains(&strategy) => {}
            Some(_) | None => unknown_strategy(&field, problems),
        }
    }
    if let Some(field) = section.get("max_unavailable") {
        max_unavailable(&field, problems);
    }
    for key in ["wait_timeout", "release_command_timeout"] {
        section.duration(key, BareNumber::Nanoseconds, problems);
    }
    section.string("seed_command", problems);
    command(&section, "release_command", problems);
    if let Some(size) = section.section("release_command_vm", problems) {
        // Fly's client mends the sizes of machines only in `[vm]`.
        compute::guest(&size.unmended(), problems);
    }
}

/// A command that must be fit to be split as a shell does it.
pub(super) fn command(section: &Section<'_>, key: &str, problems: &mut Problems) {
    let Some(field) = section.get(key) else { return };
    let command = field.string(problems).unwrap_or_default();
    if process::words(&command).is_none() {
        problems.add(&field.span, format!("`{}` has an open quote", field.path), "close the quote");
    }
}

fn unknown_strategy(field: &Field<'_>, problems: &mut Problems) {
    let word = field.text().unwrap_or_default().to_ascii_lowercase().replace(['-', '_', ' '], "");
    let meant = STRATEGIES.into_iter().find(|strategy| *strategy == word);
    let hint = format!("write `strategy = \"{}\"`", meant.unwrap_or("rolling"));
    let repair = meant.map(|meant| field.becomes(literal::quoted(meant)));
    let expected = "`\"canary\"`, `\"rolling\"`, `\"immediate\"` or `\"bluegreen\"`";
    problems.push(field.mistake(expected, &hint).mended_by(repair));
}

/// A share or a count; Fly's own pages show `"25%"`, which its client refuses.
fn max_unavailable(field: &Field<'_>, problems: &mut Problems) {
    if field.number().is_some() || literal::float(field.value).is_some_and(f64::is_finite) {
        return;
    }
    let text = field.text().unwrap_or_default().trim();
    let share = text.strip_suffix('%').and_then(|percent| percent.trim().parse::<u8>().ok());
    let share = share.filter(|percent| (1..=100).contains(percent));
    let meant = match share {
        Some(100) => Some("1.0".to_owned()),
        Some(percent) => Some(format!("0.{percent:02}")),
        None if text.parse::<f64>().is_ok_and(|number| number.is_finite() && number > 0.0) => {
            Some(text.to_owned())
        }
        None => None,
    };
    let hint = match &meant {
        Some(meant) => format!("write `max_unavailable = {meant}`"),
        None => "write a share such as `max_unavailable = 0.25` or a count of machines".to_owned(),
    };
    let repair = meant.map(|meant| field.becomes(meant));
    problems.push(field.mistake("a number", &hint).mended_by(repair));
}

/// `[build]`, of which only one source of the image is used.
pub(super) fn build(root: &Section<'_>, problems: &mut Problems) {
    let Some(section) = root.section("build", problems) else { return };
    for key in
        ["builder", "image", "builtin", "dockerfile", "ignorefile", "build-target", "compression"]
    {
        section.string(key, problems);
    }
    section.strings("buildpacks", problems);
    section.integer::<i64>("compression_level", 0..=100, problems);
    if let Some(arguments) = section.section("args", problems) {
        for (_, argument) in arguments.fields() {
            argument.string(problems);
        }
    }
    let sources: Vec<&str> = [
        ("image", &["image"][..]),
        ("builder", &["builder", "buildpacks"]),
        ("dockerfile", &["dockerfile", "build-target", "build_target"]),
        ("builtin", &["builtin"]),
    ]
    .into_iter()
    .filter(|(_, keys)| keys.iter().any(|key| section.get(key).is_some()))
    .map(|(source, _)| source)
    .collect();
    if sources.len() > 1 {
        let message = format!("`build` names several sources: `{}`", sources.join("`, `"));
        problems.push(Problem::warning(&section.span, message, "leave only one of them"));
    }
}

/// `[[machine_checks]]`: machines that are run once, to test a release.
pub(super) fn test_machine(section: &Section<'_>, problems: &mut Problems) {
    section.string("image", problems);
    section.strings("entrypoint", problems);
    section.strings("command", problems);
    section.string("kill_signal", problems);
    section.duration("kill_timeout", BareNumber::Nanoseconds, problems);
}
