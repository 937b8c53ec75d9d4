//! Performs effects: one match from an effect to its adapter. It is total: whatever happens, an
//! outcome comes back, and within a bounded time. It decides nothing, and repeats nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use holdpoint_core::document::{Document, Section};
use holdpoint_core::effect::{
    CheckResult, Delivery, Effect, Evidence, Failure, Notice, Outcome, Refusal, RefusalKind,
};
use holdpoint_core::event::Ending;
use holdpoint_core::id::{AppName, Course, EffectId, Environment, ImageDigest, ServiceName};
use holdpoint_core::plan::StepKind;
use holdpoint_core::project::{Project, SmokeCheck};
use holdpoint_core::state::{Release, State};
use jiff::Timestamp;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::adapter::clock::Clock;
use crate::adapter::notify::Notifier;
use crate::adapter::platform::{
    CreateRequest, Platform, PlatformAddress, PlatformError, UpdateRequest,
};
use crate::adapter::preflight::{self, Previous, Subject, Surroundings};
use crate::adapter::probe::{Prober, ProberError};
use crate::adapter::section::{self, SectionError};
use crate::adapter::smoke::{CheckReport, Secrets, Smoker, Target};
use crate::adapter::{diagnostics, documents};
use crate::variables::Variables;

/// One effect makes at most three calls, each bounded by the client.
const CALLS_LIMIT: Duration = Duration::from_mins(4);

/// For effects that bring their own limit: what their calls may take beside it.
const MARGIN: Duration = Duration::from_mins(2);

/// What the executor is made from.
#[derive(Debug)]
pub struct Settings {
    /// The directory of `holdpoint.toml`.
    pub project_root: PathBuf,
    /// The platform.
    pub platform: PlatformAddress,
    /// Where messages for the terminal go; whoever holds the other end prints them.
    pub notices: mpsc::Sender<Notice>,
    /// Where the secrets of channels and of pre-flight come from.
    pub variables: Variables,
    /// Where documents of rehearsals go.
    pub rehearsal_root: PathBuf,
}

/// Performs effects. Made once, shared by all effects in flight.
#[derive(Debug)]
pub struct Executor {
    project_root: PathBuf,
    variables: Variables,
    rehearsal_root: PathBuf,
    platform: Platform,
    prober: Prober,
    smoker: Smoker,
    notifier: Notifier,
}

/// Why no executor could be made.
#[derive(Debug, Error)]
pub enum ExecutorError {
    /// The platform can't be used.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// Probes can't be made.
    #[error(transparent)]
    Prober(#[from] ProberError),
}

/// What effects need to know of the release that calls for them: its own project, which may not
/// be that of the next release.
#[derive(Clone, Debug)]
pub struct ReleaseFacts {
    /// The project that rules the release.
    pub project: Project,
    /// Its version.
    pub version: String,
    /// Whether it is a rehearsal.
    pub is_rehearsal: bool,
    /// The images that it brings to each app.
    pub images: Vec<(AppName, ImageDigest)>,
    /// When a release was last rolled back in staging alone.
    pub rolled_back_in_staging_at: Option<Timestamp>,
    /// What each app runs before it: what a rollback puts back.
    pub previous: Vec<(AppName, Previous)>,
    /// How many requests a second each service answers in production, as far as releases measured
    /// it.
    pub requests_per_sec: BTreeMap<ServiceName, f64>,
}

impl ReleaseFacts {
    /// The facts for an effect of a release; messages bring all that they need.
    pub fn for_effect(state: &State, id: &EffectId) -> Option<Self> {
        let release = match id {
            EffectId::Step { release, .. } | EffectId::Machine { release, .. } => {
                state.releases.get(release)
            }
            EffectId::Message { .. } | EffectId::Delivery { .. } => None,
        };
        release.map(|release| Self::of(release, state))
    }

