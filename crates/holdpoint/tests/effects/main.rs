//! Effects, carried out on a real platform: each is done once, however often it is asked for, and
//! each way in which it can fail is told apart.

mod dependencies;
mod drills;
mod logs;
mod postgres;
mod preflight;
mod prometheus;
mod relay;
mod scaling;
mod world;

use std::collections::BTreeMap;

use holdpoint::adapter::telemetry::Telemetry;
use holdpoint_core::effect::{About, Delivery, Effect, Notice, NoticeKind, Outcome, RefusalKind};
use holdpoint_core::id::{AppName, EffectId, Environment, MachineId, MachinePhase, ServiceName};
use holdpoint_core::project::Channel;
use jiff::Timestamp;

use relay::Relay;
use world::{APP, World, checks_of, failure, id, is_done, is_refused, made, nonce_of, step_id};

fn app() -> AppName {
    AppName::new(APP)
}

#[tokio::test]
async fn a_machine_is_created_once_and_takes_requests_only_when_it_is_told_to() {
    let world = World::new().await;
    let create = id(MachinePhase::Create, 0, 1);
    let (machine, instance_id) = made(&world.create(&create, &[]).await);
    let again = made(&world.create(&create, &[]).await);
    assert_eq!(again, (machine.clone(), instance_id.clone()));
    // An earlier attempt made it, and its answer was taken for a failure.
    let later = made(&world.create(&id(MachinePhase::Create, 0, 2), &[]).await);
    assert_eq!(later.0, machine);

    is_done(&world.await_health(&machine, &instance_id, 60).await);
    let (status, _) = world.ask().await;
    assert_eq!(status, 503);
    let effect = Effect::Uncordon { app: app(), machine: machine.clone(), nonce: None };
    is_done(&world.perform(&id(MachinePhase::Uncordon, 0, 1), effect).await);
    assert_eq!(world.ask().await, (200, "1.0.0".to_owned()));

    let facts = world.production().await;
    assert_eq!((facts.machines_wanted, facts.machines.len()), (2, 1));
    assert_eq!(facts.machines[0].image_digest, Some(world.image.clone()));
    assert_eq!(facts.machines[0].state, "started");
    assert_eq!(facts.secrets_version, Some(1));
    assert!(facts.image_reference.ends_with(world.image.as_str()));
    world.end().await;
}

#[tokio::test]
async fn a_machine_is_updated_once_under_its_lease_and_put_back_byte_for_byte() {
    let world = World::new().await;
    let (machine, first) = world.healthy_machine(0).await;
    let saved = world.production().await.machines[0].config.clone();
    let (nonce, seen) = nonce_of(&world.lease(&machine, 1, None).await);
    assert_eq!(seen, first);
    let cordon = Effect::Cordon { app: app(), machine: machine.clone(), nonce: nonce.clone() };
    is_done(&world.perform(&id(MachinePhase::Cordon, 0, 1), cordon).await);
    let update = Effect::UpdateMachine {
        app: app(),
        machine: machine.clone(),
        config: world.config(&[("COLOUR", "green")]).await,
        secrets_version: Some(1),
        nonce: nonce.clone(),
    };
    let update_id = id(MachinePhase::Update, 0, 1);
    let (_, second) = made(&world.perform(&update_id, update.clone()).await);
    assert_ne!(second, first);
    assert_eq!(made(&world.perform(&update_id, update).await).1, second);
    is_done(&world.await_health(&machine, &second, 60).await);

    let back = Effect::UpdateMachine {
        app: app(),
        machine: machine.clone(),
        config: saved.clone(),
        secrets_version: None,
        nonce: nonce.clone(),
    };
    let (_, third) = made(&world.perform(&id(MachinePhase::Update, 0, 2), back).await);
    is_done(&world.await_health(&machine, &third, 60).await);
    let uncordon =
        Effect::Uncordon { app: app(), machine: machine.clone(), nonce: Some(nonce.clone()) };
    is_done(&world.perform(&id(MachinePhase::Uncordon, 0, 1), uncordon).await);
    for _ in 0..2 {
        let (machine, nonce) = (machine.clone(), nonce.clone());
        let release = Effect::ReleaseLease { app: app(), machine, nonce };
        is_done(&world.perform(&id(MachinePhase::Release, 0, 1), release).await);
    }
    assert_eq!(world.ask().await.0, 200);
    let mut restored = world.production().await.machines[0].config.clone();
    restored["metadata"]["holdpoint_effect"] = saved["metadata"]["holdpoint_effect"].clone();
    assert_eq!(restored, saved);
    world.end().await;
}

