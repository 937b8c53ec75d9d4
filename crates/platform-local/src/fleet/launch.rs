//! Makes what a machine's program needs before it can be started: its own fresh copy of the
//! image, its volumes, its environment, its command line.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use machines_api::types::{MachineConfig, Mount};
use oci_image::{
    DigestError, ImageDigest, layout::LayoutError, manifest::ImageConfig, unpack::UnpackError,
};

use super::{
    Context,
    config_files::{ConfigFile, FileError},
    guest_path::GuestPath,
    record::{MachineRecord, RunRecord},
};
use crate::{
    settings::Runtime,
    supervisor::{
        self, Container, ContainerLaunch, Engine, Launch, NotStarted, PLATFORM_VARIABLE, Ready,
        START_VARIABLE,
    },
};

/// Why a program could not be made ready.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrepareError {
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Digest(#[from] DigestError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0}")]
    Files(String),
    #[error("cannot prepare `{path}`: {source}")]
    Io { path: PathBuf, source: io::Error },
    #[error(
        "`{path}` is no place for a volume\nhint: name an absolute path without `..` and `:`, such as `/data`"
    )]
    Mount { path: String },
}

/// Where a machine's own files are.
#[derive(Debug, Clone)]
pub(super) struct MachineFiles {
    directory: PathBuf,
    volumes: PathBuf,
    id: String,
}

impl MachineFiles {
    pub(super) fn of(context: &Context, id: &str) -> Self {
        let state = &context.settings.state_dir;
        Self {
            directory: state.join("machines").join(id),
            volumes: state.join("volumes"),
            id: id.to_owned(),
        }
    }

    pub(super) fn log(&self) -> PathBuf {
        self.directory.join("machine.log")
    }

    /// Removes the copies of images of all starts but this one.
    pub(super) fn remove_roots_except(&self, kept: Option<&str>) {
        let Ok(roots) = fs::read_dir(self.directory.join("roots")) else { return };
        for root in roots.flatten() {
            if kept.is_none_or(|kept| root.file_name() != kept) {
                remove(&root.path());
            }
        }
    }

    /// Removes all that belongs to the machine alone; its volumes go with it, those of earlier
    /// configs too.
    pub(super) fn remove_all(&self) {
        remove(&self.directory);
        let Ok(volumes) = fs::read_dir(&self.volumes) else { return };
        let own = format!("{}-", self.id);
        for volume in volumes.flatten() {
            if volume.file_name().to_string_lossy().starts_with(&own) {
                remove(&volume.path());
            }
        }
    }

    /// The volumes of these mounts that are there.
    pub(super) fn volumes(&self, mounts: &[Mount]) -> Vec<PathBuf> {
        let places = mounts.iter().map(|mount| self.volume(mount));
        places.filter_map(|place| place.canonicalize().ok()).collect()
    }

    /// Removes a volume that belongs to no machine.
    pub(super) fn remove_volume(&self, id: &str) {
        remove(&self.volumes.join(id));
    }

    pub(super) fn root(&self, start: &str) -> PathBuf {
        self.directory.join("roots").join(start)
    }

    fn volume(&self, mount: &Mount) -> PathBuf {
        let plain = |name: &str| -> String {
            name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
        };
        match (&mount.volume, &mount.name) {
            (Some(volume), _) => self.volumes.join(plain(volume)),
            (None, name) => {
                let name = plain(name.as_deref().unwrap_or("data"));
                self.volumes.join(format!("{}-{name}", self.id))
            }
        }
    }
}

/// Makes everything for this start.
pub(super) async fn make_ready(
    context: &Arc<Context>,
    record: &MachineRecord,
    run: &RunRecord,
) -> Result<Ready, NotStarted> {
    let (of_context, copy, of_run) = (Arc::clone(context), record.clone(), run.clone());
    match run.runtime {
        Runtime::Process => {
            let prepared =
                tokio::task::spawn_blocking(move || prepare(&of_context, &copy, &of_run));
            let launch = prepared.await.map_err(NotStarted::because)?;
            Ok(Ready::Process(launch.map_err(NotStarted::because)?))
        }
        Runtime::Container => {
            let launch = prepare_container(context, record, run).map_err(NotStarted::because)?;
            let engine = Engine::find(context.settings.engine_socket.as_deref()).await?;
            let container = Container::create(&engine, &context.images, &launch).await?;
            Ok(Ready::Container(container))
        }
    }
}

