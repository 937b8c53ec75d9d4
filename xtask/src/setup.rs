//! Installs what the build and the tests need and is missing. It installs nothing else, and it
//! never takes anything away.

use crate::failure::Failure;
use crate::process::{Invocation, cargo_home, repository_root};

/// The Debian packages that build and tests need, each with its reason. `cmake` is not among
/// them: the TLS library builds with the C compiler alone.
const DEBIAN_PACKAGES: &[(&str, &str)] = &[
    ("catatonit", "is the first process in the containers of the tests"),
    ("ca-certificates", "HTTPS to crates.io and to the platform"),
    ("gcc", "compiles SQLite and the TLS library, and links"),
    ("git", "Holdpoint reads the facts of a commit with it, and so do its tests"),
    ("libc6-dev", "static binaries link its `libc.a`"),
    ("nodejs", "runs another client of the Machines API, in a test"),
    ("npm", "fetches that client"),
    ("podman", "runs machines in containers, in the tests of that"),
    ("postgresql", "is reached by pre-flight, in the tests of that"),
    ("prometheus", "asks the platform's metrics what an operator asks, in the tests of that"),
    ("runc", "starts those containers, under every layout of control groups"),
];

/// A tool from crates.io, at the one version that everybody uses.
struct Tool {
    package: &'static str,
    version: &'static str,
    /// Asks the tool for its version.
    question: &'static [&'static str],
}

/// The newest versions that build with the workspace's `rust-version`.
const TOOLS: &[Tool] = &[
    Tool {
        package: "cargo-nextest",
        version: "0.9.143",
        question: &["cargo", "nextest", "--version"],
    },
    Tool { package: "cargo-deny", version: "0.20.2", question: &["cargo", "deny", "--version"] },
    Tool { package: "typos-cli", version: "1.52.0", question: &["typos", "--version"] },
];

/// Installs Debian packages first, since the tools are compiled with them.
pub(crate) fn run() -> Result<(), Failure> {
    install_packages(DEBIAN_PACKAGES)?;
    for tool in TOOLS.iter().filter(|tool| !is_installed(tool)) {
        install_tool(tool)?;
    }
    Ok(())
}

/// Installs those of these packages that are missing, each given with its reason.
#[expect(clippy::print_stdout, reason = "progress for the person who waits")]
pub(crate) fn install_packages(packages: &[(&str, &str)]) -> Result<(), Failure> {
    if Invocation::new("dpkg-query", &["--version"]).output().is_err() {
        println!("setup: this is not Debian; needed are {}", package_reasons(packages));
        return Ok(());
    }
    let missing: Vec<_> =
        packages.iter().copied().filter(|(package, _)| !has_package(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|(package, _)| *package).collect();
    if Invocation::new("id", &["-u"]).output()?.trim() != "0" {
        return Err(Failure::new(
            "cannot install Debian packages without being root",
            format!("run `sudo apt-get install --yes {}`", names.join(" ")),
        )
        .because(format!("missing: {}", package_reasons(&missing))));
    }
    println!("setup: installing {}", package_reasons(&missing));
    Invocation::new("apt-get", &["update", "--quiet"]).run()?;
    let mut arguments = vec!["install", "--quiet", "--yes", "--no-install-recommends"];
    arguments.extend(names);
    Invocation::new("apt-get", &arguments)
        .with_environment("DEBIAN_FRONTEND", "noninteractive")
        .run()
}

/// Whether Debian's package is there, or a program of that name from elsewhere: the Node of others
/// brings its own `npm`, and does not go together with Debian's.
fn has_package(package: &str) -> bool {
    if Invocation::new(package, &["--version"]).output().is_ok() {
        return true;
    }
    Invocation::new("dpkg-query", &["--show", "--showformat=${db:Status-Status}", package])
        .output()
        .is_ok_and(|status| status == "installed")
}

fn package_reasons(packages: &[(&str, &str)]) -> String {
    let reasons = packages.iter().map(|(package, reason)| format!("`{package}` ({reason})"));
    reasons.collect::<Vec<_>>().join(", ")
}

fn is_installed(tool: &Tool) -> bool {
    let Some((program, arguments)) = tool.question.split_first() else { return false };
    Invocation::new(*program, arguments)
        .output()
        .is_ok_and(|answer| answer.split_whitespace().any(|word| word == tool.version))
}

/// Compiles a tool outside the repository, so that the repository's own build settings (static
/// linking) do not touch it, and with little optimisation: it runs for seconds, and compiling it
/// fully would take minutes.
#[expect(clippy::print_stdout, reason = "progress for the person who waits")]
fn install_tool(tool: &Tool) -> Result<(), Failure> {
    println!("setup: installing {} {}", tool.package, tool.version);
    let directory = cargo_home().filter(|home| home.is_dir()).unwrap_or_else(repository_root);
    let arguments =
        ["install", "--locked", "--quiet", tool.package, "--version", tool.version, "--force"];
    Invocation::new("cargo", &arguments)
        .in_directory(directory)
        .with_environment("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .with_environment("CARGO_PROFILE_RELEASE_LTO", "off")
        .with_environment("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_package_is_named_with_its_reason() {
        assert_eq!(package_reasons(&[("git", "reads commits")]), "`git` (reads commits)");
    }

    #[test]
    fn a_tool_that_does_not_exist_counts_as_missing() {
        let tool = Tool { package: "x", version: "1", question: &["no-such-program"] };
        assert!(!is_installed(&tool));
    }
}
