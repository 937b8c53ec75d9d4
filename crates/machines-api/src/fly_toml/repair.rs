//! Makes the edits that mend a `fly.toml`, in the text itself: comments, order and everything
//! that is right stay as they are. It does not decide what is wrong.

use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, TableLike, Value};

use super::diagnostic::{Diagnostic, Severity};
use super::{Checked, check};

/// Edits that change the shape of the document are made one by one, each followed by another
/// look. A file with more of them than this is mended in part.
const ROUNDS_MAX: usize = 120;

/// The way to a value: keys as the file spells them, and numbers of list entries.
pub(super) type Place = Vec<Step>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// An edit and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Repair {
    pub(super) place: Place,
    pub(super) edit: Edit,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Edit {
    /// The value becomes this, written as TOML.
    Value(String),
    /// The table becomes a list that holds it.
    List,
    /// The list becomes the one table in it.
    Single,
    /// The section gets another key.
    Rename(String),
    /// The service is nothing but checks that were meant for `[http_service]`: its HTTP checks
    /// go there, its TCP checks become checks of the machine.
    MoveChecks,
}

/// A text and what came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Fixed {
    /// The same bytes as before if nothing was mended.
    pub text: String,
    /// How many edits were made.
    pub edits: usize,
    /// What is still wrong.
    pub left: Vec<Diagnostic>,
}

/// Mends what can only be meant in one way. `unknown_keys` is what they count as.
pub fn fix(text: &str, unknown_keys: Severity) -> Fixed {
    // Where both line ends stand side by side, neither is the one to write.
    let line_feeds = text.matches('\n').count();
    let carriage_returns = text.matches("\r\n").count();
    if carriage_returns > 0 && carriage_returns < line_feeds {
        let left = check(text, unknown_keys).diagnostics;
        return Fixed { text: text.to_owned(), edits: 0, left };
    }
    let mut mended = normal_line_ends(text);
    let mut left = check(&mended, unknown_keys).diagnostics;
    let mut edits = 0;
    // Edits that could not be made, or made things worse, are not tried again.
    let mut given_up: Vec<Repair> = Vec::new();
    for _ in 0..ROUNDS_MAX {
        let mut batch = next_batch(&left, &given_up);
        if batch.is_empty() {
            break;
        }
        // One edit that fails must not take the others with it.
        let mut outcome = attempt(&mended, &batch, &left, unknown_keys);
        if outcome.is_none() && batch.len() > 1 {
            batch.truncate(1);
            outcome = attempt(&mended, &batch, &left, unknown_keys);
        }
        match outcome {
            Some((text, checked)) => {
                edits += batch.len();
                mended = text;
                left = checked.diagnostics;
            }
            None => given_up.append(&mut batch),
        }
    }
    if edits == 0 {
        return Fixed { text: text.to_owned(), edits, left: check(text, unknown_keys).diagnostics };
    }
    if carriage_returns > 0 {
        mended = mended.replace('\n', "\r\n");
        left = check(&mended, unknown_keys).diagnostics;
    }
    Fixed { text: mended, edits, left }
}

/// `toml_edit` writes line feeds; a file with carriage returns gets them back at the end.
fn normal_line_ends(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// All edits of single values at once, since they move nothing; else the first of the others.
fn next_batch(left: &[Diagnostic], given_up: &[Repair]) -> Vec<Repair> {
    let open = left.iter().filter_map(|diagnostic| diagnostic.repair.clone());
    let mut open: Vec<Repair> = open.filter(|repair| !given_up.contains(repair)).collect();
    if open.iter().any(|repair| matches!(repair.edit, Edit::Value(_))) {
        open.retain(|repair| matches!(repair.edit, Edit::Value(_)));
    } else {
        open.truncate(1);
    }
    open
}

/// The text with the edits, unless one of them can't be made, leaves more errors than before or
/// takes a comment away.
fn attempt(
    text: &str,
    repairs: &[Repair],
    before: &[Diagnostic],
    unknown_keys: Severity,
) -> Option<(String, Checked)> {
    let mut document: DocumentMut = text.parse().ok()?;
    for repair in repairs {
        apply(&mut document, repair)?;
    }
    let edited = document.to_string();
    let checked = check(&edited, unknown_keys);
    let is_better = edited != text && errors(&checked.diagnostics) <= errors(before);
    // A comment in the middle of what is replaced would be lost: people may keep its sense.
    let keeps_comments = edited.matches('#').count() >= text.matches('#').count();
    (is_better && keeps_comments && edited.parse::<DocumentMut>().is_ok())
        .then_some((edited, checked))
}

fn errors(diagnostics: &[Diagnostic]) -> usize {
    diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error).count()
}

