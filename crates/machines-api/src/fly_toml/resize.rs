//! Writes another size, or another number of running machines, into the text of a `fly.toml`:
//! comments and order stay. What can't be written so that it means only that is left to a person.

use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, TableLike, Value};

use super::compute::SPELLINGS;
use super::group::last_index_for;
use super::repair::{Step, replace_value, table_like};
use super::{FlyConfig, parse};
use crate::types::Guest;

/// The text with this size for machines of the default process group; `None` where no edit means
/// that and nothing else.
pub fn with_size(text: &str, guest: &Guest) -> Option<String> {
    let before = parse(text).ok()?;
    edited(text, |document| write_size(document, &before, guest)).filter(|edited| {
        parse(edited).is_ok_and(|after| {
            let is_wanted = after.memory_mb() == guest.memory_mb && after.cpus() == guest.cpus;
            is_wanted && others(&before).all(|group| sizes_agree(&before, &after, group))
        })
    })
}

/// The text with this number of machines that are kept running; `None` where no edit means that
/// and nothing else.
pub fn with_min_machines_running(text: &str, number: u32) -> Option<String> {
    let before = parse(text).ok()?;
    let group = before.default_group();
    // An app with several services says it for each; which one is meant, a person knows.
    if before.services.len() != 1 || !before.services.iter().all(|service| service.is_for(group)) {
        return None;
    }
    let write = |document: &mut DocumentMut| {
        let ways = [
            vec![key("http_service")],
            vec![key("services"), Step::Index(0)],
            vec![key("services")],
        ];
        let way = ways.into_iter().find(|way| table_like(document, way).is_some())?;
        put(table_like(document, &way)?, "min_machines_running", i64::from(number).into());
        Some(())
    };
    edited(text, write)
        .filter(|edited| parse(edited).is_ok_and(|after| after.min_machines_running() == number))
}

fn edited(text: &str, edit: impl FnOnce(&mut DocumentMut) -> Option<()>) -> Option<String> {
    let line_feeds = text.matches('\n').count();
    let carriage_returns = text.matches("\r\n").count();
    // Where both line ends stand side by side, neither is the one to write.
    if carriage_returns > 0 && carriage_returns < line_feeds {
        return None;
    }
    let mut document: DocumentMut = text.replace("\r\n", "\n").parse().ok()?;
    edit(&mut document)?;
    let edited = document.to_string();
    Some(if carriage_returns > 0 { edited.replace('\n', "\r\n") } else { edited })
}

fn write_size(document: &mut DocumentMut, before: &FlyConfig, guest: &Guest) -> Option<()> {
    let Some(index) = last_index_for(&before.guests, before.default_group()) else {
        // Without `[[vm]]` the size was set by other means; now the file says all of it.
        let mut table = Table::new();
        table.insert("memory", toml_edit::value(megabytes(guest.memory_mb)));
        table.insert("cpus", toml_edit::value(i64::from(guest.cpus)));
        if !guest.cpu_kind.is_empty() {
            table.insert("cpu_kind", toml_edit::value(&guest.cpu_kind));
        }
        table.decor_mut().set_prefix("\n");
        let mut tables = ArrayOfTables::new();
        tables.push(table);
        document.insert("vm", Item::ArrayOfTables(tables));
        return Some(());
    };
    let way = ways_to_sizes(document).into_iter().nth(index)?;
    let table = table_like(document, &way)?;
    if before.memory_mb() != guest.memory_mb {
        // The number goes before the text where both are there.
        if table.contains_key("memory_mb") {
            put(table, "memory_mb", i64::try_from(guest.memory_mb).ok()?.into());
        } else {
            put(table, "memory", megabytes(guest.memory_mb).into());
        }
    }
    if before.cpus() != guest.cpus {
        put(table, "cpus", i64::from(guest.cpus).into());
    }
    Some(())
}

/// The ways to the sections of sizes, in the order in which they are read.
fn ways_to_sizes(document: &mut DocumentMut) -> Vec<Vec<Step>> {
    let mut ways = Vec::new();
    for name in SPELLINGS {
        if table_like(document, &[key(name)]).is_some() {
            ways.push(vec![key(name)]);
            continue;
        }
        let listed = (0..).map(|index| vec![key(name), Step::Index(index)]);
        ways.extend(listed.take_while(|way| table_like(document, way).is_some()));
    }
    ways
}

