//! Turns an image back into a directory tree.
//!
//! Nothing of the image reaches outside the directory: names with `..`, links that lead out,
//! devices and oversized layers are refused, and every blob is verified before it is read.
//! Owners are not restored: a machine runs as the user who runs the platform.

use std::{
    fs::{self, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink},
    path::{Component, Path, PathBuf},
};

use flate2::read::GzDecoder;
use tar::{Archive, Entry};

use crate::{
    ImageDigest,
    layout::{Layout, LayoutError},
    manifest::{Descriptor, ImageConfig},
};

/// An image that unpacks to more is refused, so that a small archive cannot fill the disk.
const UNPACKED_BYTES_MAX: u64 = 8 << 30;

/// More entries than this in one layer are refused, for the same reason.
const ENTRIES_MAX: usize = 500_000;

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
        "the image wants a link from `{path}` to `{target}`, which is outside its own directory\nhint: machines run without a private root, so links must be relative and stay inside"
    )]
    Link { path: PathBuf, target: PathBuf },
    #[error("the image holds `{path}`, a device or another special file, which is not supported")]
    Special { path: PathBuf },
    #[error("the image unpacks to more than {UNPACKED_BYTES_MAX} bytes or {ENTRIES_MAX} files")]
    TooLarge,
}

/// Unpacks the image into `directory`, which is made if it is missing.
pub fn unpack(
    layout: &Layout,
    digest: &ImageDigest,
    directory: &Path,
) -> Result<ImageConfig, UnpackError> {
    let manifest = layout.read_manifest(digest)?;
    let config = layout.read_config(digest)?.config;
    fs::create_dir_all(directory).map_err(at(directory))?;
    let root = directory.canonicalize().map_err(at(directory))?;
    let mut target = Target { root, bytes_left: UNPACKED_BYTES_MAX };
    for layer in &manifest.layers {
        layout.verify_blob(&layer.digest)?;
        target.apply(layout, layer)?;
    }
    Ok(config)
}

/// The directory that an image is unpacked into.
struct Target {
    root: PathBuf,
    bytes_left: u64,
}

impl Target {
    fn apply(&mut self, layout: &Layout, layer: &Descriptor) -> Result<(), UnpackError> {
        let (file, _) = layout.open_blob(&layer.digest)?;
        let media_type = layer.media_type.as_str();
        let file = io::BufReader::new(file);
        let reader: Box<dyn Read> = if media_type.ends_with("gzip") {
            Box::new(GzDecoder::new(file))
        } else if media_type.ends_with("tar") {
            Box::new(file)
        } else {
            let media_type = layer.media_type.clone();
            return Err(UnpackError::MediaType { layer: layer.digest.clone(), media_type });
        };
        let mut archive = Archive::new(reader);
        let bad = |source| UnpackError::Archive { layer: layer.digest.clone(), source };
        for (count, entry) in archive.entries().map_err(bad)?.enumerate() {
            if count >= ENTRIES_MAX {
                return Err(UnpackError::TooLarge);
            }
            self.place(&mut entry.map_err(bad)?)?;
        }
        Ok(())
    }