#[tokio::test]
async fn a_lease_of_somebody_else_is_respected_and_a_lost_one_noticed() {
    let world = World::new().await;
    let (machine, _) = world.healthy_machine(0).await;
    let (first, _) = nonce_of(&world.lease(&machine, 1, None).await);
    // The same effect, asked again, has the lease already.
    assert_eq!(nonce_of(&world.lease(&machine, 1, None).await).0, first);
    is_refused(&world.lease(&machine, 2, None).await, RefusalKind::LeaseHeldByOther);
    // A lease of ours that may still be held is given up first.
    let (second, _) = nonce_of(&world.lease(&machine, 3, Some(first.clone())).await);
    assert_ne!(second, first);
    let update = |nonce: &str, config| Effect::UpdateMachine {
        app: app(),
        machine: machine.clone(),
        config,
        secrets_version: None,
        nonce: nonce.to_owned(),
    };
    let config = world.config(&[]).await;
    let update_id = id(MachinePhase::Update, 0, 1);
    let stale = world.perform(&update_id, update(&first, config.clone())).await;
    is_refused(&stale, RefusalKind::LeaseLost);
    let client = world.executor.platform().client();
    client.release_lease(APP, machine.as_str(), &second).await.expect("released");
    let gone = world.perform(&update_id, update(&second, config)).await;
    is_refused(&gone, RefusalKind::LeaseLost);
    world.end().await;
}

#[tokio::test]
async fn a_machine_that_cannot_become_healthy_is_told_with_its_reason() {
    let world = World::new().await;
    let create = |index| id(MachinePhase::Create, index, 1);
    let (machine, instance) = made(&world.create(&create(0), &[("EXIT_CODE", "7")]).await);
    let reason = failure(&world.await_health(&machine, &instance, 600).await);
    assert!(reason.contains("exited with code 7"), "{reason}");
    let (machine, instance) = made(&world.create(&create(1), &[("SICK", "yes")]).await);
    let reason = failure(&world.await_health(&machine, &instance, 3).await);
    assert!(reason.contains("not healthy after 3 s: it fails its check `servicecheck"), "{reason}");
    assert!(reason.contains("418"), "{reason}");
    let nobody = MachineId::new("00000000000000");
    is_refused(&world.await_health(&nobody, &instance, 60).await, RefusalKind::NotFound);
    world.end().await;
}

#[tokio::test]
async fn a_machine_is_stopped_by_the_effect_that_made_it_and_one_that_is_not_there_is_stopped() {
    let world = World::new().await;
    let (machine, _) = world.healthy_machine(0).await;
    let stop = |machine, index| Effect::StopMachine {
        app: app(),
        machine,
        created_by: id(MachinePhase::Create, index, 1),
    };
    let stop_id = id(MachinePhase::Stop, 0, 1);
    is_done(&world.perform(&stop_id, stop(None, 5)).await);
    assert_eq!(world.production().await.machines[0].state, "started");
    is_done(&world.perform(&stop_id, stop(None, 0)).await);
    assert_eq!(world.production().await.machines[0].state, "stopped");
    // Nothing starts it again.
    assert_eq!(world.ask().await.0, 503);
    is_done(&world.perform(&stop_id, stop(Some(machine), 0)).await);
    is_done(&world.perform(&stop_id, stop(Some(MachineId::new("00000000000000")), 0)).await);
    world.end().await;
}

#[tokio::test]
async fn a_service_is_asked_its_smoke_checks_and_measured_through_the_platform() {
    let world = World::new().await;
    let (_, _) = world.healthy_machine(0).await;
    let prober = world.executor.prober().clone();
    let mut telemetry = Telemetry::new(&world.address, prober).expect("telemetry");
    let services = vec![(ServiceName::new("web"), app())];
    let watched = [(Environment::Production, services)];
    let paths = BTreeMap::new();
    let at = |second| Timestamp::from_second(second).expect("a time");
    let first = telemetry.look(at(1), &watched, &paths).await.expect("scraped");
    assert!(first.is_empty());
    let smoke = Effect::Smoke {
        service: ServiceName::new("web"),
        environment: Environment::Production,
        app: app(),
    };
    let checks = checks_of(&world.perform(&step_id(), smoke).await);
    assert!(checks.iter().all(|check| check.passed) && checks.len() == 1, "{checks:?}");
    for _ in 0..9 {
        assert_eq!(world.ask().await.0, 200);
    }
    let second = telemetry.look(at(60), &watched, &paths).await.expect("scraped");
    let sample = &second[0].samples[0];
    // Ten requests of ours, and one or two health probes, which are requests too.
    assert!((10..=12).contains(&sample.requests), "{sample:?}");
    assert_eq!((sample.errors, sample.probes_passed, sample.probes_failed), (0, 1, 0));
    let counted: u64 = sample.latency.buckets.iter().map(|(_, count)| count).sum();
    assert_eq!(counted, sample.requests);
    assert!(sample.memory_share.is_some_and(|share| share > 0.0 && share < 0.9), "{sample:?}");
    world.end().await;
}

