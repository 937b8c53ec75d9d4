//! Tells whether a container sees what is mounted later over a directory that it was given. The
//! kernel passes that on only where the file system of the directory is mounted as shared, which
//! is the rule on computers with systemd.

use std::{fs, path::Path};

/// Whether mounts over this directory are passed on.
pub(crate) fn is_shared(directory: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    is_shared_by(&mounts, directory)
}

fn is_shared_by(mounts: &str, directory: &Path) -> bool {
    let of_line = |line: &str| {
        let (before, _) = line.split_once(" - ")?;
        let mut fields = before.split_whitespace().skip(4);
        // The kernel writes a space as octal 040.
        let place = fields.next()?.replace(r"\040", " ");
        // After the options there is a field for each kind of propagation.
        let shared = fields.skip(1).any(|field| field.starts_with("shared:"));
        directory.starts_with(&place).then_some((place.len(), shared))
    };
    // Of two at the same place the later hides the earlier.
    mounts.lines().filter_map(of_line).max_by_key(|(length, _)| *length).is_some_and(|(_, it)| it)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_decides() {
        let mounts = "27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
                      30 27 0:9 / /var/a\\040b rw - tmpfs tmpfs rw\n\
                      31 27 0:9 / /srv rw - tmpfs tmpfs rw\n\
                      32 31 0:9 / /srv rw master:2 shared:3 - tmpfs tmpfs rw\n";
        for (directory, shared) in [("/home", true), ("/var/a b/c", false), ("/srv/x", true)] {
            assert_eq!(is_shared_by(mounts, Path::new(directory)), shared, "{directory}");
        }
        assert!(!is_shared_by("", Path::new("/")));
    }
}
