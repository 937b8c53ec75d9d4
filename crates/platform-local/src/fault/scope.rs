//! Whom a fault strikes, how often, and for how long. Shares are exact: with 0.2 every fifth one
//! is struck, with no chance in it.

use serde::{Deserialize, Serialize};

use super::kind::within;
use crate::error::Refusal;

/// A share is kept to six places.
const PARTS: u64 = 1_000_000;

/// The longest time of a fault: a week.
const FOR_SECS_MAX: u64 = 7 * 86_400;

/// More strikes or passes than anybody counts.
const COUNT_MAX: u64 = 1_000_000_000;

/// The names of all limits, as they stand in an order.
pub(super) const LIMITS: [&str; 7] =
    ["app", "machine", "image_digest", "share", "after", "count", "for_secs"];

/// The limits of a fault; what is left out limits nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Scope {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) app: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) machine: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) image_digest: Option<String>,
    /// Above 0, at most 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) share: Option<f64>,
    /// So many pass unharmed first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<u64>,
    /// It ends after so many strikes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) count: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) for_secs: Option<u64>,
}

/// Whom a fault may strike: one start of a machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) app: &'a str,
    pub(crate) machine: &'a str,
    pub(crate) image_digest: &'a str,
}

impl Scope {
    pub(super) fn check(&self) -> Result<(), Refusal> {
        if let Some(share) = self.share
            && !(share > 0.0 && share <= 1.0)
        {
            let text = format!("share must be above 0 and at most 1, and is {share}");
            return Err(Refusal::bad_request(text));
        }
        for (name, number, most) in [
            ("count", self.count, COUNT_MAX),
            ("after", self.after, COUNT_MAX),
            ("for_secs", self.for_secs, FOR_SECS_MAX),
        ] {
            within(name, number.unwrap_or(1), 1..=most)?;
        }
        for (name, value) in [("app", &self.app), ("machine", &self.machine)] {
            if value.as_ref().is_some_and(String::is_empty) {
                return Err(Refusal::bad_request(format!("{name} is empty\nhint: leave it out")));
            }
        }
        if let Some(digest) = &self.image_digest
            && let Err(error) = digest.parse::<oci_image::ImageDigest>()
        {
            return Err(Refusal::bad_request(format!("image_digest cannot be read: {error}")));
        }
        Ok(())
    }

    /// Whether the fault is meant for somebody in particular.
    pub(super) fn names_somebody(&self) -> bool {
        self.app.is_some() || self.machine.is_some() || self.image_digest.is_some()
    }

    /// Whether a limit is set.
    pub(super) fn has(&self, limit: &str) -> bool {
        match limit {
            "app" => self.app.is_some(),
            "machine" => self.machine.is_some(),
            "image_digest" => self.image_digest.is_some(),
            "share" => self.share.is_some(),
            "after" => self.after.is_some(),
            "count" => self.count.is_some(),
            "for_secs" => self.for_secs.is_some(),
            _ => false,
        }
    }

    pub(crate) fn includes(&self, target: Target<'_>) -> bool {
        let fits = |wanted: &Option<String>, is: &str| wanted.as_ref().is_none_or(|one| one == is);
        fits(&self.app, target.app)
            && fits(&self.machine, target.machine)
            && fits(&self.image_digest, target.image_digest)
    }

    /// Whether the one that comes as number `turn` (from 0) among those in scope is struck.
    pub(super) fn is_due(&self, turn: u64) -> bool {
        let Some(turn) = turn.checked_sub(self.after.unwrap_or(0)) else { return false };
        let parts = self.parts();
        // Whole numbers: adding up fractions would miss one now and then.
        let owed = |turn: u64| u128::from(turn) * u128::from(parts) / u128::from(PARTS);
        owed(turn + 1) > owed(turn)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share was checked to be above 0 and at most 1"
    )]
    fn parts(&self) -> u64 {
        self.share.map_or(PARTS, |share| ((share * PARTS as f64).round() as u64).max(1))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn with_share(share: f64) -> Scope {
        Scope { share: Some(share), ..Scope::default() }
    }

    #[test]
    fn the_share_is_exact() {
        for (share, wanted) in [(0.2, 200), (0.1, 100), (0.3, 300), (1.0, 1000), (0.001, 1)] {
            let scope = with_share(share);
            assert_eq!((0..1000).filter(|turn| scope.is_due(*turn)).count(), wanted, "{share}");
        }
        assert!(Scope::default().is_due(0));
    }

    #[test]
    fn the_first_ones_pass() {
        let scope = Scope { after: Some(3), ..with_share(0.5) };
        let struck: Vec<_> = (0..8).filter(|turn| scope.is_due(*turn)).collect();
        assert_eq!(struck, [4, 6]);
    }

    #[test]
    fn every_name_that_is_given_must_fit() {
        let target = Target { app: "shop", machine: "m1", image_digest: "d" };
        let scope = |app: &str, machine: &str| Scope {
            app: Some(app.to_owned()),
            machine: Some(machine.to_owned()),
            ..Scope::default()
        };
        assert!(scope("shop", "m1").includes(target) && Scope::default().includes(target));
        assert!(!scope("shop", "m2").includes(target) && !scope("web", "m1").includes(target));
    }

    proptest! {
        #[test]
        fn no_run_of_turns_is_further_from_its_share_than_one(
            parts in 1..=PARTS, first in 0..1_000_000_u64, length in 1..500_u64,
        ) {
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let share = parts as f64 / PARTS as f64;
            let scope = with_share(share);
            let struck = (first..first + length).filter(|turn| scope.is_due(*turn)).count();
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let expected = length as f64 * share;
            #[expect(clippy::cast_precision_loss, reason = "small numbers")]
            let off = (struck as f64 - expected).abs();
            prop_assert!(off <= 1.0, "{off}");
        }
    }
}
