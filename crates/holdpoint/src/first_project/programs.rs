//! How a service's program is built, as far as the repository's files show it. Nothing is run.

use std::fs;
use std::path::Path;

use toml_edit::DocumentMut;

/// For which machine programs are built: images hold a static program and nothing else.
const TARGET: &str = "x86_64-unknown-linux-musl";

/// The most members of a workspace that are looked at.
const MEMBERS_MAX: usize = 256;

/// The build of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FoundBuild {
    pub(super) command: Vec<String>,
    pub(super) binary: String,
    /// What stands beside it for the reader.
    pub(super) comment: String,
    /// Whether only a person can know it.
    pub(super) is_guess: bool,
}

/// The names of the programs that cargo builds in this folder.
pub(super) fn of_cargo(folder: &Path) -> Vec<String> {
    let Some(root) = manifest(folder) else { return Vec::new() };
    let mut programs = programs_of(folder, &root);
    let members = root.get("workspace").and_then(|it| it.get("members")?.as_array());
    for member in members.into_iter().flatten().filter_map(|it| it.as_str()) {
        match member.strip_suffix("/*") {
            Some(parent) => {
                let entries = fs::read_dir(folder.join(parent)).into_iter().flatten().flatten();
                for entry in entries.take(MEMBERS_MAX) {
                    programs.extend(of_member(&entry.path()));
                }
            }
            None => programs.extend(of_member(&folder.join(member))),
        }
    }
    programs.sort();
    programs.dedup();
    programs
}

/// The build of a service, from a program of its name.
pub(super) fn build_of(service: &str, dockerfile: Option<&str>, programs: &[String]) -> FoundBuild {
    let fits = |program: &&String| {
        service == program.as_str() || service.ends_with(&format!("-{program}"))
    };
    // the longest name says the most
    let named = programs.iter().filter(fits).max_by_key(|program| program.len());
    let only = programs.first().filter(|_| programs.len() == 1);
    if let Some(program) = named.or(only) {
        let words = ["cargo", "build", "--release", "--target", TARGET, "--bin", program];
        return FoundBuild {
            command: words.iter().map(|word| (*word).to_owned()).collect(),
            binary: format!("target/{TARGET}/release/{program}"),
            comment: "the image holds this program and `files`, so it must be static".to_owned(),
            is_guess: false,
        };
    }
    let comment = match dockerfile {
        Some(file) => format!(
            "fill in: `{file}` is not used; what makes the static program that the image holds"
        ),
        None => "fill in: what makes the static program that the image holds".to_owned(),
    };
    FoundBuild {
        command: vec!["make".to_owned(), service.to_owned()],
        binary: format!("build/{service}"),
        comment,
        is_guess: true,
    }
}

fn of_member(folder: &Path) -> Vec<String> {
    manifest(folder).map(|manifest| programs_of(folder, &manifest)).unwrap_or_default()
}

fn manifest(folder: &Path) -> Option<DocumentMut> {
    fs::read_to_string(folder.join("Cargo.toml")).ok()?.parse().ok()
}

fn programs_of(folder: &Path, manifest: &DocumentMut) -> Vec<String> {
    let bins = manifest.get("bin").and_then(|bins| bins.as_array_of_tables());
    let named = bins.into_iter().flatten().filter_map(|bin| bin.get("name")?.as_str());
    let mut programs: Vec<String> = named.map(str::to_owned).collect();
    let package = manifest.get("package").and_then(|package| package.get("name")?.as_str());
    if let Some(package) = package.filter(|_| folder.join("src/main.rs").is_file()) {
        programs.push(package.to_owned());
    }
    programs
}
