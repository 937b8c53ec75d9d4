//! The proxy beside nginx and HAProxy, in front of one machine, under the same load. The three
//! take turns round after round, so that whatever else happens on the computer meets all of them;
//! the middle round counts.

use clap::Args;

use crate::{
    Outcome, rival,
    rival::Rival,
    table::{Table, computer, median},
    world::World,
    wrk::{Load, Measured},
};

const APP: &str = "bench";

/// What is measured, and how long.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How often each proxy has its turn
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// How long a turn is
    #[arg(long, default_value_t = 5)]
    secs: u64,
    /// Connections at once
    #[arg(long, default_value_t = 64)]
    connections: u32,
    /// The sizes of answers, in bytes
    #[arg(long, value_delimiter = ',', default_values_t = [128, 65_536])]
    sizes: Vec<usize>,
}

pub(crate) async fn run(options: &Options) -> Outcome<()> {
    println!("computer: {}", computer());
    println!("against: {}", rival::versions().await);
    println!(
        "load: wrk, {} connections, {} rounds of {} s for each, the middle round counts\n",
        options.connections, options.rounds, options.secs
    );
    let world = World::start().await?;
    let image = world.create_app(APP).await?;
    let config = serde_json::json!({"config": {
        "image": image,
        "guest": {"cpu_kind": "performance", "cpus": 1, "memory_mb": 2048},
        "services": [{
            "protocol": "tcp", "internal_port": 8080,
            "ports": [{"port": 80, "handlers": ["http"]}],
            "concurrency": {"type": "requests", "soft_limit": 1000}
        }]
    }});
    world.create_machine(APP, &config).await?;
    let machine_port: u16 = world.answer_of(APP, "/port").await?.parse()?;
    let directory = tempfile::tempdir_in(crate::scratch())?;
    let nginx = Rival::nginx(directory.path(), machine_port).await?;
    let haproxy = Rival::haproxy(directory.path(), machine_port).await?;
    let direct = ("none", format!("127.0.0.1:{machine_port}"));
    let proxies = [
        direct,
        (nginx.name, nginx.address.to_string()),
        (haproxy.name, haproxy.address.to_string()),
        ("Holdpoint", world.proxy.to_string()),
    ];
    for bytes in &options.sizes {
        let mut measured = vec![Vec::new(); proxies.len()];
        for _ in 0..options.rounds {
            for ((_, address), rounds) in proxies.iter().zip(&mut measured) {
                let url = format!("http://{address}/{bytes}");
                let mut load = Load::of(url, options.connections, options.secs);
                load.headers.push(format!("Host: {APP}.localhost"));
                rounds.push(load.run().await?);
            }
        }
        print(*bytes, &proxies, &measured);
    }
    println!("memory of the platform after that: {:.1} MB", world.memory_mb()?);
    nginx.end().await?;
    haproxy.end().await?;
    world.end().await
}

fn print(bytes: usize, proxies: &[(&str, String)], measured: &[Vec<Measured>]) {
    println!("answers of {bytes} bytes");
    let mut table = Table::new(&["proxy", "requests/s", "P50", "P99", "failed"]);
    for ((name, _), rounds) in proxies.iter().zip(measured) {
        table.row([
            (*name).to_owned(),
            format!("{:.0}", median(rounds.iter().map(|round| round.requests_per_sec).collect())),
            format!("{:.2?}", median(rounds.iter().map(|round| round.p50).collect())),
            format!("{:.2?}", median(rounds.iter().map(|round| round.p99).collect())),
            rounds.iter().map(|round| round.failed).sum::<u64>().to_string(),
        ]);
    }
    table.print();
    println!();
}
