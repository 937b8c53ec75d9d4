//! Which machines a request may go to, as its client or the machine that replayed it wishes.

use std::collections::BTreeSet;

use super::{offer::Entrance, region, route::Instance};

/// Which machines a request may go to.
#[derive(Debug, Default, Clone)]
pub(crate) struct Choice {
    /// Only services that are reached by this.
    pub(crate) entrance: Entrance,
    /// Only this machine.
    pub(crate) only: Option<String>,
    /// This machine, if it can.
    pub(crate) prefer: Option<String>,
    /// Only machines in these regions or areas, the first ones first. Empty: anywhere.
    pub(crate) regions: Vec<String>,
    /// Not this machine.
    pub(crate) elsewhere: Option<String>,
    /// No instance of these starts: the request was there already.
    pub(crate) excluded: BTreeSet<String>,
}

impl Choice {
    /// Whether a machine is among those that the request may go to.
    pub(crate) fn admits(&self, machine: &str, region: &str) -> bool {
        self.only.as_ref().is_none_or(|only| machine == only)
            && self.elsewhere.as_ref().is_none_or(|not| machine != not)
            && (self.regions.is_empty()
                || self.regions.iter().any(|name| region::is_in(region, name)))
    }

    /// Whether nothing was wished.
    pub(super) fn is_free(&self) -> bool {
        self.only.is_none() && self.prefer.is_none() && self.regions.is_empty()
    }

    pub(super) fn allows(&self, instance: &Instance) -> bool {
        instance.door(self.entrance).is_some()
            && self.admits(&instance.machine, &instance.region)
            && !self.excluded.contains(&instance.start)
    }

    /// In words, for those who wonder why there is no machine; empty if nothing was wished.
    pub(super) fn described(&self) -> String {
        if let Some(only) = &self.only {
            format!(" `{only}`")
        } else if !self.regions.is_empty() {
            format!(" in the region `{}`", self.regions.join(","))
        } else if let Some(not) = &self.elsewhere {
            format!(" other than `{not}`")
        } else {
            String::new()
        }
    }
}
