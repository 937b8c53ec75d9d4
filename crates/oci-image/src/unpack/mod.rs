//! Turns an image back into a directory tree.
//!
//! Nothing of the image reaches outside the directory: names with `..`, links that lead out,
//! devices and oversized layers are refused, and every blob is verified before it is read.
//! A whiteout hides what the layers below wrote, never what its own layer writes.
//! Owners are not restored: a machine runs as the user who runs the platform.

mod layer;

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs::{self, OpenOptions, Permissions},
    hash::{BuildHasher as _, RandomState},
    io::{self, Read},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{OpenOptionsExt as _, PermissionsExt as _, symlink},
    },
    path::{Component, Path, PathBuf},
};

use tar::Entry;

use layer::Budget;

use crate::{
    ImageDigest,
    layout::{Layout, LayoutError},
    manifest::ImageConfig,
};

/// Docker's own limit; what other tools make has far fewer.
const LAYERS_MAX: usize = 127;

/// The kernel takes no longer path. It is checked here because it would be shown in the message.
const PATH_BYTES_MAX: usize = 4096;

/// Names with this at the beginning belong to the layers themselves and are never written.
const WHITEOUT: &str = ".wh.";

/// Hides everything that the layers below wrote into its directory.
const OPAQUE_WHITEOUT: &str = ".wh..wh..opq";

/// What a whole image may become; one that wants more is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub unpacked_bytes: u64,
    /// Entries of the archives, and directories that have none.
    pub entries: usize,
}

impl Default for Limits {
    /// Enough for any real image, so that a small archive cannot fill the disk.
    fn default() -> Self {
        Self { unpacked_bytes: 8 << 30, entries: 500_000 }
    }
}

/// Why an image was not unpacked. The directory may then hold a part of it.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error("cannot unpack `{path}` of the image: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error("layer {layer} is no tar archive that can be read: {source}")]
    Archive { layer: ImageDigest, source: io::Error },
    #[error(
        "layer {layer} has the type `{media_type}`, which cannot be unpacked\nhint: plain tar and gzip are supported"
    )]
    MediaType { layer: ImageDigest, media_type: String },
    #[error("the image wants to write `{path}`, which is outside its own directory")]
    Outside { path: PathBuf },
    #[error(
        "the image wants a link from `{path}` to `{target}`, which is outside its own directory\nhint: machines run without a private root, so links must be relative and stay inside, with `..` only at their beginning"
    )]
    Link { path: PathBuf, target: PathBuf },
    #[error("the image holds `{path}`, a device or another special file, which is not supported")]
    Special { path: PathBuf },
    #[error(
        "the image unpacks to more than {} bytes or {} files\nhint: it is no image for a machine here; make a smaller one",
        .limits.unpacked_bytes,
        .limits.entries
    )]
    TooLarge { limits: Limits },
    #[error("the image has {count} layers, but at most {LAYERS_MAX} are unpacked")]
    TooManyLayers { count: usize },
    #[error("the image holds a path of {bytes} bytes, but at most {PATH_BYTES_MAX} are possible")]
    PathTooLong { bytes: usize },
}

/// Unpacks the image into `directory`, which is made if it is missing.
pub fn unpack(
    layout: &Layout,
    digest: &ImageDigest,
    directory: &Path,
    limits: Limits,
) -> Result<ImageConfig, UnpackError> {
    let manifest = layout.read_manifest(digest)?;
    let config = layout.read_config(digest)?.config;
    let count = manifest.layers.len();
    if count > LAYERS_MAX {
        return Err(UnpackError::TooManyLayers { count });
    }
    fs::create_dir_all(directory).map_err(at(directory))?;
    let root = directory.canonicalize().map_err(at(directory))?;
    let mut target = Target { root, limits, left: limits, placed: Placed::default() };
    let mut budget = Budget::of(limits);
    for layer in &manifest.layers {
        layout.verify_blob(&layer.digest)?;
        target.placed = Placed::default();
        layer::for_each_entry(layout, layer, &mut budget, |entry| target.place(entry))?;
    }
    Ok(config)
}

/// The directory that an image is unpacked into.
struct Target {
    root: PathBuf,
    limits: Limits,
    left: Limits,
    placed: Placed,
}

