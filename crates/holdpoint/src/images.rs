//! Makes the images of all services of a version and pushes them to where the platform looks for
//! them: one repository per app. It also makes the apps of a platform that has none yet.

use std::collections::BTreeMap;

use holdpoint_core::id::{AppName, Environment, ImageDigest, ServiceName};
use holdpoint_core::project::Project;
use semver::Version;

use crate::adapter::build::{self, BuildPlace};
use crate::adapter::clock::Stopwatch;
use crate::adapter::platform::{Platform, PlatformAddress, app_file};
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};
use crate::render::time::human;

/// The organization of apps on a platform that belongs to one person.
const ORGANIZATION: &str = "personal";

/// The digest of every service's image.
pub type Images = BTreeMap<ServiceName, ImageDigest>;

/// Runs every service's build command, in the order of the file.
///
/// # Errors
/// When a command fails or leaves no program.
pub async fn compile(place: &BuildPlace, project: &Project) -> Result<(), Problem> {
    for service in &project.services {
        let watch = Stopwatch::start();
        message::print(&format!(
            "build  {:<24} {}\n",
            service.name,
            service.build.command.join(" ")
        ));
        let built = build::compile(place, service).await;
        built.map_err(|error| Problem::from(error).exit(ExitCode::Refused))?;
        let took = human(watch.elapsed());
        message::print(&format!("build  {:<24} done, {took}\n", service.name));
    }
    Ok(())
}

/// Packs every service's program into an image of this version.
///
/// # Errors
/// When a program is not fit for an image, or the disk is full.
pub async fn pack(
    place: &BuildPlace,
    project: &Project,
    version: &Version,
) -> Result<Images, Problem> {
    let mut images = Images::new();
    for service in &project.services {
        let packed = build::pack(place, service, version).await;
        let digest = packed.map_err(|error| Problem::from(error).exit(ExitCode::Refused))?;
        message::print(&format!(
            "image  {:<24} {version}  sha256:{}\n",
            service.name,
            digest.short()
        ));
        images.insert(ServiceName::new(&service.name), digest);
    }
    Ok(images)
}

/// Pushes the images for every app.
///
/// # Errors
/// When an app's config can't be read, or the registry does not take an image.
pub async fn push(
    place: &BuildPlace,
    project: &Project,
    images: &Images,
    address: &PlatformAddress,
) -> Result<(), Problem> {
    for (_, service, app) in apps(place, project)? {
        if let Some(digest) = images.get(&service) {
            build::push(place, digest, address, app.as_str()).await?;
        }
    }
    Ok(())
}

/// Makes those of the project's apps that the platform does not have. Gives their names.
///
/// # Errors
/// When an app's config can't be read, or the platform does not make an app.
pub async fn create_missing_apps(
    place: &BuildPlace,
    project: &Project,
    platform: &Platform,
) -> Result<Vec<AppName>, Problem> {
    let mut created = Vec::new();
    for (_, _, app) in apps(place, project)? {
        match platform.client().get_app(app.as_str()).await {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {
                platform.client().create_app(app.as_str(), ORGANIZATION).await?;
                created.push(app);
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(created)
}

/// Every app of the project, with its environment and service, in the file's order.
///
/// # Errors
/// When an app's config can't be read.
pub fn apps(
    place: &BuildPlace,
    project: &Project,
) -> Result<Vec<(Environment, ServiceName, AppName)>, Problem> {
    let mut apps = Vec::new();
    for environment in [Environment::Staging, Environment::Production] {
        for service in &project.services {
            let file = app_file(&place.project_root, service.placement(environment))
                .map_err(|error| Problem::from(error).exit(ExitCode::Usage))?;
            apps.push((environment, ServiceName::new(&service.name), file.app));
        }
    }
    Ok(apps)
}
