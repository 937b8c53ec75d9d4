//! A container engine for one test: a Podman with storage, settings and a socket of its own. When
//! the test ends, well or badly, nothing of it is left.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

/// Raising limits is not permitted everywhere, and these are low enough for every computer.
/// `runc` accepts every layout of control groups.
const SETTINGS: &str = r#"
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"#;

pub struct Engine {
    directory: TempDir,
    service: Child,
}

impl Engine {
    pub async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("containers.conf"), SETTINGS).expect("written");
        let engine = Self { service: serve(directory.path()), directory };
        engine.answers().await;
        engine
    }

    /// Kills the service; the containers run on.
    pub fn leave(&mut self) {
        self.service.kill().expect("killed");
        self.service.wait().expect("gone");
        fs::remove_file(self.socket()).expect("removed");
    }

    /// Starts the service again.
    pub async fn come_back(&mut self) {
        self.service = serve(self.directory.path());
        self.answers().await;
    }

    async fn answers(&self) {
        super::until("the engine answers", || async { UnixStream::connect(self.socket()).is_ok() })
            .await;
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("engine.sock")
    }

    /// All containers, whatever their state.
    pub fn containers(&self) -> Vec<String> {
        self.lines(&["ps", "--all", "--quiet"])
    }

    pub fn images(&self) -> Vec<String> {
        self.lines(&["images", "--quiet"])
    }

    /// The ids of the programs that run, by machine: what the first process of each container,
    /// its init, has started first.
    pub fn programs(&self) -> BTreeMap<String, i32> {
        let of_line = |line: &String| {
            let (name, init) = line.split_once(' ')?;
            let machine = name.strip_prefix("holdpoint-")?.split('-').next()?;
            let children = fs::read_to_string(format!("/proc/{init}/task/{init}/children")).ok()?;
            Some((machine.to_owned(), children.split_whitespace().next()?.parse().ok()?))
        };
        let listed = self.lines(&["ps", "--format", "{{.Names}} {{.Pid}}"]);
        listed.iter().filter_map(of_line).collect()
    }

    /// The names of the containers that are frozen.
    pub fn frozen(&self) -> Vec<String> {
        self.lines(&["ps", "--filter", "status=paused", "--format", "{{.Names}}"])
    }

    fn lines(&self, arguments: &[&str]) -> Vec<String> {
        let output = podman(self.directory.path(), arguments).stdout(Stdio::piped()).output();
        let output = output.expect("an answer");
        assert!(output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        drop(self.service.kill());
        drop(self.service.wait());
        for arguments in [["rm", "--all", "--force"], ["rmi", "--all", "--force"]] {
            drop(podman(self.directory.path(), &arguments).stdout(Stdio::null()).status());
        }
        // Podman keeps its storage mounted on itself.
        unmount(&self.directory.path().join("root/overlay"));
    }
}

fn serve(directory: &Path) -> Child {
    let socket = format!("unix://{}", directory.join("engine.sock").display());
    podman(directory, &["system", "service", "--time", "0", &socket])
        .spawn()
        .expect("Podman, which `cargo xtask setup` installs")
}

#[expect(clippy::disallowed_methods, reason = "what the engine did is undone in its own way")]
fn unmount(place: &Path) {
    drop(Command::new("umount").arg("--lazy").arg(place).stderr(Stdio::null()).status());
}

#[expect(clippy::disallowed_methods, reason = "the engine is a process of its own")]
fn podman(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("podman");
    for (flag, place) in [("--root", "root"), ("--runroot", "runroot"), ("--tmpdir", "tmp")] {
        command.arg(flag).arg(directory.join(place));
    }
    command
        .env("CONTAINERS_CONF", directory.join("containers.conf"))
        .args(["--log-level", "error"])
        .args(arguments)
        .stdin(Stdio::null());
    command
}
