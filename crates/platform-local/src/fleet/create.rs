//! Makes and removes apps, machines and secrets. All of these change what there is, so they take
//! turns; each is durable before it is answered.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError},
};

use axum::http::StatusCode;
use machines_api::types::{
    CreateApp, CreateMachine, ImageRef, MachineConfig, MachineState, Secret, UpdateMachine,
};
use oci_image::ImageDigest;

use super::{
    Fleet, Machine, Source,
    config_files::ConfigFile,
    events,
    launch::{PrepareError, check_mount},
    lease,
    machine::Snapshot,
    record::{self, AppRecord, Goal, MachineRecord},
};
use crate::{
    clock,
    error::Refusal,
    identity,
    log::Level,
    proxy::left_out,
    store::{MachineWrite, SECRETS_VERSIONS_MAX},
};

/// More than one computer runs well.
const APPS_MAX: usize = 200;
const MACHINES_PER_APP_MAX: usize = 1000;
const SECRETS_MAX: usize = 500;

/// Each may take a port of this computer.
const SERVICES_MAX: usize = 32;

impl Fleet {
    pub(crate) async fn create_app(&self, order: CreateApp) -> Result<AppRecord, Refusal> {
        let _turn = self.membership.lock().await;
        let name = order.name;
        if !is_app_name(&name) {
            return Err(Refusal::unprocessable(format!(
                "`{name}` is no app name\nhint: use 1 to 63 of the characters a-z, 0-9 and -"
            )));
        }
        if self.has_app(&name) {
            return Err(Refusal {
                code: Some("name_taken"),
                ..Refusal::unprocessable("Validation failed: Name has already been taken")
            });
        }
        if self.apps().len() >= APPS_MAX {
            return Err(Refusal::unprocessable(format!("there are {APPS_MAX} apps already")));
        }
        let record = AppRecord {
            id: identity::version().to_ascii_lowercase(),
            organization: if order.org_slug.is_empty() {
                "personal".to_owned()
            } else {
                order.org_slug
            },
            network: order.network,
            created_at: clock::now(),
            secrets_version: 0,
            secrets: BTreeMap::new(),
            addresses: Vec::new(),
            name,
        };
        self.store_app(&record).await?;
        Ok(record)
    }

    /// Removes an app; one that has machines only by force, and then they go first. One that is
    /// being destroyed is waited for. Other changes pass meanwhile; a machine that is made then is
    /// treated as one that was there before.
    pub(crate) async fn delete_app(&self, name: &str, force: bool) -> Result<(), Refusal> {
        let id = self.app(name)?.id;
        loop {
            self.end_machines_of(name, force).await?;
            let _turn = self.membership.lock().await;
            if self.app(name)?.id != id {
                return Err(Refusal::not_found(format!("app `{name}` was deleted meanwhile")));
            }
            if self.machines_of(name).is_empty() {
                return self.forget_app(name, &id).await;
            }
        }
    }