impl Target {
    fn place<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), UnpackError> {
        self.count_entry()?;
        let named = entry.path().map_err(at(Path::new("")))?.into_owned();
        short_enough(&named)?;
        let Some(relative) = plain(&named)? else {
            return Ok(());
        };
        let directory = self.parent(&relative)?;
        let name = relative.file_name().unwrap_or_default();
        if is_whiteout(name) {
            return self.hide(&directory, name);
        }
        let path = directory.join(name);
        let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            make_directory(&path, mode)?;
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            self.write_file(entry, &path, mode)?;
        } else if kind.is_symlink() {
            self.link(entry, &relative, &path)?;
        } else if kind.is_hard_link() {
            self.hard_link(entry, &path)?;
        } else if kind.is_pax_global_extensions() {
            return Ok(());
        } else {
            return Err(UnpackError::Special { path: named });
        }
        self.placed.add(&path, &self.root);
        Ok(())
    }

    fn count_entry(&mut self) -> Result<(), UnpackError> {
        let limits = self.limits;
        self.left.entries =
            self.left.entries.checked_sub(1).ok_or(UnpackError::TooLarge { limits })?;
        Ok(())
    }

    /// The real directory of an entry, made where it is missing; a link on the way may not lead
    /// outside.
    fn parent(&mut self, relative: &Path) -> Result<PathBuf, UnpackError> {
        let mut directory = self.root.clone();
        for name in relative.parent().into_iter().flat_map(Path::components) {
            let path = directory.join(name);
            match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.count_entry()?;
                    fs::create_dir(&path).map_err(at(&path))?;
                    directory = path;
                }
                Err(error) => return Err(at(&path)(error)),
                Ok(_) => {
                    directory = path.canonicalize().map_err(at(&path))?;
                    if !directory.starts_with(&self.root) {
                        return Err(UnpackError::Outside { path: relative.to_owned() });
                    }
                }
            }
        }
        Ok(directory)
    }

    /// Removes what a whiteout hides.
    fn hide(&mut self, directory: &Path, whiteout: &OsStr) -> Result<(), UnpackError> {
        if whiteout == OPAQUE_WHITEOUT {
            return self.hide_below(directory);
        }
        let bytes = whiteout.as_encoded_bytes();
        let hidden = bytes.strip_prefix(WHITEOUT.as_bytes()).unwrap_or(bytes);
        // `.wh..` and `.wh...` would name this directory and the one above; what begins with
        // `.wh..wh.` is for a file system that is no longer used.
        if matches!(hidden, b"" | b"." | b"..") || hidden.starts_with(WHITEOUT.as_bytes()) {
            return Ok(());
        }
        let path = directory.join(OsStr::from_bytes(hidden));
        self.hide_path(&path)
    }

    fn hide_path(&mut self, path: &Path) -> Result<(), UnpackError> {
        if !self.placed.has(path) {
            return remove(path);
        }
        let is_directory = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
        if is_directory { self.hide_below(path) } else { Ok(()) }
    }

    /// Once for each directory and layer: whatever is in it afterwards, the layer itself made.
    /// Any number of whiteouts costs no more than one.
    fn hide_below(&mut self, directory: &Path) -> Result<(), UnpackError> {
        if !self.placed.begin_hiding(directory) {
            return Ok(());
        }
        for child in fs::read_dir(directory).map_err(at(directory))? {
            self.hide_path(&child.map_err(at(directory))?.path())?;
        }
        Ok(())
    }

    fn write_file<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        path: &Path,
        mode: u32,
    ) -> Result<(), UnpackError> {
        remove(path)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode | 0o600)
            .open(path)
            .map_err(at(path))?;
        // One byte more than allowed is enough to know that it is too much.
        let bytes_left = self.left.unpacked_bytes;
        let written =
            io::copy(&mut entry.take(bytes_left.saturating_add(1)), &mut file).map_err(at(path))?;
        let limits = self.limits;
        self.left.unpacked_bytes =
            bytes_left.checked_sub(written).ok_or(UnpackError::TooLarge { limits })?;
        Ok(())
    }

    fn link<R: Read>(
        &self,
        entry: &Entry<'_, R>,
        relative: &Path,
        path: &Path,
    ) -> Result<(), UnpackError> {
        let target = link_target(entry, path)?;
        let depth = relative.components().count().saturating_sub(1);
        // The parent may itself be reached through a link; its real depth counts.
        let real = path.parent().and_then(|parent| parent.strip_prefix(&self.root).ok());
        let depth = real.map_or(depth, |parent| parent.components().count());
        if !stays_inside(&target, depth) {
            return Err(UnpackError::Link { path: relative.to_owned(), target });
        }
        remove(path)?;
        symlink(&target, path).map_err(at(path))
    }

    fn hard_link<R: Read>(&mut self, entry: &Entry<'_, R>, path: &Path) -> Result<(), UnpackError> {
        let target = link_target(entry, path)?;
        let Some(relative) = plain(&target)? else {
            return Err(UnpackError::Link { path: path.to_owned(), target });
        };
        let source = self.parent(&relative)?.join(relative.file_name().unwrap_or_default());
        let is_file = fs::symlink_metadata(&source).map_err(at(&source))?.is_file();
        if !is_file {
            return Err(UnpackError::Link { path: path.to_owned(), target });
        }
        remove(path)?;
        fs::hard_link(&source, path).map_err(at(path))
    }
}

