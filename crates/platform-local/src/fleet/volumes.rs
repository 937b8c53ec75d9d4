//! The volumes of apps: each is a directory of its own that one machine at a time mounts.

use std::{collections::BTreeMap, sync::PoisonError};

use jiff::Timestamp;
use machines_api::types::{CreateVolume, MachineConfig, UpdateVolume, Volume};
use serde::{Deserialize, Serialize};

use super::{Fleet, launch::MachineFiles};
use crate::{clock, error::Refusal, identity};

/// Volumes of one app.
const VOLUMES_PER_APP_MAX: usize = 100;

/// Gigabytes of a volume whose maker names no size, and at most (Fly's numbers).
const SIZE_DEFAULT_GB: u64 = 3;
const SIZE_MAX_GB: u64 = 500;

/// Days for which Fly keeps snapshots unless told otherwise.
const SNAPSHOT_RETENTION_DAYS: u64 = 5;

/// A volume.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct VolumeRecord {
    pub(crate) id: String,
    pub(crate) app: String,
    pub(crate) name: String,
    pub(crate) size_gb: u64,
    pub(crate) region: String,
    pub(crate) encrypted: bool,
    pub(crate) fstype: String,
    pub(crate) snapshot_retention_days: u64,
    pub(crate) auto_backup_enabled: bool,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
}

impl Fleet {
    /// The volumes of an app, oldest first.
    pub(crate) fn volumes_of(&self, app: &str) -> Vec<VolumeRecord> {
        let volumes = self.volumes.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> =
            volumes.values().filter(|volume| volume.app == app).cloned().collect();
        found.sort_by_key(|volume| volume.created_at);
        found
    }

    pub(crate) fn volume_of(&self, app: &str, id: &str) -> Result<VolumeRecord, Refusal> {
        self.app(app)?;
        let volumes = self.volumes.read().unwrap_or_else(PoisonError::into_inner);
        volumes.get(id).filter(|volume| volume.app == app).cloned().ok_or_else(|| {
            Refusal::not_found(format!("volume not found: app `{app}` has no volume `{id}`"))
        })
    }

    /// The volume as the API shows it.
    pub(crate) fn volume_view(&self, volume: &VolumeRecord) -> Volume {
        Volume {
            id: volume.id.clone(),
            name: volume.name.clone(),
            state: "created".to_owned(),
            size_gb: volume.size_gb,
            region: volume.region.clone(),
            zone: volume.region.clone(),
            encrypted: volume.encrypted,
            attached_machine_id: self.mounting(volume),
            created_at: Some(volume.created_at),
            fstype: volume.fstype.clone(),
            snapshot_retention: volume.snapshot_retention_days,
            auto_backup_enabled: volume.auto_backup_enabled,
            bytes_used: None,
            bytes_total: Some(volume.size_gb << 30),
            host_status: "ok".to_owned(),
        }
    }

    pub(crate) async fn create_volume(
        &self,
        app: &str,
        order: CreateVolume,
    ) -> Result<VolumeRecord, Refusal> {
        let _turn = self.membership.lock().await;
        self.app(app)?;
        if !is_volume_name(&order.name) {
            return Err(Refusal::bad_request(format!(
                "invalid_argument: `{}` is no name for a volume\nhint: use 1 to 30 of the \
                 characters a-z, 0-9 and _",
                order.name
            )));
        }
        if self.volumes_of(app).len() >= VOLUMES_PER_APP_MAX {
            return Err(Refusal::unprocessable(format!(
                "app `{app}` has {VOLUMES_PER_APP_MAX} volumes, which is the limit"
            )));
        }
        let now = clock::now();
        let volume = VolumeRecord {
            id: identity::volume_id(),
            app: app.to_owned(),
            name: order.name,
            size_gb: checked_size(order.size_gb.unwrap_or(SIZE_DEFAULT_GB))?,
            region: self.context.settings.region_of(order.region.as_deref()),
            encrypted: order.encrypted.unwrap_or(true),
            fstype: order.fstype.unwrap_or_else(|| "ext4".to_owned()),
            snapshot_retention_days: order.snapshot_retention.unwrap_or(SNAPSHOT_RETENTION_DAYS),
            auto_backup_enabled: order.auto_backup_enabled.unwrap_or(true),
            created_at: now,
            updated_at: now,
        };
        self.store_volume(volume).await
    }

