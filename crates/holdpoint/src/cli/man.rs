//! `holdpoint man`: manual pages, from the definition of the command line, with the exit statuses
//! and the environment variables that it reads.

use std::collections::BTreeMap;
use std::io;

use clap::{Command, CommandFactory as _};

use crate::adapter::files;
use crate::cli::arguments::{Arguments, Man};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};

/// Variables that are no flag's.
const OTHER_VARIABLES: [(&str, &str); 2] = [
    ("HOLDPOINT_LOG", "What is logged to standard error, as in `holdpoint=debug` [default: warn]"),
    ("USER", "The name of the person who acts, where neither `--as` nor `HOLDPOINT_AS` says it"),
];

pub(super) fn man(flags: &Man) -> Result<ExitCode, Problem> {
    let mut root = Arguments::command();
    root.build();
    let variables = variables(&root);
    let mut pages = Vec::new();
    pages_of(&root, "holdpoint", &variables, &mut pages)?;
    let Some(folder) = &flags.folder else {
        let main = pages.first().map_or("", |(_, text)| text.as_str());
        message::print(main);
        return Ok(ExitCode::Done);
    };
    for (name, text) in &pages {
        let path = folder.join(format!("{name}.1"));
        files::replace(&path, text.as_bytes()).map_err(|error| {
            let sentence = format!("cannot write `{}`", path.display());
            Problem::because(ExitCode::Unexpected, sentence, &error)
                .hint("name a folder that may be written")
        })?;
    }
    message::print(&format!("wrote {} pages into `{}`\n", pages.len(), folder.display()));
    Ok(ExitCode::Done)
}

/// The page of a command, and those of its verbs.
fn pages_of(
    command: &Command,
    name: &str,
    variables: &str,
    pages: &mut Vec<(String, String)>,
) -> io::Result<()> {
    let whole = format!("{}\n\n{variables}", ExitCode::table());
    let page = command.clone().after_help(whole);
    let mut text = Vec::new();
    clap_mangen::Man::new(page).title(name).render(&mut text)?;
    pages.push((name.to_owned(), String::from_utf8_lossy(&text).into_owned()));
    for verb in command.get_subcommands() {
        pages_of(verb, &format!("{name}-{}", verb.get_name()), variables, pages)?;
    }
    Ok(())
}

/// Every variable that flags read, with what it says, and the others.
fn variables(root: &Command) -> String {
    let mut known =
        BTreeMap::from(OTHER_VARIABLES.map(|(name, it)| (name.to_owned(), it.to_owned())));
    let mut commands = vec![root];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands());
        for flag in command.get_arguments() {
            let Some(name) = flag.get_env() else { continue };
            let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
            known.entry(name.to_string_lossy().into_owned()).or_insert(help);
        }
    }
    let lines = known.iter().map(|(name, help)| format!("  {name}  {help}"));
    format!("Environment:\n{}", lines.collect::<Vec<_>>().join("\n"))
}
