//! A path inside a machine, as a config names it for a volume or a file. What stands there, and
//! whether it may, is not decided here.

use std::{
    fs, io,
    path::{Component, Path, PathBuf},
};

/// An absolute path without `..` and `:`, below the root of a machine. It is kept relative to that root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GuestPath(PathBuf);

impl GuestPath {
    /// Reads a path; none if it is relative, climbs, or is the root itself.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let relative = Path::new(text.trim_start_matches('/'));
        let is_plain = text.starts_with('/')
            // An engine of containers takes a colon for the beginning of options.
            && !text.contains(['\0', ':'])
            && relative.components().all(|part| matches!(part, Component::Normal(_)));
        // From its parts, so that no slash is left at its end.
        let relative: PathBuf = relative.components().collect();
        (is_plain && relative.file_name().is_some()).then_some(Self(relative))
    }

    /// Whether it is this directory, or stands below it.
    pub(super) fn stands_in(&self, directory: &Self) -> bool {
        self.0.starts_with(&directory.0)
    }

    /// The path's place below the root of a machine. The directories above it are made. None if a
    /// link in the image leads one of them elsewhere; nothing is made there.
    pub(super) fn below(&self, root: &Path) -> io::Result<Option<PathBuf>> {
        let root = root.canonicalize()?;
        let mut place = root.clone();
        let mut parts = self.0.components().peekable();
        while let Some(part) = parts.next() {
            place.push(part);
            if parts.peek().is_none() {
                break;
            }
            match fs::create_dir(&place) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Ok(()) | Err(_) => {}
            }
            place = place.canonicalize()?;
            if !place.starts_with(&root) {
                return Ok(None);
            }
        }
        Ok(Some(place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stands_below_the_root_or_is_none() {
        for bad in ["", "/", "data", "/../data", "/data/..", "//", "/a\0b", "/a:ro"] {
            assert_eq!(GuestPath::parse(bad), None, "{bad:?}");
        }
        assert_eq!(GuestPath::parse("//var/data/"), GuestPath::parse("/var/data"));
    }

    #[test]
    fn where_a_link_leads_outside_nothing_is_made() {
        let directory = tempfile::tempdir().expect("a directory");
        let root = directory.path().join("root");
        fs::create_dir(&root).expect("made");
        std::os::unix::fs::symlink(directory.path(), root.join("out")).expect("linked");
        std::os::unix::fs::symlink("/no/such/place", root.join("lost")).expect("linked");
        let below = |path: &str| GuestPath::parse(path).expect("a path").below(&root);
        assert_eq!(below("/out/new/file").expect("looked at"), None);
        assert!(!directory.path().join("new").exists());
        assert!(below("/lost/file").is_err());
        let place = below("/var/data").expect("looked at").expect("a place");
        assert!(place.ends_with("root/var/data") && root.join("var").is_dir());
        assert!(!place.exists());
    }
}
