//! App configs as the beginnings of services: which app each is for, in which environment, and
//! which two belong together.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use machines_api::fly_toml;
use toml_edit::DocumentMut;

use super::{Draft, fit};

/// Words by which apps and files say that they are not production.
const STAGING: [&str; 3] = ["staging", "stage", "stg"];

/// Words by which they say that they are.
const PRODUCTION: [&str; 2] = ["production", "prod"];

/// What one app config says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AppFile {
    /// Relative to the project's folder.
    pub(super) path: PathBuf,
    pub(super) app: String,
    is_staging: bool,
    /// As many as it keeps running, at least 1.
    pub(super) machines: u32,
    pub(super) dockerfile: Option<String>,
    text: String,
}

/// The two configs of a service, of which at least one is there.
#[derive(Debug, Default)]
pub(super) struct Pair {
    pub(super) staging: Option<AppFile>,
    pub(super) production: Option<AppFile>,
}

impl AppFile {
    /// What is not understood is left to `holdpoint check`: it tells the place and the mend.
    pub(super) fn read(folder: &Path, path: &Path) -> Self {
        let text = fs::read_to_string(folder.join(path)).unwrap_or_default();
        let document = text.parse::<DocumentMut>().unwrap_or_default();
        let word = |name: &str| document.get(name).and_then(|item| item.as_str());
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let app = word("app").map_or_else(|| app_of(&stem, folder, path), str::to_owned);
        let is_staging = says(&app, &STAGING) || says(&stem, &STAGING);
        let build = document.get("build").and_then(|build| build.get("dockerfile"));
        let dockerfile = build.and_then(|item| item.as_str()).map(str::to_owned);
        let config = fly_toml::parse(&text).ok();
        let machines = config.map_or(1, |config| config.min_machines_running().max(1));
        Self { path: path.to_path_buf(), app, is_staging, machines, dockerfile, text }
    }

    /// The name of the service: that of the app, without its environment.
    fn service(&self) -> String {
        let is_word =
            |word: &&str| !STAGING.contains(word) && !PRODUCTION.contains(word) && !word.is_empty();
        let words: Vec<&str> = self.app.split(['-', '_', '.']).filter(is_word).collect();
        fit(&words.join("-")).unwrap_or_else(|| "service".to_owned())
    }

    /// A draft of the other environment's config: the same in all but the app's name.
    pub(super) fn counterpart(&self, environment: &str) -> Draft {
        let service = self.service();
        let (app, others) = if environment == "staging" {
            (format!("{service}-staging"), PRODUCTION.as_slice())
        } else {
            (service, STAGING.as_slice())
        };
        let mut document = self.text.parse::<DocumentMut>().unwrap_or_default();
        // the name in its place keeps the comments around it
        match document.get_mut("app") {
            Some(place) => *place = toml_edit::value(&app),
            None => drop(document.insert("app", toml_edit::value(&app))),
        }
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stem = name.strip_suffix(".toml").unwrap_or(&name);
        let parts: Vec<&str> = stem.split('.').filter(|part| !others.contains(part)).collect();
        let path = self.path.with_file_name(format!("{}.{environment}.toml", parts.join(".")));
        let text = format!(
            "# Drafted by `holdpoint init` after `{name}`; only the app's name differs.\n{document}"
        );
        Draft { path, text }
    }
}

/// Configs that belong together, by the service's name.
pub(super) fn pairs(files: Vec<AppFile>) -> BTreeMap<String, Pair> {
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    for file in files {
        let pair = pairs.entry(file.service()).or_default();
        let place = if file.is_staging { &mut pair.staging } else { &mut pair.production };
        // the first by name: others are variants of it
        place.get_or_insert(file);
    }
    pairs
}

/// The app of a config that names none: Fly's client takes it from the command line.
fn app_of(stem: &str, folder: &Path, path: &Path) -> String {
    let place = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let place = place.and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    let rest = stem.strip_prefix("fly").unwrap_or(stem).trim_matches(['.', '-', '_']);
    let name = place.unwrap_or_else(|| super::project_name(folder));
    if rest.is_empty() { name } else { format!("{name}-{rest}") }
}

fn says(text: &str, words: &[&str]) -> bool {
    text.split(['-', '_', '.']).any(|part| words.contains(&part))
}