fn apply(document: &mut DocumentMut, repair: &Repair) -> Option<()> {
    let (last, way) = repair.place.split_last()?;
    match &repair.edit {
        Edit::Value(written) => {
            let written: Value = written.parse().ok()?;
            replace_value(item(document, &repair.place)?, written);
            Some(())
        }
        Edit::List => {
            let item = item(document, &repair.place)?;
            *item = listed(std::mem::take(item))?;
            Some(())
        }
        Edit::Single => {
            let item = item(document, &repair.place)?;
            *item = single(std::mem::take(item))?;
            Some(())
        }
        Edit::Rename(name) => {
            let Step::Key(key) = last else { return None };
            let table = table_like(document, way)?;
            if table.contains_key(name) {
                return None;
            }
            let item = table.remove(key)?;
            table.insert(name, item);
            Some(())
        }
        Edit::MoveChecks => move_checks(document, &repair.place),
    }
}

/// Keeps the comment behind the value.
pub(super) fn replace_value(item: &mut Item, mut written: Value) {
    let decor = item.as_value().map(|value| value.decor().clone());
    if let Some(decor) = decor {
        *written.decor_mut() = decor;
    }
    *item = Item::Value(written);
}

fn listed(item: Item) -> Option<Item> {
    match item {
        Item::Table(table) => {
            let mut tables = ArrayOfTables::new();
            tables.push(stand_alone(table));
            Some(Item::ArrayOfTables(tables))
        }
        Item::Value(Value::InlineTable(mut table)) => {
            let decor = std::mem::take(table.decor_mut());
            let mut array = Array::new();
            array.push(table);
            *array.decor_mut() = decor;
            Some(Item::Value(Value::Array(array)))
        }
        Item::Value(_) | Item::ArrayOfTables(_) | Item::None => None,
    }
}

fn single(item: Item) -> Option<Item> {
    match item {
        Item::ArrayOfTables(mut tables) => {
            (tables.len() == 1).then(|| Item::Table(tables.remove(0)))
        }
        Item::Value(Value::Array(mut array)) => {
            let decor = std::mem::take(array.decor_mut());
            let mut only = (array.len() == 1).then(|| array.remove(0))?;
            *only.decor_mut() = decor;
            Some(Item::Value(only))
        }
        Item::Value(_) | Item::Table(_) | Item::None => None,
    }
}

/// A table with a header of its own.
fn stand_alone(mut table: Table) -> Table {
    table.set_implicit(false);
    table.set_dotted(false);
    table
}

fn item<'a>(document: &'a mut DocumentMut, place: &[Step]) -> Option<&'a mut Item> {
    let (last, way) = place.split_last()?;
    match last {
        Step::Key(key) => table_like(document, way)?.get_mut(key),
        // The entries of a list are no items of their own.
        Step::Index(_) => None,
    }
}

pub(super) fn table_like<'a>(
    document: &'a mut DocumentMut,
    way: &[Step],
) -> Option<&'a mut dyn TableLike> {
    let mut table: &mut dyn TableLike = document.as_table_mut();
    let mut steps = way.iter().peekable();
    while let Some(step) = steps.next() {
        let Step::Key(key) = step else { return None };
        let item = table.get_mut(key)?;
        let index = match steps.peek() {
            Some(Step::Index(index)) => Some(*index),
            Some(Step::Key(_)) | None => None,
        };
        table = match index {
            None => item.as_table_like_mut()?,
            Some(index) => {
                steps.next();
                match item {
                    Item::ArrayOfTables(tables) => tables.get_mut(index)?,
                    Item::Value(Value::Array(array)) => {
                        array.get_mut(index)?.as_inline_table_mut()?
                    }
                    Item::Value(_) | Item::Table(_) | Item::None => return None,
                }
            }
        };
    }
    Some(table)
}

