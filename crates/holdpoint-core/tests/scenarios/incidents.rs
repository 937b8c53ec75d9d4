//! Stories of incidents: opened by a breach or a person, called about, taken on, closed.

use crate::world::{World, time};
use holdpoint_core::command::Command;
use holdpoint_core::document::Document;
use holdpoint_core::effect::Effect;
use holdpoint_core::id::{AppName, IncidentId};
use holdpoint_core::project::Role;
use holdpoint_core::severity::Severity;
use holdpoint_core::view;

fn open(world: &mut World, severity: Severity, title: &str) {
    let project = Box::new(world.project.clone());
    let title = title.to_owned();
    world.command("ada", Command::OpenIncident { severity, title, project }).expect("opened");
}

fn documents(world: &World) -> Vec<Document> {
    let effects = world.performed.iter();
    effects
        .filter_map(|(_, effect)| {
            let Effect::Write(document) = effect else { return None };
            Some((**document).clone())
        })
        .collect()
}

#[test]
fn an_incident_of_a_person_calls_one_role_after_the_other_until_somebody_takes_it_on() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    open(&mut world, Severity::Sev2, "checkout answers slowly");
    world.wait_mins(7);
    world.command("linus", Command::AcknowledgeIncident { incident: None }).unwrap();
    world.wait_mins(60);
    let text = "the cache is cold, it is warming up".to_owned();
    world.command("linus", Command::UpdateIncident { incident: None, text }).unwrap();
    let resolution = "the cache is warm".to_owned();
    let incident = IncidentId(1);
    world.command("linus", Command::CloseIncident { incident, resolution }).unwrap();
    world.run_to_end();
    insta::assert_snapshot!(world.told());
}

#[test]
fn an_incident_that_nobody_takes_on_calls_the_manager_within_a_quarter_of_an_hour() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    open(&mut world, Severity::Sev1, "nobody can pay");
    world.wait_mins(120);
    let calls: Vec<String> = world
        .story()
        .lines()
        .filter(|line| line.contains("INC-1 calls"))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        calls,
        [
            "09:20:00 INC-1 calls reliability",
            "09:25:00 INC-1 calls engineer",
            "09:35:00 INC-1 calls manager"
        ]
    );
    assert!(!view::has_calls(world.engine.state()), "and then nobody is left to be called");
}

#[test]
fn a_rollback_that_makes_the_system_stable_calls_nobody_any_more() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.bad_image = Some("1.1.0".to_owned());
    world.release("1.1.0");
    let incident = &world.engine.state().incidents[&IncidentId(1)];
    assert_eq!(
        (incident.severity, incident.called.as_slice()),
        (Severity::Sev2, [Role::Reliability, Role::Engineer].as_slice()),
        "the way back takes over five minutes with its watch, and no quarter of an hour"
    );
    assert!(incident.acknowledged.is_none() && !view::has_calls(world.engine.state()));
}

#[test]
fn what_is_seen_at_a_breach_is_kept_at_once_and_the_report_is_written_at_the_end() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    world.release("1.0.0");
    world.bad_image = Some("1.1.0".to_owned());
    world.release("1.1.0");
    let position = |find: &dyn Fn(&Effect) -> bool| {
        world.performed.iter().position(|(_, effect)| find(effect)).expect("performed")
    };
    let looked = position(&|effect| matches!(effect, Effect::Write(_)));
    let put_back = position(&|effect| matches!(effect, Effect::RestoreSecrets { .. }));
    assert!(looked < put_back, "what is seen is kept before anything is put back");
    let resolution = "put an index | on the table".to_owned();
    let incident = IncidentId(1);
    world.command("ada", Command::CloseIncident { incident, resolution }).unwrap();
    world.run_to_end();
    let documents = documents(&world);
    let [Document::Diagnostics(seen), Document::Section(report)] = documents.as_slice() else {
        panic!("what was seen, and a report: {documents:?}");
    };
    assert_eq!(seen.folder, "artifacts/incidents/INC-1");
    assert_eq!(seen.opened_at, time("2026-03-03T11:09:00Z"));
    let apps: Vec<&str> = seen.apps.iter().map(AppName::as_str).collect();
    assert_eq!(apps, ["search", "desk"]);
    let names: Vec<&str> = seen.files.keys().map(String::as_str).collect();
    assert_eq!(names, ["incident.json", "metrics.json", "releases.json", "status.json"]);
    insta::assert_snapshot!("metrics", seen.files["metrics.json"]);
    assert_eq!(report.file, "artifacts/incidents/INC-1/report.md");
    let (before, after) = report.around.clone().expect("a new file");
    insta::assert_snapshot!("report", format!("{before}{}{after}", report.text));
}

#[test]
fn commands_about_incidents_that_cannot_be_meant_are_refused() {
    let mut world = World::at("2026-03-03T09:20:00Z");
    let ack = |incident| Command::AcknowledgeIncident { incident };
    let mut refusals = vec![world.command("ada", ack(None)).unwrap_err()];
    open(&mut world, Severity::Sev3, "one");
    world.command("ada", ack(None)).unwrap();
    refusals.push(world.command("linus", ack(None)).unwrap_err());
    open(&mut world, Severity::Sev3, "two");
    refusals.push(world.command("ada", ack(None)).unwrap_err());
    refusals.push(world.command("ada", ack(Some(IncidentId(7)))).unwrap_err());
    let incident = IncidentId(7);
    refusals.push(world.command("ada", Command::ReportIncident { incident }).unwrap_err());
    let texts: Vec<String> =
        refusals.iter().map(|refusal| format!("{refusal}\n  hint: {}", refusal.hint())).collect();
    insta::assert_snapshot!(texts.join("\n"));
}
