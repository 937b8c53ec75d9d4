//! A table of a TOML document with its place. Keys are found whatever their case, as in Fly's
//! client; but that client mends old forms only where every key on the way is in lower case.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::Problems;
use super::field::{BareNumber, Field};
use super::repair::{Place, Step};
use crate::types::WireDuration;

#[derive(Clone, Debug)]
pub(super) struct Section<'d> {
    /// As people name it, without the numbers of list entries.
    pub(super) path: String,
    pub(super) place: Place,
    pub(super) span: Range<usize>,
    /// Whether Fly's client mends old forms in here.
    pub(super) is_mended: bool,
    pub(super) table: &'d DeTable<'d>,
}

/// Whether a single table may stand where a list of tables belongs: Fly's
/// client wraps it in some sections and refuses it in others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    List,
    ListOrTable,
}

impl<'d> Section<'d> {
    pub(super) const fn root(table: &'d DeTable<'d>, span: Range<usize>) -> Self {
        Self { path: String::new(), place: Vec::new(), span, is_mended: true, table }
    }

    /// The same section, in a place where Fly's client mends nothing.
    pub(super) fn unmended(self) -> Self {
        Self { is_mended: false, ..self }
    }

    pub(super) fn get(&self, key: &str) -> Option<Field<'d>> {
        let exact = self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key);
        let found = exact.or_else(|| {
            self.table.iter().find(|(name, _)| name.get_ref().eq_ignore_ascii_case(key))
        });
        found.map(|(name, value)| self.field(key, name.get_ref().as_ref(), value))
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = (String, Field<'d>)> {
        self.table.iter().map(|(name, value)| {
            let name = name.get_ref().as_ref();
            (name.to_owned(), self.field(name, name, value))
        })
    }

    /// Every key as the file spells it, with its place, and what stands there.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, Range<usize>, Field<'d>)> {
        self.table.iter().map(|(key, value)| {
            let name = key.get_ref().as_ref();
            (name, key.span(), self.field(name, name, value))
        })
    }

    pub(super) fn string(&self, key: &str, problems: &mut Problems) -> Option<String> {
        self.get(key)?.string(problems)
    }

    pub(super) fn boolean(&self, key: &str, problems: &mut Problems) -> Option<bool> {
        self.get(key)?.boolean(problems)
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

    /// `key` is how the schema spells it, `name` how the file does.
    fn field(&self, key: &str, name: &str, value: &'d Spanned<DeValue<'d>>) -> Field<'d> {
        let path =
            if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) };
        let mut place = self.place.clone();
        place.push(Step::Key(name.to_owned()));
        Field {
            path,
            place,
            span: value.span(),
            is_mended: self.is_mended && name == key,
            value: value.get_ref(),
        }
    }
}
