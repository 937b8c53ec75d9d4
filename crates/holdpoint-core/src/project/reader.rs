//! A cursor over the tables of a TOML text: typed reads that note every problem
//! and go on, so that one pass finds them all. After an error the reads give
//! stand-ins; whoever asks for the result gets none. It knows no key by name.

use std::fmt::Display;
use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::duration::{self, DurationProblem};
use super::report::Report;
use super::similar::did_you_mean;

/// The longest text that any key may have, in bytes; a smoke check's body is the longest.
const TEXT_LIMIT: usize = 64 * 1024;

/// One table of the text.
pub(super) struct Table<'a> {
    pub(super) report: &'a Report<'a>,
    /// Where the table is named or begins.
    pub(super) span: Range<usize>,
    entries: &'a DeTable<'a>,
    /// The dotted key, as a header would spell it; empty for the whole text.
    path: String,
    known_keys: Vec<&'static str>,
}

impl<'a> Table<'a> {
    /// Reads the whole text.
    pub(super) fn read_root<T>(
        report: &'a Report<'a>,
        entries: &'a DeTable<'a>,
        read: impl FnOnce(&mut Self) -> T,
    ) -> T {
        Table { report, span: 0..0, entries, path: String::new(), known_keys: Vec::new() }
            .read(read)
    }

    /// The key's value, if it is there.
    pub(super) fn take(&mut self, key: &'static str) -> Option<Value<'a>> {
        if !self.known_keys.contains(&key) {
            self.known_keys.push(key);
        }
        let (_, value) = self.entries.iter().find(|(name, _)| name.get_ref() == key)?;
        Some(Value { report: self.report, path: self.path_of(key), key, content: value })
    }

    /// Counts keys as known without looking at them, where an error before leaves open what they
    /// would mean.
    pub(super) fn ignore(&mut self, keys: &[&'static str]) {
        self.known_keys.extend(keys);
    }

    /// The key's value; an error if it isn't there.
    pub(super) fn require(&mut self, key: &'static str, example: &str) -> Option<Value<'a>> {
        let value = self.take(key);
        if value.is_none() {
            let place = if self.path.is_empty() {
                format!("`{key}` is missing")
            } else {
                format!("`{key}` is missing in `{}`", self.path)
            };
            self.report.absent(&self.span, place, format!("add for example `{key} = {example}`"));
        }
        value
    }

    /// Reads a table below this one, if it is there.
    pub(super) fn table<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&mut Self) -> T,
    ) -> Option<T> {
        let value = self.take(key)?;
        let table = value.as_table(&format!("write it as `[{}]`", value.path))?;
        Some(table.read(read))
    }

    /// Reads each table of a list, if it is there and has at most `limit` of them.
    pub(super) fn tables<T>(
        &mut self,
        key: &'static str,
        limit: usize,
        mut read: impl FnMut(&mut Self) -> T,
    ) -> Option<Vec<T>> {
        let value = self.take(key)?;
        let hint = format!("write each as `[[{}]]`", value.path);
        let items = value.as_items(&hint, limit);
        Some(items.iter().filter_map(|item| Some(item.as_table(&hint)?.read(&mut read))).collect())
    }

    /// Seconds, if the key is there.
    pub(super) fn secs(&mut self, key: &'static str, least: u64, target: &mut u64) {
        let range = least..=duration::LONGEST_SECS;
        if let Some(secs) = self.take(key).and_then(|value| value.secs(&range)) {
            *target = secs;
        }
    }

    /// A number, if the key is there.
    pub(super) fn number(
        &mut self,
        key: &'static str,
        range: RangeInclusive<u64>,
        target: &mut u64,
    ) {
        if let Some(number) = self.take(key).and_then(|value| value.number(&range)) {
            *target = number;
        }
    }

    /// True or false, if the key is there.
    pub(super) fn boolean(&mut self, key: &'static str, target: &mut bool) {
        if let Some(boolean) = self.take(key).and_then(|value| value.boolean()) {
            *target = boolean;
        }
    }

    /// A line of text, if the key is there.
    pub(super) fn line(&mut self, key: &'static str) -> Option<String> {
        self.take(key)?.line()
    }

    /// A line of text that must be there, and its place.
    pub(super) fn required_line(
        &mut self,
        key: &'static str,
        example: &str,
    ) -> (String, Range<usize>) {
        let value = self.require(key, example);
        let span = value.as_ref().map_or_else(|| self.span.clone(), Value::span);
        (value.and_then(|value| value.line()).unwrap_or_default(), span)
    }

    /// Every key with its text, for tables whose keys the user chooses.
    pub(super) fn texts(&mut self, key: &'static str) -> Vec<(&'a str, Value<'a>)> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(table) = value.as_table(&format!("write it as `{key} = {{ name = \"text\" }}`"))
        else {
            return Vec::new();
        };
        table
            .entries
            .iter()
            .map(|(name, value)| {
                let name: &'a str = name.get_ref();
                (
                    name,
                    Value {
                        report: table.report,
                        path: table.path_of(name),
                        key: name,
                        content: value,
                    },
                )
            })
            .collect()
    }

    /// Reads this table, and refuses every key that nobody asked for.
    pub(super) fn read<T>(mut self, read: impl FnOnce(&mut Self) -> T) -> T {
        let result = read(&mut self);
        self.refuse_unknown_keys();
        result
    }

    fn refuse_unknown_keys(&self) {
        for name in self.entries.keys() {
            let word: &str = name.get_ref();
            if self.known_keys.contains(&word) {
                continue;
            }
            let message = if self.path.is_empty() {
                format!("unknown table or key `{word}`")
            } else {
                format!("unknown key `{word}` in `{}`", self.path)
            };
            let hint = match did_you_mean(word, self.known_keys.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => format!("remove it; known here are {}", listed(&self.known_keys, "and")),
            };
            self.report.error(&name.span(), message, hint);
        }
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }
}

/// One value of the text.
pub(super) struct Value<'a> {
    pub(super) report: &'a Report<'a>,
    path: String,
    /// The last part of the path; empty for an entry of a list.
    key: &'a str,
    content: &'a Spanned<DeValue<'a>>,
}

