//! How the limits of machines are held on this computer: by control groups where they can be made,
//! else by watching the memory of each machine and killing it.

use std::{fs, path::Path};

use super::{
    Exit, Limits,
    cgroup::{Group, Groups, MOUNT},
};

/// Holds the limits of all machines of one platform.
#[derive(Debug)]
pub(crate) enum Limiter {
    Groups(Groups),
    /// Why there are no groups.
    Watching(String),
}

/// How one program is held to its limits.
#[derive(Debug, Clone)]
pub(crate) enum Hold {
    Group(Group),
    Watching,
}

impl Limiter {
    /// Finds out what this computer lets this user do.
    pub(crate) fn find(platform: &str) -> Self {
        let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        match Groups::find(Path::new(MOUNT), &own, platform) {
            Ok(groups) => {
                // A platform without machines leaves nothing behind, however it ends.
                groups.remove_if_empty();
                Self::Groups(groups)
            }
            Err(error) => Self::Watching(error.to_string()),
        }
    }

    /// How limits are held, for people.
    pub(crate) fn description(&self) -> String {
        match self {
            Self::Groups(groups) => groups.description().to_owned(),
            Self::Watching(reason) => {
                format!("by watching resident memory; processor time has no limit ({reason})")
            }
        }
    }

    /// The hold for a start that is coming.
    pub(crate) fn hold(&self, start: &str) -> Hold {
        match self {
            Self::Groups(groups) => Hold::Group(groups.group(start)),
            Self::Watching(_) => Hold::Watching,
        }
    }

    /// The hold of a start that an earlier platform made, which may have held it in another way.
    pub(crate) fn hold_of_earlier(&self, start: &str) -> Hold {
        match self.hold(start) {
            Hold::Group(group) if !group.exists() => Hold::Watching,
            hold @ (Hold::Group(_) | Hold::Watching) => hold,
        }
    }

    /// How a program ended while no platform was there, as far as its group still tells.
    pub(crate) fn unseen_exit(&self, start: &str) -> Exit {
        match self.hold(start) {
            Hold::Group(group) => Exit::unseen(group.oom_kills()),
            Hold::Watching => Exit::UNKNOWN,
        }
    }

    /// Ends the groups of all starts but these: what is in them belongs to no machine any more.
    pub(crate) async fn end_all_except(&self, kept: &[String]) {
        let Self::Groups(groups) = self else { return };
        for name in groups.names() {
            if !kept.contains(&name) {
                groups.group(&name).end().await;
            }
        }
    }
}

impl Hold {
    /// Prepares the hold before the program is started.
    pub(super) fn create(&self, limits: &Limits) -> std::io::Result<()> {
        match self {
            Self::Group(group) => group.create(limits),
            Self::Watching => Ok(()),
        }
    }
}
