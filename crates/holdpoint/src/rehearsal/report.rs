//! What a rehearsal showed, put together from the journal and from what clients saw. Pure: the
//! same records and answers give the same report.

use std::collections::BTreeMap;
use std::time::Duration;

use holdpoint_core::event::{Ending, Event};
use holdpoint_core::id::{Environment, ServiceName};
use holdpoint_core::journal::{Record, ReplayError};
use holdpoint_core::state::{Release, Run, State};
use jiff::Timestamp;

use super::traffic::{Answer, Exposure, Party, Statistics, exposure, statistics};
use crate::render::time::{between, human};

/// The rollback target of the product: from the breach to the last answer by the bad version, in
/// real time. The runbook's own limit is five minutes.
pub const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What a rehearsal showed.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The project's title.
    pub title: String,
    /// How many seconds of the clock passed in a real one.
    pub speed: u32,
    /// The releases, in order.
    pub releases: Vec<ReleaseReport>,
    /// How far clients met the bad version.
    pub breach: Option<BreachReport>,
    /// What should have happened, and whether it did.
    pub expectations: Vec<Expectation>,
}

/// One release.
#[derive(Clone, Debug, PartialEq)]
pub struct ReleaseReport {
    /// Its version.
    pub version: String,
    /// How it ended.
    pub ending: Option<Ending>,
    /// How long it took, in real time.
    pub took: Duration,
    /// Its steps, those of the way back behind those of the way forward.
    pub steps: Vec<StepReport>,
    /// What clients saw meanwhile, by service.
    pub services: Vec<ServiceReport>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// When it began, by the release's clock.
    pub started_at: Timestamp,
    /// How long it took, in real time; `None` when it was given up.
    pub took: Option<Duration>,
}

/// One service in one environment.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceReport {
    /// Where.
    pub environment: Environment,
    /// The service.
    pub service: ServiceName,
    /// What clients saw.
    pub seen: Statistics,
    /// The largest share of its memory that a machine used, where measured.
    pub memory_share: Option<f64>,
    /// Whether it has one machine only, so that nobody answers while that is changed.
    pub is_single: bool,
}

/// How far clients met the bad version, in real time.
#[derive(Clone, Debug, PartialEq)]
pub struct BreachReport {
    /// What the gate said.
    pub finding: String,
    /// When it was a breach, by the release's clock.
    pub at: Timestamp,
    /// What clients met.
    pub exposure: Exposure,
    /// From the first bad answer to the breach.
    pub first_bad_to_breach: Option<Duration>,
    /// From the breach to the last answer by the bad version; `None` when it never answered.
    pub breach_to_last: Option<Duration>,
}

/// Something that should have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// What.
    pub text: String,
    /// Whether it did.
    pub met: bool,
}

/// What a report is made from.
#[derive(Debug)]
pub struct Findings<'a> {
    /// The project's title.
    pub title: &'a str,
    /// How many seconds of the clock passed in a real one.
    pub speed: u32,
    /// The state at the end.
    pub state: &'a State,
    /// The journal.
    pub records: &'a [Record],
    /// What clients saw.
    pub answers: &'a BTreeMap<Party, Vec<Answer>>,
    /// The digests of the bad version's images.
    pub bad_images: &'a [String],
    /// Apps in production that do not run the good version at the end, each with what it runs.
    pub strays: &'a [String],
}

/// Puts the report together.
///
/// # Errors
/// When a record can't be read.
pub fn report(findings: &Findings<'_>) -> Result<Report, ReplayError> {
    let memory = memory_shares(findings.records)?;
    let releases: Vec<ReleaseReport> = findings
        .state
        .releases
        .values()
        .map(|release| release_report(findings, release, &memory))
        .collect();
    let breach = findings.state.releases.values().find_map(|release| breach(findings, release));
    let expectations = expectations(findings, &releases, breach.as_ref());
    Ok(Report {
        title: findings.title.to_owned(),
        speed: findings.speed,
        releases,
        breach,
        expectations,
    })
}

impl Report {
    /// Whether everything happened that should have.
    pub fn is_as_it_should(&self) -> bool {
        self.expectations.iter().all(|expectation| expectation.met)
    }
}

type MemoryShares = Vec<(Timestamp, Environment, ServiceName, f64)>;

fn memory_shares(records: &[Record]) -> Result<MemoryShares, ReplayError> {
    let mut shares = MemoryShares::new();
    for record in records {
        for event in record.events()? {
            let Event::Observed(observation) = event else { continue };
            let environment = observation.environment;
            for sample in observation.samples {
                if let Some(share) = sample.memory_share {
                    shares.push((record.at, environment, ServiceName::new(sample.service), share));
                }
            }
        }
    }
    Ok(shares)
}