/// Takes the checks out of the service at `place`, and the service away.
fn move_checks(document: &mut DocumentMut, place: &[Step]) -> Option<()> {
    let service = table_like(document, place)?;
    let http_checks = tables(service.remove("http_checks"))?;
    let tcp_checks = tables(service.remove("tcp_checks"))?;
    if !service.is_empty() {
        return None;
    }
    remove_service(document, place)?;
    if !http_checks.is_empty() {
        let http_service = document.get_mut("http_service")?.as_table_mut()?;
        let checks = http_service
            .entry("checks")
            .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
            .as_array_of_tables_mut()?;
        for mut check in http_checks {
            write_units(&mut check);
            checks.push(check);
        }
    }
    if !tcp_checks.is_empty() {
        let checks = document.entry("checks").or_insert_with(|| {
            let mut checks = Table::new();
            checks.set_implicit(true);
            Item::Table(checks)
        });
        let checks = checks.as_table_mut()?;
        for check in tcp_checks {
            let name = free_name(checks);
            checks.insert(&name, Item::Table(tcp_check(&check)));
        }
    }
    Some(())
}

/// The tables of a list, or the single one; none for a list in a value, which has no headers.
fn tables(item: Option<Item>) -> Option<Vec<Table>> {
    match item {
        None => Some(Vec::new()),
        Some(Item::ArrayOfTables(tables)) => Some(tables.into_iter().map(stand_alone).collect()),
        Some(Item::Table(table)) => Some(vec![stand_alone(table)]),
        Some(Item::Value(_) | Item::None) => None,
    }
}

fn remove_service(document: &mut DocumentMut, place: &[Step]) -> Option<()> {
    let [Step::Key(key), rest @ ..] = place else { return None };
    let services = document.get_mut(key)?;
    if let ([Step::Index(index)], Item::ArrayOfTables(tables)) = (rest, services) {
        tables.remove(*index);
        if !tables.is_empty() {
            return Some(());
        }
    }
    document.remove(key)?;
    Some(())
}

/// A number is milliseconds in a service, and nanoseconds where the check goes.
fn write_units(check: &mut Table) {
    for key in ["interval", "timeout", "grace_period"] {
        let Some(item) = check.get_mut(key) else { continue };
        if let Some(milliseconds) = item.as_integer().and_then(|number| u64::try_from(number).ok())
        {
            let duration =
                crate::types::WireDuration(std::time::Duration::from_millis(milliseconds));
            replace_value(item, Value::from(duration.to_string()));
        }
    }
}

fn free_name(checks: &Table) -> String {
    let numbered = (2..).map(|number| format!("tcp-{number}"));
    let mut names = std::iter::once("tcp".to_owned()).chain(numbered);
    names.find(|name| !checks.contains_key(name)).unwrap_or_default()
}

/// The check with its type as the first setting, indented as the others are.
fn tcp_check(check: &Table) -> Table {
    let mut typed = Table::new();
    *typed.decor_mut() = check.decor().clone();
    typed.set_position(check.position());
    typed.insert("type", toml_edit::value("tcp"));
    let entries: Vec<(toml_edit::Key, Item)> = check
        .iter()
        .filter_map(|(name, item)| Some((check.key(name)?.clone(), item.clone())))
        .collect();
    if let (Some((first, _)), Some(mut key)) = (entries.first(), typed.key_mut("type")) {
        let indent = first.leaf_decor().prefix().and_then(|prefix| prefix.as_str());
        let indent = indent.and_then(|prefix| prefix.rsplit('\n').next()).unwrap_or_default();
        if indent.trim().is_empty() {
            key.leaf_decor_mut().set_prefix(indent);
        }
    }
    for (key, item) in entries {
        typed.insert_formatted(&key, item);
    }
    typed
}
