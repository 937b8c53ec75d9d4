//! How a program ended.

/// The signal that the kernel's out-of-memory killer sends.
const KILL: i32 = 9;

/// How a program ended. Code and signal are both unknown if it was not this platform that started
/// it: the kernel tells them only to the process that did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exit {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// It was killed because it wanted more memory than its machine has.
    pub(crate) oom_killed: bool,
}

impl Exit {
    pub(crate) const UNKNOWN: Self = Self { code: None, signal: None, oom_killed: false };

    /// What is known of a program whose exit nobody saw, from the out-of-memory kills among its
    /// machine's processes.
    pub(crate) fn unseen(oom_kills: u64) -> Self {
        Self::UNKNOWN.with_oom_kills(oom_kills)
    }

    /// The same end, judged with the number of out-of-memory kills among the machine's processes.
    /// A program that ended in another way has outlived the kill of one that it started.
    pub(crate) fn with_oom_kills(self, oom_kills: u64) -> Self {
        let killed = match (self.code, self.signal) {
            (_, Some(signal)) => signal == KILL,
            (Some(_), None) => false,
            (None, None) => true,
        };
        if oom_kills > 0 && killed {
            Self { code: None, signal: Some(KILL), oom_killed: true }
        } else {
            self
        }
    }

    /// The code as a shell would give it: 128 + the signal after a signal.
    pub(crate) fn code(self) -> Option<i32> {
        self.code.or_else(|| self.signal.map(|signal| 128 + signal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_oom_kill_is_told_from_the_kill_of_a_child_and_from_a_plain_kill() {
        let by_signal = Exit { signal: Some(9), ..Exit::UNKNOWN };
        assert!(!by_signal.with_oom_kills(0).oom_killed);
        assert!(by_signal.with_oom_kills(1).oom_killed);
        let by_itself = Exit { code: Some(0), ..Exit::UNKNOWN };
        assert_eq!(by_itself.with_oom_kills(1), by_itself);
        let unseen = Exit::unseen(1);
        assert_eq!((unseen.code(), unseen.oom_killed), (Some(137), true));
        assert_eq!(Exit::unseen(0), Exit::UNKNOWN);
    }
}
