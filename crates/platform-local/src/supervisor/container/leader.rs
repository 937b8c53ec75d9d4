//! The first process of a container, as this computer's kernel sees it: by it the machine's own
//! program is found, what the container uses is read, and its end is noticed at once. What the
//! engine knows of the container is not asked for here.

use std::{io, os::fd::OwnedFd, sync::Arc};

use crate::supervisor::{
    Stats,
    cgroup::Group,
    process::{self, Identity},
    process_files,
};

/// The first process of a container: its init.
#[derive(Debug)]
pub(super) struct Leader {
    pub(super) identity: Identity,
    handle: Arc<OwnedFd>,
    group: Option<Group>,
}

impl Leader {
    /// Nothing if the process cannot be seen from here, or is gone.
    pub(super) fn of(pid: i32) -> Option<Self> {
        let handle = Arc::new(process::open(pid).ok()?);
        let start_ticks = process_files::start_ticks(pid)?;
        Some(Self { identity: Identity { pid, start_ticks }, handle, group: Group::of(pid) })
    }

    /// Waits for the end of the container, and reads at once how many of its processes were killed
    /// for want of memory: the engine removes what tells it.
    pub(super) async fn ended(&self) -> io::Result<u64> {
        process::wait_for_end(Arc::clone(&self.handle)).await?;
        Ok(self.group.as_ref().map_or(0, Group::oom_kills))
    }

    /// The machine's own program: what the init has started first.
    pub(super) fn program(&self) -> Option<i32> {
        process_files::children(self.identity.pid).first().copied()
    }

    pub(super) fn stats(&self) -> Stats {
        self.group.as_ref().map(Group::stats).unwrap_or_default()
    }
}
