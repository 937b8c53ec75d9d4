//! Makes a service's image: runs its build command, packs the program and files, and pushes the
//! image to the platform's registry. Which version that is, and when, is its caller's affair.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use holdpoint_core::id::ImageDigest;
use holdpoint_core::project::{Build, Service};
use oci_image::build::{FileSpec, ImageSpec};
use oci_image::layout::{Layout, LayoutError};
use oci_image::registry::PushError;
use semver::Version;
use thiserror::Error;
use tokio::process::Command;

use super::platform::PlatformAddress;

/// A build that takes longer than this hangs.
const BUILD_LIMIT: Duration = Duration::from_hours(2);

/// How many of the last lines of a failed build are told.
const TOLD_LINES: usize = 20;

/// The program's place inside the image.
const ENTRYPOINT: &str = "/app";

/// How a program learns its own version.
const VERSION_VARIABLE: &str = "SERVICE_VERSION";

/// How others learn the image's version (OCI image spec, annotations).
const VERSION_LABEL: &str = "org.opencontainers.image.version";

/// Where images are made and kept.
#[derive(Clone, Debug)]
pub struct BuildPlace {
    /// The directory of `holdpoint.toml`.
    pub project_root: PathBuf,
    /// The project's state; images and logs are kept in it.
    pub state_dir: PathBuf,
}

/// Why there is no image.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The log can't be written.
    #[error(
        "could not write the build log `{path}`: {source}\nhint: check that the state directory may be written and the disk is not full"
    )]
    Log {
        /// The log.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The command can't be started.
    #[error(
        "could not run `{command}` in `{directory}` to build `{service}`: {source}\nhint: check `command` and `directory` of the service's `[services.build]`"
    )]
    Start {
        /// The service.
        service: String,
        /// The command.
        command: String,
        /// Where.
        directory: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The command failed.
    #[error(
        "building `{service}` failed: `{command}` ended with {status}\n{last_lines}\nhint: mend what it names and repeat; the whole output is in `{log}`"
    )]
    Failed {
        /// The service.
        service: String,
        /// The command.
        command: String,
        /// How it ended.
        status: String,
        /// The end of its output.
        last_lines: String,
        /// All of it.
        log: PathBuf,
    },
    /// The command took too long.
    #[error("building `{service}` took longer than {} minutes and was stopped\nhint: run `{command}` by hand and see where it hangs", BUILD_LIMIT.as_secs() / 60)]
    TooLong {
        /// The service.
        service: String,
        /// The command.
        command: String,
    },
    /// The command made no program.
    #[error(
        "the build of `{service}` made no `{path}`\nhint: correct `binary` in the service's `[services.build]`, or unset CARGO_TARGET_DIR if cargo builds elsewhere"
    )]
    NoBinary {
        /// The service.
        service: String,
        /// Where the program should be.
        path: PathBuf,
    },
    /// Program and files make no image.
    #[error("could not make an image of `{service}`: {source}")]
    Pack {
        /// The service.
        service: String,
        /// Why.
        source: oci_image::build::BuildError,
    },
    /// The images can't be kept.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The digest is none.
    #[error(transparent)]
    Digest(#[from] oci_image::DigestError),
    /// The registry did not take the image.
    #[error(
        "could not push the image to `{repository}`: {source}\nhint: check that the platform runs and the token is valid; pushing again is safe"
    )]
    Push {
        /// The repository.
        repository: String,
        /// Why.
        source: PushError,
    },
    /// The work was dropped with its thread.
    #[error("packing the image of `{service}` was broken off\nhint: repeat it")]
    BrokenOff {
        /// The service.
        service: String,
    },
}

/// Runs the service's build command. Its output goes to a log file in the state directory.
pub async fn compile(place: &BuildPlace, service: &Service) -> Result<(), BuildError> {
    let Build { command: words, environment, .. } = &service.build;
    let (name, command) = (service.name.clone(), words.join(" "));
    let directory = place.project_root.join(&service.build.directory);
    let log = place.state_dir.join("logs").join(format!("build-{name}.log"));
    let (output, errors) =
        open_log(&log).map_err(|source| BuildError::Log { path: log.clone(), source })?;
    let (program, arguments) =
        words.split_first().map_or(("", [].as_slice()), |(first, rest)| (first.as_str(), rest));
    let mut child = Command::new(program)
        .args(arguments)
        .envs(environment)
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| BuildError::Start {
            service: name.clone(),
            command: command.clone(),
            directory: directory.clone(),
            source,
        })?;
    let status = match tokio::time::timeout(BUILD_LIMIT, child.wait()).await {
        Ok(Ok(status)) => status,
        Ok(Err(source)) => {
            return Err(BuildError::Start { service: name, command, directory, source });
        }
        Err(_elapsed) => return Err(BuildError::TooLong { service: name, command }),
    };
    if !status.success() {
        let (status, last_lines) = (status.to_string(), last_lines(&log));
        return Err(BuildError::Failed { service: name, command, status, last_lines, log });
    }
    let binary = binary(place, service);
    if binary.is_file() {
        Ok(())
    } else {
        Err(BuildError::NoBinary { service: name, path: binary })
    }
}

