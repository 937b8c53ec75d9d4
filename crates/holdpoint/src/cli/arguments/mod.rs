//! The command line's definition: verbs, flags, environment variables and their help. What they
//! do is in the file of each verb.

mod documents;
mod drill;
mod flag;
mod incident;
mod init;
pub mod preflight;
mod probe;
mod scale;
mod smoke;
mod window;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use holdpoint_core::project::Role;
use semver::Version;

use crate::exit_code::ExitCode;

pub use documents::{Completions, Man};
pub use drill::Drill;
pub use flag::RaiseFlag;
pub use incident::{Incident, Incidents};
pub use init::Init;
pub use probe::Probe;
pub use scale::{Scale, ScaleAdvice, ScaleOrder, ScaleVerb};
pub use smoke::{Smoke, SmokedEnvironment};
pub use window::Window;

/// Takes a version of a set of services to production, and back if it must.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "holdpoint",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = ExitCode::table()
)]
pub struct Arguments {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub shared: Shared,
    #[command(subcommand)]
    #[expect(missing_docs, reason = "the type says it")]
    pub verb: Verb,
}

/// Flags of every verb.
#[derive(Clone, Debug, Args)]
pub struct Shared {
    /// The project's file, or the folder that holds it [default: `holdpoint.toml` here or in a
    /// folder above]
    #[arg(long, global = true, value_name = "PATH", env = "HOLDPOINT_PROJECT")]
    pub project: Option<PathBuf>,
    /// Where the journal, the images and the socket are kept [default: `.holdpoint` beside the
    /// project's file]
    #[arg(long, global = true, value_name = "FOLDER", env = "HOLDPOINT_STATE_DIR")]
    pub state_dir: Option<PathBuf>,
    /// The person who acts, as the project's file names them [default: the name of the user who
    /// is logged in]
    #[arg(long = "as", global = true, value_name = "NAME", env = "HOLDPOINT_AS")]
    pub acting_as: Option<String>,
}

/// What can be asked for.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// Release an example twice on this computer, once well and once badly, on a scaled clock
    Rehearse(Rehearse),
    /// Build a version, and take it through staging to production
    Release(Release),
    /// Go on with the release that was under way when the conductor stopped
    Resume(Resume),
    /// Serve a platform on this computer, on which releases can run without a network
    Up(Up),
    /// Show what an app's machines write, and what the platform says of them
    Logs(Logs),
    /// Break things of that platform on purpose, for a drill
    #[command(subcommand)]
    Fault(Fault),
    /// Ask the services of an environment their smoke checks
    Smoke(Smoke),
    /// Ask an address many times, and hold its answers to a budget
    Probe(Probe),
    /// Break something in staging on purpose, and measure how it is noticed and mended
    Drill(Drill),
    /// Say what happens, what comes next and when, and who must act
    Status(Reading),
    /// Say whether production may be changed now, why not, and when next
    Window(Window),
    /// Show the plan of the release that is under way
    Plan(Reading),
    /// Show what happened, from the journal
    Timeline(Reading),
    /// Consent to the plan of the release that is under way
    Approve(Approve),
    /// Let a pre-flight check that failed stand in nobody's way for a time
    Waive(preflight::Waive),
    /// Stop the release at the next safe point
    Halt(Reasoned),
    /// Go on after a halt, try again where the release is stuck, or let new releases start after a
    /// rollback
    Continue,
    /// Put the previous version back now
    Rollback(Reasoned),
    /// Tell of a security issue or of damaged data: a release under way goes back at once
    Flag(RaiseFlag),
    /// Change the size or number of a service's machines, or say what it should be
    Scale(Scale),
    /// Look after incidents
    Incident(Incidents),
    /// Look after the journal
    #[command(subcommand)]
    Journal(Journal),
    /// Check the project's file, the app configs that it names, and what must hold before a release
    Check(Check),
    /// Write a first project file for the apps of this repository
    Init(Init),
    /// Print the completions of a shell
    Completions(Completions),
    /// Print the manual page, or write one for each verb
    Man(Man),
}

