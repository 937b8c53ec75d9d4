//! Single values of TOML: what they are in Go's eyes, and how a value is written. It knows no
//! keys and tells no problems.

use serde_json::Value;
use toml::de::{DeArray, DeTable, DeValue};

use crate::types::WireDuration;

/// How people spell the units that Go writes as `ms`, `s`, `m` and `h`.
const SPELLED_UNITS: [(&str, &str); 17] = [
    ("milliseconds", "ms"),
    ("millisecond", "ms"),
    ("ms", "ms"),
    ("seconds", "s"),
    ("second", "s"),
    ("secs", "s"),
    ("sec", "s"),
    ("s", "s"),
    ("minutes", "m"),
    ("minute", "m"),
    ("mins", "m"),
    ("min", "m"),
    ("m", "m"),
    ("hours", "h"),
    ("hour", "h"),
    ("hrs", "h"),
    ("h", "h"),
];

/// A whole number, also one written with a fraction of zero, as JSON makes no difference.
pub(super) fn whole_number(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
        DeValue::Float(_) => {
            float(value).filter(|float| float.fract() == 0.0).and_then(whole_of_float)
        }
        DeValue::String(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    }
}

/// A number without its fraction.
pub(super) fn cut_number(value: &DeValue<'_>) -> Option<i64> {
    whole_number(value).or_else(|| float(value).and_then(|float| whole_of_float(float.trunc())))
}

pub(super) fn float(value: &DeValue<'_>) -> Option<f64> {
    if let DeValue::Float(number) = value { number.as_str().parse().ok() } else { None }
}

/// Exact within the whole numbers that a float holds exactly; none outside.
fn whole_of_float(float: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if !(-EXACT..=EXACT).contains(&float) {
        return None;
    }
    format!("{float:.0}").parse().ok()
}

/// A value that is no list and no table, as text.
pub(super) fn single_as_text(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.as_ref().to_owned()),
        DeValue::Integer(_) => whole_number(value).map(|number| number.to_string()),
        DeValue::Float(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(flag) => Some(flag.to_string()),
        DeValue::Datetime(moment) => Some(moment.to_string()),
        DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

/// Any value as Go prints it with `%v`, which is what Fly's client puts into `[env]`.
/// The depth of a document is bounded by the parser.
pub(super) fn go_text(value: &DeValue<'_>) -> String {
    match value {
        DeValue::Array(items) => go_list(items),
        DeValue::Table(table) => go_map(table),
        DeValue::Float(_) => float(value).map(go_float).unwrap_or_default(),
        DeValue::String(_) | DeValue::Integer(_) | DeValue::Boolean(_) | DeValue::Datetime(_) => {
            single_as_text(value).unwrap_or_default()
        }
    }
}

/// The fewest digits that mean this number; with an exponent below 1e-4 and from 1e21 on.
fn go_float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let written = format!("{number:e}");
    let (digits, exponent) = written.split_once('e').unwrap_or((&written, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..21).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
        }
        _ => number.to_string(),
    }
}

fn go_list(items: &DeArray<'_>) -> String {
    let texts: Vec<String> = items.iter().map(|item| go_text(item.get_ref())).collect();
    format!("[{}]", texts.join(" "))
}

fn go_map(table: &DeTable<'_>) -> String {
    let texts: Vec<String> = table
        .iter()
        .map(|(name, value)| format!("{}:{}", name.get_ref(), go_text(value.get_ref())))
        .collect();
    format!("map[{}]", texts.join(" "))
}

/// The depth of a document is bounded by the parser.
pub(super) fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(_) => whole_number(value).map_or(Value::Null, Value::from),
        DeValue::Float(_) => float(value).map_or(Value::Null, Value::from),
        DeValue::Boolean(value) => Value::from(*value),
        DeValue::Datetime(moment) => Value::from(moment.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(name, value)| (name.get_ref().as_ref().to_owned(), json(value.get_ref())))
            .collect(),
    }
}

/// The text as TOML writes it, in quotes.
pub(super) fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}

/// The texts as a TOML list.
pub(super) fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(", "))
}

/// Names and texts as a TOML table on one line; none if a name stands twice.
pub(super) fn table(pairs: &[(String, String)]) -> Option<String> {
    let mut table = toml_edit::InlineTable::new();
    for (name, text) in pairs {
        if table.insert(name, text.as_str().into()).is_some() {
            return None;
        }
    }
    Some(table.to_string())
}

/// The flag that a text in quotes was meant to be.
pub(super) fn flag_word(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

/// `15 sec` as Go writes it; none if there is no unit that people use.
pub(super) fn spelled_duration(text: &str) -> Option<WireDuration> {
    let text = text.trim().to_ascii_lowercase();
    if let Ok(duration) = text.parse() {
        return Some(duration);
    }
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(number_end);
    let unit = unit.trim();
    let (_, go) = SPELLED_UNITS.iter().find(|(spelled, _)| *spelled == unit)?;
    format!("{number}{go}").parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_that_people_spell_are_understood() {
        for (text, expected) in [
            ("15 s", Some("15s")),
            ("15 seconds", Some("15s")),
            ("1.5 Minutes", Some("1m30s")),
            (" 500 ms ", Some("500ms")),
            ("15", None),
            ("soon", None),
            ("15 parsecs", None),
            ("", None),
        ] {
            let meant = spelled_duration(text).map(|duration| duration.to_string());
            assert_eq!(meant.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn numbers_are_whole_where_json_has_them_whole() {
        for (text, whole, cut) in [
            ("8080", Some(8080), Some(8080)),
            ("8080.0", Some(8080), Some(8080)),
            ("0x10", Some(16), Some(16)),
            ("8080.7", None, Some(8080)),
            ("1e300", None, None),
            ("nan", None, None),
            ("true", None, None),
        ] {
            let value = DeValue::parse(text).expect(text);
            let found = (whole_number(value.get_ref()), cut_number(value.get_ref()));
            assert_eq!(found, (whole, cut), "{text}");
        }
    }

    #[test]
    fn a_list_is_printed_as_go_prints_it() {
        let value = DeValue::parse(r#"[1, "a", {b = true, a = 1.5}]"#).expect("parsed");
        assert_eq!(go_text(value.get_ref()), "[1 a map[a:1.5 b:true]]");
    }

    #[test]
    fn a_float_is_printed_as_go_prints_it() {
        for (text, expected) in [
            ("18.10", "18.1"),
            ("8080.0", "8080"),
            ("1e3", "1000"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("1e20", "100000000000000000000"),
            ("1.5e21", "1.5e+21"),
            ("-0.5", "-0.5"),
            ("nan", "NaN"),
            ("-inf", "-Inf"),
        ] {
            let value = DeValue::parse(text).expect(text);
            assert_eq!(go_text(value.get_ref()), expected, "{text}");
        }
    }
}
