//! Reads and writes per second of the Machines API. A write is answered when it is on the disk;
//! how fast the disk is by itself is measured beside it.

use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use clap::Args;
use serde_json::json;

use crate::{
    Outcome,
    table::{Table, computer, median},
    world::World,
    wrk::Load,
};

const APP: &str = "bench";

/// How often the disk is asked to keep a block.
const SYNCS: u32 = 200;

/// What is measured, and how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long each kind of call is repeated
    #[arg(long, default_value_t = 5)]
    secs: u64,
    /// Clients at once
    #[arg(long, default_value_t = 32)]
    connections: u32,
    /// Machines of the app
    #[arg(long, default_value_t = 50)]
    machines: u32,
}

pub(crate) async fn run(options: &Options) -> Outcome<()> {
    let world = World::start().await?;
    println!("computer: {}", computer());
    println!("disk: {:.2?} to keep a block of 4 KB, the median", sync_time(world.state_dir())?);
    println!(
        "load: wrk, {} connections, {} s for each kind; an app of {} stopped machines\n",
        options.connections, options.secs, options.machines
    );
    let image = world.create_app(APP).await?;
    let machine = json!({"skip_launch": true, "config": {
        "image": image,
        "guest": {"cpu_kind": "shared", "cpus": 1, "memory_mb": 256}
    }});
    let mut ids = Vec::new();
    for _ in 0..options.machines {
        ids.push(world.create_machine(APP, &machine).await?);
    }
    let (first, machines) = (ids[0].clone(), format!("/v1/apps/{APP}/machines"));
    let set_metadata = format!(
        "local ids = {{{}}}
         wrk.method = 'POST'
         wrk.headers['Content-Type'] = 'application/json'
         local turn = 0
         request = function()
           turn = turn + 1
           local id = ids[turn % #ids + 1]
           local body = '{{\"value\":\"' .. turn .. '\"}}'
           return wrk.format(nil, '{machines}/' .. id .. '/metadata/turn', nil, body)
         end",
        ids.iter().map(|id| format!("'{id}'")).collect::<Vec<_>>().join(", ")
    );
    let kinds = [
        ("read a machine", format!("{machines}/{first}"), None),
        ("read the list of them", machines.clone(), None),
        ("write metadata of a machine", machines.clone(), Some(set_metadata)),
    ];
    let mut table = Table::new(&["call", "calls/s", "P50", "P99", "failed"]);
    for (name, path, script) in kinds {
        let file = world.state_dir().join("bench.lua");
        fs::write(&file, script.as_deref().unwrap_or_default())?;
        let load = Load {
            url: format!("{}{path}", world.api),
            headers: vec![format!("Authorization: Bearer {}", world.token)],
            connections: options.connections,
            secs: options.secs,
            script: script.is_some().then_some(file.as_path()),
        };
        let measured = load.run().await?;
        table.row([
            name.to_owned(),
            format!("{:.0}", measured.requests_per_sec),
            format!("{:.2?}", measured.p50),
            format!("{:.2?}", measured.p99),
            measured.failed.to_string(),
        ]);
    }
    table.print();
    world.end().await
}

fn sync_time(directory: &Path) -> Outcome<Duration> {
    let mut file = File::create(directory.join("sync"))?;
    let mut taken = Vec::new();
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        taken.push(begun.elapsed());
    }
    Ok(median(taken))
}
