//! Judges an invariant: whether its newest value may follow on the one before the rollout. Damage
//! of data is never waited out (the runbook, "When to Rollback").

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Finding, Gate, Verdict, seconds};
use crate::id::{Environment, ServiceName};
use crate::observation::InvariantReading;
use crate::project::{Invariant, Limits, Must};

/// What was answered to one invariant's question in one environment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InvariantTrack {
    /// The last value before the rollout.
    before: Option<String>,
    /// The newest answer, and when it was given.
    newest: Option<(Timestamp, Result<String, String>)>,
}

impl InvariantTrack {
    /// Takes in an answer. Answers that are not newer than the newest are ignored.
    pub fn observe(&mut self, at: Timestamp, reading: &InvariantReading, is_begun: bool) {
        if self.newest.as_ref().is_some_and(|(newest, _)| at <= *newest) {
            return;
        }
        if let (Ok(value), false) = (&reading.answer, is_begun) {
            self.before = Some(value.clone());
        }
        self.newest = Some((at, reading.answer.clone()));
    }

    /// When the newest answer is too old to count.
    pub fn stale_at(&self, invariant: &Invariant, stale_after_secs: u64) -> Option<Timestamp> {
        let (at, _) = self.newest.as_ref()?;
        Some(*at + seconds(stale_after_secs.saturating_add(invariant.every_secs)))
    }
}

/// Why a rollout can't begin: there is no fresh value that those after it could be compared with.
pub fn unmeasured(
    invariant: &Invariant,
    environment: Environment,
    track: Option<&InvariantTrack>,
    stale_after_secs: u64,
    now: Timestamp,
) -> Option<Finding> {
    let is_fresh = |track: &&InvariantTrack| {
        track.stale_at(invariant, stale_after_secs).is_some_and(|stale_at| now <= stale_at)
    };
    let newest = track.filter(is_fresh).and_then(|track| track.newest.as_ref());
    let text = match newest {
        Some((_, Ok(_))) => return None,
        Some((_, Err(problem))) => format!("has no value before the rollout: {problem}"),
        None => "has no value before the rollout yet".to_owned(),
    };
    Some(finding(invariant, environment, &text))
}

/// What an invariant says at `now`, once the rollout has begun.
pub fn judge(
    invariant: &Invariant,
    environment: Environment,
    track: Option<&InvariantTrack>,
    stale_after_secs: u64,
    now: Timestamp,
) -> Verdict {
    let found = |text: &str| finding(invariant, environment, text);
    let Some((track, (at, answer))) = track.and_then(|one| Some((one, one.newest.as_ref()?)))
    else {
        return Verdict::Inconclusive(found("has no answer yet"));
    };
    if track.stale_at(invariant, stale_after_secs).is_some_and(|stale_at| now > stale_at) {
        let age_secs = now.duration_since(*at).as_secs();
        return Verdict::Inconclusive(found(&format!("has had no answer for {age_secs} s")));
    }
    let value = match answer {
        Ok(value) => value,
        Err(problem) => return Verdict::Inconclusive(found(&format!("has no answer: {problem}"))),
    };
    match broken(&invariant.must, track.before.as_deref(), value) {
        Ok(None) => Verdict::Pass(found(&format!("is {value}, as it must"))),
        Ok(Some(how)) => Verdict::Fail(found(&how)),
        Err(problem) => Verdict::Inconclusive(found(&problem)),
    }
}

fn finding(invariant: &Invariant, environment: Environment, text: &str) -> Finding {
    let service = ServiceName::new(&invariant.service);
    let text = format!("`{}` {text}", invariant.name);
    Finding { gate: Gate::Invariant, environment, service, text }
}

