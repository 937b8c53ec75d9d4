//! Whoever drives may die at any moment. The release is resumed, and in the end everything is as
//! if nothing had happened.

use std::process::Stdio;

use holdpoint::adapter::clock::pause;
use holdpoint::adapter::journal_sql::Journal;
use holdpoint_core::event::Ending;
use std::time::Duration;

use super::world::{Ended, PATIENCE, World, until, was_killed};

/// More kills than any release here has records: a release that needs more does not get on.
const KILLS_MAX: usize = 1000;

/// How often the journal is looked at while waiting for its next record.
const LOOK_EVERY: Duration = Duration::from_millis(2);

#[tokio::test]
async fn killed_after_every_record_a_release_ends_as_if_undisturbed() {
    let (calm, killed) = tokio::join!(World::new(), World::new());
    tokio::join!(calm.release("1.0.0", 0), killed.release("1.0.0", 0));
    calm.release("1.1.0", 0).await;
    let before = killed.stored().await.records.len();
    let kills = release_killed_after_every_record(&killed, "1.1.0").await;
    let records = killed.stored().await.records.len() - before;
    assert!(kills * 3 > records, "only {kills} kills in {records} records");
    compare(&calm, &killed, &Ending::Released).await;
    calm.end().await;
    killed.end().await;
}

#[tokio::test]
async fn killed_after_every_record_a_rollback_ends_as_if_undisturbed() {
    let (calm, killed) = tokio::join!(World::new(), World::new());
    tokio::join!(calm.release("1.0.0", 0), killed.release("1.0.0", 0));
    for world in [&calm, &killed] {
        world.break_answers(&image(world, "1.1.0").await).await;
    }
    let (calm_users, killed_users) = (calm.traffic(), killed.traffic());
    calm.release("1.1.0", 4).await;
    let before = killed.stored().await.records.len();
    let kills = release_killed_after_every_record(&killed, "1.1.0").await;
    let records = killed.stored().await.records.len() - before;
    assert!(kills * 3 > records, "only {kills} kills in {records} records");
    tokio::join!(calm_users.stop(), killed_users.stop());
    compare(&calm, &killed, &Ending::RolledBack).await;
    calm.end().await;
    killed.end().await;
}

#[tokio::test]
async fn a_platform_that_is_killed_in_a_rollout_comes_back_and_the_release_goes_on() {
    let mut world = World::new().await;
    world.release("1.0.0", 0).await;
    let people = world.people();
    std::fs::write(world.root().join("notes/1.1.0.md"), "News.").expect("written");
    let release = world.start(&["release", "1.1.0"]);
    world.until_step("production rollout of store").await;
    world.kill_platform().await;
    world.start_platform().await;
    let ended = super::world::ended(release).await;
    assert_eq!(ended.code, Some(0), "{}\n{}", ended.stdout, ended.stderr);
    people.abort();
    world.end().await;
}

/// Releases a version, killing the conductor after every record. Gives the number of kills.
async fn release_killed_after_every_record(world: &World, version: &str) -> usize {
    std::fs::write(world.root().join(format!("notes/{version}.md")), "News.").expect("written");
    let people = world.people();
    let journal = Journal::open_read_only(&world.state_dir()).await.expect("readable");
    let journal = journal.expect("a journal");
    let mut arguments = vec!["release", version];
    for kills in 0..KILLS_MAX {
        let mut command = world.command(&arguments);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command starts");
        let before = newest(&journal).await;
        let mut waited = Duration::ZERO;
        let status = loop {
            if let Some(status) = child.try_wait().expect("its status") {
                break status;
            }
            if newest(&journal).await > before {
                child.kill().await.expect("it can be killed");
                break child.wait().await.expect("its status");
            }
            assert!(waited < PATIENCE, "after {kills} kills nothing more happens");
            pause(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        };
        arguments = vec!["resume"];
        if !was_killed(status) || is_over(world).await {
            people.abort();
            return kills;
        }
    }
    let stored = world.stored().await;
    let current = stored.state.active().and_then(|release| release.current_step());
    unreachable!("the release does not get on; it stands at {current:?}");
}

async fn newest(journal: &Journal) -> usize {
    journal.read_all().await.expect("records").len()
}

async fn is_over(world: &World) -> bool {
    let state = world.stored().await.state;
    state.active().is_none() && state.outbox.is_empty()
}

async fn compare(calm: &World, killed: &World, ending: &Ending) {
    let (left, right) = (calm.stored().await.state, killed.stored().await.state);
    for state in [&left, &right] {
        let newest = state.releases.values().next_back().expect("a release");
        assert_eq!(newest.ended.as_ref().map(|(_, ending)| ending), Some(ending));
    }
    assert_eq!(calm.fleet().await, killed.fleet().await);
    assert_eq!(calm.log(), killed.log());
    assert_eq!(left.incidents.len(), right.incidents.len());
    assert_eq!(left.outbox.len(), right.outbox.len());
    let machines = |state: &holdpoint_core::state::State| {
        state.known_machines.values().map(std::collections::BTreeSet::len).collect::<Vec<_>>()
    };
    assert_eq!(machines(&left), machines(&right));
}

/// The digest of this version's image: the services are one program, so they share it.
async fn image(world: &World, version: &str) -> String {
    use holdpoint::adapter::build::{BuildPlace, pack};
    let place = BuildPlace { project_root: world.root(), state_dir: world.state_dir() };
    let project = holdpoint::project_file::load(&world.settings().project_file).expect("loaded");
    let service = project.services.first().expect("a service");
    let version = version.parse().expect("a version");
    pack(&place, service, &version).await.expect("an image").to_string()
}

#[tokio::test]
async fn a_release_that_is_stopped_twice_leaves_at_once_and_can_be_resumed() {
    let world = World::new().await;
    std::fs::write(world.root().join("notes/1.0.0.md"), "News.").expect("written");
    let release = world.start(&["release", "1.0.0"]);
    world.until_step("staging rollout of store").await;
    super::world::interrupt(&release);
    super::world::interrupt(&release);
    let left: Ended = super::world::ended(release).await;
    assert!(matches!(left.code, Some(130 | 5)), "{left:?}");
    let people = world.people();
    let resumed = world.run(&["resume"]).await;
    assert_eq!(resumed.code, Some(0), "{}\n{}", resumed.stdout, resumed.stderr);
    people.abort();
    until("the socket is gone", async || !world.settings().socket().exists()).await;
    world.end().await;
}
