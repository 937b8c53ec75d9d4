//! `holdpoint completions`: what a shell must know to complete verbs and flags.

use clap::CommandFactory as _;

use crate::cli::arguments::{Arguments, Completions};
use crate::exit_code::ExitCode;
use crate::message;

pub(super) fn completions(flags: &Completions) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(flags.shell, &mut Arguments::command(), "holdpoint", &mut text);
    message::print(&String::from_utf8_lossy(&text));
    ExitCode::Done
}