/// How a value breaks its rule; `Err` when that can't be told.
fn broken(must: &Must, before: Option<&str>, value: &str) -> Result<Option<String>, String> {
    let limits = match must {
        Must::Stay => {
            let before = before.ok_or("has no value before the rollout")?;
            let text = || format!("is {value}, was {before} before the rollout and must stay");
            return Ok((before != value).then(text));
        }
        Must::Lie(limits) => limits,
    };
    let number = parsed(value)?;
    if let Some(min) = limits.min.filter(|min| number < *min) {
        return Ok(Some(format!("is {value}, must be at least {min}")));
    }
    if let Some(max) = limits.max.filter(|max| number > *max) {
        return Ok(Some(format!("is {value}, must be at most {max}")));
    }
    let Limits { falls_at_most, rises_at_most, .. } = limits;
    if falls_at_most.is_none() && rises_at_most.is_none() {
        return Ok(None);
    }
    let before = before.ok_or("has no value before the rollout")?;
    let change = number - parsed(before)?;
    if let Some(most) = falls_at_most.filter(|most| -change > *most) {
        return Ok(Some(format!(
            "is {value}, was {before} before the rollout and may fall by {most} at most"
        )));
    }
    if let Some(most) = rises_at_most.filter(|most| change > *most) {
        return Ok(Some(format!(
            "is {value}, was {before} before the rollout and may rise by {most} at most"
        )));
    }
    Ok(None)
}

fn parsed(value: &str) -> Result<f64, String> {
    let number = value.parse().ok().filter(|number: &f64| number.is_finite());
    number.ok_or_else(|| format!("is `{value}`, which is no number"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(must: Must, before: &str, after: &str) -> String {
        let invariant = Invariant {
            name: "orders".to_owned(),
            service: "shop".to_owned(),
            environments: vec![Environment::Production],
            command: vec!["count".to_owned()],
            must,
            every_secs: 30,
            timeout_secs: 10,
        };
        let at = |secs| Timestamp::UNIX_EPOCH + seconds(secs);
        let answer = |text: &str| InvariantReading {
            name: "orders".to_owned(),
            answer: match text.strip_prefix("error ") {
                Some(problem) => Err(problem.to_owned()),
                None => Ok(text.to_owned()),
            },
        };
        let mut track = InvariantTrack::default();
        track.observe(at(10), &answer(before), false);
        track.observe(at(20), &answer(after), true);
        let verdict = |now| {
            let verdict = judge(&invariant, Environment::Production, Some(&track), 120, at(now));
            let word = match &verdict {
                Verdict::Pass(_) => "pass",
                Verdict::Fail(_) => "FAIL",
                Verdict::Wait { .. } => "wait",
                Verdict::Inconclusive(_) => "inconclusive",
            };
            format!("{word}: {}", verdict.finding().text)
        };
        assert!(verdict(171).starts_with("inconclusive: `orders` has had no answer for 151 s"));
        verdict(170)
    }

    #[test]
    fn a_value_is_held_to_its_rule_and_no_answer_is_inconclusive() {
        let limits = |limits: Limits| Must::Lie(limits);
        let kept = limits(Limits { falls_at_most: Some(0.0), ..Limits::default() });
        let calm = limits(Limits { rises_at_most: Some(5.0), ..Limits::default() });
        let within = limits(Limits { min: Some(0.0), max: Some(10.0), ..Limits::default() });
        let lines = [
            says(Must::Stay, "9007199254740993", "9007199254740993"),
            says(Must::Stay, "9007199254740993", "9007199254740992"),
            says(Must::Stay, "error connection refused", "7"),
            says(kept.clone(), "42", "50"),
            says(kept.clone(), "42", "41"),
            says(kept.clone(), "42", "many"),
            says(kept, "42", "error it took longer than 10 s"),
            says(calm.clone(), "42", "47"),
            says(calm, "42", "48"),
            says(within.clone(), "3", "-1"),
            says(within, "3", "10.5"),
        ];
        insta::assert_snapshot!(lines.join("\n"), @"
        pass: `orders` is 9007199254740993, as it must
        FAIL: `orders` is 9007199254740992, was 9007199254740993 before the rollout and must stay
        inconclusive: `orders` has no value before the rollout
        pass: `orders` is 50, as it must
        FAIL: `orders` is 41, was 42 before the rollout and may fall by 0 at most
        inconclusive: `orders` is `many`, which is no number
        inconclusive: `orders` has no answer: it took longer than 10 s
        pass: `orders` is 47, as it must
        FAIL: `orders` is 48, was 42 before the rollout and may rise by 5 at most
        FAIL: `orders` is -1, must be at least 0
        FAIL: `orders` is 10.5, must be at most 10
        ");
    }
}
