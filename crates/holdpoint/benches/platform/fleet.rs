//! What a platform costs that only stands there: with nothing, with many stopped machines, and
//! with some that run and are checked every few seconds.

use std::time::{Duration, Instant};

use clap::Args;
use serde_json::{Value, json};

use crate::{
    Outcome,
    table::{Table, computer, median},
    world::World,
};

/// The machines that are stopped.
const STOPPED: &str = "stopped";

/// The machines that run.
const RUNNING: &str = "running";

/// How often something is asked to know how long it takes.
const ASKED: u32 = 21;

/// What is measured, and how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Machines that are created and never started
    #[arg(long, default_value_t = 1000)]
    stopped: u32,
    /// Machines that run
    #[arg(long, default_value_t = 50)]
    running: u32,
    /// How long the platform is watched in each state
    #[arg(long, default_value_t = 10)]
    secs: u64,
}

pub(crate) async fn run(options: &Options) -> Outcome<()> {
    println!("computer: {}", computer());
    println!("load: none; each state is watched for {} s\n", options.secs);
    let world = World::start().await?;
    let mut table = Table::new(&["state", "memory", "CPU of one core", "list", "request"]);
    let watch = |state, apps| watched(&world, state, options.secs, apps);
    table.row(watch("nothing".to_owned(), &[]).await?);
    let (image, begun) = (world.create_app(STOPPED).await?, Instant::now());
    for _ in 0..options.stopped {
        world.create_machine(STOPPED, &machine(&image, true)).await?;
    }
    println!("{} machines created in {:.1?}", options.stopped, begun.elapsed());
    table.row(watch(format!("{} stopped machines", options.stopped), &[STOPPED]).await?);
    let (image, begun) = (world.create_app(RUNNING).await?, Instant::now());
    for _ in 0..options.running {
        world.create_machine(RUNNING, &machine(&image, false)).await?;
    }
    all_run(&world, options.running).await?;
    println!("{} machines started in {:.1?}\n", options.running, begun.elapsed());
    let state = format!("{} running machines too", options.running);
    table.row(watch(state, &[STOPPED, RUNNING]).await?);
    table.print();
    world.end().await
}

fn machine(image: &str, skip_launch: bool) -> Value {
    json!({"skip_launch": skip_launch, "config": {
        "image": image,
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256},
        "services": [{
            "protocol": "tcp", "internal_port": 8080,
            "ports": [{"port": 80, "handlers": ["http"]}],
            "checks": [{"type": "http", "path": "/0", "interval": "15s", "timeout": "5s"}]
        }]
    }})
}

/// Waits until so many machines run and pass their check.
async fn all_run(world: &World, count: u32) -> Outcome<()> {
    let (begun, patience) = (Instant::now(), Duration::from_mins(2));
    loop {
        let machines = world.get(&format!("/apps/{RUNNING}/machines")).await?;
        let is_ready = |machine: &&Value| {
            machine["state"] == "started" && machine["checks"][0]["status"] == "passing"
        };
        let ready = machines.as_array().into_iter().flatten().filter(is_ready).count();
        if ready == count as usize {
            return Ok(());
        }
        if begun.elapsed() > patience {
            return Err(format!("only {ready} of {count} machines run after {patience:?}").into());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Watches the platform, then asks it for the list of an app's machines and an app for an answer,
/// where there are such apps.
async fn watched(world: &World, state: String, secs: u64, apps: &[&str]) -> Outcome<[String; 5]> {
    let (before, begun) = (world.cpu_time()?, Instant::now());
    tokio::time::sleep(Duration::from_secs(secs)).await;
    let used = world.cpu_time()?.saturating_sub(before).as_secs_f64();
    let share = used / begun.elapsed().as_secs_f64() * 100.0;
    let memory_mb = world.memory_mb()?;
    let (mut lists, mut requests) = (Vec::new(), Vec::new());
    for _ in 0..ASKED {
        if apps.contains(&STOPPED) {
            let begun = Instant::now();
            world.get(&format!("/apps/{STOPPED}/machines")).await?;
            lists.push(begun.elapsed());
        }
        if apps.contains(&RUNNING) {
            let begun = Instant::now();
            world.answer_of(RUNNING, "/128").await?;
            requests.push(begun.elapsed());
        }
    }
    Ok([
        state,
        format!("{memory_mb:.1} MB"),
        format!("{share:.1} %"),
        middle(lists),
        middle(requests),
    ])
}

fn middle(taken: Vec<Duration>) -> String {
    if taken.is_empty() { "-".to_owned() } else { format!("{:.1?}", median(taken)) }
}