    fn place<R: Read>(&mut self, entry: &mut Entry<'_, R>) -> Result<(), UnpackError> {
        let named = entry.path().map_err(at(Path::new("")))?.into_owned();
        let Some(relative) = plain(&named)? else {
            return Ok(());
        };
        let path = self.parent(&relative)?;
        if let Some(hidden) = whiteout(&path) {
            return remove(&hidden);
        }
        let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            make_directory(&path, mode)
        } else if kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse() {
            self.write_file(entry, &path, mode)
        } else if kind.is_symlink() {
            self.link(entry, &relative, &path)
        } else if kind.is_hard_link() {
            self.hard_link(entry, &path)
        } else if kind.is_pax_global_extensions() {
            Ok(())
        } else {
            Err(UnpackError::Special { path: named })
        }
    }

    /// The absolute path of an entry, whose parent directories are made; a link among them may
    /// not lead outside.
    fn parent(&self, relative: &Path) -> Result<PathBuf, UnpackError> {
        let mut directory = self.root.clone();
        let mut names = relative.components().peekable();
        while let Some(name) = names.next() {
            let path = directory.join(name);
            if names.peek().is_none() {
                return Ok(path);
            }
            match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
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
        let written = io::copy(&mut entry.take(self.bytes_left.saturating_add(1)), &mut file)
            .map_err(at(path))?;
        self.bytes_left = self.bytes_left.checked_sub(written).ok_or(UnpackError::TooLarge)?;
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

    fn hard_link<R: Read>(&self, entry: &Entry<'_, R>, path: &Path) -> Result<(), UnpackError> {
        let target = link_target(entry, path)?;
        let Some(relative) = plain(&target)? else {
            return Err(UnpackError::Link { path: path.to_owned(), target });
        };
        let source = self.parent(&relative)?;
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

/// Whether a relative link from a directory at `depth` below the root never leaves the root.
fn stays_inside(target: &Path, depth: usize) -> bool {
    let mut depth = depth;
    for component in target.components() {
        match component {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(above) => depth = above,
                None => return false,
            },
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

/// What a whiteout entry (`.wh.NAME`) of a layer removes from the layers below.
fn whiteout(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_prefix(".wh.")?;
    // `.wh...` would otherwise remove the directory above.
    (!matches!(name, "" | "." | "..")).then(|| path.with_file_name(name))
}

fn link_target<R: Read>(entry: &Entry<'_, R>, path: &Path) -> Result<PathBuf, UnpackError> {
    let target = entry.link_name().map_err(at(path))?;
    Ok(target.map(std::borrow::Cow::into_owned).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use tar::EntryType;

    use super::*;
    use crate::manifest::LAYER_MEDIA_TYPE;

    /// An image of one layer, whose entries may have names that the `tar` crate would not write.
    fn image(layout: &Layout, entries: &[(EntryType, &str, &str)]) -> ImageDigest {
        let mut archive = tar::Builder::new(Vec::new());
        for (kind, name, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            let is_file = *kind == EntryType::Regular;
            header.set_size(if is_file { content.len() as u64 } else { 0 });
            if !is_file {
                header.as_mut_bytes()[157..157 + content.len()].copy_from_slice(content.as_bytes());
            }
            header.set_cksum();
            let data: &[u8] = if is_file { content.as_bytes() } else { &[] };
            archive.append(&header, data).expect("appended");
        }
        let bytes = archive.into_inner().expect("archive");
        let layer = layout.put_blob(&bytes).expect("layer");
        let config = layout
            .put_blob(br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#)
            .expect("config");
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"c","digest":"{config}","size":1}},
                "layers":[{{"mediaType":"{LAYER_MEDIA_TYPE}","digest":"{layer}","size":1}}]}}"#
        );
        layout.put_manifest(manifest.as_bytes(), BTreeMap::new()).expect("manifest")
    }

    /// Unpacks into a directory whose neighbour must stay as it is.
    fn unpack_entries(
        entries: &[(EntryType, &str, &str)],
    ) -> (Result<ImageConfig, UnpackError>, tempfile::TempDir) {
        let directory = tempfile::tempdir().expect("directory");
        let layout = Layout::open(directory.path().join("layout")).expect("layout");
        fs::create_dir(directory.path().join("neighbour")).expect("neighbour");
        fs::write(directory.path().join("neighbour/file"), "untouched").expect("written");
        let digest = image(&layout, entries);
        let result = unpack(&layout, &digest, &directory.path().join("root"));
        let neighbour = fs::read_to_string(directory.path().join("neighbour/file"));
        assert_eq!(neighbour.expect("still there"), "untouched");
        assert_eq!(fs::read_dir(directory.path().join("neighbour")).expect("listed").count(), 1);
        (result, directory)
    }

    #[test]
    fn links_that_stay_inside_are_kept() {
        let (result, directory) = unpack_entries(&[
            (EntryType::Regular, "usr/bin/app", "program"),
            (EntryType::Symlink, "bin", "usr/bin"),
            (EntryType::Regular, "bin/other", "through the link"),
            (EntryType::Symlink, "usr/bin/up", "../bin/app"),
        ]);
        result.expect("unpacked");
        let root = directory.path().join("root");
        assert_eq!(
            fs::read_to_string(root.join("usr/bin/other")).expect("file"),
            "through the link"
        );
        assert_eq!(fs::read_to_string(root.join("usr/bin/up")).expect("file"), "program");
    }

    #[test]
    fn an_image_cannot_write_outside_its_directory() {
        use EntryType::{Char, Link, Regular, Symlink};
        let attacks: [&[(EntryType, &str, &str)]; 8] = [
            &[(Regular, "../neighbour/file", "x")],
            &[(Regular, "a/../../neighbour/file", "x")],
            &[(Symlink, "out", "/tmp"), (Regular, "out/x", "x")],
            &[(Symlink, "out", "../neighbour"), (Regular, "out/file", "x")],
            &[
                (Symlink, "here", "."),
                (Symlink, "up", "here/here/../../neighbour"),
                (Regular, "up/file", "x"),
            ],
            &[(Link, "file", "../neighbour/file"), (Regular, "file", "x")],
            &[(Char, "device", "")],
            &[(Symlink, "up", "a/../.."), (Regular, "up/x", "x")],
        ];
        for attack in attacks {
            assert!(unpack_entries(attack).0.is_err(), "{attack:?}");
        }
        // A whiteout of the directory above is an ordinary, harmless name.
        unpack_entries(&[(Regular, ".wh...", "x")]).0.expect("unpacked");
    }

    #[test]
    fn a_whiteout_removes_what_a_lower_layer_wrote() {
        let (result, directory) = unpack_entries(&[
            (EntryType::Regular, "a/gone", "x"),
            (EntryType::Regular, "a/kept", "x"),
            (EntryType::Regular, "a/.wh.gone", ""),
        ]);
        result.expect("unpacked");
        assert!(!directory.path().join("root/a/gone").exists());
        assert!(directory.path().join("root/a/kept").exists());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_archive_reaches_the_neighbour(
            entries in proptest::collection::vec(
                (
                    prop_oneof![Just(EntryType::Regular), Just(EntryType::Symlink), Just(EntryType::Link), Just(EntryType::Directory)],
                    "(\\.\\./|a/|b/|neighbour/|\\./){0,3}(a|b|file|\\.\\.)",
                    "(\\.\\./|a/|b/|\\./){0,4}(a|b|neighbour|file|\\.|\\.\\.)",
                ),
                1..8,
            )
        ) {
            let entries: Vec<_> =
                entries.iter().map(|(kind, name, content)| (*kind, name.as_str(), content.as_str())).collect();
            // The helper asserts that the neighbour is untouched, whatever the result is.
            drop(unpack_entries(&entries));
        }
    }
}
