//! The files that a machine's config puts into it, beside those of its image: what may be named,
//! and how they get there. Files are written anew at every start, so that a changed secret is seen.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use machines_api::types::MachineConfig;
use serde::Deserialize;

use super::guest_path::GuestPath;

/// Files of one machine. Their contents are bounded by the size of a request.
const FILES_MAX: usize = 100;

/// Everybody may read a file whose mode nobody chose.
const MODE: u32 = 0o644;

/// The bits of a mode that chmod(2) takes.
const MODE_MAX: u32 = 0o7777;

/// A file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ConfigFile {
    /// Where it stands in the machine, with a slash at the beginning.
    pub(super) guest_path: String,
    path: GuestPath,
    mode: u32,
    source: Source,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    Raw(Vec<u8>),
    /// The app's secret whose value is the content in base 64.
    Secret(String),
}

/// Why a file is not in the machine.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error(
        "the file `{guest_path}` is made from the secret `{secret}`, which is not set\nhint: set it, its value in base 64"
    )]
    NoSecret { guest_path: String, secret: String },
    #[error("the file `{guest_path}` is made from the secret `{secret}`, which is not base 64")]
    SecretForm { guest_path: String, secret: String },
    #[error(
        "the file `{guest_path}` would stand outside of the machine or in place of a directory\nhint: name another path"
    )]
    Place { guest_path: String },
    #[error("cannot write `{path}`: {source}")]
    Io { path: PathBuf, source: io::Error },
}

/// As it stands in a config.
#[derive(Debug, Deserialize)]
struct Written {
    #[serde(default)]
    guest_path: String,
    raw_value: Option<String>,
    secret_name: Option<String>,
    image_config: Option<String>,
    mode: Option<u32>,
}

impl ConfigFile {
    /// The files that a config names.
    ///
    /// # Errors
    /// What is wrong with one of them, in words for who wrote the config.
    pub(super) fn all(config: &MachineConfig) -> Result<Vec<Self>, String> {
        let Some(files) = config.rest.get("files").filter(|files| !files.is_null()) else {
            return Ok(Vec::new());
        };
        let written = Vec::<Written>::deserialize(files)
            .map_err(|error| format!("`files` of the config cannot be read: {error}"))?;
        if written.len() > FILES_MAX {
            return Err(format!("a machine has at most {FILES_MAX} files"));
        }
        let files: Vec<Self> = written.into_iter().map(Self::read).collect::<Result<_, _>>()?;
        let mounts: Vec<GuestPath> =
            config.mounts.iter().filter_map(|mount| GuestPath::parse(&mount.path)).collect();
        for (before, file) in files.iter().enumerate() {
            if files.iter().take(before).any(|other| other.path == file.path) {
                return Err(format!("the file `{}` stands twice in the config", file.guest_path));
            }
            if mounts.iter().any(|mount| file.path.stands_in(mount)) {
                return Err(format!(
                    "the file `{}` would stand in a volume\nhint: name a path outside of the mount",
                    file.guest_path
                ));
            }
        }
        Ok(files)
    }

    fn read(written: Written) -> Result<Self, String> {
        let Written { guest_path, raw_value, secret_name, image_config, mode } = written;
        let refuse = |why: &str| Err(format!("the file `{guest_path}` {why}"));
        // A slash at the end means a directory.
        let path = GuestPath::parse(&guest_path).filter(|_| !guest_path.ends_with('/'));
        let Some(path) = path else {
            return refuse(
                "has no place in a machine\nhint: name an absolute path without `..` and `:`, such as `/etc/app.conf`",
            );
        };
        if image_config.is_some() {
            return refuse("cannot be made from an image's config on this platform");
        }
        let source = match (raw_value, secret_name) {
            (Some(raw), None) => match STANDARD.decode(raw) {
                Ok(content) => Source::Raw(content),
                Err(error) => {
                    return refuse(&format!("has a `raw_value` that is not base 64: {error}"));
                }
            },
            (None, Some(secret)) => Source::Secret(secret),
            (None, None) | (Some(_), Some(_)) => {
                return refuse("needs either `raw_value` or `secret_name`");
            }
        };
        let mode = mode.unwrap_or(MODE);
        if mode > MODE_MAX {
            return refuse(&format!("has the mode {mode}, which is none"));
        }
        Ok(Self { guest_path, path, mode, source })
    }

