//! Pre-flight against a real platform, a real git repository and real files: what holds, what does
//! not, and how it is mended.

use std::collections::BTreeMap;

use holdpoint::adapter::clock::Clock;
use holdpoint::adapter::preflight::Previous;
use holdpoint::executor::ReleaseFacts;
use holdpoint_core::effect::{CheckResult, Effect};
use holdpoint_core::id::{AppName, ImageDigest, ReleaseId};

use crate::world::{APP, STAGING_APP, World, checks_of, step_id};

/// What pre-flight finds for this version.
async fn preflight(world: &World, version: &str) -> Vec<CheckResult> {
    let release = world.release(version);
    let effect = Effect::Preflight { release: ReleaseId(1), version: version.to_owned() };
    checks_of(&world.executor.perform(&step_id(), &effect, Some(&release)).await)
}

/// Those that failed, by their names.
fn failed(checks: &[CheckResult]) -> BTreeMap<&str, &CheckResult> {
    let failed = checks.iter().filter(|check| !check.passed);
    failed.map(|check| (check.name.as_str(), check)).collect()
}

fn has_hint(checks: &[CheckResult], name: &str, hint: &str) {
    let failed = failed(checks);
    let check = failed.get(name);
    let is_told = check.and_then(|check| check.hint.as_ref()).is_some_and(|it| it.contains(hint));
    assert!(is_told, "{name}: {failed:?}");
}

#[tokio::test]
async fn the_preflight_says_what_holds_and_how_to_mend_what_does_not() {
    let world = World::new().await;
    let checks = preflight(&world, "1.0.0").await;
    assert!(failed(&checks).is_empty(), "{:?}", failed(&checks));
    assert!(checks.len() >= 12, "{checks:?}");
    let client = world.executor.platform().client();
    let none = BTreeMap::from([("KEY".to_owned(), None)]);
    client.set_secrets(APP, &none).await.expect("removed");
    client.delete_app(STAGING_APP).await.expect("deleted");
    let checks = preflight(&world, "1.1.0").await;
    has_hint(&checks, "notes", "notes/1.1.0.md");
    has_hint(&checks, "app:shop-staging", "fly apps create shop-staging");
    has_hint(&checks, "secrets:web/production", "fly secrets set --app shop KEY=…");
    world.end().await;
}

#[tokio::test]
async fn a_secret_of_both_environments_is_told_by_its_name_and_may_be_allowed() {
    let mut world = World::new().await;
    let client = world.executor.platform().client().clone();
    let same = BTreeMap::from([("KEY".to_owned(), Some("hunter2".to_owned()))]);
    for app in [APP, STAGING_APP] {
        client.set_secrets(app, &same).await.expect("set");
    }
    let checks = preflight(&world, "1.0.0").await;
    has_hint(&checks, "shared-secrets:web", "fly secrets set --app shop KEY=…");
    let text = format!("{checks:?}");
    assert!(text.contains("share the value of `KEY`") && !text.contains("hunter2"), "{text}");

    world.rules("[[preflight.allowed]]\nsecret = \"KEY\"\nreason = \"it is a test key\"\n");
    let checks = preflight(&world, "1.0.0").await;
    assert!(failed(&checks).is_empty(), "{:?}", failed(&checks));
    assert!(format!("{checks:?}").contains("KEY is shared: it is a test key"));
    world.end().await;
}

#[tokio::test]
async fn rolling_back_must_have_been_tried_in_staging_of_late() {
    let mut world = World::new().await;
    world.rules("[preflight]\nrollback_drilled_within_days = 30\n");
    has_hint(&preflight(&world, "1.0.0").await, "drill", "holdpoint drill rollback");
    let folder = world.root().join("artifacts/drills");
    std::fs::create_dir_all(&folder).expect("made");
    let day = |days: i64| Clock::real().now() - jiff::SignedDuration::from_hours(24 * days);
    for (name, days_ago, environment, passed, expected) in [
        ("1.json", 40, "staging", true, Some("40 days ago, by a drill by ada")),
        ("2.json", 2, "staging", false, Some("40 days ago")),
        ("3.json", 2, "production", true, Some("40 days ago")),
        ("4.json", 2, "staging", true, None),
    ] {
        let at = day(days_ago);
        let record = serde_json::json!({
            "drill": "rollback", "environment": environment, "by": "ada", "passed": passed,
            "started_at": at, "ended_at": at, "detected_after_ms": 1, "recovered_after_ms": 2000,
        });
        std::fs::write(folder.join(name), record.to_string()).expect("written");
        let checks = preflight(&world, "1.0.0").await;
        let drill = checks.iter().find(|check| check.name == "drill").expect("the check");
        assert_eq!(drill.passed, expected.is_none(), "{drill:?}");
        assert!(drill.detail.contains(expected.unwrap_or("2 days ago")), "{drill:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_release_whose_rollback_target_is_gone_from_the_registry_is_told_before_it_starts() {
    let world = World::new().await;
    let reference = world.production().await.image_reference;
    let target = |reference: &str, image: ImageDigest| Previous {
        machines: 2,
        images: [(reference.to_owned(), image)].into(),
        ..Previous::default()
    };
    let gone = ImageDigest::new(format!("sha256:{}", "0".repeat(64)));
    let repository = reference.split_once('@').expect("a digest").0;
    let pruned = target(&format!("{repository}@{gone}"), gone);
    let elsewhere = target("docker.io/library/shop:1", world.image.clone());
    for (previous, expected) in [
        (target(&reference, world.image.clone()), Ok("the whole config of 2 machines")),
        (pruned, Err("a rollback could not put")),
        (elsewhere, Err("is in a registry that can't be asked")),
    ] {
        let previous = vec![(AppName::new(APP), previous)];
        let release = ReleaseFacts { previous, ..world.release("1.0.0") };
        let effect = Effect::Preflight { release: ReleaseId(1), version: "1.0.0".to_owned() };
        let outcome = world.executor.perform(&step_id(), &effect, Some(&release)).await;
        let checks = checks_of(&outcome);
        let check = checks.iter().find(|check| check.name == "rollback-target:shop");
        let check = check.expect("the check");
        let (passed, text) = expected.map_or_else(|text| (false, text), |text| (true, text));
        assert_eq!(check.passed, passed, "{check:?}");
        assert!(check.detail.contains(text), "{check:?}");
    }
    world.end().await;
}

#[tokio::test]
async fn too_little_traffic_to_compare_is_told_ahead_with_the_probes_that_are_missing() {
    let world = World::new().await;
    let checks = preflight(&world, "1.0.0").await;
    let traffic = checks.iter().find(|check| check.name == "traffic:web").expect("a check");
    assert!(traffic.passed, "it holds nothing: {traffic:?}");
    for words in ["0.2 requests per second are 180 in 15 min", "probes per second would make it so"]
    {
        assert!(traffic.detail.contains(words), "{}", traffic.detail);
    }
    world.end().await;
}
