//! When the fault was noticed and when all was well again, read from the journal of a drill's
//! release. Pure: the same records give the same times.

use holdpoint_core::effect::Outcome;
use holdpoint_core::event::{Ending, Event};
use holdpoint_core::journal::{Record, ReplayError};
use holdpoint_core::plan::StepKind;
use jiff::Timestamp;

/// What the journal says of a drill.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Timing {
    /// When the first effect did not succeed.
    pub(super) first_failure_at: Option<Timestamp>,
    /// When the way back began, and why.
    pub(super) rolled_back: Option<(Timestamp, String)>,
    /// When every machine was back in its old version.
    pub(super) back_at: Option<Timestamp>,
    /// How the release ended.
    pub(super) ending: Option<(Timestamp, Ending)>,
}

impl Timing {
    /// Reads the records of one release.
    pub(super) fn read(records: &[Record]) -> Result<Self, ReplayError> {
        let mut timing = Self::default();
        let mut watch_step = None;
        for record in records {
            for event in record.events()? {
                timing.add(record.at, event, &mut watch_step);
            }
        }
        Ok(timing)
    }

    fn add(&mut self, at: Timestamp, event: Event, watch_step: &mut Option<usize>) {
        if let Event::EffectEnded { outcome, .. } = &event
            && !matches!(outcome, Outcome::Done(_))
        {
            self.first_failure_at.get_or_insert(at);
        }
        if let Event::RollbackStarted { reason, plan, .. } = &event {
            // The machines are back when the way back comes to its watching.
            let soaks = |kind: &StepKind| matches!(kind, StepKind::Soak(_));
            *watch_step = plan.steps.iter().position(|step| soaks(&step.kind));
            self.rolled_back = Some((at, reason.clone()));
        }
        if let Event::StepStarted { step } = &event
            && self.rolled_back.is_some()
            && *watch_step == Some(*step)
        {
            self.back_at.get_or_insert(at);
        }
        if let Event::ReleaseEnded { ending } = event {
            self.ending = Some((at, ending));
        }
    }
}