/// Makes everything for a process. It takes as long as copying the image does, and the first time
/// as long as unpacking it.
fn prepare(
    context: &Context,
    record: &MachineRecord,
    run: &RunRecord,
) -> Result<Launch, PrepareError> {
    let files = MachineFiles::of(context, &record.id);
    let root = files.root(&run.start);
    files.remove_roots_except(None);
    let digest: ImageDigest = run.image_digest.parse()?;
    let image = context.unpacked.copy_to(&context.images, &digest, &root)?;
    for mount in &record.config.mounts {
        link_volume(&root, mount, &files.volume(mount))?;
    }
    let secrets = context.secrets_of(&record.app);
    for file in config_files(record)? {
        file.write_below(&root, &secrets)?;
    }
    let log = files.log();
    supervisor::rotate(&log).map_err(at(&log))?;
    let working_directory = image.working_dir.clone().unwrap_or_default();
    let directory = root.join(working_directory.trim_start_matches('/'));
    fs::create_dir_all(&directory).map_err(at(&directory))?;
    Ok(Launch {
        command: command(&record.config, &image),
        environment: environment(context, record, run, &image),
        working_directory,
        root,
        output: log,
        limits: record.limits(&context.settings),
        hold: context.limiter.hold(&run.start),
    })
}

/// Makes what a container needs beside its image.
fn prepare_container(
    context: &Context,
    record: &MachineRecord,
    run: &RunRecord,
) -> Result<ContainerLaunch, PrepareError> {
    let files = MachineFiles::of(context, &record.id);
    files.remove_roots_except(None);
    let digest: ImageDigest = run.image_digest.parse()?;
    let image = context.images.read_config(&digest)?.config;
    let log = files.log();
    fs::create_dir_all(&files.directory).map_err(at(&files.directory))?;
    supervisor::rotate(&log).map_err(at(&log))?;
    let mut volumes = Vec::new();
    for mount in &record.config.mounts {
        check_mount(mount)?;
        let volume = files.volume(mount);
        if !volume.exists() {
            fs::create_dir_all(&volume).map_err(at(&volume))?;
            // The image's user may be any; others don't get here through the state directory.
            let everybody = fs::Permissions::from_mode(0o777);
            fs::set_permissions(&volume, everybody).map_err(at(&volume))?;
        }
        volumes.push((volume, mount.path.clone()));
    }
    let (beside, secrets) = (files.root(&run.start), context.secrets_of(&record.app));
    for (number, file) in config_files(record)?.into_iter().enumerate() {
        fs::create_dir_all(&beside).map_err(at(&beside))?;
        let place = beside.join(number.to_string());
        file.write_beside(&place, &secrets)?;
        volumes.push((place, file.guest_path));
    }
    let mut environment = environment(context, record, run, &image);
    // By these a process is found again; a container has labels.
    for mark in [START_VARIABLE, PLATFORM_VARIABLE] {
        environment.remove(mark);
    }
    Ok(ContainerLaunch {
        platform: context.platform_id.clone(),
        machine: record.id.clone(),
        start: run.start.clone(),
        image: digest,
        command: command(&record.config, &image),
        environment,
        volumes,
        limits: record.limits(&context.settings),
        log,
    })
}

/// The files that the config names. They were looked at when it was accepted.
fn config_files(record: &MachineRecord) -> Result<Vec<ConfigFile>, PrepareError> {
    ConfigFile::all(&record.config).map_err(PrepareError::Files)
}

/// The place of a mount in a machine, if its path is one.
pub(super) fn check_mount(mount: &Mount) -> Result<GuestPath, PrepareError> {
    GuestPath::parse(&mount.path).ok_or_else(|| PrepareError::Mount { path: mount.path.clone() })
}

/// Lets the program see the volume at the mount's path; what the image has there is hidden.
fn link_volume(root: &Path, mount: &Mount, volume: &Path) -> Result<(), PrepareError> {
    let path = check_mount(mount)?;
    fs::create_dir_all(volume).map_err(at(volume))?;
    let refused = || PrepareError::Mount { path: mount.path.clone() };
    let place = path.below(root).map_err(at(root))?.ok_or_else(refused)?;
    remove(&place);
    let volume = volume.canonicalize().map_err(at(volume))?;
    std::os::unix::fs::symlink(volume, &place).map_err(at(&place))
}

fn command(config: &MachineConfig, image: &ImageConfig) -> Vec<String> {
    let init = config.init.clone().unwrap_or_default();
    if !init.exec.is_empty() {
        return init.exec;
    }
    let of_image = image.cmd.clone().unwrap_or_default();
    let (entrypoint, arguments) = if init.entrypoint.is_empty() {
        (image.entrypoint.clone().unwrap_or_default(), of_image)
    } else {
        // The image's arguments were meant for the image's entrypoint.
        (init.entrypoint, Vec::new())
    };
    let arguments = if init.cmd.is_empty() { arguments } else { init.cmd };
    entrypoint.into_iter().chain(arguments).collect()
}