impl<'a> Value<'a> {
    pub(super) fn span(&self) -> Range<usize> {
        self.content.span()
    }

    pub(super) fn raw(&self) -> &'a DeValue<'a> {
        self.content.get_ref()
    }

    /// Notes an error about this value; the message begins with its key.
    pub(super) fn refuse(&self, cause: impl Display, hint: impl Into<String>) {
        self.report.error(&self.span(), format!("`{}` {cause}", self.path), hint);
    }

    /// Text of any kind, within the limit.
    pub(super) fn text(&self) -> Option<&'a str> {
        let Some(text) = self.raw().as_str() else {
            self.refuse_type("text", "\"…\"");
            return None;
        };
        if text.len() > TEXT_LIMIT {
            let cause = format!("has {} bytes, and at most {TEXT_LIMIT} are allowed", text.len());
            self.refuse(cause, "shorten it");
            return None;
        }
        Some(text)
    }

    /// One line of text that isn't blank.
    pub(super) fn line(&self) -> Option<String> {
        let text = self.text()?;
        if text.trim().is_empty() {
            self.refuse("is empty", "write a text, or remove the key if it is optional");
            return None;
        }
        if text.chars().any(char::is_control) {
            self.refuse("has a line break or a control character in it", "keep it to one line");
            return None;
        }
        Some(text.to_owned())
    }

    /// Whether it is a list of nothing.
    pub(super) fn is_empty_list(&self) -> bool {
        self.raw().as_array().is_some_and(|items| items.is_empty())
    }

    /// One line each of a list, and their places.
    pub(super) fn lines(&self, limit: usize) -> Vec<(String, Range<usize>)> {
        let hint = format!("write `{} = [\"…\"]`", self.key);
        self.as_items(&hint, limit)
            .iter()
            .filter_map(|item| Some((item.line()?, item.span())))
            .collect()
    }

    /// Words out of a fixed set, each at most once and at least one of them.
    pub(super) fn words<T: Copy + PartialEq>(
        &self,
        what: &str,
        all: &[T],
        spell: fn(T) -> &'static str,
    ) -> Vec<T> {
        let known: Vec<&'static str> = all.iter().map(|word| spell(*word)).collect();
        let example = known.first().copied().unwrap_or_default();
        let hint = format!("write for example `{} = [\"{example}\"]`", self.key);
        let items = self.as_items(&hint, usize::MAX);
        if items.is_empty() && self.raw().is_array() {
            self.refuse("is empty", format!("name at least one {what}: {}", listed(&known, "or")));
        }
        let mut words: Vec<T> = Vec::new();
        for item in items {
            let Some(text) = item.text() else { continue };
            match all.iter().find(|word| spell(**word) == text) {
                Some(word) if words.contains(word) => {
                    item.refuse(format!("names `{text}` twice"), "remove one of the two");
                }
                Some(word) => words.push(*word),
                None => item.refuse_word(text, what, &known),
            }
        }
        words
    }

    /// One word out of a fixed set.
    pub(super) fn word<T: Copy>(
        &self,
        what: &str,
        all: &[T],
        spell: fn(T) -> &'static str,
    ) -> Option<T> {
        let text = self.text()?;
        let found = all.iter().copied().find(|word| spell(*word) == text);
        if found.is_none() {
            let known: Vec<&'static str> = all.iter().map(|word| spell(*word)).collect();
            self.refuse_word(text, what, &known);
        }
        found
    }

    pub(super) fn boolean(&self) -> Option<bool> {
        let boolean = self.raw().as_bool();
        if boolean.is_none() {
            self.refuse_type("true or false", "true");
        }
        boolean
    }

    pub(super) fn number(&self, range: &RangeInclusive<u64>) -> Option<u64> {
        let Some(integer) = self.raw().as_integer() else {
            self.refuse_type("a whole number", &range.start().to_string());
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).ok();
        let found =
            number.and_then(|number| u64::try_from(number).ok()).filter(|n| range.contains(n));
        if found.is_none() {
            let cause = format!("is {integer}, which is out of range");
            self.refuse(cause, format!("use {} to {}", range.start(), range.end()));
        }
        found
    }

    /// A share between 0 and 1.
    pub(super) fn share(&self) -> Option<f64> {
        let Some(written) = self.written_number() else {
            self.refuse_type("a share between 0 and 1", "0.05");
            return None;
        };
        let share: f64 = written.parse().unwrap_or(f64::NAN);
        if !(0.0..=1.0).contains(&share) {
            let cause = format!("is {written}, and a share lies between 0 and 1");
            self.refuse(cause, format!("write 5 % as `{} = 0.05`", self.key));
            return None;
        }
        Some(share)
    }

    /// A factor from 1 to a limit.
    pub(super) fn factor(&self, limit: f64) -> Option<f64> {
        let Some(written) = self.written_number() else {
            self.refuse_type("a number", "1.5");
            return None;
        };
        let factor: f64 = written.parse().unwrap_or(f64::NAN);
        if !(1.0..=limit).contains(&factor) {
            self.refuse(
                format!("is {written}, which is out of range"),
                format!("use 1 to {limit}; 1.5 allows half as much again"),
            );
            return None;
        }
        Some(factor)
    }

    /// A number as it is written, whole or not.
    fn written_number(&self) -> Option<String> {
        let raw = self.raw();
        let float = raw.as_float().map(|float| float.as_str().to_owned());
        float.or_else(|| raw.as_integer().map(ToString::to_string))
    }

    /// A length of time in whole seconds.
    pub(super) fn secs(&self, range: &RangeInclusive<u64>) -> Option<u64> {
        let limits = range.start().saturating_mul(1000)..=range.end().saturating_mul(1000);
        self.duration(duration::parse_secs, range, &limits, "second")
    }

    /// A length of time in whole milliseconds.
    pub(super) fn millis(&self, range: &RangeInclusive<u64>) -> Option<u64> {
        self.duration(duration::parse_ms, range, range, "millisecond")
    }

    /// The items of a list of at most `limit`.
    pub(super) fn as_items(&self, hint: &str, limit: usize) -> Vec<Self> {
        let Some(array) = self.raw().as_array() else {
            self.refuse(format!("must be a list, but it is {}", kind(self.raw())), hint);
            return Vec::new();
        };
        if array.len() > limit {
            let cause = format!("has {} entries, and at most {limit} are allowed", array.len());
            self.refuse(cause, "remove some");
            return Vec::new();
        }
        array
            .iter()
            .map(|value| Value {
                report: self.report,
                path: self.path.clone(),
                key: "",
                content: value,
            })
            .collect()
    }

    /// The value as a table.
    pub(super) fn as_table(&self, hint: &str) -> Option<Table<'a>> {
        let Some(entries) = self.raw().as_table() else {
            self.refuse(format!("must be a table, but it is {}", kind(self.raw())), hint);
            return None;
        };
        let path = self.path.clone();
        Some(Table {
            report: self.report,
            span: self.span(),
            entries,
            path,
            known_keys: Vec::new(),
        })
    }

    fn duration(
        &self,
        parse: fn(&str, &RangeInclusive<u64>) -> Result<u64, DurationProblem>,
        range: &RangeInclusive<u64>,
        limits_ms: &RangeInclusive<u64>,
        finest: &str,
    ) -> Option<u64> {
        if let Some(integer) = self.raw().as_integer() {
            let digits = integer.as_str().trim_start_matches('-');
            let hint = format!("write `{} = \"{digits}s\"` or `\"{digits}m\"`", self.key);
            self.refuse("is a number without a unit", hint);
            return None;
        }
        let text = self.text()?;
        let problem = match parse(text, range) {
            Ok(length) => return Some(length),
            Err(problem) => problem,
        };
        match problem {
            DurationProblem::NotADuration => self.refuse(
                format!("is `{text}`, which is no length of time"),
                format!("write for example `{} = \"5m\"` (ms, s, m and h are known)", self.key),
            ),
            DurationProblem::TooFine => self.refuse(
                format!("is `{text}`, which is finer than a {finest}"),
                format!("write a whole number of {finest}s"),
            ),
            DurationProblem::OutOfRange => self.refuse(
                format!("is `{text}`, which is out of range"),
                format!(
                    "use {} to {}",
                    duration::spell_ms(*limits_ms.start()),
                    duration::spell_ms(*limits_ms.end())
                ),
            ),
        }
        None
    }

    fn refuse_type(&self, expected: &str, example: &str) {
        let found = kind(self.raw());
        if self.key.is_empty() {
            let cause = format!("is a list of {expected}, but this entry is {found}");
            self.refuse(cause, format!("write for example `{example}`"));
        } else {
            let cause = format!("must be {expected}, but it is {found}");
            self.refuse(cause, format!("write for example `{} = {example}`", self.key));
        }
    }

    fn refuse_word(&self, word: &str, what: &str, known: &[&'static str]) {
        let hint = match did_you_mean(word, known.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("use {}", listed(known, "or")),
        };
        self.refuse(format!("names `{word}`, which is no {what}"), hint);
    }
}

/// Words for people: `a`, `b` and `c`.
fn listed(words: &[&str], conjunction: &str) -> String {
    let quoted: Vec<String> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {conjunction} {last}", others.join(", ")),
        None => String::new(),
    }
}

fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a decimal number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}
