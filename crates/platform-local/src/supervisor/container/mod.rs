//! Runs a machine's program in a container of the engine that is on this computer: the same image,
//! environment and volumes as a process gets, with a root of its own.
//!
//! The container shares the computer's network, so that `$PORT` means the same as for a process.
//! An init runs in it, as on Fly: the program is not the first process, and signals that it
//! doesn't handle end it. Restarting is not left to the engine. A container outlives the platform
//! and remembers how it ended; it is found again by its labels.

mod engine;
mod exec;
mod frames;
mod image;
mod leader;
mod output;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use hyper::Method;
use machines_api::types::ProcessStat;
use oci_image::{ImageDigest, layout::Layout};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinHandle;

use engine::{Ask, label_filter};
pub(crate) use engine::{Engine, EngineError};
use leader::Leader;

use super::{Ended, Exit, Limits, Program, Stats, is_shared, processes::processes};
use crate::clock;

/// The labels by which a container is found again.
const PLATFORM_LABEL: &str = "dev.holdpoint.platform";
const START_LABEL: &str = "dev.holdpoint.start";
/// The length of the machine's log when the container was made.
const LOG_LABEL: &str = "dev.holdpoint.log-from-bytes";

/// The id of the first process in a container, as it is seen inside.
const INIT: i32 = 1;

/// Between two tries while the engine does not answer.
const AGAIN: Duration = Duration::from_millis(500);

/// For so many tries, an hour, an engine may be away before what it left is given up. The next
/// start of the platform looks for it again.
const REMOVE_TRIES: u32 = 7200;

/// The engine's log is complete so long after the end of a container, or never.
const LAST_OUTPUT_MAX: Duration = Duration::from_secs(5);

/// Codes above this tell of a signal, as in a shell.
const SIGNAL_CODE: i64 = 128;
const SIGNAL_MAX: i64 = 64;

/// What to run in a container.
#[derive(Debug)]
pub(crate) struct ContainerLaunch {
    pub(crate) platform: String,
    pub(crate) machine: String,
    pub(crate) start: String,
    pub(crate) image: ImageDigest,
    pub(crate) command: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    /// Directories of this computer, and where the program sees them.
    pub(crate) volumes: Vec<(PathBuf, String)>,
    pub(crate) limits: Limits,
    pub(crate) log: PathBuf,
}

/// Why there is no container for a start.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContainerError {
    #[error("the image names no program to run\nhint: give it an entrypoint")]
    NoCommand,
    #[error("the image holds no program `{program}`\nhint: check its entrypoint")]
    NoProgram { program: String },
    #[error(transparent)]
    Engine(#[from] EngineError),
}

/// A container that was made, and perhaps started. Dropping it leaves it as it is.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    engine: Engine,
    platform: String,
    id: String,
    log: PathBuf,
    log_from_bytes: u64,
    /// Known once it runs, if the engine's processes can be seen from here.
    leader: Arc<OnceLock<Leader>>,
}

/// The containers of a platform that an earlier run of it made, by the start that they belong to.
#[derive(Debug)]
pub(crate) struct Containers {
    engine: Engine,
    platform: String,
    by_start: BTreeMap<String, Found>,
}

