//! Makes an image from a static binary and files: one layer for the files, one for the binary.
//!
//! The same input gives the same digest on every computer: entries are sorted, times are zero,
//! owners are root and modes are fixed. Nothing is compiled here.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

use tar::{Builder, EntryType, Header};

use crate::{
    ImageDigest,
    elf::{self, Binary},
    layout::{BlobWriter, Layout, LayoutError, io_error},
    manifest::{
        CONFIG_MEDIA_TYPE, ConfigFile, Descriptor, ImageConfig, LAYER_MEDIA_TYPE,
        MANIFEST_MEDIA_TYPE, Manifest, RootFilesystem,
    },
};

/// More files than this in one image is taken for a wrong directory.
const FILES_MAX: usize = 100_000;

/// Directories nested deeper than this are taken for a loop of links.
const DEPTH_MAX: usize = 64;

/// What goes into an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSpec {
    /// The static Linux binary.
    pub binary: PathBuf,
    /// Where the binary stands inside and what is run, for example `/app`.
    pub entrypoint: String,
    pub files: Vec<FileSpec>,
    pub env: BTreeMap<String, String>,
    pub labels: BTreeMap<String, String>,
    /// The directory in which the binary runs, for example `/`.
    pub working_dir: String,
    pub user: Option<String>,
    pub exposed_port: Option<u16>,
}

/// A file, or a directory with all that is in it. Links are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSpec {
    pub from: PathBuf,
    /// Where it stands inside, for example `/docs`.
    pub to: String,
}

/// Why no image was made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(
        "cannot read `{path}` for the image: {source}\nhint: build the binary first, or correct the path"
    )]
    Read { path: PathBuf, source: io::Error },
    #[error(
        "`{path}` is dynamically linked, and the image holds no libraries\nhint: build it static: \
         `RUSTFLAGS=\"-C target-feature=+crt-static\" cargo build --target \
         x86_64-unknown-linux-gnu`"
    )]
    Dynamic { path: PathBuf },
    #[error(
        "`{path}` is not a Linux program\nhint: name the built binary, not a script or a source file"
    )]
    NotElf { path: PathBuf },
    #[error(
        "`{path}` is for an architecture that is not supported\nhint: build it for x86_64, aarch64 or riscv64"
    )]
    Architecture { path: PathBuf },
    #[error(
        "`{path}` is no place inside an image\nhint: write an absolute path without `..`, such as `/app`"
    )]
    Place { path: String },
    #[error("two files of the image would stand at `{path}`\nhint: give one of them another `to`")]
    Twice { path: String },
    #[error(
        "`{path}` holds more than {FILES_MAX} files or nests deeper than {DEPTH_MAX}\nhint: name a smaller directory"
    )]
    TooMany { path: PathBuf },
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

/// Builds the image into the layout and gives the digest of its manifest.
pub fn build(spec: &ImageSpec, layout: &Layout) -> Result<ImageDigest, BuildError> {
    let architecture = match elf::inspect(&spec.binary).map_err(read_error(&spec.binary))? {
        Binary::Static(architecture) => architecture,
        Binary::Dynamic => return Err(BuildError::Dynamic { path: spec.binary.clone() }),
        Binary::NotElf => return Err(BuildError::NotElf { path: spec.binary.clone() }),
        Binary::OtherArchitecture => {
            return Err(BuildError::Architecture { path: spec.binary.clone() });
        }
    };
    let mut files = Tree::default();
    for file in &spec.files {
        files.add(&file.from, &inside(&file.to)?, 0)?;
    }
    let mut binary = Tree::default();
    let place = inside(&spec.entrypoint)?;
    if files.entries.contains_key(&place) {
        return Err(BuildError::Twice { path: spec.entrypoint.clone() });
    }
    binary.put(place, Entry::Program(spec.binary.clone()))?;

    // The binary changes with every version and the files seldom: apart, the files are pushed once.
    let mut layers = Vec::new();
    for tree in [files, binary] {
        if !tree.entries.is_empty() {
            layers.push(write_layer(&tree, layout)?);
        }
    }
    let config = ConfigFile {
        architecture: architecture.to_owned(),
        os: "linux".to_owned(),
        created: None,
        config: image_config(spec),
        rootfs: RootFilesystem {
            kind: "layers".to_owned(),
            // Uncompressed layers have one digest for both purposes.
            diff_ids: layers.iter().map(|layer| layer.digest.clone()).collect(),
        },
    };
    let config_bytes = to_json(&config)?;
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MANIFEST_MEDIA_TYPE.to_owned()),
        config: Descriptor {
            media_type: CONFIG_MEDIA_TYPE.to_owned(),
            digest: layout.put_blob(&config_bytes)?,
            size: config_bytes.len() as u64,
            annotations: BTreeMap::new(),
        },
        layers,
        annotations: BTreeMap::new(),
    };
    Ok(layout.put_manifest(&to_json(&manifest)?, spec.labels.clone())?)
}