    fn of(release: &Release, state: &State) -> Self {
        let mut images = Vec::new();
        for step in &release.forward.plan.steps {
            if let StepKind::Rollout(rollout) = &step.kind {
                images.push((rollout.app.clone(), rollout.image_digest.clone()));
            }
        }
        Self {
            project: release.project.clone(),
            version: release.version.to_string(),
            is_rehearsal: release.rehearsal.is_some(),
            images,
            rolled_back_in_staging_at: rolled_back_in_staging_at(state),
            previous: Previous::of(&release.forward.plan),
            requests_per_sec: requests_per_sec(state),
        }
    }
}

/// How many requests a second services answer in production, as releases measured it.
pub fn requests_per_sec(state: &State) -> BTreeMap<ServiceName, f64> {
    let services = state.histories.get(&Environment::Production).into_iter().flatten();
    let known = services
        .filter_map(|(service, history)| Some((service.clone(), history.requests_per_sec()?)));
    known.collect()
}

/// When a release was last rolled back before it reached production. A rehearsal is none.
pub fn rolled_back_in_staging_at(state: &State) -> Option<Timestamp> {
    let ends = state.releases.values().filter_map(|release| match &release.ended {
        Some((at, Ending::RolledBack))
            if release.rehearsal.is_none()
                && release.forward.touched(Environment::Staging)
                && !release.forward.touched(Environment::Production) =>
        {
            Some(*at)
        }
        Some((_, Ending::RolledBack | Ending::Released | Ending::Refused { .. })) | None => None,
    });
    ends.max()
}

impl Executor {
    /// An executor. Nothing is sent yet.
    pub fn new(settings: Settings) -> Result<Self, ExecutorError> {
        let Settings { project_root, platform: address, notices, variables, rehearsal_root } =
            settings;
        let platform = Platform::new(&address)?;
        let prober = Prober::new(address.proxy_url.as_deref())?;
        let smoker = Smoker::new(prober.clone(), project_root.clone());
        let notifier = Notifier::new(notices, variables.clone());
        Ok(Self { project_root, variables, rehearsal_root, platform, prober, smoker, notifier })
    }

    /// The platform, for observing it.
    pub fn platform(&self) -> &Platform {
        &self.platform
    }

    /// The prober, for telemetry.
    pub fn prober(&self) -> &Prober {
        &self.prober
    }

    /// Performs an effect and says how it ended. An effect that was done before is not done
    /// again. One that takes too long has an unknown outcome.
    pub async fn perform(
        &self,
        id: &EffectId,
        effect: &Effect,
        release: Option<&ReleaseFacts>,
    ) -> Outcome {
        let limit = limit_of(effect, release);
        let performed = Box::pin(self.perform_unbounded(id, effect, release));
        match tokio::time::timeout(limit, performed).await {
            Ok(outcome) => outcome,
            Err(_elapsed) => {
                tracing::warn!(%id, limit_secs = limit.as_secs(), "an effect took too long");
                Outcome::Unknown
            }
        }
    }

    async fn perform_unbounded(
        &self,
        id: &EffectId,
        effect: &Effect,
        release: Option<&ReleaseFacts>,
    ) -> Outcome {
        let platform = &self.platform;
        match effect {
            Effect::Preflight { .. } => match release {
                Some(facts) => self.preflight(facts).await,
                None => unknown_release(),
            },
            Effect::Smoke { service, environment, app } => {
                let on_the_way_back = matches!(id, EffectId::Step { course: Course::Back, .. });
                let target = Target {
                    service: service.to_string(),
                    environment: *environment,
                    app: app.clone(),
                };
                self.smoke(&target, on_the_way_back, release).await
            }
            Effect::RestoreSecrets { app, version } => {
                platform.restore_secrets(app, *version).await
            }
            Effect::AcquireLease { app, machine, supersedes, ttl_secs } => {
                platform.acquire_lease(id, app, machine, supersedes.as_deref(), *ttl_secs).await
            }
            Effect::Cordon { app, machine, nonce } => platform.cordon(app, machine, nonce).await,
            Effect::CreateMachine { app, name, region, config, secrets_version } => {
                let secrets_version = *secrets_version;
                let request = CreateRequest { app, name, region, config, secrets_version };
                platform.create_machine(id, request).await
            }
            Effect::UpdateMachine { app, machine, config, secrets_version, nonce } => {
                let secrets_version = *secrets_version;
                let request = UpdateRequest { app, machine, config, secrets_version, nonce };
                platform.update_machine(id, request).await
            }
            Effect::StopMachine { app, machine, created_by } => {
                platform.stop_machine(app, machine.as_ref(), created_by).await
            }
            Effect::AwaitHealth { app, machine, instance_id, within_secs } => {
                platform.await_health(app, machine, instance_id, *within_secs).await
            }
            Effect::Uncordon { app, machine, nonce } => {
                platform.uncordon(app, machine, nonce.as_deref()).await
            }
            Effect::ReleaseLease { app, machine, nonce } => {
                platform.release_lease(app, machine, nonce).await
            }
            Effect::Notify(delivery) => {
                let Delivery { channel, notice } = &**delivery;
                match self.notifier.tell(channel, &id.to_string(), notice).await {
                    Ok(()) => Outcome::Done(Evidence::Plain),
                    Err(error) if error.is_final() => refused(&error.to_string()),
                    Err(error) => failed(&error.to_string()),
                }
            }
            Effect::Write(document) => self.write(document).await,
            Effect::Document { file, lines } => self.document(file, lines).await,
        }
    }

