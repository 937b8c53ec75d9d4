//! What is left when the platform is killed, and what of it the next one takes up again.

mod support;

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use machines_api::types::MachineState;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use support::{Client, TOKEN, World, config, example, load::Load, until};

/// A platform in a process of its own.
struct Platform {
    process: Child,
    api: Client,
}

impl Platform {
    #[expect(clippy::disallowed_methods, reason = "the platform is killed, so it is a process")]
    fn start(state: &Path) -> Self {
        let mut process = Command::new(example("platform"))
            .arg(state)
            .arg(TOKEN)
            .stdout(Stdio::piped())
            .spawn()
            .expect("started");
        let output = process.stdout.take().expect("its output");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("its addresses");
        let mut addresses = line.split_whitespace().map(|text| text.parse().expect("an address"));
        let mut next = || addresses.next().expect("two addresses");
        let api = Client::new(next(), next());
        Self { process, api }
    }

    fn kill(mut self) {
        self.process.kill().expect("killed");
        self.process.wait().expect("gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn machines_outlive_a_killed_platform_and_the_next_one_takes_them_over() {
    let state = tempfile::tempdir().expect("a directory");
    let platform = Platform::start(state.path());
    let api = platform.api.clone();
    let image = api.push_image(&[]).await;
    api.create_app("shop").await;
    let lasting = api.create("shop", config(&image, &[("VERSION", "one")])).await;
    let dying = api.create("shop", config(&image, &[("VERSION", "one")])).await;
    api.ready("shop", &lasting.id).await;
    api.ready("shop", &dying.id).await;
    let port_of = |text: String| text.split(' ').nth(2).map(str::to_owned).expect("a port");
    let request = api.request(Method::GET, "shop", "/");
    let answer = request.header("fly-force-instance-id", &lasting.id).send().await.expect("ok");
    let port = port_of(answer.text().await.expect("a body"));
    let lease = format!("/v1/apps/shop/machines/{}/lease", lasting.id);
    let taken = api.done(Method::POST, &lease, json!({"ttl": 600})).await;
    let secrets = json!({"values": {"KEY": "value"}});
    api.done(Method::POST, "/v1/apps/shop/secrets", secrets).await;
    let pids = pids(state.path()).await;
    platform.kill();

    // While nobody watches, one of them dies.
    kill(*pids.get(&dying.id).expect("its id"));
    let platform = Platform::start(state.path());
    let api = platform.api.clone();
    assert_eq!(api.machine("shop", &lasting.id).await.state, MachineState::Started);
    let request = api.request(Method::GET, "shop", "/");
    let answer = request.header("fly-force-instance-id", &lasting.id).send().await.expect("ok");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(port_of(answer.text().await.expect("a body")), port, "it is the same process");
    let kept = api.done(Method::GET, &lease, Value::Null).await;
    assert_eq!(kept["data"]["nonce"], taken["data"]["nonce"], "the lease is kept");
    let secrets = api.done(Method::GET, "/v1/apps/shop/secrets", Value::Null).await;
    assert_eq!(secrets["secrets"][0]["name"], "KEY");

    api.ready("shop", &dying.id).await;
    let revived = api.machine("shop", &dying.id).await;
    let exit = revived.events.iter().find_map(|event| event.exit_event()).expect("its exit");
    assert!(exit.restarting && !exit.requested_stop, "{exit:?}");

    // The program that was taken over can be stopped and its end is seen.
    let nonce = taken["data"]["nonce"].as_str();
    let stop = format!("/v1/apps/shop/machines/{}/stop", lasting.id);
    let (status, _) = api.call_as(Method::POST, &stop, Value::Null, nonce).await;
    assert_eq!(status, StatusCode::OK);
    api.wait("shop", &lasting.id, "stopped").await;
    api.done(Method::DELETE, "/v1/apps/shop?force=true", Value::Null).await;
    platform.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_carried_out_wherever_the_platform_is_killed() {
    let state = tempfile::tempdir().expect("a directory");
    let mut platform = Platform::start(state.path());
    let image = platform.api.push_image(&[]).await;
    platform.api.create_app("shop").await;
    let first = config(&image, &[("VERSION", "0")]);
    let id = platform.api.create("shop", first).await.id;
    platform.api.ready("shop", &id).await;
    for round in 1..=12_u32 {
        let version = round.to_string();
        let wanted = config(&image, &[("VERSION", &version)]);
        let accepted = platform.api.update("shop", &id, &wanted).await;
        // Killed at once, or at some later moment of draining, stopping, unpacking, starting.
        for _ in 0..round * 4 {
            platform.api.machine("shop", &id).await;
        }
        platform.kill();
        platform = Platform::start(state.path());
        platform.api.ready("shop", &id).await;
        let machine = platform.api.machine("shop", &id).await;
        assert_eq!(machine.instance_id, accepted.instance_id);
        let (status, text) = platform.api.get("shop", "/").await;
        assert_eq!(status, StatusCode::OK, "{text}");
        assert!(text.contains(&format!(" {version} ")), "{text}");
    }
    assert_eq!(pids(state.path()).await.len(), 1, "no program is left behind");
    platform.api.done(Method::DELETE, "/v1/apps/shop?force=true", Value::Null).await;
    assert!(pids(state.path()).await.is_empty());
    platform.kill();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_is_restarted_in_order_finds_its_machines_serving() {
    let mut world = World::new().await;
    let ids = world.app("shop", 2).await;
    let before = world.api.proxy;
    world.restart_platform().await;
    assert_eq!(world.api.proxy, before, "machines know the address of the proxy");
    let load = Load::begin(&world.api, "shop");
    load.more(20).await;
    let report = load.end().await;
    assert!(report.failures.is_empty(), "{:#?}", report.failures);
    for id in &ids {
        let machine = world.api.machine("shop", id).await;
        let starts = machine.events.iter().filter(|event| event.event_type == "start").count();
        assert_eq!(starts, 1, "it was never stopped");
    }
    world.end().await;
}

/// The processes of a platform's machines, by machine, as the kernel tells.
async fn pids(state: &Path) -> std::collections::BTreeMap<String, i32> {
    let root = state.canonicalize().expect("a directory");
    let look = || {
        let mut found = std::collections::BTreeMap::new();
        for entry in std::fs::read_dir("/proc").expect("proc").flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
                continue;
            };
            let program = std::fs::read_link(entry.path().join("exe")).unwrap_or_default();
            let Ok(inside) = program.strip_prefix(root.join("machines")) else { continue };
            let machine = inside.components().next().expect("a machine").as_os_str();
            found.insert(machine.to_string_lossy().into_owned(), pid);
        }
        found
    };
    // A program between fork and exec is no program of a machine yet: two looks must agree.
    let mut last = look();
    until("the processes are settled", || {
        let now = look();
        let same = now == last;
        last = now;
        std::future::ready(same)
    })
    .await;
    last
}

fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("an id");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
}