/// `holdpoint check`.
#[derive(Clone, Debug, Args)]
pub struct Check {
    /// A `fly.toml`, a `holdpoint.toml`, or a folder [default: the project, or the `fly*.toml` here]
    #[arg(value_name = "PATH")]
    pub path: Option<PathBuf>,
    /// Write the mends that can only be meant in one way; comments and order stay
    #[arg(long)]
    pub fix: bool,
    /// Count settings that Fly does not know as errors
    #[arg(long)]
    pub strict: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub preflight: preflight::Preflight,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub reading: Reading,
}

/// Flags of the verbs that only read.
#[derive(Clone, Copy, Debug, Args)]
pub struct Reading {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Where the platform is.
#[derive(Clone, Debug, Default, Args)]
pub struct Platform {
    /// The address of the Machines API [default: Fly's, or that of `holdpoint up` when no
    /// `FLY_API_TOKEN` is set]
    #[arg(long = "platform-url", value_name = "URL", env = "FLY_FLAPS_BASE_URL")]
    pub api_url: Option<String>,
    /// The address under which the platform's proxy serves every app, for a platform that does
    /// not serve each app under a name of its own
    #[arg(long, value_name = "URL", env = "HOLDPOINT_PROXY_URL")]
    pub proxy_url: Option<String>,
    /// Where the platform's metrics are, in Prometheus' text format
    #[arg(long, value_name = "URL", env = "HOLDPOINT_METRICS_URL")]
    pub metrics_url: Option<String>,
    /// Use the platform of `holdpoint up`, whatever the environment says
    #[arg(long, conflicts_with = "api_url")]
    pub local: bool,
    /// The platform's token
    #[arg(long, value_name = "TOKEN", env = "FLY_API_TOKEN", hide = true, hide_env_values = true)]
    pub token: Option<String>,
}

/// `holdpoint rehearse`.
#[derive(Clone, Debug, Args)]
pub struct Rehearse {
    /// How many seconds of the release's clock pass in one real second
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub speed: u32,
    /// The share of requests that the bad version answers with an error, 0 to 1
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    pub fault_share: f64,
    /// Requests per second to each app
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub traffic: u32,
    /// Keep the journal, the images and the platform's logs after a rehearsal that went well
    #[arg(long)]
    pub keep: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub machines: Machines,
}

/// `holdpoint release`.
#[derive(Clone, Debug, Args)]
pub struct Release {
    /// The version: semantic, and not released before
    pub version: Version,
    /// Why images that were rolled back shall be tried again; it goes into the journal
    #[arg(long, value_name = "REASON")]
    pub again: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub platform: Platform,
}

/// `holdpoint resume`.
#[derive(Clone, Debug, Args)]
pub struct Resume {
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub platform: Platform,
}

/// `holdpoint up`.
#[derive(Clone, Debug, Args)]
pub struct Up {
    /// Address of the Machines API and the image registry; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4280")]
    pub listen: SocketAddr,
    /// Address of the proxy that serves the apps as `<app>.localhost`; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4281")]
    pub proxy_listen: SocketAddr,
    /// Address at which the proxy serves the apps by TLS too, with certificates of an authority of
    /// its own; port 0 takes any free one [default: no TLS]
    #[arg(long, value_name = "ADDRESS")]
    pub tls_listen: Option<SocketAddr>,
    /// Serve `/admin/faults`, by which answers of machines can be broken on purpose
    #[arg(long)]
    pub allow_faults: bool,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub machines: Machines,
    /// Answer 429 to calls of the Machines API that come more often than Fly allows
    #[arg(long)]
    pub rate_limits: bool,
    /// Stop every machine on leaving; without it they run on and are found again
    #[arg(long)]
    pub stop_machines: bool,
    /// Leave when standard input ends, so that a platform does not outlive who started it
    #[arg(long)]
    pub attached: bool,
}

/// `holdpoint logs`.
#[derive(Clone, Debug, Args)]
pub struct Logs {
    /// The app [default: all apps of the project]
    pub app: Option<String>,
    /// Go on with the lines that come
    #[arg(long, short)]
    pub follow: bool,
    /// Only lines of this machine
    #[arg(long, value_name = "ID")]
    pub machine: Option<String>,
    /// Print one JSON object per line
    #[arg(long)]
    pub json: bool,
    /// Where the logs are [default: beside the Machines API, or Fly's]
    #[arg(long, value_name = "URL", env = "FLY_API_BASE_URL")]
    pub log_url: Option<String>,
    #[command(flatten)]
    #[expect(missing_docs, reason = "the type says it")]
    pub platform: Platform,
}

/// How machines run on this computer.
#[derive(Clone, Debug, Args)]
pub struct Machines {
    /// In what machines run: processes, or containers of Podman or Docker. An app chooses for
    /// itself with `HOLDPOINT_RUNTIME` in the environment of its machines
    #[arg(long, value_enum, default_value = "process")]
    pub runtime: MachineRuntime,
    /// Where the container engine listens, as `unix:///run/podman/podman.sock` [default: where
    /// Podman and Docker usually do]
    #[arg(long, value_name = "ADDRESS", env = "DOCKER_HOST")]
    pub engine: Option<String>,
}

/// In what a machine's program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum MachineRuntime {
    Process,
    Container,
}