fn environment(
    context: &Context,
    record: &MachineRecord,
    run: &RunRecord,
    image: &ImageConfig,
) -> BTreeMap<String, String> {
    let mut environment: BTreeMap<String, String> =
        image.env_pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    environment.extend(record.config.env.clone());
    if !record.skip_secrets {
        environment.extend(context.secrets_of(&record.app));
    }
    if let Some(group) = record.config.metadata.get("fly_process_group") {
        environment.insert("FLY_PROCESS_GROUP".to_owned(), group.clone());
    }
    let own = [
        ("FLY_APP_NAME", record.app.clone()),
        ("FLY_MACHINE_ID", record.id.clone()),
        // The name that it had before there were machines.
        ("FLY_ALLOC_ID", record.id.clone()),
        ("FLY_MACHINE_VERSION", run.instance_id.clone()),
        ("FLY_IMAGE_REF", record.config.image.clone()),
        ("FLY_REGION", record.region.clone()),
        ("FLY_PRIVATE_IP", record.private_ip()),
        ("FLY_VM_MEMORY_MB", record.memory_mb().to_string()),
        ("FLY_LOCAL_PROXY", format!("http://127.0.0.1:{}", context.private_port)),
        ("PORT", run.port.to_string()),
        (START_VARIABLE, run.start.clone()),
        (PLATFORM_VARIABLE, context.platform_id.clone()),
    ];
    let services = record.config.services.iter().map(|service| service.internal_port);
    let of_services = services.map(|port| (format!("PORT_{port}"), run.port_of(port).to_string()));
    environment.extend(of_services);
    environment.extend(own.map(|(name, value)| (name.to_owned(), value)));
    environment
}

fn remove(path: &Path) {
    let result = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    if let Err(error) = result
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %path.display(), "files of a machine could not be removed");
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> PrepareError {
    let path = path.to_owned();
    move |source| PrepareError::Io { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_config_may_replace_the_images_command() {
        let image = ImageConfig {
            entrypoint: Some(vec!["/app".to_owned()]),
            cmd: Some(vec!["serve".to_owned()]),
            ..ImageConfig::default()
        };
        let with = |init: &str| -> Vec<String> {
            let text = format!(r#"{{"image":"x","init":{init}}}"#);
            command(&serde_json::from_str(&text).expect("valid"), &image)
        };
        assert_eq!(with("null"), ["/app", "serve"]);
        assert_eq!(with(r#"{"cmd":["index"]}"#), ["/app", "index"]);
        assert_eq!(with(r#"{"entrypoint":["/other"]}"#), ["/other"]);
        assert_eq!(with(r#"{"exec":["/tool","x"],"cmd":["y"]}"#), ["/tool", "x"]);
    }

    #[test]
    fn with_a_machine_go_the_volumes_of_all_its_configs_and_no_others() {
        let directory = tempfile::tempdir().expect("directory");
        let volumes = directory.path().join("volumes");
        for name in ["m1-data", "m1-old", "m12-data", "vol_m1"] {
            fs::create_dir_all(volumes.join(name)).expect("made");
        }
        let files = MachineFiles {
            directory: directory.path().join("m1"),
            volumes: volumes.clone(),
            id: "m1".to_owned(),
        };
        files.remove_all();
        let left = ["m1-data", "m1-old", "m12-data", "vol_m1"].map(|it| volumes.join(it).exists());
        assert_eq!(left, [false, false, true, true]);
    }

    #[test]
    fn a_volume_cannot_be_linked_outside_the_machine() {
        let directory = tempfile::tempdir().expect("directory");
        let (root, volume) = (directory.path().join("root"), directory.path().join("volume"));
        fs::create_dir(&root).expect("root");
        std::os::unix::fs::symlink(directory.path(), root.join("out")).expect("link");
        let mount = |path: &str| Mount { path: path.to_owned(), ..Mount::default() };
        for bad in ["data", "/../data", "/", "/out/data"] {
            assert!(link_volume(&root, &mount(bad), &volume).is_err(), "{bad}");
        }
        link_volume(&root, &mount("/var/data"), &volume).expect("linked");
        fs::write(root.join("var/data/file"), "kept").expect("written");
        assert_eq!(fs::read_to_string(volume.join("file")).expect("read"), "kept");
    }
}