    /// Waits until an app has no machines, and destroys them, if that is forced.
    async fn end_machines_of(&self, name: &str, force: bool) -> Result<(), Refusal> {
        let machines = self.machines_of(name);
        let goes =
            |machine: &&Arc<Machine>| machine.snapshot().record.state == MachineState::Destroying;
        let staying = machines.len() - machines.iter().filter(goes).count();
        if staying > 0 && !force {
            return Err(Refusal::unprocessable(format!(
                "app `{name}` has {staying} machines\nhint: destroy them first, or pass `force=true`"
            )));
        }
        for machine in &machines {
            let nonce = machine.lease(clock::now()).ok().map(|lease| lease.nonce);
            match machine.destroy(nonce.as_deref(), true).await {
                Err(error) if error.status != StatusCode::NOT_FOUND => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        for machine in &machines {
            let mut snapshots = machine.subscribe();
            drop(snapshots.wait_for(|snapshot| snapshot.record.is_gone()).await);
        }
        Ok(())
    }

    /// Forgets an app that has no machines, and all that belonged to it.
    async fn forget_app(&self, name: &str, id: &str) -> Result<(), Refusal> {
        self.context.store.forget_releases(id).await?;
        self.forget_volumes_of(name).await?;
        self.context.store.delete_app(name).await?;
        let every = self.every_machine_of(name);
        self.remove(&every);
        for machine in every {
            self.context.store.forget_machine(&machine.id).await?;
        }
        self.context.logs.forget(name);
        self.context.apps.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.context.metrics.forget_app(name);
        Ok(())
    }

    /// Makes a machine; gives it as it was made, and the nonce of a lease if one was asked for.
    pub(crate) async fn create_machine(
        &self,
        app: &str,
        order: CreateMachine,
    ) -> Result<(Arc<Snapshot>, Option<String>), Refusal> {
        let image = self.check_config(&order.config).await?;
        let _turn = self.membership.lock().await;
        self.check_secrets_version(app, order.min_secrets_version)?;
        self.check_mounts(app, &order.config, None)?;
        let machines = self.machines_of(app);
        if machines.len() >= MACHINES_PER_APP_MAX {
            return Err(Refusal::unprocessable(format!(
                "app `{app}` has {MACHINES_PER_APP_MAX} machines, which is the limit"
            )));
        }
        let name = free_name(&machines, order.name)?;
        let now = clock::now();
        let mut record = MachineRecord {
            id: identity::machine_id(),
            app: app.to_owned(),
            name,
            region: self.context.settings.region_of(order.region.as_deref()),
            instance_id: identity::version(),
            config: order.config,
            image,
            skip_secrets: order.skip_secrets,
            state: MachineState::Created,
            goal: if order.skip_launch { Goal::Stop } else { Goal::Run },
            cordoned: order.skip_service_registration,
            created_at: now,
            updated_at: now,
            lease: None,
            restart_count: 0,
            last_exit: None,
            run: None,
        };
        let mut nonce = None;
        if order.lease_ttl_secs.is_some() {
            let lease = lease::acquire(&mut record, None, order.lease_ttl_secs, None, now)?;
            nonce = Some(lease.nonce);
        }
        let event = events::event("launch", MachineState::Created, Source::User, now);
        let write = MachineWrite {
            id: &record.id,
            app,
            record: &record,
            events: std::slice::from_ref(&event),
            version: Some((&record.instance_id, &record.config)),
        };
        self.context.store.save_machine(&write).await?;
        let machine = Machine::new(Arc::clone(&self.context), record, vec![event]);
        let as_made = machine.snapshot();
        self.tell_what_is_left_out(&as_made.record);
        self.keep(machine);
        self.forget_long_destroyed().await;
        Ok((as_made, nonce))
    }

    /// Gives a machine a new version; gives the nonce of a lease, if one was asked for.
    pub(crate) async fn update_machine(
        &self,
        machine: &Machine,
        nonce: Option<&str>,
        order: UpdateMachine,
    ) -> Result<Option<String>, Refusal> {
        let image = self.check_config(&order.config).await?;
        self.check_secrets_version(&machine.app, order.min_secrets_version)?;
        let mounts_volume = order.config.mounts.iter().any(|mount| mount.volume.is_some());
        // Only so that no other machine mounts the same volume meanwhile.
        let _turn = if mounts_volume { Some(self.membership.lock().await) } else { None };
        self.check_mounts(&machine.app, &order.config, Some(&machine.id))?;
        let nonce = machine.update(nonce, order, image).await?;
        self.tell_what_is_left_out(&machine.snapshot().record);
        Ok(nonce)
    }

    /// Tells in the app's log what the machine's services ask for that is not served here, once
    /// for each version of them.
    fn tell_what_is_left_out(&self, record: &MachineRecord) {
        for text in left_out(&record.config.services, self.context.has_tls()) {
            self.context.logs.tell_once(&record.app, Level::Warn, text);
        }
    }

    /// Looks whether a config can be run here; gives the image that it names.
    pub(crate) async fn check_config(&self, config: &MachineConfig) -> Result<ImageRef, Refusal> {
        if config.mounts.len() > 1 {
            return Err(Refusal::bad_request("a machine has at most one mount"));
        }
        for mount in &config.mounts {
            let refused = |error: PrepareError| Refusal::bad_request(error.to_string());
            check_mount(mount).map_err(refused)?;
        }
        if config.services.len() > SERVICES_MAX {
            return Err(Refusal::bad_request(format!(
                "a machine has at most {SERVICES_MAX} services"
            )));
        }
        if let Some(signal) = config.stop_config.as_ref().and_then(|stop| stop.signal.as_ref())
            && super::signal::of(signal).is_none()
        {
            return Err(Refusal::bad_request(format!("there is no signal `{signal}`")));
        }
        record::chosen_runtime(config).map_err(Refusal::unprocessable)?;
        ConfigFile::all(config).map_err(Refusal::unprocessable)?;
        let mut image = parse_image(&config.image)?;
        if image.digest.is_empty() {
            let tagged = self.context.store.tag(&image.repository, &image.tag).await?;
            image.digest = tagged.unwrap_or_default();
        }
        let not_found = || {
            Refusal::bad_request(format!(
                "image not found: `{}`\nhint: push it to this platform's registry first",
                config.image
            ))
        };
        let digest: ImageDigest = image.digest.parse().map_err(|_invalid| not_found())?;
        let read = self.context.images.read_config(&digest).map_err(|error| {
            tracing::info!(%error, image = config.image, "an image cannot be read");
            not_found()
        })?;
        image.labels = read.config.labels.unwrap_or_default();
        Ok(image)
    }

    /// Refuses when the caller has seen newer secrets than there are.
    pub(crate) fn check_secrets_version(
        &self,
        app: &str,
        min_version: Option<u64>,
    ) -> Result<(), Refusal> {
        let version = self.app(app)?.secrets_version;
        match min_version {
            Some(min) if min > version => Err(Refusal::precondition(format!(
                "secrets of app `{app}` are at version {version}, not yet at {min}"
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// Sets secrets, and removes those without a value; gives the app as it is then.
    pub(crate) async fn set_secrets(
        &self,
        app: &str,
        values: BTreeMap<String, Option<String>>,
    ) -> Result<AppRecord, Refusal> {
        let _turn = self.membership.lock().await;
        let mut record = self.app(app)?;
        let now = clock::now();
        for (name, value) in values {
            if !is_variable_name(&name) {
                return Err(Refusal::unprocessable(format!(
                    "`{name}` is no name for a secret\nhint: use letters, digits and _"
                )));
            }
            let Some(value) = value else {
                record.secrets.remove(&name);
                continue;
            };
            if value.contains('\0') {
                return Err(Refusal::unprocessable(format!("secret `{name}` holds a zero byte")));
            }
            let known = record.secrets.get(&name);
            let secret = Secret {
                digest: secret_digest(&value),
                created_at: known.map_or(Some(now), |known| known.created_at),
                updated_at: Some(now),
                value: Some(value),
                name: name.clone(),
            };
            record.secrets.insert(name, secret);
        }
        if record.secrets.len() > SECRETS_MAX {
            return Err(Refusal::unprocessable(format!("more than {SECRETS_MAX} secrets")));
        }
        record.secrets_version += 1;
        let (store, version) = (&self.context.store, record.secrets_version);
        store.save_secrets(app, &record, version, &record.secrets).await?;
        self.remember_app(&record);
        Ok(record)
    }

    /// The app with its secrets as they were at a version.
    pub(crate) async fn app_with_secrets_at(
        &self,
        app: &str,
        version: u64,
    ) -> Result<AppRecord, Refusal> {
        let record = self.app(app)?;
        if version == record.secrets_version {
            return Ok(record);
        }
        let kept = self.context.store.secrets(app, version).await?;
        let secrets = kept.ok_or_else(|| {
            Refusal::not_found(format!(
                "app `{app}` has no secrets of version {version}: they are at version {}, and the \
                 newest {SECRETS_VERSIONS_MAX} versions are kept",
                record.secrets_version
            ))
        })?;
        Ok(AppRecord { secrets, secrets_version: version, ..record })
    }

    pub(super) async fn store_app(&self, record: &AppRecord) -> Result<(), Refusal> {
        self.context.store.save_app(&record.name, record).await?;
        self.remember_app(record);
        Ok(())
    }

    fn remember_app(&self, record: &AppRecord) {
        let mut apps = self.context.apps.write().unwrap_or_else(PoisonError::into_inner);
        apps.insert(record.name.clone(), record.clone());
    }
}

/// An app's name is also a name in the address of the proxy.
fn is_app_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'))
}

/// The name that was wished for, if no machine of the app has it; else one that is made up.
fn free_name(machines: &[Arc<Machine>], wished: Option<String>) -> Result<String, Refusal> {
    let is_taken =
        |name: &String| machines.iter().any(|machine| machine.snapshot().record.name == *name);
    let Some(name) = wished.filter(|name| !name.is_empty()) else {
        // Of the millions of names at most a thousand are taken, so that this ends soon.
        let mut names = std::iter::repeat_with(identity::machine_name);
        return Ok(names.find(|name| !is_taken(name)).unwrap_or_default());
    };
    if !is_machine_name(&name) {
        return Err(Refusal::bad_request(format!(
            "invalid_argument: `{name}` is no name for a machine\nhint: use 1 to 63 letters, \
             digits, - and _"
        )));
    }
    if is_taken(&name) {
        return Err(Refusal::unprocessable(format!("machine name `{name}` is taken")));
    }
    Ok(name)
}

fn is_machine_name(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

fn is_variable_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// Tells two values apart without showing them.
fn secret_digest(value: &str) -> String {
    ImageDigest::of(value.as_bytes()).hex().chars().take(16).collect()
}

/// Takes `HOST/REPOSITORY:TAG@DIGEST` apart; every part but the repository may be missing.
fn parse_image(text: &str) -> Result<ImageRef, Refusal> {
    let refused = |why: &str| {
        Refusal::bad_request(format!(
            "image `{text}` cannot be read: {why}\nhint: write `HOST/REPOSITORY@sha256:…`"
        ))
    };
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => {
            let digest: ImageDigest =
                digest.parse().map_err(|_invalid| refused("its digest is none"))?;
            (name, digest.to_string())
        }
        None => (text, String::new()),
    };
    let (registry, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        Some(_) | None => ("", name),
    };
    let (repository, tag) = match path.rsplit_once(':') {
        Some((repository, tag)) => (repository, tag),
        None if digest.is_empty() => (path, "latest"),
        None => (path, ""),
    };
    if repository.is_empty() {
        return Err(refused("it names no repository"));
    }
    Ok(ImageRef {
        registry: registry.to_owned(),
        repository: repository.to_owned(),
        tag: tag.to_owned(),
        digest,
        labels: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_read_with_and_without_host_tag_and_digest() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let with_digest = parse_image(&format!("127.0.0.1:80/shop/web@{digest}")).expect("read");
        assert_eq!(with_digest.registry, "127.0.0.1:80");
        assert_eq!(with_digest.repository, "shop/web");
        assert_eq!(with_digest.digest, digest);
        let tagged = parse_image("registry.fly.io/shop:v1").expect("read");
        assert_eq!((tagged.repository.as_str(), tagged.tag.as_str()), ("shop", "v1"));
        assert_eq!(parse_image("shop").expect("read").tag, "latest");
        assert!(parse_image("").is_err());
        assert!(parse_image("shop@sha256:short").is_err());
    }

    #[test]
    fn app_names_are_those_that_fit_an_address() {
        assert!(is_app_name("shop-staging2"));
        for bad in ["", "Shop", "a.b", "a/b", &"a".repeat(64)] {
            assert!(!is_app_name(bad), "{bad}");
        }
    }
}
