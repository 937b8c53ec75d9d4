//! `[[files]]` and `[[statics]]`: what is put into a machine beside its image, and what the proxy
//! serves by itself. A file of this computer is read only when somebody asks for it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::FlyConfig;
use super::diagnostic::{Problem, Problems};
use super::group::PerGroup;
use super::section::{Form, Section};

/// Where a file's content may come from, in the order in which Fly's client looks.
const SOURCES: [&str; 3] = ["local_path", "secret_name", "raw_value"];

/// All local files together may not be larger: they are part of the config of every machine, which
/// is a request of at most a megabyte.
const LOCAL_BYTES_MAX: u64 = 256 << 10;

/// A file of a machine.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct MachineFile {
    guest_path: String,
    content: Content,
}

#[derive(Clone, Debug, PartialEq)]
enum Content {
    /// A file of this computer that was not read yet.
    Local(String),
    Secret(String),
    /// In base 64.
    Raw(String),
}

/// Why a file that is to go along could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LocalFileError {
    #[error(
        "could not read the `local_path` `{path}` of `[[files]]`: {source}\nhint: the path counts from the folder of the `fly.toml`"
    )]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "the local files of `[[files]]` have more than {LOCAL_BYTES_MAX} bytes, at `{path}`\nhint: put large files into the image"
    )]
    TooLarge { path: PathBuf },
}

impl MachineFile {
    /// As the machine config has it; none for a file that was not read.
    pub(super) fn json(&self) -> Option<Value> {
        let Self { guest_path, content } = self;
        match content {
            Content::Local(_) => None,
            Content::Secret(name) => Some(json!({"guest_path": guest_path, "secret_name": name})),
            Content::Raw(value) => Some(json!({"guest_path": guest_path, "raw_value": value})),
        }
    }

    fn read(&mut self, folder: &Path, bytes_left: &mut u64) -> Result<(), LocalFileError> {
        let Content::Local(path) = &self.content else { return Ok(()) };
        let path = folder.join(path);
        let failed = |source| LocalFileError::Read { path: path.clone(), source };
        let mut bytes = Vec::new();
        // One byte more than allowed is enough to know that it is too much.
        let file = File::open(&path).map_err(failed)?;
        file.take(*bytes_left + 1).read_to_end(&mut bytes).map_err(failed)?;
        let left = bytes_left.checked_sub(bytes.len() as u64);
        *bytes_left = left.ok_or_else(|| LocalFileError::TooLarge { path: path.clone() })?;
        self.content = Content::Raw(STANDARD.encode(bytes));
        Ok(())
    }
}

impl FlyConfig {
    /// Reads the files that `local_path` names, from the folder of the `fly.toml`. Until then they
    /// are left out of every machine config.
    pub fn read_local_files(&mut self, folder: &Path) -> Result<(), LocalFileError> {
        let mut bytes_left = LOCAL_BYTES_MAX;
        self.files.iter_mut().try_for_each(|file| file.value.read(folder, &mut bytes_left))
    }
}

pub(super) fn files(root: &Section<'_>, problems: &mut Problems) -> Vec<PerGroup<MachineFile>> {
    let sections = root.sections("files", Form::List, problems);
    sections
        .iter()
        .filter_map(|section| {
            let processes = section.strings("processes", problems);
            file(section, problems).map(|value| PerGroup { value, processes })
        })
        .collect()
}

fn file(section: &Section<'_>, problems: &mut Problems) -> Option<MachineFile> {
    needs(section, "guest_path", "/etc/app.conf", problems);
    let guest_path = section.string("guest_path", problems)?;
    let given: Vec<&str> = SOURCES.into_iter().filter(|key| section.get(key).is_some()).collect();
    let texts = SOURCES.map(|key| section.string(key, problems));
    match given.as_slice() {
        [] => {
            let message = "this file has no content".to_owned();
            let hint = format!("write one of `{}`", SOURCES.join("`, `"));
            problems.add(&section.span, message, hint);
        }
        [_] => {}
        [first, ..] => {
            let message = format!("this file has several contents, and `{first}` is taken");
            problems.push(Problem::warning(&section.span, message, "leave only one of them"));
        }
    }
    let content = match texts {
        [Some(path), ..] => Content::Local(path),
        [None, Some(secret), _] => Content::Secret(secret),
        [None, None, Some(raw)] => Content::Raw(STANDARD.encode(raw)),
        [None, None, None] => return None,
    };
    Some(MachineFile { guest_path, content })
}

pub(super) fn statics(root: &Section<'_>, problems: &mut Problems) -> Vec<Value> {
    let sections = root.sections("statics", Form::List, problems);
    let read = sections.iter().map(|section| {
        needs(section, "guest_path", "/app/public", problems);
        needs(section, "url_prefix", "/public", problems);
        let keys = ["guest_path", "url_prefix", "tigris_bucket", "index_document"];
        let fields = keys
            .into_iter()
            .filter_map(|key| Some((key.to_owned(), section.string(key, problems)?.into())));
        Value::Object(fields.collect())
    });
    read.collect()
}

fn needs(section: &Section<'_>, key: &str, example: &str, problems: &mut Problems) {
    if section.get(key).is_none() {
        let message = format!("`{}` needs a `{key}`", section.path);
        problems.add(&section.span, message, format!("write `{key} = \"{example}\"`"));
    }
}
