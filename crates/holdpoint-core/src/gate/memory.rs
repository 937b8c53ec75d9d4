//! Reads the largest share of memory that any machine of the service uses.

use super::{Level, Reading, Signals, percent};
use crate::project::GatePolicy;

pub(super) fn read(signals: &Signals, policy: &GatePolicy) -> Reading {
    let Some(share) = signals.newest_sample().and_then(|sample| sample.memory_share) else {
        return Reading { level: None, text: "memory use is not known".to_owned() };
    };
    let (level, limit) = if share > policy.memory_share_critical {
        (Level::Critical, policy.memory_share_critical)
    } else if share > policy.memory_share_warn {
        (Level::Warn, policy.memory_share_warn)
    } else {
        (Level::Good, policy.memory_share_warn)
    };
    let text = format!("memory {}, allowed {}", percent(share), percent(limit));
    Reading { level: Some(level), text }
}