/// What stands at a place of the image.
#[derive(Debug)]
enum Entry {
    Directory,
    File(PathBuf),
    Program(PathBuf),
}

/// Places (relative, `/` between names) and what stands there, in the order of the archive.
#[derive(Debug, Default)]
struct Tree {
    entries: BTreeMap<String, Entry>,
}

impl Tree {
    fn add(&mut self, from: &Path, place: &str, depth: usize) -> Result<(), BuildError> {
        if depth > DEPTH_MAX || self.entries.len() > FILES_MAX {
            return Err(BuildError::TooMany { path: from.to_owned() });
        }
        let metadata = fs::metadata(from).map_err(read_error(from))?;
        if !metadata.is_dir() {
            use std::os::unix::fs::PermissionsExt as _;
            let program = metadata.permissions().mode() & 0o100 != 0;
            let from = from.to_owned();
            let entry = if program { Entry::Program(from) } else { Entry::File(from) };
            return self.put(place.to_owned(), entry);
        }
        self.put(place.to_owned(), Entry::Directory)?;
        for child in fs::read_dir(from).map_err(read_error(from))? {
            let child = child.map_err(read_error(from))?;
            let name = child.file_name();
            let Some(name) = name.to_str() else {
                return Err(BuildError::Place { path: name.to_string_lossy().into_owned() });
            };
            self.add(&child.path(), &format!("{place}/{name}"), depth + 1)?;
        }
        Ok(())
    }

    /// Puts an entry, and the directories above it, into the tree.
    fn put(&mut self, place: String, entry: Entry) -> Result<(), BuildError> {
        for (end, _) in place.match_indices('/') {
            let parent = place.split_at(end).0;
            let known = self.entries.entry(parent.to_owned()).or_insert(Entry::Directory);
            if !matches!(known, Entry::Directory) {
                return Err(BuildError::Twice { path: format!("/{parent}") });
            }
        }
        let shown = format!("/{place}");
        let is_directory = matches!(entry, Entry::Directory);
        match self.entries.insert(place, entry) {
            None => Ok(()),
            Some(Entry::Directory) if is_directory => Ok(()),
            Some(Entry::Directory | Entry::File(_) | Entry::Program(_)) => {
                Err(BuildError::Twice { path: shown })
            }
        }
    }
}

fn write_layer(tree: &Tree, layout: &Layout) -> Result<Descriptor, BuildError> {
    let mut archive = Builder::new(layout.blob_writer()?);
    for (place, entry) in &tree.entries {
        append(&mut archive, place, entry)?;
    }
    let writer = archive.into_inner().map_err(io_error("write a layer to", layout.root()))?;
    let (digest, size) = writer.finish(None)?;
    let media_type = LAYER_MEDIA_TYPE.to_owned();
    Ok(Descriptor { media_type, digest, size, annotations: BTreeMap::new() })
}

fn append(archive: &mut Builder<BlobWriter>, place: &str, entry: &Entry) -> Result<(), BuildError> {
    let (mode, source) = match entry {
        Entry::Directory => (0o755, None),
        Entry::File(source) => (0o644, Some(source)),
        Entry::Program(source) => (0o755, Some(source)),
    };
    let Some(source) = source else {
        let mut header = header(EntryType::Directory, mode, 0);
        let path = format!("{place}/");
        return archive
            .append_data(&mut header, path, io::empty())
            .map_err(read_error(Path::new(place)));
    };
    let file = File::open(source).map_err(read_error(source))?;
    let bytes = file.metadata().map_err(read_error(source))?.len();
    let mut header = header(EntryType::Regular, mode, bytes);
    // A file that grows or shrinks while it is read would break the archive: at most the announced
    // bytes are taken, and fewer are an error.
    let mut content = file.take(bytes);
    archive.append_data(&mut header, place, &mut content).map_err(read_error(source))?;
    if content.limit() > 0 {
        let source_error = io::Error::new(io::ErrorKind::UnexpectedEof, "it shrank meanwhile");
        return Err(read_error(source)(source_error));
    }
    Ok(())
}

/// The header of an entry that is the same on every computer.
pub(crate) fn header(kind: EntryType, mode: u32, bytes: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(bytes);
    header
}

fn image_config(spec: &ImageSpec) -> ImageConfig {
    let port = |port: u16| BTreeMap::from([(format!("{port}/tcp"), serde_json::json!({}))]);
    ImageConfig {
        user: spec.user.clone(),
        exposed_ports: spec.exposed_port.map(port),
        env: Some(spec.env.iter().map(|(name, value)| format!("{name}={value}")).collect()),
        entrypoint: Some(vec![spec.entrypoint.clone()]),
        cmd: None,
        working_dir: Some(spec.working_dir.clone()),
        labels: (!spec.labels.is_empty()).then(|| spec.labels.clone()),
        stop_signal: None,
    }
}

