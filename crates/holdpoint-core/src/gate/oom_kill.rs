//! Reads whether a machine was killed for want of memory.

use super::{Level, Reading, Signals};

pub(super) fn read(signals: &Signals) -> Reading {
    let kills = signals.newest_sample().map_or(0, |sample| sample.oom_kills);
    let level = if kills > 0 { Level::Critical } else { Level::Good };
    Reading { level: Some(level), text: format!("{kills} OOM kills") }
}
