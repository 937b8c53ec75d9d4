//! Until when a release waits, where that is known: the end of the wait itself, not the next time
//! at which somebody looks.

use holdpoint_core::engine::WaitReason;
use holdpoint_core::plan::StepKind;
use holdpoint_core::state::{Progress, Release};
use jiff::{SignedDuration, Timestamp};

/// The end of a wait, unless something comes between. `next_at` is when the engine wants to hear
/// of time again.
pub(super) fn ends_at(
    release: &Release,
    reason: &WaitReason,
    next_at: Option<Timestamp>,
) -> Option<Timestamp> {
    match reason {
        WaitReason::SoakEnds { .. } => soak_ends_at(release),
        WaitReason::AnnouncedStart => release.announced_start,
        WaitReason::Window { opens_at, .. } => *opens_at,
        WaitReason::Breach { .. } | WaitReason::ApprovalExpires | WaitReason::Update => next_at,
        // these end with an answer, a person or a signal, and nobody knows when
        WaitReason::Effect { .. }
        | WaitReason::Gates { .. }
        | WaitReason::Signals
        | WaitReason::Approvals { .. }
        | WaitReason::Incident { .. }
        | WaitReason::Halted { .. }
        | WaitReason::Escalation { .. }
        | WaitReason::Message => None,
    }
}

fn soak_ends_at(release: &Release) -> Option<Timestamp> {
    let Progress::Soak { good_since: Some(since), .. } = &release.run().progress else {
        return None;
    };
    let StepKind::Soak(soak) = &release.current_step()?.kind else {
        return None;
    };
    let length = i64::try_from(soak.duration_secs).map(SignedDuration::from_secs).ok()?;
    since.checked_add(length).ok()
}
