//! Lengths of time as people write them: `30s`, `1h 30m`, `500ms`.

use std::ops::RangeInclusive;

use jiff::SignedDuration;

/// The longest time of any rule: what waits for longer has been forgotten by everybody.
pub(super) const LONGEST_SECS: u64 = 30 * 24 * 60 * 60;

/// Why a text is no length of time that a rule can have.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DurationProblem {
    NotADuration,
    TooFine,
    OutOfRange,
}

/// Whole seconds within `range`.
pub(super) fn parse_secs(text: &str, range: &RangeInclusive<u64>) -> Result<u64, DurationProblem> {
    let millis = parse_ms(text, &(0..=u64::MAX))?;
    if millis % 1000 != 0 {
        return Err(DurationProblem::TooFine);
    }
    let secs = millis / 1000;
    if range.contains(&secs) { Ok(secs) } else { Err(DurationProblem::OutOfRange) }
}

/// Whole milliseconds within `range`.
pub(super) fn parse_ms(text: &str, range: &RangeInclusive<u64>) -> Result<u64, DurationProblem> {
    let Ok(duration) = text.parse::<SignedDuration>() else {
        return Err(DurationProblem::NotADuration);
    };
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return Err(DurationProblem::TooFine);
    }
    match u64::try_from(duration.as_millis()) {
        Ok(millis) if range.contains(&millis) => Ok(millis),
        Ok(_) | Err(_) => Err(DurationProblem::OutOfRange),
    }
}

/// A length of time as the file spells it: `1m 30s`, `2h`, `0s`.
pub(super) fn spell_ms(millis: u64) -> String {
    let parts: Vec<String> = [
        (millis / 3_600_000, "h"),
        (millis / 60_000 % 60, "m"),
        (millis / 1000 % 60, "s"),
        (millis % 1000, "ms"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, unit)| format!("{count}{unit}"))
    .collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_durations_in_many_ways() {
        for (text, secs) in [
            ("30s", 30),
            ("2m", 120),
            ("24h", 86_400),
            ("1h30m", 5400),
            ("1h 30m", 5400),
            ("1.5h", 5400),
            ("10 minutes", 600),
            ("2000ms", 2),
            ("0s", 0),
        ] {
            assert_eq!(parse_secs(text, &(0..=LONGEST_SECS)), Ok(secs), "{text}");
        }
        assert_eq!(parse_ms("2s", &(1..=60_000)), Ok(2000));
    }

    #[test]
    fn what_is_no_duration_is_told_apart_from_what_is_not_allowed() {
        let range = 1..=60;
        for (text, problem) in [
            ("", DurationProblem::NotADuration),
            ("30", DurationProblem::NotADuration),
            ("soon", DurationProblem::NotADuration),
            ("1500ms", DurationProblem::TooFine),
            ("1us", DurationProblem::TooFine),
            ("0s", DurationProblem::OutOfRange),
            ("2m", DurationProblem::OutOfRange),
            ("-5s", DurationProblem::OutOfRange),
            ("2562047788015215h", DurationProblem::OutOfRange),
        ] {
            assert_eq!(parse_secs(text, &range), Err(problem), "{text}");
        }
    }

    #[test]
    fn a_spelt_duration_reads_as_itself() {
        for millis in [0, 1, 999, 1000, 61_000, 5_400_000, 86_400_000, 2_592_000_000, 3_723_004] {
            assert_eq!(parse_ms(&spell_ms(millis), &(0..=u64::MAX)), Ok(millis));
        }
    }
}
