//! Values of a TOML document, read with their path and span, so that every
//! wrong one is told where it stands. Keys are found whatever their case, as in
//! Fly's client.

use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Problems;
use crate::types::WireDuration;

#[derive(Clone, Debug)]
pub(super) struct Section<'d> {
    pub(super) path: String,
    pub(super) span: Range<usize>,
    table: &'d DeTable<'d>,
}

#[derive(Clone, Debug)]
pub(super) struct Field<'d> {
    pub(super) path: String,
    pub(super) span: Range<usize>,
    value: &'d DeValue<'d>,
}

/// Whether a single table may stand where a list of tables belongs: Fly's
/// client wraps it in some sections and refuses it in others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    List,
    ListOrTable,
}

/// What a number without a unit means; Fly's client differs from place to place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BareNumber {
    Seconds,
    Milliseconds,
    Nanoseconds,
}

impl<'d> Section<'d> {
    pub(super) const fn root(table: &'d DeTable<'d>, span: Range<usize>) -> Self {
        Self { path: String::new(), span, table }
    }

    pub(super) fn get(&self, key: &str) -> Option<Field<'d>> {
        let exact = self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key);
        let found = exact.or_else(|| {
            self.table.iter().find(|(name, _)| name.get_ref().eq_ignore_ascii_case(key))
        });
        found.map(|(_, value)| self.field(key, value))
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = (String, Field<'d>)> {
        self.table.iter().map(|(name, value)| {
            let name = name.get_ref().as_ref().to_owned();
            let field = self.field(&name, value);
            (name, field)
        })
    }

    pub(super) fn string(&self, key: &str, problems: &mut Problems) -> Option<String> {
        self.get(key)?.string(problems)
    }

    pub(super) fn boolean(&self, key: &str, problems: &mut Problems) -> Option<bool> {
        let field = self.get(key)?;
        if let DeValue::Boolean(value) = field.value {
            return Some(*value);
        }
        field.wrong(problems, "true or false", &format!("write `{key} = true` or `{key} = false`"));
        None
    }

    pub(super) fn integer<T: TryFrom<i64>>(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
        problems: &mut Problems,
    ) -> Option<T> {
        self.get(key)?.integer(range, problems)
    }

    pub(super) fn duration(
        &self,
        key: &str,
        bare: BareNumber,
        problems: &mut Problems,
    ) -> Option<WireDuration> {
        self.get(key)?.duration(bare, problems)
    }

    /// A list of strings; absent is empty.
    pub(super) fn strings(&self, key: &str, problems: &mut Problems) -> Vec<String> {
        self.get(key).map(|field| field.strings(problems)).unwrap_or_default()
    }

    pub(super) fn section(&self, key: &str, problems: &mut Problems) -> Option<Self> {
        self.get(key)?.section(problems)
    }

    /// The tables of a list; absent is empty.
    pub(super) fn sections(&self, key: &str, form: Form, problems: &mut Problems) -> Vec<Self> {
        self.get(key).map(|field| field.sections(form, problems)).unwrap_or_default()
    }

    fn field(&self, key: &str, value: &'d Spanned<DeValue<'d>>) -> Field<'d> {
        let path =
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        Field { path, span: value.span(), value: value.get_ref() }
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

    pub(super) fn number(&self) -> Option<i64> {
        if let DeValue::Integer(number) = self.value {
            i64::from_str_radix(number.as_str(), number.radix()).ok()
        } else {
            None
        }
    }

    pub(super) fn wrong(&self, problems: &mut Problems, expected: &str, hint: &str) {
        let found = match self.value {
            DeValue::String(text) if text.chars().count() <= 40 => format!("the text `{text}`"),
            DeValue::String(_) => "a text".to_owned(),
            DeValue::Integer(number) => format!("the number {number}"),
            DeValue::Float(number) => format!("the number {number}"),
            DeValue::Boolean(value) => value.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        problems.add(
            &self.span,
            format!("`{}` is {found}, but must be {expected}", self.path),
            hint,
        );
    }

    pub(super) fn string(&self, problems: &mut Problems) -> Option<String> {
        if self.text().is_none() {
            self.wrong(problems, "a text", &format!("write `{} = \"…\"`", self.key()));
        }
        self.text().map(str::to_owned)
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
        let hint = match quoted.filter(|number| range.contains(number)) {
            Some(number) => format!("remove the quotes: `{} = {number}`", self.key()),
            None => format!("write `{} = {}`", self.key(), range.start()),
        };
        self.wrong(problems, &expected, &hint);
        None
    }

    /// A number that may be quoted, as Fly's client allows for ports of `[[services]]`.
    pub(super) fn integer_or_text<T: TryFrom<i64>>(
        &self,
        range: RangeInclusive<i64>,
        problems: &mut Problems,
    ) -> Option<T> {
        let quoted = self.text().and_then(|text| text.trim().parse::<i64>().ok());
        match quoted.filter(|number| range.contains(number)).map(T::try_from) {
            Some(Ok(value)) => Some(value),
            Some(Err(_)) | None => self.integer(range, problems),
        }
    }

    pub(super) fn duration(
        &self,
        bare: BareNumber,
        problems: &mut Problems,
    ) -> Option<WireDuration> {
        let unit = match bare {
            BareNumber::Seconds => Duration::from_secs(1),
            BareNumber::Milliseconds => Duration::from_millis(1),
            BareNumber::Nanoseconds => Duration::from_nanos(1),
        };
        let parsed = if let Some(text) = self.text() {
            text.trim().parse().ok()
        } else {
            self.number()
                .and_then(|number| u64::try_from(number).ok())
                .and_then(|number| unit.as_nanos().checked_mul(u128::from(number)))
                .and_then(|nanoseconds| u64::try_from(nanoseconds).ok())
                .map(WireDuration::from_nanos)
        };
        if parsed.is_none() {
            let hint = format!("write a number and a unit: `{} = \"15s\"`", self.key());
            self.wrong(problems, "a duration", &hint);
        }
        parsed
    }

    pub(super) fn strings(&self, problems: &mut Problems) -> Vec<String> {
        let hint = format!("write `{} = [\"…\"]`", self.key());
        let DeValue::Array(items) = self.value else {
            self.wrong(problems, "a list of texts", &hint);
            return Vec::new();
        };
        let texts: Option<Vec<String>> =
            items.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect();
        if texts.is_none() {
            problems.add(&self.span, format!("`{}` holds more than texts", self.path), hint);
        }
        texts.unwrap_or_default()
    }

    pub(super) fn section(&self, problems: &mut Problems) -> Option<Section<'d>> {
        if let DeValue::Table(table) = self.value {
            return Some(Section { path: self.path.clone(), span: self.span.clone(), table });
        }
        let hint = if self.is_list() {
            format!("write `[{}]` with single brackets", self.path)
        } else {
            format!("write a section `[{}]`", self.path)
        };
        self.wrong(problems, "one table", &hint);
        None
    }

    pub(super) fn sections(&self, form: Form, problems: &mut Problems) -> Vec<Section<'d>> {
        if let (DeValue::Table(table), Form::ListOrTable) = (self.value, form) {
            return vec![Section { path: self.path.clone(), span: self.span.clone(), table }];
        }
        let hint = format!("write `[[{}]]` with double brackets", self.path);
        let DeValue::Array(items) = self.value else {
            self.wrong(problems, "a list of tables", &hint);
            return Vec::new();
        };
        let mut sections = Vec::new();
        for item in items {
            if let DeValue::Table(table) = item.get_ref() {
                sections.push(Section { path: self.path.clone(), span: item.span(), table });
            } else {
                let message = format!("`{}` holds something that is no table", self.path);
                problems.add(&item.span(), message, hint.clone());
            }
        }
        sections
    }

    /// The value as text, whatever it is, if it is a single one.
    pub(super) fn as_text(&self) -> Option<String> {
        match self.value {
            DeValue::String(text) => Some(text.as_ref().to_owned()),
            DeValue::Integer(_) => self.number().map(|number| number.to_string()),
            DeValue::Float(number) => Some(number.as_str().to_owned()),
            DeValue::Boolean(value) => Some(value.to_string()),
            DeValue::Datetime(moment) => Some(moment.to_string()),
            DeValue::Array(_) | DeValue::Table(_) => None,
        }
    }

    /// The value as JSON, for options that only the platform understands.
    pub(super) fn json(&self) -> Value {
        json(self.value)
    }
}

/// The depth of a document is bounded by the parser.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Null, Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(value) => Value::from(*value),
        DeValue::Datetime(moment) => Value::from(moment.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => table
            .iter()
            .map(|(name, value)| (name.get_ref().as_ref().to_owned(), json(value.get_ref())))
            .collect(),
    }
}