fn put(table: &mut dyn TableLike, name: &str, value: Value) {
    if let Some(item) = table.get_mut(name) {
        replace_value(item, value);
        return;
    }
    // A new setting stands as far in as its neighbours.
    let indent = table.iter().next().and_then(|(first, _)| {
        let prefix = table.key(first)?.leaf_decor().prefix()?.as_str()?;
        prefix.rsplit('\n').next().filter(|indent| indent.trim().is_empty())
    });
    let indent = indent.map(str::to_owned);
    table.insert(name, Item::Value(value));
    if let (Some(indent), Some(mut key)) = (indent, table.key_mut(name)) {
        key.leaf_decor_mut().set_prefix(indent);
    }
}

fn key(name: &str) -> Step {
    Step::Key(name.to_owned())
}

fn megabytes(memory_mb: u64) -> String {
    format!("{memory_mb}mb")
}

fn others(config: &FlyConfig) -> impl Iterator<Item = &str> {
    config.groups().filter(|group| *group != config.default_group())
}

fn sizes_agree(before: &FlyConfig, after: &FlyConfig, group: &str) -> bool {
    let size = |config: &FlyConfig| config.machine_config_of(group, "").guest;
    size(before) == size(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(memory_mb: u64, cpus: u32) -> Guest {
        Guest { cpu_kind: "shared".to_owned(), cpus, memory_mb, ..Guest::default() }
    }

    #[test]
    fn a_size_is_written_where_it_stood_and_its_comment_stays() {
        let text = "app = \"a\"\n\n[[vm]]\n  memory = \"512mb\"  # adjust based on monitoring\n  cpu_kind = \"shared\"\n";
        let edited = with_size(text, &guest(1024, 2)).expect("edited");
        let wanted = "app = \"a\"\n\n[[vm]]\n  memory = \"1024mb\"  # adjust based on monitoring\n  cpu_kind = \"shared\"\n  cpus = 2\n";
        assert_eq!(edited, wanted);
        assert_eq!(with_size(&edited, &guest(512, 2)), Some(edited.replace("1024mb", "512mb")));
        let dos = text.replace('\n', "\r\n");
        assert_eq!(with_size(&dos, &guest(1024, 2)), Some(edited.replace('\n', "\r\n")));
    }

    #[test]
    fn every_shape_of_the_section_is_found() {
        for text in [
            "app = \"a\"\n[[vm]]\nsize = \"shared-cpu-1x\"\n",
            "app = \"a\"\n[[vm]]\nmemory_mb = 512 # many\nmemory = \"1gb\"\n",
            "app = \"a\"\n[[compute]]\nmemory = \"1gb\"\n",
            "app = \"a\"\nvm = [{ memory = \"1gb\" }]\n",
            "app = \"a\"\n# nothing about a size\n",
        ] {
            let edited = with_size(text, &guest(768, 1)).unwrap_or_else(|| panic!("{text}"));
            let read = parse(&edited).expect("read");
            assert_eq!((read.memory_mb(), read.cpus()), (768, 1), "{edited}");
            assert_eq!(edited.matches('#').count(), text.matches('#').count());
        }
    }

    #[test]
    fn a_size_that_other_process_groups_share_is_left_to_a_person() {
        let text =
            "app = \"a\"\n[processes]\napp = \"x\"\nwork = \"y\"\n[[vm]]\nmemory = \"512mb\"\n";
        assert_eq!(with_size(text, &guest(1024, 1)), None);
        let own = format!("{text}[[vm]]\nmemory = \"512mb\"\nprocesses = [\"app\"]\n");
        let edited = with_size(&own, &guest(1024, 1)).expect("edited");
        assert!(edited.contains("memory = \"1024mb\"\nprocesses"), "{edited}");
    }

    #[test]
    fn the_number_of_running_machines_is_written_into_the_only_service() {
        let text = "app = \"a\"\n[http_service]\n  internal_port = 8080\n  min_machines_running = 0 # sleeps\n";
        let edited = with_min_machines_running(text, 2);
        assert_eq!(edited, Some(text.replace("= 0 #", "= 2 #")));
        let absent = "app = \"a\"\n[[services]]\n  internal_port = 8080\n  protocol = \"tcp\"\n";
        let edited = with_min_machines_running(absent, 1).expect("edited");
        assert!(edited.ends_with("  min_machines_running = 1\n"), "{edited}");
        let two = format!("{absent}[[services]]\ninternal_port = 9\nprotocol = \"tcp\"\n");
        assert_eq!(with_min_machines_running(&two, 1), None);
    }
}
