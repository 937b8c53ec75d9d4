//! A first `holdpoint.toml` for a repository that deploys to Fly: what its files tell, the
//! runbook's defaults, and marks where only a person knows. It asks nothing and changes no file
//! that is there.

mod app_files;
mod programs;
mod text;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::adapter::vcs;
use crate::exit_code::ExitCode;
use crate::message::Problem;
use crate::project_file;

use app_files::AppFile;

/// How deep folders are searched for `fly*.toml`: one for each service, in a folder of services.
const DEPTH_MAX: usize = 3;

/// How many app configs are looked at; a project has at most 64 services with two each.
const FILES_MAX: usize = 128;

/// Folders that hold the work of tools, and copies of other people's repositories.
const SKIPPED: [&str; 5] = ["target", "node_modules", "vendor", "dist", "build"];

/// A file to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Relative to the folder.
    pub path: PathBuf,
    /// Its whole text.
    pub text: String,
}

/// What was made of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstProject {
    /// The project's file, and app configs that are missing beside those that are there.
    pub drafts: Vec<Draft>,
    /// What was found, for people.
    pub found: Vec<String>,
    /// What only a person knows.
    pub to_fill_in: Vec<String>,
}

/// A service of the project, as far as files tell.
#[derive(Clone, Debug, PartialEq, Eq)]
struct FoundService {
    name: String,
    staging: PathBuf,
    production: PathBuf,
    /// As many machines as the config keeps running.
    production_machines: u32,
    build: programs::FoundBuild,
}

/// Looks at a folder.
///
/// # Errors
/// When it can't be read, or no app config is in it.
pub async fn look(folder: &Path) -> Result<FirstProject, Problem> {
    let mut paths = Vec::new();
    search(folder, Path::new(""), 0, &mut paths)?;
    if paths.is_empty() {
        let sentence = format!("no `fly*.toml` is in `{}` or its folders", folder.display());
        return Err(Problem::new(ExitCode::Usage, sentence)
            .cause("a service of a project is an app of Fly in staging and in production")
            .hint("name the folder of your apps' configs: `holdpoint init FOLDER`")
            .hint("or write one for each environment, as docs/fly-toml.md shows"));
    }
    let programs = programs::of_cargo(folder);
    let mut project =
        FirstProject { drafts: Vec::new(), found: Vec::new(), to_fill_in: Vec::new() };
    let mut services = Vec::new();
    let files = paths.iter().map(|path| AppFile::read(folder, path)).collect::<Vec<_>>();
    for (name, pair) in app_files::pairs(files) {
        let staging = project.placed(pair.staging.as_ref(), pair.production.as_ref(), "staging");
        let production =
            project.placed(pair.production.as_ref(), pair.staging.as_ref(), "production");
        let (Some(staging), Some(production)) = (staging, production) else { continue };
        let known = pair.production.as_ref().or(pair.staging.as_ref());
        let machines = known.map_or(1, |file| file.machines);
        project.found.push(format!(
            "service `{name}`: `{}` in staging, `{}` in production, {machines} machine{} there",
            staging.display(),
            production.display(),
            if machines == 1 { "" } else { "s" }
        ));
        let build =
            programs::build_of(&name, known.and_then(|file| file.dockerfile.as_deref()), &programs);
        project.tell_build(&name, &build);
        let production_machines = machines;
        services.push(FoundService { name, staging, production, production_machines, build });
    }
    let author = vcs::author(folder).await;
    let author = author.as_deref().and_then(name_of_person);
    match &author {
        Some(name) => project.found.push(format!("person `{name}`, from git's `user.name`")),
        None => project.to_fill_in.push("`[[people]]`: your own name".to_owned()),
    }
    project.to_fill_in.extend([
        "`[[people]]`: a second engineer and a manager, since nobody approves their own release"
            .to_owned(),
        "`time_zone`: where the people are who respond".to_owned(),
        "`required_secrets` and `[[services.smoke]]` of each service".to_owned(),
    ]);
    match vcs::main_branch(folder).await {
        Some(branch) => project.found.push(format!("git's main branch is `{branch}`")),
        None => project.to_fill_in.push(
            "git: releases are tags on a branch `main` or `master`, and there is none here"
                .to_owned(),
        ),
    }
    let text = text::write(&project_name(folder), author.as_deref(), &services);
    project.drafts.insert(0, Draft { path: PathBuf::from("holdpoint.toml"), text });
    Ok(project)
}

impl FirstProject {
    /// The config of one environment: the one that is there, or a draft after the other's.
    fn placed(
        &mut self,
        own: Option<&AppFile>,
        other: Option<&AppFile>,
        environment: &str,
    ) -> Option<PathBuf> {
        if let Some(own) = own {
            return Some(own.path.clone());
        }
        let draft = other?.counterpart(environment);
        self.to_fill_in.push(format!(
            "`{}`: drafted after the other environment's; check its size and settings",
            draft.path.display()
        ));
        let path = draft.path.clone();
        self.drafts.push(draft);
        Some(path)
    }

    fn tell_build(&mut self, service: &str, build: &programs::FoundBuild) {
        if build.is_guess {
            self.to_fill_in.push(format!(
                "`[services.build]` of `{service}`: the command that makes its static program"
            ));
        } else {
            self.found.push(format!("`{service}` is built by `{}`", build.command.join(" ")));
        }
    }
}

/// The app configs of a folder and those below it, relative to it and by name.
fn search(
    folder: &Path,
    inside: &Path,
    depth: usize,
    found: &mut Vec<PathBuf>,
) -> Result<(), Problem> {
    let here = folder.join(inside);
    let configs = project_file::app_configs(&here)?;
    let names = configs.iter().filter_map(|path| path.file_name());
    found.extend(names.map(|name| inside.join(name)));
    let unreadable = |error: io::Error| {
        let sentence = format!("cannot read the folder `{}`", here.display());
        Problem::because(ExitCode::Usage, sentence, &error)
    };
    let mut folders = Vec::new();
    for entry in fs::read_dir(&here).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let is_skipped = name.starts_with('.') || SKIPPED.contains(&name.as_ref());
        // a link may lead around in circles
        if !is_skipped && entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            folders.push(inside.join(entry.file_name()));
        }
    }
    folders.sort();
    for below in folders.into_iter().filter(|_| depth < DEPTH_MAX) {
        if found.len() < FILES_MAX {
            search(folder, &below, depth + 1, found)?;
        }
    }
    found.truncate(FILES_MAX);
    Ok(())
}

/// The folder's name, made fit.
fn project_name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_path_buf());
    let name = whole.file_name().map(|name| name.to_string_lossy().into_owned());
    fit(&name.unwrap_or_default()).unwrap_or_else(|| "project".to_owned())
}

/// The first name, by which people sign.
fn name_of_person(whole: &str) -> Option<String> {
    fit(whole.split_whitespace().next()?)
}

/// Small letters, digits and hyphens of a text, if any are left.
fn fit(text: &str) -> Option<String> {
    let known = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let name: String = text.to_lowercase().chars().map(known).take(40).collect();
    let name = name.trim_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}