/// A container that was made before.
#[derive(Debug)]
struct Found {
    id: String,
    log_from_bytes: u64,
    was_started: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Created {
    id: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    labels: BTreeMap<String, String>,
    state: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    state: State,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    #[serde(rename = "OOMKilled")]
    oom_killed: bool,
    pid: i32,
    exit_code: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Waited {
    status_code: i64,
}

impl Container {
    /// Makes the container of a start, and gives the engine the image if it hasn't got it.
    pub(crate) async fn create(
        engine: &Engine,
        images: &Layout,
        launch: &ContainerLaunch,
    ) -> Result<Self, ContainerError> {
        let (program, arguments) = launch.command.split_first().ok_or(ContainerError::NoCommand)?;
        let log_from_bytes = fs::metadata(&launch.log).map_or(0, |metadata| metadata.len());
        let environment: Vec<String> =
            launch.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let bind = |(directory, path): &(PathBuf, String)| {
            // Engines refuse this option where it has no meaning.
            let option = if is_shared(directory) { ":rslave" } else { "" };
            format!("{}:{path}{option}", directory.display())
        };
        let binds: Vec<String> = launch.volumes.iter().map(bind).collect();
        let body = json!({
            "Image": image::name(&launch.platform, &launch.image),
            "Entrypoint": [program],
            "Cmd": arguments,
            "Env": environment,
            "Labels": {
                PLATFORM_LABEL: launch.platform,
                START_LABEL: launch.start,
                LOG_LABEL: log_from_bytes.to_string(),
            },
            "HostConfig": {
                "NetworkMode": "host",
                "Init": true,
                "Memory": launch.limits.memory_bytes,
                // Memory and swap together.
                "MemorySwap": launch.limits.memory_bytes.saturating_add(launch.limits.swap_bytes),
                "CpuPeriod": launch.limits.cpu_period_us,
                "CpuQuota": launch.limits.cpu_quota_us,
                "Binds": binds,
                // Whatever the engine's own choice is: it must be one that can be read back.
                "LogConfig": {"Type": "json-file", "Config": {}},
                "RestartPolicy": {"Name": "no"},
            },
        });
        let name = format!("holdpoint-{}-{}", launch.machine, launch.start.to_ascii_lowercase());
        let path = format!("/containers/create?name={name}");
        let make = async || -> Result<Created, EngineError> {
            image::provide(engine, images, &launch.platform, &launch.image).await?;
            let ask = Ask::new(Method::POST, path.clone(), "make the container");
            engine.read(ask.with_json(&body)?).await
        };
        let created = match make().await {
            // The image was removed in this very moment, with the last machine that had it.
            Err(error) if error.is_missing() => make().await?,
            made => made?,
        };
        let platform = launch.platform.clone();
        let container = Self::of(engine, platform, created.id, launch.log.clone(), log_from_bytes);
        container.must_hold(program).await?;
        Ok(container)
    }

    /// Refuses a program that is not in the image. The init in the container would tell so only
    /// in the log.
    async fn must_hold(&self, program: &str) -> Result<(), ContainerError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+".contains(c);
        if !program.starts_with('/') || !program.chars().all(is_plain) {
            return Ok(());
        }
        let path = format!("/containers/{}/archive?path={program}", self.id);
        match self.engine.done(Ask::new(Method::HEAD, path, "look into the image")).await {
            Err(error) if error.is_missing() => {
                self.remove().await;
                Err(ContainerError::NoProgram { program: program.to_owned() })
            }
            Err(error) => {
                self.remove().await;
                Err(error.into())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Starts the program; the future ends when the program does.
    pub(crate) async fn start(
        &self,
    ) -> Result<impl Future<Output = Exit> + Send + 'static + use<>, ContainerError> {
        let path = format!("/containers/{}/start", self.id);
        let started = self.engine.done(Ask::new(Method::POST, path, "start the container")).await;
        if let Err(error) = started {
            self.remove().await;
            return Err(error.into());
        }
        // Whoever finds it started finds its processes too.
        self.leader().await;
        Ok(self.watch())
    }

    fn of(
        engine: &Engine,
        platform: String,
        id: String,
        log: PathBuf,
        log_from_bytes: u64,
    ) -> Self {
        let engine = engine.clone();
        Self { engine, platform, id, log, log_from_bytes, leader: Arc::default() }
    }

    /// Its first process. Nothing if it has ended, or if the engine does not answer.
    async fn leader(&self) -> Option<&Leader> {
        if self.leader.get().is_none() {
            let pid = self.inspect().await.ok()?.state.pid;
            // 0 has no process, and so no leader.
            let leader = Leader::of(pid)?;
            return Some(self.leader.get_or_init(|| leader));
        }
        self.leader.get()
    }

    fn watch(&self) -> impl Future<Output = Exit> + Send + 'static + use<> {
        let container = self.clone();
        let copying = {
            let Self { engine, id, log, log_from_bytes, .. } = self.clone();
            tokio::spawn(async move { output::follow(&engine, &id, &log, log_from_bytes).await })
        };
        async move { container.ended(copying).await }
    }

    async fn ended(self, copying: JoinHandle<()>) -> Exit {
        let oom_kills = self.oom_kills().await;
        let exit = loop {
            match self.exit(oom_kills).await {
                Ok(exit) => break exit,
                Err(error) if error.is_broken() => {
                    tracing::debug!(%error, "the end of a container is asked for again");
                    clock::pause(AGAIN).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "it is not known how a container ended");
                    break Exit::UNKNOWN;
                }
            }
        };
        let abort = copying.abort_handle();
        if tokio::time::timeout(LAST_OUTPUT_MAX, copying).await.is_err() {
            abort.abort();
        }
        // An engine may end its stream before the last line is in it.
        let rest = output::copy(&self.engine, &self.id, &self.log, self.log_from_bytes, false);
        if let Err(error) = rest.await {
            tracing::debug!(%error, "the last output of a container may be missing");
        }
        exit
    }

    /// Waits for the end, with the engine's help.
    async fn exit(&self, oom_kills: u64) -> Result<Exit, EngineError> {
        let path = format!("/containers/{}/wait", self.id);
        let ask = Ask::new(Method::POST, path, "wait for the container");
        let waited: Waited = self.engine.wait(ask).await?;
        let state = self.inspect().await?.state;
        let code = if waited.status_code >= 0 { waited.status_code } else { state.exit_code };
        let oom_kills = if state.oom_killed { oom_kills.max(1) } else { oom_kills };
        Ok(exit_of(code).with_oom_kills(oom_kills))
    }

    /// Waits for the end by the kernel's own handle, where the engine's processes can be seen.
    async fn oom_kills(&self) -> u64 {
        let Some(leader) = self.leader().await else { return 0 };
        leader.ended().await.unwrap_or_else(|error| {
            tracing::debug!(%error, "a container is watched by its engine alone");
            0
        })
    }

    /// What the program uses. Nothing is known until the engine has told its process.
    pub(crate) fn stats(&self) -> Stats {
        self.leader.get().map(Leader::stats).unwrap_or_default()
    }

    /// The machine's own program, as this computer numbers it.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.leader.get()?.program()
    }

