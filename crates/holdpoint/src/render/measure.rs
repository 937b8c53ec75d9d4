//! Numbers as people read them.

use std::time::Duration;

/// A count with thin groups of three: `48 211`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count with its noun: `1 machine`, `2 machines`.
pub fn counted(number: usize, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{ending}")
}

/// A part of a whole as a percentage; `none` of nothing.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 {
        return "none".to_owned();
    }
    #[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
    let share = part as f64 / whole as f64;
    share_percent(share)
}

/// A share, 0 to 1, as a percentage with two decimals: small error rates must not look like none.
pub fn share_percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// A latency: `850 µs`, `8.4 ms`, `1 204 ms`.
pub fn latency(span: Duration) -> String {
    let micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..100_000 => format!("{:.1} ms", span.as_secs_f64() * 1000.0),
        _ => format!("{} ms", count(micros / 1000)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_by_three() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1 000", "1 234 567"]);
    }

    #[test]
    fn a_few_errors_in_many_requests_do_not_look_like_none() {
        assert_eq!(percent(3, 10_000), "0.03 %");
        assert_eq!(percent(0, 0), "none");
    }

    #[test]
    fn a_latency_keeps_the_digits_that_matter() {
        let spans = [850, 8_430, 1_204_000].map(Duration::from_micros).map(latency);
        assert_eq!(spans, ["850 µs", "8.4 ms", "1 204 ms"]);
    }
}