/// `holdpoint approve`.
#[derive(Clone, Debug, Args)]
pub struct Approve {
    /// The role in which you consent [default: the one of yours that is still missing]
    #[arg(long)]
    pub role: Option<Role>,
    /// The beginning of the digest of the plan that you have read, at least 12 digits [default:
    /// the plan that waits, which is printed]
    #[arg(long, value_name = "DIGEST")]
    pub plan: Option<String>,
}

/// A verb that must say why.
#[derive(Clone, Debug, Args)]
pub struct Reasoned {
    /// Why, in a sentence; it goes into the journal
    #[arg(long)]
    pub reason: String,
}

/// `holdpoint fault …`.
#[derive(Clone, Debug, Subcommand)]
pub enum Fault {
    /// Set a fault, such as `error status=500 share=0.2 app=shop for_secs=600`
    Add {
        /// latency, error, reset, kill, slow_start, failing_check, memory, disk_full, api_error,
        /// api_lost or api_slow; `docs/faults.md` has the fields of each
        kind: String,
        /// The fields of the kind, and its limits: app, machine, image_digest, share, after,
        /// count, for_secs
        #[arg(value_name = "NAME=VALUE")]
        fields: Vec<String>,
    },
    /// List the faults that are set, how often each struck, and when it ends
    List(Reading),
    /// Remove a fault
    Remove {
        /// Its id
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// Remove all
        #[arg(long, conflicts_with = "id")]
        all: bool,
    },
}

/// `holdpoint journal …`.
#[derive(Clone, Debug, Subcommand)]
pub enum Journal {
    /// Check that no record is missing, altered or unreadable
    Verify(Reading),
}

fn share(text: &str) -> Result<f64, String> {
    let share: f64 = text.parse().map_err(|_unreadable| format!("`{text}` is not a number"))?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(format!("{share} is not between 0 and 1"))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_share_lies_between_nothing_and_everything() {
        assert_eq!(share("0.2"), Ok(0.2));
        assert!(share("1.5").is_err());
        assert!(share("NaN").is_err());
    }

    /// Verbs that change something, or whose output is itself a document.
    const ACTING: &[&str] = &[
        "approve",
        "completions",
        "continue",
        "fault add",
        "fault remove",
        "flag",
        "halt",
        "incident ack",
        "incident close",
        "incident open",
        "incident report",
        "incident update",
        "init",
        "man",
        "rehearse",
        "release",
        "resume",
        "rollback",
        "up",
        "waive",
    ];

    /// Every verb that can be given, with its words.
    fn verbs(command: &clap::Command, words: &str) -> Vec<(String, clap::Command)> {
        if !command.has_subcommands() {
            return vec![(words.trim().to_owned(), command.clone())];
        }
        let below = command.get_subcommands();
        below.flat_map(|verb| verbs(verb, &format!("{words} {}", verb.get_name()))).collect()
    }

    #[test]
    fn every_verb_and_every_flag_has_help() {
        for (words, verb) in verbs(&Arguments::command(), "") {
            assert!(verb.get_about().is_some(), "`{words}` says nothing of itself");
            for flag in verb.get_arguments() {
                assert!(flag.get_help().is_some(), "`{words}`: `{}` has no help", flag.get_id());
            }
        }
    }

    #[test]
    fn every_verb_that_reads_prints_json() {
        for (words, verb) in verbs(&Arguments::command(), "") {
            let is_acting = ACTING.contains(&words.as_str());
            let has_json = verb.get_arguments().any(|flag| flag.get_long() == Some("json"));
            assert!(is_acting || has_json, "`{words}` reads and lacks `--json`");
        }
    }
}