    /// The processes in it but for its init, each with the id that it has inside.
    pub(crate) async fn processes(&self, start: &str) -> io::Result<Vec<ProcessStat>> {
        let leader = self.leader().await.ok_or_else(|| {
            io::Error::other("the engine does not tell them, or they run where they cannot be seen")
        })?;
        let (identity, start) = (leader.identity, start.to_owned());
        let looked = tokio::task::spawn_blocking(move || processes(identity, &start)).await;
        let mut found = looked.map_err(io::Error::other)??;
        found.retain(|process| process.pid != INIT);
        Ok(found)
    }

    async fn inspect(&self) -> Result<Inspected, EngineError> {
        let path = format!("/containers/{}/json", self.id);
        self.engine.read(Ask::new(Method::GET, path, "tell of the container")).await
    }

    /// Sends a signal to the program; one that has ended meanwhile is no error.
    pub(crate) fn signal(&self, signal: Signal) {
        // The init passes on every signal but this one, which nobody can catch.
        if let Some(pid) = self.pid().and_then(Pid::from_raw).filter(|_| signal == Signal::STOP) {
            if let Err(error) = kill_process(pid, signal) {
                tracing::debug!(%error, "a signal found no program");
            }
            return;
        }
        let container = self.clone();
        tokio::spawn(async move {
            let (id, number) = (&container.id, signal.as_raw());
            let path = format!("/containers/{id}/kill?signal={number}");
            let ask = Ask::new(Method::POST, path, "signal the container");
            if let Err(error) = container.engine.done(ask).await {
                tracing::debug!(%error, number, "a signal found no container");
            }
        });
    }

    /// Kills the program and all that it started.
    pub(crate) fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Freezes the program with all that it started.
    pub(crate) async fn freeze(&self) -> Result<(), EngineError> {
        let path = format!("/containers/{}/pause", self.id);
        self.engine.done(Ask::new(Method::POST, path, "freeze the container")).await
    }

    /// Lets a frozen program run on, as soon as the engine answers.
    pub(crate) async fn thaw(&self) {
        if !self.try_thaw().await {
            let container = self.clone();
            tokio::spawn(async move {
                while !container.try_thaw().await {
                    clock::pause(AGAIN).await;
                }
            });
        }
    }

    /// Whether the engine was asked. One that is not frozen, or is gone, needs nothing.
    async fn try_thaw(&self) -> bool {
        let path = format!("/containers/{}/unpause", self.id);
        match self.engine.done(Ask::new(Method::POST, path, "let the container run on")).await {
            Ok(()) => true,
            Err(error) => {
                tracing::debug!(%error, "a container was not frozen, or is so for longer");
                !error.is_broken()
            }
        }
    }