/// The place inside without its leading `/`; only plain names may be in it.
fn inside(path: &str) -> Result<String, BuildError> {
    let refused = || BuildError::Place { path: path.to_owned() };
    let names = path.strip_prefix('/').ok_or_else(refused)?.trim_end_matches('/');
    let plain = |name: &str| !matches!(name, "" | "." | "..") && !name.contains('\0');
    if names.split('/').all(plain) { Ok(names.to_owned()) } else { Err(refused()) }
}

fn to_json(document: &impl serde::Serialize) -> Result<Vec<u8>, LayoutError> {
    serde_json::to_vec(document)
        .map_err(|source| LayoutError::Document { document: "the image".to_owned(), source })
}

fn read_error(path: &Path) -> impl FnOnce(io::Error) -> BuildError {
    let path = path.to_owned();
    move |source| BuildError::Read { path, source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::unpack::{Limits, unpack};

    /// The smallest file that counts as a static program: an ELF header with no segments.
    fn program() -> Vec<u8> {
        let mut header = vec![0_u8; 64];
        header[..6].copy_from_slice(b"\x7fELF\x02\x01");
        header[18] = 62;
        header
    }

    fn spec(directory: &Path) -> ImageSpec {
        fs::write(directory.join("program"), program()).expect("written");
        fs::create_dir_all(directory.join("docs/deep")).expect("made");
        fs::write(directory.join("docs/one.md"), "one").expect("written");
        fs::write(directory.join("docs/deep/two.md"), "two").expect("written");
        ImageSpec {
            binary: directory.join("program"),
            entrypoint: "/app".to_owned(),
            files: vec![FileSpec { from: directory.join("docs"), to: "/docs".to_owned() }],
            env: BTreeMap::from([("A".to_owned(), "1".to_owned())]),
            labels: BTreeMap::from([("version".to_owned(), "1.0.0".to_owned())]),
            working_dir: "/".to_owned(),
            user: None,
            exposed_port: Some(8080),
        }
    }

    #[test]
    fn the_same_input_gives_the_same_digest_anywhere() {
        let (one, two) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
        let digests = [&one, &two].map(|directory| {
            let layout = Layout::open(directory.path().join("layout")).expect("layout");
            build(&spec(directory.path()), &layout).expect("built")
        });
        assert_eq!(digests[0], digests[1]);
        let layout = Layout::open(one.path().join("layout")).expect("layout");
        fs::write(one.path().join("docs/one.md"), "another").expect("written");
        assert_ne!(build(&spec_unchanged(one.path()), &layout).expect("built"), digests[0]);
        assert_eq!(layout.list().expect("listed").len(), 2);
    }

    fn spec_unchanged(directory: &Path) -> ImageSpec {
        let text = fs::read_to_string(directory.join("docs/one.md")).expect("read");
        let spec = spec(directory);
        fs::write(directory.join("docs/one.md"), text).expect("written");
        spec
    }

    #[test]
    fn what_was_packed_is_unpacked() {
        let directory = tempfile::tempdir().expect("directory");
        let layout = Layout::open(directory.path().join("layout")).expect("layout");
        let digest = build(&spec(directory.path()), &layout).expect("built");
        let root = directory.path().join("root");
        let config = unpack(&layout, &digest, &root, Limits::default()).expect("unpacked");
        assert_eq!(config.command(), ["/app"]);
        assert_eq!(config.env_pairs().collect::<Vec<_>>(), [("A", "1")]);
        assert_eq!(fs::read_to_string(root.join("docs/deep/two.md")).expect("file"), "two");
        let mode = fs::metadata(root.join("app")).expect("program").permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
    }

    #[test]
    fn a_binary_that_cannot_run_alone_is_refused_with_a_hint() {
        let directory = tempfile::tempdir().expect("directory");
        let layout = Layout::open(directory.path().join("layout")).expect("layout");
        let mut spec = spec(directory.path());
        fs::write(&spec.binary, "#!/bin/sh\n").expect("written");
        assert!(matches!(build(&spec, &layout), Err(BuildError::NotElf { .. })));
        if Path::new("/bin/ls").exists() {
            spec.binary = PathBuf::from("/bin/ls");
            let refused = build(&spec, &layout).expect_err("dynamic").to_string();
            assert!(refused.contains("hint: build it static"), "{refused}");
        }
    }

    #[test]
    fn places_outside_and_doubled_places_are_refused() {
        let directory = tempfile::tempdir().expect("directory");
        let layout = Layout::open(directory.path().join("layout")).expect("layout");
        for place in ["docs", "/../docs", "/a//b", "/"] {
            let mut spec = spec(directory.path());
            spec.files[0].to = place.to_owned();
            assert!(matches!(build(&spec, &layout), Err(BuildError::Place { .. })), "{place}");
        }
        let mut spec = spec(directory.path());
        spec.files[0].to = "/app".to_owned();
        assert!(matches!(build(&spec, &layout), Err(BuildError::Twice { .. })));
    }
}
