//! A real PostgreSQL server for one test, on a free port, with a password and a certificate.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

/// The user and the database.
pub(crate) const USER: &str = "shop";

/// Its password.
pub(crate) const PASSWORD: &str = "open-sesame";

#[derive(Debug)]
pub(crate) struct Postgres {
    directory: TempDir,
    port: u16,
    _server: Child,
}

impl Postgres {
    /// A server that is about to take connections.
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        let password = directory.path().join("password");
        fs::write(&password, PASSWORD).expect("written");
        let owner = owner();
        for path in [directory.path(), password.as_path()] {
            if let Some(owner) = owner {
                chown(path, Some(owner), Some(owner)).expect("given away");
            }
        }
        let made = command("initdb", owner)
            .arg("--pgdata")
            .arg(&data)
            .args(["--username", USER, "--auth", "scram-sha-256", "--no-sync", "--no-instructions"])
            .arg(format!("--pwfile={}", password.display()))
            .stdout(Stdio::null())
            .status()
            .await
            .expect("initdb runs");
        assert!(made.success(), "initdb failed");
        write_certificate(directory.path(), &data, owner);
        let port = free_port();
        let server = command("postgres", owner)
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "ssl=on", "-c", "fsync=off"])
            .args(["-c", &format!("port={port}")])
            .args(["-c", &format!("unix_socket_directories={}", directory.path().display())])
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("postgres runs");
        Self { directory, port, _server: server }
    }

    /// Its address, with these parameters.
    pub(crate) fn url(&self, password: &str, parameters: &str) -> String {
        format!("postgres://{USER}:{password}@127.0.0.1:{}/postgres?{parameters}", self.port)
    }

    /// The certificate to trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.directory.path().join("server.crt")
    }
}

/// A program of Debian's package, run by another user where this is root: PostgreSQL refuses that.
fn command(program: &str, owner: Option<u32>) -> Command {
    let versions = fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL: `cargo xtask setup`");
    let mut found: Vec<PathBuf> =
        versions.flatten().map(|version| version.path().join("bin").join(program)).collect();
    found.sort();
    let mut command = Command::new(found.pop().expect("a version of PostgreSQL"));
    if let Some(owner) = owner {
        command.uid(owner).gid(owner);
    }
    command.current_dir("/");
    command
}

/// Who runs the server: nobody in particular where this is root.
fn owner() -> Option<u32> {
    const NOBODY: u32 = 65534;
    rustix::process::getuid().is_root().then_some(NOBODY)
}

fn write_certificate(directory: &Path, data: &Path, owner: Option<u32>) {
    let signed = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]);
    let rcgen::CertifiedKey { cert, signing_key } = signed.expect("a certificate");
    fs::write(directory.join("server.crt"), cert.pem()).expect("written");
    for (name, text) in [("server.crt", cert.pem()), ("server.key", signing_key.serialize_pem())] {
        let path = data.join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("kept secret");
        if let Some(owner) = owner {
            chown(&path, Some(owner), Some(owner)).expect("given away");
        }
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}
