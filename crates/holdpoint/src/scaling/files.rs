//! Writes the new size or number where the next release reads it; comments stay. What can't be
//! written so that it means only that is told, for a person to write.

use std::fs;
use std::path::Path;

use holdpoint_core::id::Environment;
use holdpoint_core::project;
use machines_api::fly_toml;
use machines_api::types::Guest;
use toml_edit::{DocumentMut, Item};

use crate::adapter::files;
use crate::exit_code::ExitCode;
use crate::message::{self, Problem};

pub(super) fn write_size(path: &Path, guest: &Guest) -> Result<(), Problem> {
    let by_hand = format!("[[vm]] memory = \"{}mb\", cpus = {}", guest.memory_mb, guest.cpus);
    write(path, &by_hand, |text| fly_toml::with_size(text, guest))
}

pub(super) fn write_min_running(path: &Path, number: u32) -> Result<(), Problem> {
    let by_hand = format!("min_machines_running = {number}");
    write(path, &by_hand, |text| fly_toml::with_min_machines_running(text, number))
}

pub(super) fn write_count(
    path: &Path,
    service: &str,
    environment: Environment,
    count: u32,
) -> Result<(), Problem> {
    let by_hand = format!("[services.{environment}] machines = {count}, for `{service}`");
    write(path, &by_hand, |text| with_count(text, service, environment, count))
}

/// The project's text with this number of machines, if it then says that.
fn with_count(text: &str, service: &str, environment: Environment, count: u32) -> Option<String> {
    let mut document: DocumentMut = text.parse().ok()?;
    let services = document.get_mut("services")?.as_array_of_tables_mut()?;
    let name = |table: &toml_edit::Table| table.get("name")?.as_str().map(str::to_owned);
    let place = services.iter().position(|table| name(table).as_deref() == Some(service))?;
    let table = services.get_mut(place)?;
    let placement = table.get_mut(&environment.to_string())?.as_table_like_mut()?;
    let mut number = toml_edit::Value::from(i64::from(count));
    if let Some(old) = placement.get("machines").and_then(Item::as_value) {
        *number.decor_mut() = old.decor().clone();
    }
    placement.insert("machines", Item::Value(number));
    if let Some(inline) = table.get_mut(&environment.to_string())?.as_inline_table_mut() {
        inline.fmt();
    }
    let edited = document.to_string();
    let (project, _) = project::parse(&edited);
    let says = project?.service(service)?.placement(environment).machines;
    (says == count).then_some(edited)
}

fn write(
    path: &Path,
    by_hand: &str,
    edit: impl FnOnce(&str) -> Option<String>,
) -> Result<(), Problem> {
    let failed = |operation: &'static str| {
        let sentence =
            format!("the machines are scaled, but `{}` can't be {operation}", path.display());
        let hint = format!("write `{by_hand}` into it, else the next release undoes it");
        move |error: std::io::Error| {
            Problem::because(ExitCode::Unexpected, sentence, &error).hint(hint)
        }
    };
    let text = fs::read_to_string(path).map_err(failed("read"))?;
    match edit(&text) {
        Some(edited) if edited == text => {}
        Some(edited) => {
            files::replace(path, edited.as_bytes()).map_err(failed("written"))?;
            message::print(&format!("{} now says {by_hand}\n", path.display()));
        }
        None => message::tell(&format!(
            "write `{by_hand}` into `{}`: no edit means only that, and the next release undoes what the file does not say\n",
            path.display()
        )),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROJECT: &str = "[project]\nname = \"shop\"\ntime_zone = \"UTC\"\n[[people]]\nname = \"ada\"\nroles = [\"engineer\", \"manager\"]\n[[services]]\nname = \"web\"\nbuild = { command = [\"true\"], binary = \"p\" }\nstaging = { config = \"s.toml\" }\n[services.production]\nconfig = \"p.toml\" # ours\nmachines = 2 # by day\n";

    #[test]
    fn the_projects_file_says_the_new_number_and_keeps_its_comments() {
        let production = with_count(PROJECT, "web", Environment::Production, 3);
        assert_eq!(production, Some(PROJECT.replace("= 2 #", "= 3 #")));
        let staging = with_count(PROJECT, "web", Environment::Staging, 2).expect("edited");
        assert!(staging.contains("staging = { config = \"s.toml\", machines = 2 }"), "{staging}");
        assert_eq!(with_count(PROJECT, "store", Environment::Staging, 2), None);
        assert_eq!(with_count(PROJECT, "web", Environment::Staging, 5000), None);
    }
}
