//! The platform is held to the cases that every server of the Machines API is held to.

mod support;

use platform_local::Runtime;
use support::{TOKEN, World, witness::Witness};

#[tokio::test(flavor = "multi_thread")]
async fn the_platform_passes_the_conformance_suite() {
    Box::pin(conform(Runtime::Process)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_container_the_platform_passes_the_conformance_suite() {
    Box::pin(conform(Runtime::Container)).await;
}

async fn conform(runtime: Runtime) {
    let world = World::in_(runtime).await;
    let witness = Witness::before(world.api.api).await;
    let base_url = format!("http://{}", witness.address);
    let image = format!("{}/echo@{}", world.api.api, world.image);
    let outcomes = machines_api::conformance::run(&base_url, TOKEN, &image).await;
    assert!(outcomes.len() >= 25, "only {} cases ran", outcomes.len());
    let failed: Vec<_> = outcomes.iter().filter(|outcome| outcome.result.is_err()).collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let (answers, violations) = witness.end();
    assert!(answers > 100, "only {answers} answers were seen");
    assert!(violations.is_empty(), "{}", violations.join("\n\n"));
    world.end().await;
}
