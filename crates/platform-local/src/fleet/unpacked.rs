//! Images that were unpacked since the platform was started, each once: a machine's root is a copy
//! of such a tree, so that a start neither verifies nor decompresses an image again. They are
//! copies and no hard links, because a machine may write into its own files.
//!
//! Trees of an earlier platform are not used: after a crash of the computer nobody knows whether
//! they are whole.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use oci_image::{
    ImageDigest,
    layout::Layout,
    manifest::ImageConfig,
    unpack::{Limits, UnpackError, unpack},
};

use crate::identity;

/// Images that are kept unpacked: what a project's services run now and would go back to.
const KEPT_MAX: usize = 16;

/// The unpacked images.
#[derive(Debug)]
pub(crate) struct UnpackedImages {
    directory: PathBuf,
    /// The one that was used last comes last.
    kept: Mutex<Vec<(ImageDigest, Arc<Tree>)>>,
}

/// An unpacked image. It is removed when it is no longer kept and nobody copies it any more.
#[derive(Debug)]
struct Tree {
    directory: PathBuf,
    /// There once it is whole. Held while it is unpacked: who comes meanwhile waits for that.
    config: Mutex<Option<ImageConfig>>,
}

impl UnpackedImages {
    /// Begins with none; what an earlier platform has left there is removed.
    pub(crate) fn begin(directory: PathBuf) -> Self {
        remove(&directory);
        Self { directory, kept: Mutex::default() }
    }

    /// Copies the image into `root`, which is made; gives its configuration.
    pub(super) fn copy_to(
        &self,
        images: &Layout,
        digest: &ImageDigest,
        root: &Path,
    ) -> Result<ImageConfig, UnpackError> {
        let tree = self.tree(digest);
        let config = tree.make(images, digest)?;
        copy(&tree.directory, root)?;
        Ok(config)
    }

    fn tree(&self, digest: &ImageDigest) -> Arc<Tree> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let known = kept.iter().position(|(of, _)| of == digest);
        let tree = if let Some(place) = known {
            kept.remove(place).1
        } else {
            if kept.len() >= KEPT_MAX {
                kept.remove(0);
            }
            // A name of its own: an earlier tree of this image may still be copied.
            let directory = self.directory.join(identity::version());
            Arc::new(Tree { directory, config: Mutex::default() })
        };
        kept.push((digest.clone(), Arc::clone(&tree)));
        tree
    }
}

