//! Breaks answers on purpose, so that a rehearsal can show how a bad version is caught.
//!
//! A fault turns an exact share of an app's answers into another status: with 0.2 every fifth
//! answer, with no chance in it. Faults are gone when the platform is restarted.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::route::Instance;
use crate::{error::Refusal, identity};

/// More faults at once than anybody needs.
const FAULTS_MAX: usize = 100;

/// What is broken, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    pub(crate) app: String,
    /// Only answers of machines that run this image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image_digest: Option<String>,
    pub(crate) kind: FaultKind,
}

/// How an answer is broken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum FaultKind {
    /// This share (above 0, at most 1) of the answers gets this status.
    ErrorShare { share: f64, status: u16 },
}

/// The faults that are set.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    active: Mutex<BTreeMap<String, Active>>,
}

#[derive(Debug)]
struct Active {
    fault: Fault,
    /// The part of a broken answer that the answers till now have added up to.
    owed: f64,
}

impl Faults {
    /// Sets a fault and gives its id.
    pub(crate) fn add(&self, fault: Fault) -> Result<String, Refusal> {
        let FaultKind::ErrorShare { share, status } = fault.kind;
        if !(share > 0.0 && share <= 1.0) {
            return Err(Refusal::bad_request("`share` must be above 0 and at most 1"));
        }
        if !(400..=599).contains(&status) {
            return Err(Refusal::bad_request("`status` must be from 400 to 599"));
        }
        let mut active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        if active.len() >= FAULTS_MAX {
            return Err(Refusal::unprocessable("too many faults\nhint: delete one first"));
        }
        let id = identity::nonce();
        active.insert(id.clone(), Active { fault, owed: 0.0 });
        Ok(id)
    }

    /// Removes a fault; whether there was one.
    pub(crate) fn remove(&self, id: &str) -> bool {
        self.active.lock().unwrap_or_else(PoisonError::into_inner).remove(id).is_some()
    }

    pub(crate) fn list(&self) -> Vec<(String, Fault)> {
        let active = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        active.iter().map(|(id, active)| (id.clone(), active.fault.clone())).collect()
    }

    /// The status that this answer gets instead of its own, if it is one to be broken.
    pub(crate) fn strike(&self, instance: &Instance) -> Option<StatusCode> {
        let mut faults = self.active.lock().unwrap_or_else(PoisonError::into_inner);
        faults.values_mut().find_map(|active| {
            let image = active.fault.image_digest.as_ref();
            let meant = active.fault.app == instance.app
                && image.is_none_or(|image| *image == instance.image_digest);
            meant.then(|| active.strike()).flatten()
        })
    }
}

impl Active {
    fn strike(&mut self) -> Option<StatusCode> {
        let FaultKind::ErrorShare { share, status } = self.fault.kind;
        self.owed += share;
        if self.owed < 1.0 {
            return None;
        }
        self.owed -= 1.0;
        StatusCode::from_u16(status).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(share: f64, status: u16) -> Fault {
        let kind = FaultKind::ErrorShare { share, status };
        Fault { app: "a".to_owned(), image_digest: None, kind }
    }

    #[test]
    fn the_share_is_exact() {
        let mut active = Active { fault: fault(0.2, 500), owed: 0.0 };
        let broken = (0..1000).filter(|_| active.strike().is_some()).count();
        assert!((199..=200).contains(&broken), "{broken}");
    }

    #[test]
    fn a_fault_that_makes_no_sense_is_refused() {
        let faults = Faults::default();
        assert!(faults.add(fault(0.0, 500)).is_err());
        assert!(faults.add(fault(f64::NAN, 500)).is_err());
        assert!(faults.add(fault(0.5, 200)).is_err());
        let id = faults.add(fault(1.0, 503)).expect("set");
        assert!(faults.remove(&id) && !faults.remove(&id));
    }
}
