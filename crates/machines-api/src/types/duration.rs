//! A length of time as Fly writes it: a Go duration (`"1m30s"`), read also from
//! a bare number of nanoseconds. Negative lengths are refused.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

/// A length of time; written as a Go duration string.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireDuration(pub Duration);

/// Why a text is no Go duration.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` is not a duration\nhint: write a number and a unit, for example `15s`, `1m30s` or `500ms`"
)]
pub struct WireDurationError {
    text: String,
}

/// Go keeps a duration in 64 signed bits of nanoseconds (about 292 years).
const LONGEST_NANOSECONDS: u128 = i64::MAX as u128;

/// The units of Go's `time.ParseDuration`, in nanoseconds; both spellings of
/// the micro sign are Go's.
const UNITS: [(&str, u128); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("μs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
];

/// More digits than 64 bits of nanoseconds can hold are refused unread.
const MAX_DIGITS: usize = 19;

impl WireDuration {
    pub const fn from_secs(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }

    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(Duration::from_nanos(nanoseconds))
    }
}

impl FromStr for WireDuration {
    type Err = WireDurationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        nanoseconds(text)
            .map(Self::from_nanos)
            .ok_or_else(|| WireDurationError { text: text.to_owned() })
    }
}

fn nanoseconds(text: &str) -> Option<u64> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at(number_end);
        let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, following) = after.split_at(unit_end);
        let scale = UNITS.iter().find(|(name, _)| *name == unit)?.1;
        total = total.checked_add(scaled(number, scale)?)?;
        rest = following;
    }
    (total <= LONGEST_NANOSECONDS).then(|| u64::try_from(total).ok()).flatten()
}

/// `number` (digits, perhaps with a fraction) times `scale`, the rest below a nanosecond cut off.
fn scaled(number: &str, scale: u128) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty())
        || fraction.contains('.')
        || whole.len() > MAX_DIGITS
        || fraction.len() > MAX_DIGITS
    {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut divisor: u128 = 1;
    for _ in 0..fraction.len() {
        divisor = divisor.checked_mul(10)?;
    }
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    whole.checked_mul(scale)?.checked_add(fraction.checked_mul(scale)?.checked_div(divisor)?)
}

impl fmt::Display for WireDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        if nanoseconds == 0 {
            return formatter.write_str("0s");
        }
        if nanoseconds < 1_000 {
            return write!(formatter, "{nanoseconds}ns");
        }
        if nanoseconds < 1_000_000 {
            return write!(formatter, "{}µs", decimal(nanoseconds, 1_000, 3));
        }
        if nanoseconds < 1_000_000_000 {
            return write!(formatter, "{}ms", decimal(nanoseconds, 1_000_000, 6));
        }
        let seconds = self.0.as_secs();
        let (hours, minutes) = (seconds / 3_600, seconds / 60 % 60);
        if hours > 0 {
            write!(formatter, "{hours}h")?;
        }
        if seconds >= 60 {
            write!(formatter, "{minutes}m")?;
        }
        let below_a_minute = nanoseconds % 60_000_000_000;
        write!(formatter, "{}s", decimal(below_a_minute, 1_000_000_000, 9))
    }
}

/// `value / unit` with at most `digits` decimals and no trailing zeros.
fn decimal(value: u128, unit: u128, digits: usize) -> String {
    let fraction = format!("{:0digits$}", value % unit);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        (value / unit).to_string()
    } else {
        format!("{}.{fraction}", value / unit)
    }
}

impl Serialize for WireDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WireDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged, expecting = "a duration such as `15s`, or a number of nanoseconds")]
        enum Written {
            Nanoseconds(u64),
            Text(String),
        }
        match Written::deserialize(deserializer)? {
            Written::Nanoseconds(nanoseconds) => Ok(Self::from_nanos(nanoseconds)),
            Written::Text(text) => text.parse().map_err(serde::de::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads_and_writes_what_go_writes() {
        for (text, written) in [
            ("15s", "15s"),
            ("90s", "1m30s"),
            ("1h", "1h0m0s"),
            ("1.5h", "1h30m0s"),
            ("500ms", "500ms"),
            ("1500ms", "1.5s"),
            (".5s", "500ms"),
            ("0", "0s"),
            ("1500ns", "1.5µs"),
        ] {
            let duration: WireDuration = text.parse().unwrap();
            assert_eq!(duration.to_string(), written, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_duration() {
        for text in ["", "15", "s", "1x", "-1s", "1..2s", "1 s", "99999999999999999999s", "."] {
            assert!(text.parse::<WireDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_nanoseconds() {
        let duration: WireDuration = serde_json::from_str("15000000000").unwrap();
        assert_eq!(duration, WireDuration::from_secs(15));
    }
}