    /// Removes the container, with whatever still runs in it. An engine that leaves meanwhile may
    /// keep half of it and list it no more, so it is asked again once it is back.
    pub(crate) async fn remove(&self) {
        let (engine, id) = (self.engine.clone(), self.id.clone());
        if !is_removed(&engine, &id).await {
            tokio::spawn(async move {
                for _ in 0..REMOVE_TRIES {
                    clock::pause(AGAIN).await;
                    if is_removed(&engine, &id).await {
                        return;
                    }
                }
                tracing::warn!(id, "a container may be left in an engine that does not come back");
            });
        }
    }
}

/// Whether the engine has removed the container, or said why it does not; not so if it is away.
async fn is_removed(engine: &Engine, id: &str) -> bool {
    let path = format!("/containers/{id}?force=true&v=true");
    match engine.done(Ask::new(Method::DELETE, path, "remove the container")).await {
        Ok(()) => true,
        Err(error) if error.is_missing() || error.is_conflict() => {
            tracing::debug!(%error, "a container is being removed already");
            true
        }
        Err(error) if error.is_broken() => {
            tracing::debug!(%error, "a container will be removed later");
            false
        }
        Err(error) => {
            tracing::warn!(%error, "a container may be left in the engine");
            true
        }
    }
}

impl Containers {
    /// Asks the engine for all containers of this platform.
    pub(crate) async fn find(engine: Engine, platform: &str) -> Result<Self, EngineError> {
        let path = format!("/containers/json?all=true&{}", label_filter(PLATFORM_LABEL, platform));
        let ask = Ask::new(Method::GET, path, "list containers");
        let listed: Vec<Listed> = engine.read(ask).await?;
        let found = listed.into_iter().filter_map(|container| {
            let start = container.labels.get(START_LABEL)?.clone();
            let log_from = container.labels.get(LOG_LABEL).and_then(|bytes| bytes.parse().ok());
            let was_started = !matches!(container.state.as_str(), "created" | "initialized");
            let log_from_bytes = log_from.unwrap_or(0);
            Some((start, Found { id: container.id, log_from_bytes, was_started }))
        });
        let by_start = found.collect();
        Ok(Self { engine, platform: platform.to_owned(), by_start })
    }

    /// Takes over the container of this start. One that has ended meanwhile tells so at once.
    pub(crate) fn claim(&mut self, start: &str, log: PathBuf) -> Option<(Program, Ended)> {
        if !self.by_start.get(start)?.was_started {
            return None;
        }
        let found = self.by_start.remove(start)?;
        let platform = self.platform.clone();
        let container = Container::of(&self.engine, platform, found.id, log, found.log_from_bytes);
        let ended = container.watch();
        Some((Program::Container(container), Box::pin(ended)))
    }

    /// Removes the containers that nobody claimed, and the images that no container has use for
    /// but those of these digests.
    pub(crate) async fn remove_the_rest(self, kept: &BTreeSet<String>) {
        for (start, found) in self.by_start {
            tracing::warn!(start, "removing a container that no machine owns");
            let platform = self.platform.clone();
            Container::of(&self.engine, platform, found.id, PathBuf::new(), 0).remove().await;
        }
        self.engine.remove_unused_images(&self.platform, kept).await;
    }
}

impl Engine {
    /// Removes the platform's images that no container has use for, but for those of these
    /// digests: of machines that may start again.
    pub(crate) async fn remove_unused_images(&self, platform: &str, kept: &BTreeSet<String>) {
        if let Err(error) = image::remove_unused(self, platform, kept).await {
            tracing::warn!(%error, "images may be left in the engine");
        }
    }
}

/// An exit as the kernel tells it of a process: a container's init turns a signal into a code.
fn exit_of(code: i64) -> Exit {
    let signal = code - SIGNAL_CODE;
    if (1..=SIGNAL_MAX).contains(&signal) {
        Exit { signal: i32::try_from(signal).ok(), ..Exit::UNKNOWN }
    } else {
        Exit { code: i32::try_from(code).ok(), ..Exit::UNKNOWN }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_read_from_the_code_of_a_container() {
        assert_eq!(exit_of(0).code, Some(0));
        assert_eq!(exit_of(3).code, Some(3));
        assert_eq!((exit_of(137).code, exit_of(137).signal), (None, Some(9)));
        assert_eq!(exit_of(255).code, Some(255));
    }
}
