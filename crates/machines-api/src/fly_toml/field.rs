//! A value of a TOML document with its place, read as what the schema wants. Every wrong one is
//! told where it stands, and where only one thing can be meant, with the edit that mends it.

use std::ops::{Range, RangeInclusive};

use serde_json::Value;
use toml::de::{DeArray, DeValue};

use super::diagnostic::{Problem, Problems};
use super::literal;
use super::repair::{Edit, Place, Repair, Step};
use super::section::{Form, Section};
use crate::types::WireDuration;

/// A text is shown whole in a message up to this length.
const SHOWN_CHARACTERS: usize = 40;

/// Below this a number without a unit was surely not meant as nanoseconds.
const SHORTEST_MEANT_NANOSECONDS: i64 = 1_000_000_000;

/// Such a number was meant as milliseconds, as Fly's pages say: from one second to one hour. Below,
/// it may as well have been seconds; above, nanoseconds.
const SURELY_MILLISECONDS: RangeInclusive<i64> = 1_000..=3_600_000;

#[derive(Clone, Debug)]
pub(super) struct Field<'d> {
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) span: Range<usize>,
    /// Whether Fly's client mends an old form of it.
    pub(super) is_mended: bool,
    pub(super) value: &'d DeValue<'d>,
}

/// What a number without a unit means; Fly's client differs from place to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BareNumber {
    Seconds,
    Milliseconds,
    Nanoseconds,
}

impl BareNumber {
    const fn nanoseconds(self) -> i64 {
        match self {
            Self::Seconds => 1_000_000_000,
            Self::Milliseconds => 1_000_000,
            Self::Nanoseconds => 1,
        }
    }
}

impl<'d> Field<'d> {
    /// The last part of the path.
    pub(super) fn key(&self) -> &str {
        self.path.rsplit('.').next().unwrap_or(&self.path)
    }

    pub(super) const fn is_table(&self) -> bool {
        matches!(self.value, DeValue::Table(_))
    }

    pub(super) const fn is_list(&self) -> bool {
        matches!(self.value, DeValue::Array(_))
    }