fn release_report(
    findings: &Findings<'_>,
    release: &Release,
    memory: &MemoryShares,
) -> ReleaseReport {
    let from = release.started_at;
    let ended = release.ended.as_ref();
    let to = ended.map_or(Timestamp::MAX, |(time, _)| *time);
    let mut steps = step_reports(findings, &release.forward);
    if let Some(back) = &release.back {
        steps.extend(step_reports(findings, back));
    }
    let services = findings.answers.iter().map(|(party, answers)| {
        let during = answers.iter().filter(|one| from <= one.asked_at && one.asked_at < to);
        let shares = memory.iter().filter(|(at, environment, service, _)| {
            from <= *at
                && *at <= to
                && *environment == party.environment
                && *service == party.service
        });
        ServiceReport {
            environment: party.environment,
            service: party.service.clone(),
            seen: statistics(during),
            is_single: is_single(release, party),
            memory_share: shares.map(|(_, _, _, share)| *share).max_by(f64::total_cmp),
        }
    });
    ReleaseReport {
        version: release.version.to_string(),
        ending: ended.map(|(_, ending)| ending.clone()),
        took: ended.map_or(Duration::ZERO, |(time, _)| between(from, *time) / findings.speed),
        steps,
        services: services.collect(),
    }
}

fn is_single(release: &Release, party: &Party) -> bool {
    let service = release.project.service(party.service.as_str());
    service.is_some_and(|service| service.placement(party.environment).machines == 1)
}

fn step_reports(findings: &Findings<'_>, run: &Run) -> Vec<StepReport> {
    let steps = run.times.iter().filter_map(|(number, times)| {
        let name = run.plan.steps.get(*number)?.name.clone();
        let took = times.passed_at.map(|passed| between(times.started_at, passed) / findings.speed);
        Some(StepReport { name, started_at: times.started_at, took })
    });
    steps.collect()
}

fn breach(findings: &Findings<'_>, release: &Release) -> Option<BreachReport> {
    let (at, finding) = release.breach.as_ref()?;
    let production = findings
        .answers
        .iter()
        .filter(|(party, _)| party.environment == Environment::Production)
        .flat_map(|(_, answers)| answers);
    let exposure = exposure(production, findings.bad_images);
    Some(BreachReport {
        finding: finding.to_string(),
        at: *at,
        first_bad_to_breach: exposure
            .first_failed_at
            .map(|first| between(first, *at) / findings.speed),
        breach_to_last: exposure.last_answer_at.map(|last| between(*at, last) / findings.speed),
        exposure,
    })
}

fn expectations(
    findings: &Findings<'_>,
    releases: &[ReleaseReport],
    breach: Option<&BreachReport>,
) -> Vec<Expectation> {
    let mut all = Vec::new();
    let mut expect = |text: String, met: bool| all.push(Expectation { text, met });
    if let Some(good) = releases.first() {
        let asked: u64 = good.services.iter().map(|service| service.seen.requests).sum();
        let failed: u64 = good.services.iter().map(|service| service.seen.failed).sum();
        expect(format!("{} is released", good.version), good.ending == Some(Ending::Released));
        expect(
            format!("no request failed meanwhile: {failed} of {asked} did"),
            failed == 0 && asked > 0,
        );
    }
    let bad = releases.get(1);
    let name = bad.map_or("the bad version", |bad| bad.version.as_str());
    expect(
        match breach {
            Some(breach) => format!("{name} is caught by a gate: {}", breach.finding),
            None => format!("{name} is caught by a gate"),
        },
        breach.is_some(),
    );
    let rolled_back = bad.is_some_and(|bad| bad.ending == Some(Ending::RolledBack));
    expect(
        format!(
            "{name} is rolled back, and every machine in production runs the good version{}",
            strays(findings.strays)
        ),
        rolled_back && findings.strays.is_empty(),
    );
    let last = breach.and_then(|breach| breach.breach_to_last);
    let after = last.map_or_else(String::new, |last| format!(": after {}", human(last)));
    expect(
        format!(
            "{name} gives its last answer within {} s of the breach{after}",
            LAST_ANSWER_WITHIN.as_secs()
        ),
        last.is_some_and(|last| last <= LAST_ANSWER_WITHIN),
    );
    all
}

fn strays(strays: &[String]) -> String {
    if strays.is_empty() { String::new() } else { format!("; but {}", strays.join(", ")) }
}