impl Tree {
    /// Unpacks the image, unless that was done.
    fn make(&self, images: &Layout, digest: &ImageDigest) -> Result<ImageConfig, UnpackError> {
        let mut config = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &*config {
            return Ok(config.clone());
        }
        match unpack(images, digest, &self.directory, Limits::default()) {
            Ok(made) => Ok(config.insert(made).clone()),
            Err(error) => {
                remove(&self.directory);
                Err(error)
            }
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        remove(&self.directory);
    }
}

/// Copies a tree of directories, files and links. Where the file system can share what two files
/// have in common, it does.
fn copy(from: &Path, to: &Path) -> Result<(), UnpackError> {
    fs::create_dir_all(to).map_err(at(to))?;
    let mut made = vec![(from.to_owned(), to.to_owned())];
    let mut next = 0;
    while let Some((source, target)) = made.get(next).cloned() {
        next += 1;
        for entry in fs::read_dir(&source).map_err(at(&source))? {
            let entry = entry.map_err(at(&source))?;
            let (path, place) = (entry.path(), target.join(entry.file_name()));
            let kind = entry.file_type().map_err(at(&path))?;
            if kind.is_dir() {
                fs::create_dir(&place).map_err(at(&place))?;
                made.push((path, place));
            } else if kind.is_symlink() {
                let link = fs::read_link(&path).map_err(at(&path))?;
                std::os::unix::fs::symlink(link, &place).map_err(at(&place))?;
            } else {
                fs::copy(&path, &place).map_err(at(&place))?;
            }
        }
    }
    // Last, and from the inside: a directory that may not be written to is full by then.
    for (source, target) in made.iter().rev() {
        let permissions = fs::metadata(source).map_err(at(source))?.permissions();
        fs::set_permissions(target, permissions).map_err(at(target))?;
    }
    Ok(())
}

fn remove(directory: &Path) {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, path = %directory.display(), "an unpacked image is left");
        }
        Ok(()) | Err(_) => {}
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> UnpackError {
    let path = path.to_owned();
    move |source| UnpackError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, os::unix::fs::PermissionsExt as _};

    use oci_image::build::{ImageSpec, build};

    use super::*;

    /// An image of a small static program, and of one more variable for each number.
    fn image(layout: &Layout, number: usize) -> ImageDigest {
        let spec = ImageSpec {
            binary: std::env::current_exe().expect("own path"),
            entrypoint: "/bin/app".to_owned(),
            files: Vec::new(),
            env: BTreeMap::from([("NUMBER".to_owned(), number.to_string())]),
            labels: BTreeMap::new(),
            working_dir: "/".to_owned(),
            user: None,
            exposed_port: None,
        };
        build(&spec, layout).expect("an image")
    }

    #[test]
    fn what_one_machine_writes_into_its_files_no_other_machine_sees() {
        let state = tempfile::tempdir().expect("a directory");
        let layout = Layout::open(state.path().join("images")).expect("a layout");
        let digest = image(&layout, 0);
        let unpacked = UnpackedImages::begin(state.path().join("unpacked"));
        let root = |name: &str| state.path().join(name);
        unpacked.copy_to(&layout, &digest, &root("one")).expect("copied");
        let app = root("one/bin/app");
        let whole = fs::read(&app).expect("read");
        assert_eq!(fs::metadata(&app).expect("there").permissions().mode() & 0o111, 0o111);
        fs::write(&app, "changed").expect("written");
        // The image is not needed any more: nothing is unpacked a second time.
        fs::remove_dir_all(layout.root()).expect("removed");
        unpacked.copy_to(&layout, &digest, &root("two")).expect("copied");
        assert!(fs::read(root("two/bin/app")).expect("read") == whole, "it is the image's own");
    }

    #[test]
    fn links_and_modes_are_copied_as_they_are() {
        let state = tempfile::tempdir().expect("a directory");
        let (from, to) = (state.path().join("from"), state.path().join("to"));
        fs::create_dir_all(from.join("closed")).expect("made");
        fs::write(from.join("closed/file"), "text").expect("written");
        std::os::unix::fs::symlink("closed/file", from.join("link")).expect("linked");
        let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o777;
        fs::set_permissions(from.join("closed"), fs::Permissions::from_mode(0o555)).expect("set");
        copy(&from, &to).expect("copied");
        assert_eq!(mode(&to.join("closed")), 0o555);
        assert_eq!(fs::read_link(to.join("link")).expect("a link"), Path::new("closed/file"));
        assert_eq!(fs::read_to_string(to.join("link")).expect("read"), "text");
    }

    #[test]
    fn the_images_used_last_are_kept_and_those_of_an_earlier_platform_are_not() {
        let state = tempfile::tempdir().expect("a directory");
        let directory = state.path().join("unpacked");
        fs::create_dir_all(directory.join("earlier")).expect("made");
        let unpacked = UnpackedImages::begin(directory.clone());
        assert!(!directory.exists());
        let digests: Vec<_> = (0..KEPT_MAX + 3).map(digest).collect();
        for digest in &digests {
            fs::create_dir_all(&unpacked.tree(digest).directory).expect("made");
            unpacked.tree(&digests[0]);
        }
        assert_eq!(fs::read_dir(&directory).expect("there").count(), KEPT_MAX);
        assert!(unpacked.tree(&digests[0]).directory.exists(), "it was used again and again");
    }

    fn digest(number: usize) -> ImageDigest {
        ImageDigest::of(number.to_string().as_bytes())
    }
}