    async fn preflight(&self, facts: &ReleaseFacts) -> Outcome {
        let subject = Subject::of(facts);
        let surroundings = Surroundings {
            platform: Some(&self.platform),
            project_root: &self.project_root,
            variables: &self.variables,
            now: Clock::real().now(),
        };
        checks(preflight::look(preflight::checks(&subject, surroundings), |_| {}).await)
    }

    async fn smoke(
        &self,
        target: &Target,
        on_the_way_back: bool,
        release: Option<&ReleaseFacts>,
    ) -> Outcome {
        let service = release.and_then(|facts| facts.project.service(&target.service));
        let Some(service) = service else { return unknown_release() };
        // the previous version is put back however slow it is
        let asked = service.smoke.iter().filter(|it| !(on_the_way_back && it.is_synthetic()));
        let asked: Vec<SmokeCheck> = asked.cloned().collect();
        let reports = self.smoker.run(target, &asked, &Secrets::of(&asked, &self.variables)).await;
        checks(reports.into_iter().map(CheckReport::into_result).collect())
    }

    async fn write(&self, document: &Document) -> Outcome {
        let written = match document {
            Document::Diagnostics(wanted) => {
                let secrets = self.notifier.secrets(self.platform.address().token());
                let root = self.root(wanted.rehearsal);
                diagnostics::capture(root, &self.platform, wanted, &secrets)
                    .await
                    .map_err(|error| failed(&error.to_string()))
            }
            Document::Section(Section { file, rehearsal, text, around }) => {
                let path = self.root(*rehearsal).join(file);
                let (text, around) = (text.clone(), around.clone());
                let write = move || section::write(&path, &text, around.as_ref());
                match tokio::task::spawn_blocking(write).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error @ SectionError::Markers { .. })) => {
                        Err(refused(&error.to_string()))
                    }
                    Ok(Err(error @ SectionError::File { .. })) => Err(failed(&error.to_string())),
                    Err(_broken_off) => Err(Outcome::Unknown),
                }
            }
        };
        written.map_or_else(|outcome| outcome, |()| Outcome::Done(Evidence::Plain))
    }

    /// A rehearsal leaves nothing beside the project.
    fn root(&self, rehearsal: bool) -> &Path {
        if rehearsal { &self.rehearsal_root } else { &self.project_root }
    }

    async fn document(&self, file: &str, lines: &[String]) -> Outcome {
        let (path, lines) = (Path::join(&self.project_root, file), lines.to_vec());
        let appended = tokio::task::spawn_blocking(move || documents::append(&path, &lines));
        match appended.await {
            Ok(Ok(())) => Outcome::Done(Evidence::Plain),
            Ok(Err(error)) => failed(&error.to_string()),
            Err(_broken_off) => Outcome::Unknown,
        }
    }
}

/// How long an effect may take in all.
fn limit_of(effect: &Effect, release: Option<&ReleaseFacts>) -> Duration {
    match effect {
        Effect::AwaitHealth { within_secs, .. } => {
            Duration::from_secs(*within_secs).saturating_add(MARGIN)
        }
        Effect::Smoke { service, environment, .. } => {
            let service = release.and_then(|facts| facts.project.service(service.as_str()));
            let checks = service.map_or([].as_slice(), |service| service.smoke.as_slice());
            let applying = checks.iter().filter(|check| check.applies_to(*environment));
            let limit_ms = applying.map(SmokeCheck::limit_ms).fold(0, u64::saturating_add);
            Duration::from_millis(limit_ms).saturating_add(MARGIN)
        }
        Effect::Preflight { .. }
        | Effect::RestoreSecrets { .. }
        | Effect::AcquireLease { .. }
        | Effect::Cordon { .. }
        | Effect::CreateMachine { .. }
        | Effect::UpdateMachine { .. }
        | Effect::StopMachine { .. }
        | Effect::Uncordon { .. }
        | Effect::ReleaseLease { .. }
        | Effect::Notify(_)
        | Effect::Write(_)
        | Effect::Document { .. } => CALLS_LIMIT,
    }
}

fn checks(results: Vec<CheckResult>) -> Outcome {
    Outcome::Done(Evidence::Checks(results))
}

fn failed(message: &str) -> Outcome {
    Outcome::Failed(Failure { message: sentence(message) })
}

/// For what would fail again in the same way.
fn refused(message: &str) -> Outcome {
    Outcome::Refused(Refusal { kind: RefusalKind::Other, message: sentence(message) })
}

/// Records hold one sentence; the hint is for a person at a terminal.
fn sentence(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

fn unknown_release() -> Outcome {
    let message = "the effect names a release or service that is not known".to_owned();
    Outcome::Refused(Refusal { kind: RefusalKind::Other, message })
}