    /// Writes the file at its place below the root of a machine, and makes the directories above.
    pub(super) fn write_below(
        &self,
        root: &Path,
        secrets: &BTreeMap<String, String>,
    ) -> Result<(), FileError> {
        let content = self.content(secrets)?;
        let place = self.path.below(root).map_err(at(root))?.ok_or_else(|| self.misplaced())?;
        match fs::symlink_metadata(&place) {
            Ok(known) if known.is_dir() => return Err(self.misplaced()),
            Ok(_) => fs::remove_file(&place).map_err(at(&place))?,
            Err(_missing) => {}
        }
        self.write_to(&place, &content)
    }

    /// Writes the file to a place that is bound into a container.
    pub(super) fn write_beside(
        &self,
        place: &Path,
        secrets: &BTreeMap<String, String>,
    ) -> Result<(), FileError> {
        self.write_to(place, &self.content(secrets)?)
    }

    fn write_to(&self, place: &Path, content: &[u8]) -> Result<(), FileError> {
        fs::write(place, content).map_err(at(place))?;
        fs::set_permissions(place, fs::Permissions::from_mode(self.mode)).map_err(at(place))
    }

    fn content(&self, secrets: &BTreeMap<String, String>) -> Result<Vec<u8>, FileError> {
        let (guest_path, secret) = match &self.source {
            Source::Raw(content) => return Ok(content.clone()),
            Source::Secret(secret) => (self.guest_path.clone(), secret.clone()),
        };
        let Some(value) = secrets.get(&secret) else {
            return Err(FileError::NoSecret { guest_path, secret });
        };
        // The value itself is told to nobody.
        STANDARD.decode(value.trim()).map_err(|_error| FileError::SecretForm { guest_path, secret })
    }

    fn misplaced(&self) -> FileError {
        FileError::Place { guest_path: self.guest_path.clone() }
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> FileError {
    let path = path.to_owned();
    move |source| FileError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(files: &str) -> MachineConfig {
        let text = format!(r#"{{"image": "x", "files": {files}}}"#);
        serde_json::from_str(&text).expect("a config")
    }

    #[test]
    fn files_that_could_harm_or_say_nothing_are_refused() {
        for bad in [
            r#"[{"guest_path": "etc/app", "raw_value": ""}]"#,
            r#"[{"guest_path": "/../app", "raw_value": ""}]"#,
            r#"[{"guest_path": "/etc/app:ro", "raw_value": ""}]"#,
            r#"[{"guest_path": "/", "raw_value": ""}]"#,
            r#"[{"guest_path": "/etc/", "raw_value": ""}]"#,
            r#"[{"guest_path": "/app", "raw_value": "?"}]"#,
            r#"[{"guest_path": "/app"}]"#,
            r#"[{"guest_path": "/app", "raw_value": "", "secret_name": "A"}]"#,
            r#"[{"guest_path": "/app", "raw_value": "", "mode": 65536}]"#,
            r#"{"guest_path": "/app"}"#,
            r#"[{"guest_path": "/a/b", "raw_value": ""}, {"guest_path": "//a/b", "raw_value": ""}]"#,
            r#"[{"guest_path": "/data", "raw_value": ""}], "mounts": [{"path": "/data/"}]"#,
            r#"[{"guest_path": "/data/a", "raw_value": ""}], "mounts": [{"path": "/data"}]"#,
        ] {
            assert!(ConfigFile::all(&config(bad)).is_err(), "{bad}");
        }
        assert_eq!(ConfigFile::all(&config("null")), Ok(Vec::new()));
        let beside =
            r#"[{"guest_path": "/data2", "raw_value": ""}], "mounts": [{"path": "/data"}]"#;
        assert_eq!(ConfigFile::all(&config(beside)).map(|files| files.len()), Ok(1));
    }

    #[test]
    fn a_file_stays_in_the_machine_whatever_links_its_image_has() {
        let directory = tempfile::tempdir().expect("a directory");
        let (root, outside) = (directory.path().join("root"), directory.path().join("outside"));
        fs::create_dir_all(root.join("docs")).expect("made");
        fs::write(&outside, "kept").expect("written");
        std::os::unix::fs::symlink(directory.path(), root.join("out")).expect("linked");
        std::os::unix::fs::symlink(&outside, root.join("link")).expect("linked");
        let write = |guest_path: &str| {
            let file = format!(r#"[{{"guest_path": "{guest_path}", "raw_value": "bmV3"}}]"#);
            let files = ConfigFile::all(&config(&file)).expect("files");
            files.first().expect("a file").write_below(&root, &BTreeMap::new())
        };
        assert!(matches!(write("/out/outside"), Err(FileError::Place { .. })));
        assert!(matches!(write("/docs"), Err(FileError::Place { .. })));
        write("/link").expect("written");
        assert_eq!(fs::read_to_string(root.join("link")).expect("read"), "new");
        assert_eq!(fs::read_to_string(&outside).expect("read"), "kept");
    }
}