/// The path with its plain names only; none for the root itself.
fn plain(path: &Path) -> Result<Option<PathBuf>, UnpackError> {
    let mut relative = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => relative.push(name),
            // Archives of other tools begin their names with `./` or `/`: the image's root.
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(UnpackError::Outside { path: path.to_owned() });
            }
        }
    }
    Ok((!relative.as_os_str().is_empty()).then_some(relative))
}

/// Whether a relative link from a directory at `depth` below the root never leaves the root. A
/// `..` behind a name may lead anywhere, since that name may be, or become, a link itself.
fn stays_inside(target: &Path, depth: usize) -> bool {
    let (mut above, mut is_named) = (0, false);
    for component in target.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(_) => is_named = true,
            Component::ParentDir if !is_named => above += 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    above <= depth
}

fn is_whiteout(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(WHITEOUT.as_bytes())
}

fn link_target<R: Read>(entry: &Entry<'_, R>, path: &Path) -> Result<PathBuf, UnpackError> {
    let target = entry.link_name().map_err(at(path))?.unwrap_or_default();
    short_enough(&target)?;
    Ok(target.into_owned())
}

fn short_enough(path: &Path) -> Result<(), UnpackError> {
    let bytes = path.as_os_str().len();
    if bytes > PATH_BYTES_MAX { Err(UnpackError::PathTooLong { bytes }) } else { Ok(()) }
}

fn make_directory(path: &Path, mode: u32) -> Result<(), UnpackError> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => {
            remove(path)?;
            fs::create_dir(path).map_err(at(path))?;
        }
        Err(_) => fs::create_dir(path).map_err(at(path))?,
    }
    fs::set_permissions(path, Permissions::from_mode(mode | 0o700)).map_err(at(path))
}

fn remove(path: &Path) -> Result<(), UnpackError> {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    };
    result.map_err(at(path))
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> UnpackError {
    let path = path.to_owned();
    move |source| UnpackError::Io { path, source }
}

/// What the layer that is being applied has placed, by the hash of its path: half a million long
/// paths would take more memory than a whole platform. And the directories that it has emptied of
/// the layers below.
#[derive(Default)]
struct Placed {
    hasher: RandomState,
    hashes: BTreeSet<u64>,
    hidden_below: BTreeSet<u64>,
}

impl Placed {
    /// Adds a path and the directories that lead to it.
    fn add(&mut self, path: &Path, root: &Path) {
        for path in path.ancestors().take_while(|path| *path != root) {
            if !self.hashes.insert(self.hasher.hash_one(path)) {
                break;
            }
        }
    }

    /// Whether nothing below this directory was hidden so far.
    fn begin_hiding(&mut self, directory: &Path) -> bool {
        self.hidden_below.insert(self.hasher.hash_one(directory))
    }

    fn has(&self, path: &Path) -> bool {
        self.hashes.contains(&self.hasher.hash_one(path))
    }
}