#[tokio::test]
async fn secrets_that_did_not_change_are_left_alone_and_others_put_back() {
    let world = World::new().await;
    let restore = |version| Effect::RestoreSecrets { app: app(), version };
    is_done(&world.perform(&step_id(), restore(1)).await);
    let client = world.executor.platform().client();
    let before = client.list_secrets(APP).await.expect("listed");
    let changed = ["KEY", "ADDED"].map(|name| (name.to_owned(), Some("new".to_owned())));
    client.set_secrets(APP, &BTreeMap::from(changed)).await.expect("set");
    let outcome = world.perform(&step_id(), restore(1)).await;
    is_done(&outcome);
    let after = client.list_secrets(APP).await.expect("listed");
    assert_eq!((after.len(), &after[0].name), (1, &before[0].name));
    assert_eq!(after[0].digest, before[0].digest);
    world.end().await;
}

#[tokio::test]
async fn messages_and_documents_are_delivered() {
    let mut world = World::new().await;
    let notice = Notice {
        at: Timestamp::UNIX_EPOCH,
        kind: NoticeKind::Announcement,
        text: "it starts soon".to_owned(),
        facts: Vec::new(),
        about: About::default(),
    };
    let channel = Channel::terminal();
    let message = EffectId::Delivery { number: 1, channel: channel.name.clone() };
    let effect = Effect::Notify(Box::new(Delivery { channel, notice: notice.clone() }));
    is_done(&world.perform(&message, effect).await);
    assert_eq!(world.notices.recv().await, Some(notice));
    let lines = vec!["[2026-11-24T16:00:00Z] COMPLETE".to_owned()];
    for _ in 0..2 {
        let file = "feedback/reliability.md".to_owned();
        let effect = Effect::Document { file, lines: lines.clone() };
        is_done(&world.perform(&EffectId::Message { number: 2 }, effect).await);
    }
    let log = std::fs::read_to_string(world.root().join("feedback/reliability.md"));
    assert_eq!(log.expect("the log"), "[2026-11-24T16:00:00Z] COMPLETE\n");
    world.end().await;
}

#[tokio::test]
async fn with_the_platform_gone_nothing_was_done_and_another_attempt_may_succeed() {
    let world = World::new().await;
    let (machine, _) = world.healthy_machine(0).await;
    let World { platform, executor, .. } = world;
    platform.expect("a platform").stop(true).await;
    let effect = Effect::Cordon { app: app(), machine, nonce: "abc".to_owned() };
    let outcome = executor.perform(&id(MachinePhase::Cordon, 0, 1), &effect, None).await;
    assert!(matches!(outcome, Outcome::Failed(_)), "{outcome:?}");
}

#[tokio::test]
async fn what_happened_without_an_answer_is_unknown_and_then_found_and_not_done_twice() {
    let mut world = World::new().await;
    let relay = Relay::to(world.api_address()).await;
    world.reach_through(&relay.url);
    let create = id(MachinePhase::Create, 0, 1);
    relay.lose_an_answer();
    assert_eq!(world.create(&create, &[]).await, Outcome::Unknown);
    let (machine, first) = made(&world.create(&create, &[]).await);
    assert_eq!(world.production().await.machines.len(), 1);

    relay.lose_an_answer();
    assert_eq!(world.lease(&machine, 1, None).await, Outcome::Unknown);
    let (nonce, seen) = nonce_of(&world.lease(&machine, 1, None).await);
    assert_eq!(seen, first);
    let update = Effect::UpdateMachine {
        app: app(),
        machine: machine.clone(),
        config: world.config(&[("COLOUR", "green")]).await,
        secrets_version: None,
        nonce,
    };
    let update_id = id(MachinePhase::Update, 0, 1);
    relay.lose_an_answer();
    assert_eq!(world.perform(&update_id, update.clone()).await, Outcome::Unknown);
    let updated = world.production().await.machines[0].instance_id.clone();
    assert_ne!(updated, first);
    assert_eq!(made(&world.perform(&update_id, update).await), (machine, updated));
    world.end().await;
}