/// Packs the built program and the service's files into an image of this version. The same input
/// gives the same digest.
pub async fn pack(
    place: &BuildPlace,
    service: &Service,
    version: &Version,
) -> Result<ImageDigest, BuildError> {
    let (name, version) = (service.name.clone(), version.to_string());
    let from_root = |path: &str| place.project_root.join(path);
    let spec = ImageSpec {
        binary: binary(place, service),
        entrypoint: ENTRYPOINT.to_owned(),
        files: service
            .build
            .files
            .iter()
            .map(|file| FileSpec { from: from_root(&file.from), to: file.to.clone() })
            .collect(),
        env: BTreeMap::from([(VERSION_VARIABLE.to_owned(), version.clone())]),
        labels: BTreeMap::from([(VERSION_LABEL.to_owned(), version)]),
        working_dir: "/".to_owned(),
        user: None,
        exposed_port: None,
    };
    let layout = Layout::open(images_dir(&place.state_dir))?;
    let packing = tokio::task::spawn_blocking(move || oci_image::build::build(&spec, &layout));
    match packing.await {
        Ok(Ok(digest)) => Ok(ImageDigest::new(digest.to_string())),
        Ok(Err(source)) => Err(BuildError::Pack { service: name, source }),
        Err(_panicked) => Err(BuildError::BrokenOff { service: name }),
    }
}

/// Pushes an image to a repository of the platform's registry. What is there is not sent again.
pub async fn push(
    place: &BuildPlace,
    digest: &ImageDigest,
    address: &PlatformAddress,
    repository: &str,
) -> Result<(), BuildError> {
    let layout = Layout::open(images_dir(&place.state_dir))?;
    let digest: oci_image::ImageDigest = digest.as_str().parse()?;
    let (base, token) = (address.registry_base_url.as_str(), Some(address.token()));
    oci_image::registry::push(&layout, &digest, base, repository, token)
        .await
        .map_err(|source| BuildError::Push { repository: repository.to_owned(), source })
}

fn images_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("images")
}

fn binary(place: &BuildPlace, service: &Service) -> PathBuf {
    place.project_root.join(&service.build.directory).join(&service.build.binary)
}

fn open_log(path: &Path) -> io::Result<(File, File)> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let file = File::create(path)?;
    Ok((file.try_clone()?, file))
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(TOLD_LINES)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use holdpoint_core::project::{BuildFile, Placement};

    use super::*;

    fn place(directory: &Path) -> BuildPlace {
        BuildPlace { project_root: directory.join("project"), state_dir: directory.join("state") }
    }

    fn service(place: &BuildPlace, script: &str) -> Service {
        fs::create_dir_all(place.project_root.join("docs")).expect("made");
        fs::write(place.project_root.join("docs/one.md"), "one").expect("written");
        let placement = Placement { config: "fly.toml".to_owned(), machines: 1 };
        Service {
            name: "shop".to_owned(),
            after: Vec::new(),
            required_secrets: Vec::new(),
            build: Build {
                command: ["sh", "-c", script].map(str::to_owned).to_vec(),
                directory: ".".to_owned(),
                binary: "program".to_owned(),
                files: vec![BuildFile { from: "docs".to_owned(), to: "/docs".to_owned() }],
                environment: BTreeMap::from([("WORD".to_owned(), "hello".to_owned())]),
            },
            staging: placement.clone(),
            production: placement,
            smoke: Vec::new(),
            smoke_files: None,
        }
    }

    /// This very test is a static program.
    fn this_program() -> String {
        let program = std::env::current_exe().expect("a program");
        format!("cp '{}' program", program.display())
    }

    #[tokio::test]
    async fn two_versions_of_one_program_are_two_images_and_one_version_is_one() {
        let directory = tempfile::tempdir().expect("directory");
        let place = place(directory.path());
        let service = service(&place, &this_program());
        compile(&place, &service).await.expect("built");
        let (one, two) = (Version::new(1, 0, 0), Version::new(1, 1, 0));
        let first = pack(&place, &service, &one).await.expect("packed");
        assert_eq!(pack(&place, &service, &one).await.expect("packed"), first);
        assert_ne!(pack(&place, &service, &two).await.expect("packed"), first);
        let layout = Layout::open(images_dir(&place.state_dir)).expect("layout");
        let config = layout.read_config(&first.as_str().parse().expect("digest")).expect("config");
        assert_eq!(config.config.env, Some(vec!["SERVICE_VERSION=1.0.0".to_owned()]));
    }

    #[tokio::test]
    async fn a_failed_build_tells_its_last_lines_and_its_log() {
        let directory = tempfile::tempdir().expect("directory");
        let place = place(directory.path());
        let service = service(&place, "echo $WORD; echo it broke >&2; exit 3");
        let error = compile(&place, &service).await.expect_err("failed").to_string();
        assert!(error.contains("ended with exit status: 3\nhello\nit broke\nhint: "), "{error}");
        assert!(error.contains("build-shop.log"), "{error}");
    }

    #[tokio::test]
    async fn a_build_that_makes_nothing_or_cannot_start_or_makes_a_script_is_told() {
        let directory = tempfile::tempdir().expect("directory");
        let place = place(directory.path());
        let mut service = service(&place, "true");
        let error = compile(&place, &service).await.expect_err("no program").to_string();
        assert!(error.contains("made no `") && error.contains("hint: correct `binary`"), "{error}");
        fs::write(place.project_root.join("program"), "#!/bin/sh\n").expect("written");
        let error = pack(&place, &service, &Version::new(1, 0, 0)).await.expect_err("a script");
        assert!(error.to_string().contains("is not a Linux program"), "{error}");
        service.build.command = vec!["./no-such-program".to_owned()];
        let error = compile(&place, &service).await.expect_err("cannot start").to_string();
        assert!(error.contains("could not run `./no-such-program`"), "{error}");
    }
}
