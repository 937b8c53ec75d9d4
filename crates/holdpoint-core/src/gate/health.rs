//! Reads the newest health probes.

use super::{Level, Reading, Signals};

pub(super) fn read(signals: &Signals) -> Reading {
    let Some(sample) = signals.newest_sample() else {
        return Reading { level: None, text: "no probes yet".to_owned() };
    };
    let (passed, failed) = (sample.probes_passed, sample.probes_failed);
    let level = match (passed, failed) {
        (0, 0) => None,
        // a tie counts as failing: half of the answers is no health
        (passed, failed) if failed >= passed => Some(Level::Critical),
        _ => Some(Level::Good),
    };
    let text = format!("{passed} of {} probes passed", passed + failed);
    Reading { level, text }
}
