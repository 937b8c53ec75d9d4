//! Follows what a machine asks for with `fly-replay`: reads the order, looks whether the target
//! may be reached, sends the request on its way again, and keeps the decision if it shall be kept.
//! How the order is written is `replay`'s business.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderName;
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;

use super::{
    body::MachineBody,
    connections::Answered,
    forward::Forwarder,
    hold::Ending,
    journey::{Attempt, Journey},
    replay::{Form, Keep, ORDER_BYTES_MAX, Replay},
    replay_cache::{Key, Rule},
    route::{Instance, Visit},
    trouble::{Cause, Trouble},
};

/// The body of an answer that asks for a replay must be there by then.
const ORDER_MAX: Duration = Duration::from_secs(10);

/// A setting of a machine's service: which decisions are kept without being told with each.
#[derive(Debug, Deserialize)]
struct CacheSetting {
    #[serde(default)]
    path_prefix: String,
    ttl_seconds: u64,
    #[serde(rename = "type")]
    kind: SettingKind,
    name: String,
    #[serde(default)]
    allow_bypass: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum SettingKind {
    Cookie,
    Header,
}

impl Forwarder {
    /// Does what an answer asks for in this form.
    pub(super) async fn follow(
        &self,
        journey: &mut Journey,
        visit: Visit,
        answered: Answered,
        form: Form,
    ) -> Attempt {
        let Answered { answer, sender } = answered;
        let instance = std::sync::Arc::clone(visit.instance());
        let (parts, incoming) = answer.into_parts();
        let body = MachineBody::new(incoming, sender, journey.worker, visit);
        let read = match form {
            Form::Header => {
                drop(body);
                Replay::of_headers(&parts.headers)
            }
            Form::Json => read(body).await.and_then(|body| Replay::of_json(&body)),
        };
        let failed = |cause| Attempt::Failed(Trouble::of_machine(&instance.machine, cause));
        let replay = match read {
            Ok(replay) => replay,
            Err(reason) => return failed(Cause::BadReplay { reason }),
        };
        if let Err(cause) = journey.may_replay() {
            return failed(cause);
        }
        let unreachable = replay.app.as_ref().and_then(|target| self.why_not(journey, target));
        let (keep, has_fallback) =
            (self.what_to_keep(journey, &instance, &replay), replay.fallback.is_some());
        if let Some(cause) = unreachable {
            if !has_fallback {
                return failed(cause);
            }
            // Into the log of the app that asked: the other one has nothing to do with it.
            self.complain(&journey.app, &Trouble::of_machine(&instance.machine, cause));
            journey.replay(&instance, replay, self.hold);
            journey.fall_back(Ending::NoCandidate, self.hold);
            return Attempt::Again;
        }
        journey.replay(&instance, replay, self.hold);
        if let Some((rule, ttl)) = keep {
            journey.keep(&self.replay_cache, &rule, ttl);
        }
        Attempt::Again
    }

    /// Why an app may not be the target of a replay.
    fn why_not(&self, journey: &Journey, target: &str) -> Option<Cause> {
        let (source_app, target) = (journey.app.clone(), target.to_owned());
        let organization = |app: &str| self.fleet.app(app).ok().map(|app| app.organization);
        match (organization(&source_app), organization(&target)) {
            (_, None) => Some(Cause::ReplayToNoApp { source_app, target }),
            (Some(one), Some(other)) if one != other => {
                Some(Cause::ReplayToForeignApp { source_app, target })
            }
            _ => None,
        }
    }

    /// For which requests the decision is kept: those that the answer names, or the settings of the
    /// machine that asks.
    fn what_to_keep(
        &self,
        journey: &Journey,
        instance: &Instance,
        replay: &Replay,
    ) -> Option<(Rule, Duration)> {
        let asked = journey.asked();
        match &replay.keep {
            Some(Keep::Nothing) => {
                self.replay_cache.forget(&asked);
                None
            }
            Some(Keep::For { pattern, ttl, may_be_skipped }) => {
                Some((Rule::new(pattern, Key::Path, *may_be_skipped, &asked)?, *ttl))
            }
            None if replay.is_plain() => {
                let rules = self.cache_settings(instance).into_iter().filter_map(|setting| {
                    let key = match setting.kind {
                        SettingKind::Cookie => Key::Cookie(setting.name),
                        SettingKind::Header => {
                            Key::Header(HeaderName::try_from(setting.name).ok()?)
                        }
                    };
                    let pattern = match setting.path_prefix {
                        prefix if prefix.is_empty() => "/".to_owned(),
                        prefix => prefix,
                    };
                    let rule = Rule::new(&pattern, key, setting.allow_bypass, &asked)?;
                    Some((rule, Replay::time_to_live(setting.ttl_seconds)?))
                });
                rules.max_by_key(|(rule, _)| rule.length())
            }
            None => None,
        }
    }

    fn cache_settings(&self, instance: &Instance) -> Vec<CacheSetting> {
        let Some(machine) = self.fleet.machine(&instance.machine) else { return Vec::new() };
        let snapshot = machine.snapshot();
        let ports = snapshot.record.config.services.iter().flat_map(|service| &service.ports);
        let lists = ports.filter_map(|port| port.rest.get("http_options")?.get("replay_cache"));
        let settings = lists.filter_map(|list| list.as_array()).flatten();
        // What cannot be read is left out, as whatever a config says that is not known here.
        settings.filter_map(|setting| CacheSetting::deserialize(setting).ok()).collect()
    }
}

/// The whole body of an answer that asks for a replay.
async fn read(body: MachineBody) -> Result<Bytes, String> {
    let read = tokio::time::timeout(ORDER_MAX, Limited::new(body, ORDER_BYTES_MAX).collect());
    match read.await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) => Err(format!("its body cannot be read: {error}")),
        Err(_elapsed) => Err(format!("its body did not arrive within {ORDER_MAX:?}")),
    }
}
