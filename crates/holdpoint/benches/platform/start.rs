//! From a request for a stopped machine to the first byte of its answer, for the services of a
//! project: what a person waits who comes first.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use holdpoint::{
    adapter::{build::BuildPlace, platform::Platform},
    images, project_file,
};
use holdpoint_core::{id::Environment, id::ServiceName, project::Project};
use machines_api::fly_toml;
use reqwest::Method;
use semver::Version;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    Outcome,
    table::{Table, computer, median},
    world::World,
};

/// Any version will do.
const VERSION: Version = Version::new(1, 0, 0);

/// What is measured, and how often.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The folder of a project's `holdpoint.toml`
    #[arg(long, default_value = "examples/hotdash")]
    project: PathBuf,
    /// How often each machine is stopped and asked
    #[arg(long, default_value_t = 41)]
    times: u32,
}

pub(crate) async fn run(options: &Options) -> Outcome<()> {
    println!("computer: {}", computer());
    println!(
        "load: a machine is stopped, then asked over a new connection; {} times\n",
        options.times
    );
    let folder = repository_root().join(&options.project).canonicalize()?;
    let project = project_file::load(&folder.join("holdpoint.toml")).map_err(|it| it.text())?;
    let world = World::start().await?;
    let place = BuildPlace { project_root: folder, state_dir: world.state_dir().to_owned() };
    let told = |problem: holdpoint::message::Problem| problem.text();
    images::compile(&place, &project).await.map_err(told)?;
    let packed = images::pack(&place, &project, &VERSION).await.map_err(told)?;
    let platform = Platform::new(&world.address())?;
    images::create_missing_apps(&place, &project, &platform).await.map_err(told)?;
    images::push(&place, &project, &packed, &world.address()).await.map_err(told)?;
    let mut table = Table::new(&["service", "median", "P95", "fastest", "slowest"]);
    for (environment, service, app) in images::apps(&place, &project).map_err(told)? {
        if environment == Environment::Production {
            let digest = &packed[&service];
            let config = config(&place, &project, &service, &format!("127.0.0.1/{app}@{digest}"))?;
            let taken = measure(&world, app.as_str(), &config, options.times).await?;
            table.row(row(service.as_str(), taken));
        }
    }
    table.print();
    world.end().await
}

/// The config of a service's machines in production. Its machine must not stop by itself while it
/// is measured.
fn config(
    place: &BuildPlace,
    project: &Project,
    service: &ServiceName,
    image: &str,
) -> Outcome<Value> {
    let service = project.service(service.as_str()).ok_or("the project has no such service")?;
    let text = fs::read_to_string(place.project_root.join(&service.production.config))?;
    let parsed = fly_toml::parse(&text).map_err(|problems| format!("{problems:?}"))?;
    Ok(serde_json::to_value(parsed.machine_config(image))?)
}

async fn measure(world: &World, app: &str, config: &Value, times: u32) -> Outcome<Vec<Duration>> {
    let id = world.create_machine(app, &json!({"config": config})).await?;
    let path = config["services"][0]["checks"][0]["path"].as_str().unwrap_or("/").to_owned();
    world.answer_of(app, &path).await?;
    let mut taken = Vec::new();
    for _ in 0..times {
        let machine = format!("/apps/{app}/machines/{id}");
        world.call(Method::POST, &format!("{machine}/stop"), &json!({})).await?;
        world.get(&format!("{machine}/wait?state=stopped&timeout=30")).await?;
        taken.push(first_byte(world, app, &path).await?);
    }
    Ok(taken)
}

async fn first_byte(world: &World, app: &str, path: &str) -> Outcome<Duration> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(world.proxy).await?;
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: {app}.localhost\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await?;
    let took = begun.elapsed();
    if head.starts_with(b"HTTP/1.1 200") {
        return Ok(took);
    }
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await?;
    Err(format!("{app}{path}: {}{rest}", String::from_utf8_lossy(&head)).into())
}

fn row(service: &str, mut taken: Vec<Duration>) -> [String; 5] {
    taken.sort();
    let at = |share: usize| taken[(taken.len() - 1) * share / 100];
    [
        service.to_owned(),
        format!("{:.1?}", median(taken.clone())),
        format!("{:.1?}", at(95)),
        format!("{:.1?}", at(0)),
        format!("{:.1?}", at(100)),
    ]
}

fn repository_root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}
