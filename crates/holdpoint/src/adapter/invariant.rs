//! Asks the question of an invariant: runs its command and reads the one line that it prints. It judges nothing. What the command says beside its value is not kept: it
//! may hold what no record may.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use holdpoint_core::id::Environment;
use holdpoint_core::project::Invariant;
use tokio::io::AsyncReadExt as _;

use super::project_command;

/// The longest value: a count, a sum or a digest. More of it in every record helps nobody.
const VALUE_MAX_CHARACTERS: usize = 128;

/// What is read of the output at most, in bytes.
const OUTPUT_MAX_BYTES: u64 = 4096;

/// The value in an environment, or why there is none, in one sentence.
///
/// # Errors
/// When the command can't be run, fails, takes too long, or prints no value.
pub async fn ask(
    project_root: &Path,
    invariant: &Invariant,
    environment: Environment,
) -> Result<String, String> {
    let limit = Duration::from_secs(invariant.timeout_secs);
    let asked = tokio::time::timeout(limit, run(project_root, invariant, environment)).await;
    asked.unwrap_or_else(|_elapsed| {
        Err(format!("the command was ended after {} s", invariant.timeout_secs))
    })
}

async fn run(
    project_root: &Path,
    invariant: &Invariant,
    environment: Environment,
) -> Result<String, String> {
    let program = invariant.command.first().ok_or("there is no command")?;
    let mut command = project_command::command(project_root, &invariant.command);
    command
        .env("HOLDPOINT_ENVIRONMENT", environment.to_string())
        .env("HOLDPOINT_SERVICE", &invariant.service)
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let started = project_command::start(command);
    let (mut child, _group) =
        started.map_err(|error| format!("`{program}` could not be run: {error}"))?;
    let mut output = Vec::new();
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(OUTPUT_MAX_BYTES).read_to_end(&mut output).await;
        read.map_err(|error| format!("the output of `{program}` could not be read: {error}"))?;
    }
    let text = String::from_utf8_lossy(&output).trim().to_owned();
    if text.chars().count() > VALUE_MAX_CHARACTERS || text.chars().any(char::is_control) {
        return Err(format!(
            "`{program}` printed more than one line of {VALUE_MAX_CHARACTERS} characters"
        ));
    }
    let status = child.wait().await;
    let status = status.map_err(|error| format!("`{program}` was lost: {error}"))?;
    if !status.success() {
        return Err(format!("`{program}` ended with {status}"));
    }
    if text.is_empty() {
        return Err(format!("`{program}` printed nothing"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use holdpoint_core::project::Must;

    use super::*;

    async fn asked(script: &str, timeout_secs: u64) -> Result<String, String> {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("value.txt"), "42\n").expect("written");
        let invariant = Invariant {
            name: "orders".to_owned(),
            service: "shop".to_owned(),
            environments: vec![Environment::Production],
            command: ["sh", "-c", script].map(str::to_owned).to_vec(),
            must: Must::Stay,
            every_secs: 30,
            timeout_secs,
        };
        ask(folder.path(), &invariant, Environment::Production).await
    }

    #[tokio::test]
    async fn the_one_line_that_a_command_prints_is_the_value() {
        assert_eq!(asked("cat value.txt", 10).await, Ok("42".to_owned()));
        let named = asked("echo $HOLDPOINT_SERVICE in $HOLDPOINT_ENVIRONMENT", 10).await;
        assert_eq!(named, Ok("shop in production".to_owned()));
    }

    #[tokio::test]
    async fn what_is_no_value_says_why_and_quotes_nothing_of_it() {
        let secret = "postgres://ada:hunter2@db";
        let answers = [
            asked(&format!("echo {secret} >&2; exit 3"), 10).await,
            asked("true", 10).await,
            asked("seq 10", 10).await,
            asked("yes", 10).await,
        ];
        let texts: Vec<String> = answers.into_iter().map(Result::unwrap_err).collect();
        insta::assert_snapshot!(texts.join("\n"), @r"
        `sh` ended with exit status: 3
        `sh` printed nothing
        `sh` printed more than one line of 128 characters
        `sh` printed more than one line of 128 characters
        ");
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().expect("a folder");
        let pid_file = folder.path().join("pid");
        let script = format!("sleep 600 & echo $! > {}; wait", pid_file.display());
        let problem = asked(&script, 1).await.expect_err("it hangs");
        assert_eq!(problem, "the command was ended after 1 s");
        let pid = std::fs::read_to_string(&pid_file).expect("it was started");
        let status = format!("/proc/{}/stat", pid.trim());
        // gone, or waited for by nobody yet
        let is_gone =
            || std::fs::read_to_string(&status).map_or(true, |text| text.contains(") Z "));
        while !is_gone() {
            tokio::task::yield_now().await;
        }
    }
}
