//! Reads the text format of Prometheus (exposition format 0.0.4): names, labels and values. What
//! the numbers mean is not decided here; comments, types and time stamps are passed over.

use std::collections::BTreeMap;

/// One line of a scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Series<'a> {
    /// The metric's name.
    pub name: &'a str,
    /// Its labels.
    pub labels: BTreeMap<&'a str, String>,
    /// Its value; may be infinite or no number.
    pub value: f64,
}

impl Series<'_> {
    /// The value of a label; empty if it is not there, as Prometheus has it.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// Every series of the text. A line that can't be read is passed over: one odd line of a platform
/// must not blind the gates to all others.
pub fn series(text: &str) -> impl Iterator<Item = Series<'_>> {
    text.lines().filter_map(parse_line)
}

fn parse_line(line: &str) -> Option<Series<'_>> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    let name_end = line.find(|c: char| c == '{' || c.is_whitespace())?;
    let (name, rest) = line.split_at(name_end);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(inside) => parse_labels(inside)?,
        None => (BTreeMap::new(), rest),
    };
    let value = parse_value(rest.split_whitespace().next()?)?;
    (!name.is_empty()).then_some(Series { name, labels, value })
}

/// The labels up to the closing brace, and what follows it.
fn parse_labels(mut rest: &str) -> Option<(BTreeMap<&str, String>, &str)> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if let Some(after) = rest.strip_prefix('}') {
            return Some((labels, after));
        }
        let (name, after) = rest.split_once('=')?;
        let (value, after) = parse_quoted(after.trim_start().strip_prefix('"')?)?;
        labels.insert(name.trim(), value);
        rest = after;
    }
}

/// The text up to the closing quote, its escapes undone, and what follows it.
fn parse_quoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => match characters.next()? {
                'n' => value.push('\n'),
                other => value.push(other),
            },
            other => value.push(other),
        }
    }
}

fn parse_value(text: &str) -> Option<f64> {
    match text {
        "+Inf" | "Inf" => Some(f64::INFINITY),
        "-Inf" => Some(f64::NEG_INFINITY),
        "NaN" => Some(f64::NAN),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_scrape_is_read() {
        let text = "# TYPE answers counter\n\
                    answers{app=\"shop\",status=\"200\"} 12\n\
                    plain 1.5 1700000000000\n\
                    \n\
                    odd{path=\"a\\\\b\\\"c\\n\", } +Inf\n\
                    broken{app=\"shop\n";
        let found: Vec<_> = series(text).collect();
        assert_eq!(found.len(), 3);
        assert_eq!(
            (found[0].name, found[0].label("app"), found[0].value),
            ("answers", "shop", 12.0)
        );
        assert_eq!((found[1].name, found[1].label("app"), found[1].value), ("plain", "", 1.5));
        assert_eq!(found[2].label("path"), "a\\b\"c\n");
        assert_eq!(found[2].value.total_cmp(&f64::INFINITY), std::cmp::Ordering::Equal);
    }

    proptest! {
        #[test]
        fn no_text_brings_the_reader_down(text in "\\PC*") {
            prop_assert!(series(&text).count() <= text.lines().count());
        }

        #[test]
        fn what_is_written_is_read(
            name in "[a-z_][a-z0-9_]{0,20}",
            label in "[a-z_]{1,10}",
            written in "\\PC{0,20}",
            value in -1.0e12_f64..1.0e12,
        ) {
            let escaped = written.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let line = format!("{name}{{{label}=\"{escaped}\"}} {value}");
            let found: Vec<_> = series(&line).collect();
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(found[0].name, name.as_str());
            prop_assert_eq!(found[0].label(&label), written.as_str());
            prop_assert!(f64::abs(found[0].value - value) < 1e-3);
        }
    }
}
