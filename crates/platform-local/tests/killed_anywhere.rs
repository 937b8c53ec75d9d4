//! The platform is killed again and again, at moments that nobody chose, while clients order all
//! kinds of changes. Whatever was answered with success is there afterwards, whatever was refused
//! is not, and each machine has one program or none, as it shall.

mod support;

use std::{collections::BTreeMap, io::Write as _, time::Duration};

use oci_image::ImageDigest;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use reqwest::Method;
use serde_json::Value;
use support::{
    Client, pause,
    process::{Beginning, PlatformProcess},
    state::{StateDirectory, variable},
    until,
    writer::{Facts, Writer},
};

const ROUNDS: u32 = 6;
const WRITERS: u64 = 3;

/// Told when the test fails: with the same seed the same orders are given. When exactly each kill
/// falls among them is the computer's doing.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            drop(writeln!(std::io::stderr(), "repeat with KILL_SEED={}", self.0));
        }
    }
}

impl Seed {
    #[expect(clippy::disallowed_methods, reason = "whoever repeats a failure gives its seed")]
    fn choose() -> Self {
        let given = std::env::var("KILL_SEED").ok().and_then(|text| text.parse().ok());
        Self(given.unwrap_or_else(rand::random))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_accepted_write_is_lost_and_no_program_runs_twice_wherever_the_platform_is_killed() {
    let seed = Seed::choose();
    let mut random = StdRng::seed_from_u64(seed.0);
    let state = StateDirectory::new();
    let platform = PlatformProcess::start(state.path());
    let image = platform.api.push_image(&[]).await;
    let mut writers = Vec::new();
    for number in 0..WRITERS {
        let app = format!("shop-{number}");
        platform.api.create_app(&app).await;
        writers.push(Writer::new(app, image.clone(), random.random()));
    }
    let mut platform = Some(platform);
    for _ in 0..ROUNDS {
        let running = platform.take().expect("a platform");
        let at_work = writers.into_iter().map(|writer| {
            let api = running.api.clone();
            tokio::spawn(writer.work_until_killed(api))
        });
        let at_work: Vec<_> = at_work.collect();
        pause(Duration::from_millis(random.random_range(20..500))).await;
        running.kill();
        writers = Vec::new();
        for writer in at_work {
            writers.push(writer.await.expect("a writer"));
        }
        let before = versions(&state);
        if random.random_bool(0.3) {
            let beginning = Beginning::of(state.path());
            pause(Duration::from_millis(random.random_range(1..100))).await;
            beginning.kill();
        }
        let next = PlatformProcess::start(state.path());
        let mut facts = Vec::new();
        for writer in &mut writers {
            facts.push(writer.compare(&next.api).await);
        }
        programs_are_those_of(&state, &facts, &before).await;
        serves(&next.api, &image).await;
        platform = Some(next);
    }
    let accepted: u32 = writers.iter().map(|writer| writer.accepted).sum();
    assert!(accepted > ROUNDS, "hardly anything was ordered: {accepted}");
    let platform = platform.take().expect("a platform");
    for writer in &writers {
        let path = format!("/v1/apps/{}?force=true", writer.app);
        platform.api.done(Method::DELETE, &path, Value::Null).await;
    }
    until("no program is left", || async { state.programs().is_empty() }).await;
    platform.kill();
}

/// The version that each program runs, with its process, by machine.
fn versions(state: &StateDirectory) -> BTreeMap<String, (i32, Option<String>)> {
    let version = |pid| (pid, variable(pid, "FLY_MACHINE_VERSION"));
    state.programs().into_iter().map(|(machine, pid)| (machine, version(pid))).collect()
}

/// Each machine that shall run has one program, the one of before if that was of its version, and
/// nothing else runs.
async fn programs_are_those_of(
    state: &StateDirectory,
    facts: &[Facts],
    before: &BTreeMap<String, (i32, Option<String>)>,
) {
    let machines: Vec<_> = facts.iter().flat_map(|facts| facts.machines.values()).collect();
    let running = machines.iter().filter(|machine| machine.runs);
    let mut shall_run: Vec<_> = running.map(|machine| machine.id.clone()).collect();
    shall_run.sort();
    until("one program for each machine that shall run, and no other", || async {
        state.machines_of_programs() == shall_run
    })
    .await;
    let now = state.programs();
    for machine in machines.iter().filter(|machine| machine.runs) {
        let Some((pid, version)) = before.get(&machine.id) else { continue };
        if version.as_ref() == machine.instance.as_ref() {
            assert_eq!(now.get(&machine.id), Some(pid), "it was found again: {machine:?}");
        }
    }
}

/// The proxy serves, whatever the platform was doing when it was killed.
async fn serves(api: &Client, image: &ImageDigest) {
    api.create_app("witness").await;
    let id = api.create("witness", support::config(image, &[("VERSION", "w")])).await.id;
    api.ready("witness", &id).await;
    let (status, text) = api.get("witness", "/").await;
    assert!(status.is_success(), "{status} {text}");
    api.done(Method::DELETE, "/v1/apps/witness?force=true", Value::Null).await;
}