    pub(crate) async fn update_volume(
        &self,
        app: &str,
        id: &str,
        order: UpdateVolume,
    ) -> Result<VolumeRecord, Refusal> {
        let _turn = self.membership.lock().await;
        let mut volume = self.volume_of(app, id)?;
        let days = order.snapshot_retention;
        volume.snapshot_retention_days = days.unwrap_or(volume.snapshot_retention_days);
        let backup = order.auto_backup_enabled;
        volume.auto_backup_enabled = backup.unwrap_or(volume.auto_backup_enabled);
        self.store_volume(volume).await
    }

    /// Makes a volume larger.
    pub(crate) async fn extend_volume(
        &self,
        app: &str,
        id: &str,
        size_gb: u64,
    ) -> Result<VolumeRecord, Refusal> {
        let _turn = self.membership.lock().await;
        let mut volume = self.volume_of(app, id)?;
        if size_gb < volume.size_gb {
            return Err(Refusal::bad_request(format!(
                "invalid_argument: volume `{id}` has {} GB and cannot be made smaller",
                volume.size_gb
            )));
        }
        volume.size_gb = checked_size(size_gb)?;
        self.store_volume(volume).await
    }

    /// Deletes a volume with all that is in it, unless a machine mounts it.
    pub(crate) async fn delete_volume(&self, app: &str, id: &str) -> Result<VolumeRecord, Refusal> {
        let _turn = self.membership.lock().await;
        let volume = self.volume_of(app, id)?;
        if let Some(machine) = self.mounting(&volume) {
            return Err(Refusal::precondition(format!(
                "volume `{id}` is attached to machine {machine}\nhint: destroy that machine first"
            )));
        }
        self.forget_volume(&volume).await?;
        Ok(volume)
    }

    /// Deletes all volumes of an app that goes.
    pub(super) async fn forget_volumes_of(&self, app: &str) -> Result<(), Refusal> {
        for volume in self.volumes_of(app) {
            self.forget_volume(&volume).await?;
        }
        Ok(())
    }

    /// Refuses a config that mounts a volume which is not there or which another machine mounts.
    pub(super) fn check_mounts(
        &self,
        app: &str,
        config: &MachineConfig,
        own_id: Option<&str>,
    ) -> Result<(), Refusal> {
        for id in config.mounts.iter().filter_map(|mount| mount.volume.as_deref()) {
            let volume =
                self.volume_of(app, id).map_err(|missing| Refusal::bad_request(missing.message))?;
            if let Some(other) = self.mounting(&volume).filter(|it| Some(it.as_str()) != own_id) {
                return Err(Refusal::precondition(format!(
                    "volume `{id}` is attached to machine {other}"
                )));
            }
        }
        Ok(())
    }

    /// The machine that mounts the volume, if one does.
    fn mounting(&self, volume: &VolumeRecord) -> Option<String> {
        let machines = self.machines_of(&volume.app);
        let mounts = |config: &MachineConfig| {
            config.mounts.iter().any(|mount| mount.volume.as_ref() == Some(&volume.id))
        };
        let found = machines.iter().find(|machine| mounts(&machine.snapshot().record.config));
        found.map(|machine| machine.id.clone())
    }

    async fn store_volume(&self, mut volume: VolumeRecord) -> Result<VolumeRecord, Refusal> {
        volume.updated_at = clock::now();
        self.context.store.save_volume(&volume.id, &volume).await?;
        let mut volumes = self.volumes.write().unwrap_or_else(PoisonError::into_inner);
        volumes.insert(volume.id.clone(), volume.clone());
        Ok(volume)
    }

    async fn forget_volume(&self, volume: &VolumeRecord) -> Result<(), Refusal> {
        self.context.store.forget_volume(&volume.id).await?;
        self.volumes.write().unwrap_or_else(PoisonError::into_inner).remove(&volume.id);
        let files = MachineFiles::of(&self.context, &volume.id);
        let id = volume.id.clone();
        let removed = tokio::task::spawn_blocking(move || files.remove_volume(&id)).await;
        if let Err(error) = removed {
            tracing::error!(%error, volume = volume.id, "files of a volume may be left");
        }
        Ok(())
    }
}

/// What was stored, by id.
pub(super) fn by_id(volumes: Vec<VolumeRecord>) -> BTreeMap<String, VolumeRecord> {
    volumes.into_iter().map(|volume| (volume.id.clone(), volume)).collect()
}

fn is_volume_name(name: &str) -> bool {
    (1..=30).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

fn checked_size(size_gb: u64) -> Result<u64, Refusal> {
    if (1..=SIZE_MAX_GB).contains(&size_gb) {
        return Ok(size_gb);
    }
    Err(Refusal::bad_request(format!(
        "invalid_argument: a volume has 1 to {SIZE_MAX_GB} GB, not {size_gb}"
    )))
}