    pub(super) fn text(&self) -> Option<&'d str> {
        if let DeValue::String(text) = self.value { Some(text.as_ref()) } else { None }
    }

    pub(super) fn flag(&self) -> Option<bool> {
        if let DeValue::Boolean(flag) = self.value { Some(*flag) } else { None }
    }

    /// A whole number, also one written as `8080.0`.
    pub(super) fn number(&self) -> Option<i64> {
        literal::whole_number(self.value)
    }

    /// The value as text, whatever it is, if it is a single one.
    pub(super) fn as_text(&self) -> Option<String> {
        literal::single_as_text(self.value)
    }

    /// The value as JSON, for options that only the platform understands.
    pub(super) fn json(&self) -> Value {
        literal::json(self.value)
    }

    /// This value becomes the TOML text `written`.
    pub(super) fn becomes(&self, written: impl Into<String>) -> Repair {
        self.repaired(Edit::Value(written.into()))
    }

    pub(super) fn repaired(&self, edit: Edit) -> Repair {
        Repair { place: self.place.clone(), edit }
    }

    pub(super) fn wrong(&self, problems: &mut Problems, expected: &str, hint: &str) {
        problems.push(self.mistake(expected, hint));
    }

    /// What `wrong` tells, for an edit to be added.
    pub(super) fn mistake(&self, expected: &str, hint: &str) -> Problem {
        let found = match self.value {
            DeValue::String(text) if text.chars().count() <= SHOWN_CHARACTERS => {
                format!("the text `{text}`")
            }
            DeValue::String(_) => "a text".to_owned(),
            DeValue::Integer(number) => format!("the number {number}"),
            DeValue::Float(number) => format!("the number {number}"),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        let message = format!("`{}` is {found}, but must be {expected}", self.path);
        Problem::error(&self.span, message, hint)
    }

    /// Tells that a text was expected where another single value stands: it lacks its quotes.
    pub(super) fn string(&self, problems: &mut Problems) -> Option<String> {
        if let Some(text) = self.text() {
            return Some(text.to_owned());
        }
        let quoted = self.as_text().map(|text| literal::quoted(&text));
        let hint = match &quoted {
            Some(quoted) => format!("put it in quotes: `{} = {quoted}`", self.key()),
            None => format!("write `{} = \"…\"`", self.key()),
        };
        let repair = quoted.map(|quoted| self.becomes(quoted));
        problems.push(self.mistake("a text", &hint).mended_by(repair));
        None
    }

    pub(super) fn boolean(&self, problems: &mut Problems) -> Option<bool> {
        if let Some(flag) = self.flag() {
            return Some(flag);
        }
        let key = self.key();
        let written = self.text().and_then(literal::flag_word);
        let hint = match written {
            Some(flag) => format!("remove the quotes: `{key} = {flag}`"),
            None => format!("write `{key} = true` or `{key} = false`"),
        };
        let repair = written.map(|flag| self.becomes(flag.to_string()));
        problems.push(self.mistake("true or false", &hint).mended_by(repair));
        None
    }

    pub(super) fn integer<T: TryFrom<i64>>(
        &self,
        range: RangeInclusive<i64>,
        problems: &mut Problems,
    ) -> Option<T> {
        let fitting = self.number().filter(|number| range.contains(number));
        if let Some(value) = fitting.and_then(|number| T::try_from(number).ok()) {
            return Some(value);
        }
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let quoted = self.text().and_then(|text| text.trim().parse::<i64>().ok());
        let quoted = quoted.filter(|number| range.contains(number));
        let hint = match quoted {
            Some(number) => format!("remove the quotes: `{} = {number}`", self.key()),
            None => format!("write `{} = {}`", self.key(), range.start()),
        };
        let repair = quoted.map(|number| self.becomes(number.to_string()));
        problems.push(self.mistake(&expected, &hint).mended_by(repair));
        None
    }

    /// A number that may be quoted or broken, as Fly's client allows for ports of `[[services]]`.
    pub(super) fn integer_or_text<T: TryFrom<i64>>(
        &self,
        range: RangeInclusive<i64>,
        problems: &mut Problems,
    ) -> Option<T> {
        if !self.is_mended {
            return self.integer(range, problems);
        }
        let read = match self.text() {
            Some(text) => text.parse::<i64>().ok(),
            None => literal::cut_number(self.value),
        };
        match read.filter(|number| range.contains(number)).map(T::try_from) {
            Some(Ok(value)) => Some(value),
            Some(Err(_)) | None => self.integer(range, problems),
        }
    }

    pub(super) fn duration(
        &self,
        bare: BareNumber,
        problems: &mut Problems,
    ) -> Option<WireDuration> {
        let bare = if self.is_mended { bare } else { BareNumber::Nanoseconds };
        let is_lenient = bare != BareNumber::Nanoseconds;
        match (self.text(), literal::cut_number(self.value)) {
            // Fly's client takes it for absent where it mends old forms.
            (Some(""), _) if is_lenient => return None,
            (Some(text), _) => {
                if let Ok(duration) = text.parse() {
                    return Some(duration);
                }
            }
            (None, Some(number)) => {
                let nanoseconds = number
                    .checked_mul(bare.nanoseconds())
                    .and_then(|nanoseconds| u64::try_from(nanoseconds).ok());
                if let Some(nanoseconds) = nanoseconds {
                    self.warn_of_nanoseconds(bare, number, problems);
                    return Some(WireDuration::from_nanos(nanoseconds));
                }
            }
            (None, None) if is_lenient => {
                let message =
                    format!("`{}` is no duration, and Fly's client leaves it out", self.path);
                let hint = format!("write a number and a unit: `{} = \"15s\"`", self.key());
                problems.push(Problem::warning(&self.span, message, hint));
                return None;
            }
            (None, None) => {}
        }
        let meant = self.text().and_then(literal::spelled_duration);
        let hint = match &meant {
            Some(meant) => format!("write it as Go does: `{} = \"{meant}\"`", self.key()),
            None => format!("write a number and a unit: `{} = \"15s\"`", self.key()),
        };
        let repair = meant.map(|meant| self.becomes(format!("\"{meant}\"")));
        problems.push(self.mistake("a duration", &hint).mended_by(repair));
        None
    }

    fn warn_of_nanoseconds(&self, bare: BareNumber, number: i64, problems: &mut Problems) {
        let is_meant = !(1..SHORTEST_MEANT_NANOSECONDS).contains(&number);
        if bare != BareNumber::Nanoseconds || is_meant {
            return;
        }
        let message = format!(
            "`{} = {number}` has no unit, and Fly's client reads it as nanoseconds here",
            self.path
        );
        let milliseconds = u64::try_from(number).unwrap_or_default();
        let meant = SURELY_MILLISECONDS
            .contains(&number)
            .then(|| WireDuration(std::time::Duration::from_millis(milliseconds)));
        let hint = match meant {
            Some(meant) => format!("write the unit: `{} = \"{meant}\"`", self.key()),
            None if number < *SURELY_MILLISECONDS.start() => {
                format!("write the unit: `{} = \"{number}s\"`", self.key())
            }
            None => format!("write the unit: `{} = \"{number}ns\"`, if that is meant", self.key()),
        };
        let repair = meant.map(|meant| self.becomes(format!("\"{meant}\"")));
        problems.push(Problem::warning(&self.span, message, hint).mended_by(repair));
    }

    pub(super) fn strings(&self, problems: &mut Problems) -> Vec<String> {
        let DeValue::Array(items) = self.value else {
            let listed = self.text().map(|text| literal::list(&[text.to_owned()]));
            let hint = match &listed {
                Some(listed) => format!("write `{} = {listed}`", self.key()),
                None => format!("write `{} = [\"…\"]`", self.key()),
            };
            let repair = listed.map(|listed| self.becomes(listed));
            problems.push(self.mistake("a list of texts", &hint).mended_by(repair));
            return Vec::new();
        };
        let texts: Option<Vec<String>> =
            items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
        if texts.is_none() {
            let hint = format!("write `{} = [\"…\"]`", self.key());
            let message = format!("`{}` holds more than texts", self.path);
            let singles: Option<Vec<String>> =
                items.iter().map(|item| literal::single_as_text(item.get_ref())).collect();
            let repair = singles.map(|singles| self.becomes(literal::list(&singles)));
            problems.push(Problem::error(&self.span, message, hint).mended_by(repair));
        }
        texts.unwrap_or_default()
    }

    pub(super) fn section(&self, problems: &mut Problems) -> Option<Section<'d>> {
        if let DeValue::Table(table) = self.value {
            return Some(self.as_section(table));
        }
        let only = match self.value {
            DeValue::Array(items) if items.len() == 1 => items.first().and_then(|only| {
                if let DeValue::Table(table) = only.get_ref() { Some(table) } else { None }
            }),
            DeValue::Array(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Table(_) => None,
        };
        let hint = if self.is_list() {
            format!("write `[{}]` with single brackets", self.path)
        } else {
            format!("write a section `[{}]`", self.path)
        };
        let repair = only.map(|_| self.repaired(Edit::Single));
        problems.push(self.mistake("one table", &hint).mended_by(repair));
        only.map(|table| self.entry(0, self.span.clone(), table))
    }

    pub(super) fn sections(&self, form: Form, problems: &mut Problems) -> Vec<Section<'d>> {
        let hint = format!("write `[[{}]]` with double brackets", self.path);
        match self.value {
            DeValue::Table(table) => {
                // Tables that have names would become keys of one entry, and be lost.
                let has_names = !table.is_empty()
                    && table.iter().all(|(_, value)| matches!(value.get_ref(), DeValue::Table(_)));
                let repair = (!has_names).then(|| self.repaired(Edit::List));
                let hint =
                    if has_names { format!("{hint}; its entries have no names") } else { hint };
                if form == Form::List || !self.is_mended {
                    problems.push(self.mistake("a list of tables", &hint).mended_by(repair));
                }
                vec![self.as_section(table)]
            }
            DeValue::Array(items) => self.entries(items, &hint, problems),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {
                self.wrong(problems, "a list of tables", &hint);
                Vec::new()
            }
        }
    }

    fn entries(
        &self,
        items: &'d DeArray<'d>,
        hint: &str,
        problems: &mut Problems,
    ) -> Vec<Section<'d>> {
        let mut sections = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if let DeValue::Table(table) = item.get_ref() {
                sections.push(self.entry(index, item.span(), table));
            } else {
                let message = format!("`{}` holds something that is no table", self.path);
                problems.add(&item.span(), message, hint);
            }
        }
        sections
    }

    fn as_section(&self, table: &'d toml::de::DeTable<'d>) -> Section<'d> {
        Section {
            path: self.path.clone(),
            place: self.place.clone(),
            span: self.span.clone(),
            is_mended: self.is_mended,
            table,
        }
    }

    fn entry(
        &self,
        index: usize,
        span: Range<usize>,
        table: &'d toml::de::DeTable<'d>,
    ) -> Section<'d> {
        let mut place = self.place.clone();
        place.push(Step::Index(index));
        Section { path: self.path.clone(), place, span, is_mended: self.is_mended, table }
    }
}
