//! Whether what runs now could be put back: for each app the image of its machines is in the
//! registry, and their whole configs are in the plan, so that they are in the journal. It changes
//! nothing; that a rollback needs both is the core's knowledge.

use std::collections::BTreeSet;

use holdpoint_core::id::{AppName, ImageDigest};
use holdpoint_core::plan::{MachineAction, Plan};
use serde_json::Value;

use super::finding::{Finding, Lack};
use super::platform::image;
use crate::adapter::platform::{Platform, PlatformAddress};

/// What a rollback would have to put back in one app.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Previous {
    /// How many machines would get their config back.
    pub machines: usize,
    /// Machines of which no whole config is known.
    pub without_config: Vec<String>,
    /// Machines whose image is known by no digest.
    pub without_digest: Vec<String>,
    /// The images, each with the reference by which the machines' configs name it.
    pub images: BTreeSet<(String, ImageDigest)>,
}

impl Previous {
    /// What each app of a plan runs now, in the plan's order.
    pub fn of(plan: &Plan) -> Vec<(AppName, Self)> {
        let rollouts = plan.steps.iter().filter_map(|step| step.kind.rollout());
        rollouts
            .map(|rollout| {
                let mut previous = Self::default();
                for change in rollout.waves.iter().flat_map(|wave| &wave.changes) {
                    previous.add(&change.action);
                }
                (rollout.app.clone(), previous)
            })
            .collect()
    }

    fn add(&mut self, action: &MachineAction) {
        let MachineAction::Update { machine, previous_config, previous_image, .. } = action else {
            return;
        };
        self.machines += 1;
        let reference = previous_config.get("image").and_then(Value::as_str);
        match (reference, previous_image) {
            (None, _) => self.without_config.push(machine.to_string()),
            (_, None) => self.without_digest.push(machine.to_string()),
            (Some(reference), Some(image)) => {
                self.images.insert((reference.to_owned(), image.clone()));
            }
        }
    }

    /// What can't be put back whatever the registry has, and how to mend it.
    fn lack(&self) -> Option<Lack> {
        let listed = |machines: &[String]| machines.join(", ");
        if !self.without_config.is_empty() {
            return Some(Lack::new(
                format!("no whole config is known of machine {}", listed(&self.without_config)),
                "wait until its host answers again, then release again",
            ));
        }
        if !self.without_digest.is_empty() {
            return Some(Lack::new(
                format!(
                    "the platform tells no digest of the image of machine {}",
                    listed(&self.without_digest)
                ),
                "deploy what it runs once more by digest, then release again",
            ));
        }
        None
    }

    /// What was proven, once every image was found.
    fn told(&self) -> String {
        if self.machines == 0 {
            return "no machine is changed, so a rollback only stops the new ones".to_owned();
        }
        let images: BTreeSet<&str> = self.images.iter().map(|(_, image)| image.short()).collect();
        let images: Vec<&str> = images.into_iter().collect();
        format!(
            "the registry has {}, and the journal the whole config of {} machines",
            images.join(", "),
            self.machines
        )
    }
}

/// Whether what an app runs now is there still, for images may be pruned.
pub(super) async fn look(platform: &Platform, app: &AppName, previous: &Previous) -> Finding {
    if let Some(lack) = previous.lack() {
        return Err(lack);
    }
    for (reference, digest) in &previous.images {
        let repository = repository(platform.address(), reference).ok_or_else(|| {
            Lack::new(
                format!("`{reference}` is in a registry that can't be asked"),
                format!("push it to `{}`", platform.address().image_reference(app.as_str(), "…")),
            )
        })?;
        let found = image(platform, &AppName::new(repository), digest.as_str()).await;
        found.map_err(|lack| {
            Lack::new(
                format!("a rollback could not put `{reference}` back: {}", lack.detail),
                "push that image again, or deploy one that the registry has",
            )
        })?;
    }
    Ok(previous.told())
}

/// The repository of an image in our registry; `None` for one of another registry.
fn repository<'a>(address: &PlatformAddress, reference: &'a str) -> Option<&'a str> {
    let path = reference.strip_prefix(address.registry_host())?.strip_prefix('/')?;
    let path = path.split_once('@').map_or(path, |(path, _)| path);
    Some(path.split_once(':').map_or(path, |(path, _)| path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_our_registry_is_looked_for_in_the_repository_that_its_reference_names() {
        let address =
            PlatformAddress::new("http://api", "https://registry.fly.io", "http://m", None, "t");
        let of = |reference| repository(&address, reference);
        assert_eq!(of("registry.fly.io/shop@sha256:1"), Some("shop"));
        assert_eq!(of("registry.fly.io/shop:deployment-1@sha256:1"), Some("shop"));
        assert_eq!(of("registry.fly.io/team/shop"), Some("team/shop"));
        assert_eq!(of("nginx:1"), None);
    }

    #[test]
    fn a_machine_without_a_config_or_digest_is_named() {
        let update = |machine: &str, config, image: Option<&str>| MachineAction::Update {
            machine: holdpoint_core::id::MachineId::new(machine),
            expected_instance: None,
            previous_config: config,
            previous_image: image.map(ImageDigest::new),
            config: Value::Null,
            supersedes_lease: None,
        };
        let config = serde_json::json!({"image": "registry/shop@sha256:1"});
        let mut previous = Previous::default();
        previous.add(&update("m1", config.clone(), Some("sha256:1")));
        assert_eq!(previous.lack(), None);
        assert!(previous.told().contains("the whole config of 1 machines"), "{}", previous.told());
        previous.add(&update("m2", config, None));
        assert!(previous.lack().is_some_and(|lack| lack.detail.contains("machine m2")));
        previous.add(&update("m3", Value::Null, None));
        assert!(previous.lack().is_some_and(|lack| lack.detail.contains("machine m3")));
    }
}
