//! Makes a volume full: lays a file system over it whose writable part has no room left. What the
//! volume holds is still read, nothing is written any more, and nothing of it is lost.
//!
//! It takes the right to mount. Files that a program has open go on being written: only what is
//! opened later meets the full disk. Empty files that are made meanwhile go with the fault.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use crate::supervisor::{mount, unmount};

/// Names our mounts among all others.
const SOURCE: &str = "holdpoint-fault";

/// What the name of a room ends with; no volume's does.
const ROOM_EXTENSION: &str = "full";

/// Room for the two empty directories that an overlay needs, and little more to fill up.
const SIZE: &str = "64k";

/// Makes the volume full, unless it is so already.
pub(super) fn fill(volume: &Path, room: &Path) -> Result<(), String> {
    let named = |doing: &str, path: &Path| {
        let path = path.display().to_string();
        let doing = doing.to_owned();
        move |error: io::Error| format!("cannot {doing} `{path}`: {error}")
    };
    let mounted = mounts().map_err(named("read", Path::new("/proc/self/mountinfo")))?;
    if mounted.iter().any(|known| known == volume) {
        return Ok(());
    }
    let plain = |path: &Path| !path.to_string_lossy().contains([',', ':', '\\', '"']);
    if !plain(volume) || !plain(room) {
        return Err(format!("the path `{}` cannot be named to `mount`", volume.display()));
    }
    fs::create_dir_all(room).map_err(named("make", room))?;
    if !mounted.iter().any(|known| known == room) {
        mount("tmpfs", SOURCE, &format!("size={SIZE},mode=0700"), room)
            .map_err(named("mount a full disk at", room))?;
    }
    let filled = fill_room(room).and_then(|()| {
        let options = format!(
            "lowerdir={},upperdir={},workdir={}",
            volume.display(),
            room.join("upper").display(),
            room.join("work").display()
        );
        mount("overlay", SOURCE, &options, volume)
    });
    if let Err(error) = filled {
        empty(room);
        return Err(format!("cannot make `{}` full: {error}", volume.display()));
    }
    Ok(())
}

fn fill_room(room: &Path) -> io::Result<()> {
    for name in ["upper", "work"] {
        fs::create_dir_all(room.join(name))?;
    }
    let mut ballast = File::create(room.join("ballast"))?;
    let piece = [0; 4096];
    loop {
        match ballast.write_all(&piece) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::StorageFull => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// Gives a volume its room back.
pub(super) fn empty(place: &Path) {
    if let Err(error) = unmount(place) {
        tracing::debug!(%error, place = %place.display(), "nothing is mounted there");
    }
}

/// Gives all volumes below a directory their room back: a platform that was killed left them full.
pub(crate) fn clear_leftovers(state: &Path) {
    let mounted = match mounts() {
        Ok(mounted) => mounted,
        Err(error) => return tracing::warn!(%error, "cannot tell what is mounted"),
    };
    // Newest first: an overlay goes before the room that it writes to.
    for place in mounted.iter().rev().filter(|place| place.starts_with(state)) {
        tracing::warn!(place = %place.display(), "a volume was left full and gets its room back");
        empty(place);
        if place.extension() == Some(ROOM_EXTENSION.as_ref())
            && let Err(error) = fs::remove_dir(place)
        {
            tracing::debug!(%error, "the room of a full volume is left");
        }
    }
}

/// Where the file system that is laid over a volume has its room.
pub(super) fn room_of(volume: &Path) -> PathBuf {
    volume.with_added_extension(ROOM_EXTENSION)
}

/// Where our file systems are mounted, oldest first.
fn mounts() -> io::Result<Vec<PathBuf>> {
    Ok(parse_mounts(&fs::read_to_string("/proc/self/mountinfo")?))
}

fn parse_mounts(text: &str) -> Vec<PathBuf> {
    let ours = |line: &str| {
        let (before, after) = line.split_once(" - ")?;
        let source = after.split_whitespace().nth(1)?;
        (source == SOURCE).then_some(())?;
        // The kernel writes a space as octal 040.
        Some(PathBuf::from(before.split_whitespace().nth(4)?.replace(r"\040", " ")))
    };
    text.lines().filter_map(ours).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_mounts_are_found() {
        let text = "22 1 0:20 / /proc rw shared:1 - proc proc rw\n\
                    90 1 0:50 / /state/a\\040b rw - tmpfs holdpoint-fault rw,size=64k\n\
                    91 1 0:51 / /state/v rw shared:2 - overlay holdpoint-fault rw,lowerdir=/x\n";
        assert_eq!(parse_mounts(text), [Path::new("/state/a b"), Path::new("/state/v")]);
    }
}
