//! `holdpoint init`: writes a first project file for the apps of a repository.

use crate::adapter::files;
use crate::cli::arguments::Init;
use crate::exit_code::ExitCode;
use crate::first_project;
use crate::message::{self, Problem};

pub(super) async fn init(flags: &Init) -> Result<ExitCode, Problem> {
    let folder = &flags.folder;
    let project = first_project::look(folder).await?;
    // what `init` drafted before is the person's by now, unless they ask for it again
    let there = project.drafts.iter().map(|draft| folder.join(&draft.path));
    if let Some(path) = there.into_iter().find(|path| path.exists() && !flags.force) {
        return Err(Problem::new(ExitCode::Refused, format!("`{}` is there", path.display()))
            .hint("check it with `holdpoint check`")
            .hint("or write it anew with `holdpoint init --force`; what it says now is lost"));
    }
    for draft in &project.drafts {
        let path = folder.join(&draft.path);
        files::replace(&path, draft.text.as_bytes()).map_err(|error| {
            let sentence = format!("cannot write `{}`", path.display());
            Problem::because(ExitCode::Unexpected, sentence, &error)
                .hint("check that the folder may be written and the disk is not full")
        })?;
    }
    let names = project.drafts.iter().map(|draft| format!("wrote `{}`\n", draft.path.display()));
    let found = project.found.iter().map(|found| format!("found: {found}\n"));
    let missing = project.to_fill_in.iter().map(|missing| format!("fill in: {missing}\n"));
    let text: String = names.chain(found).chain(missing).collect();
    message::print(&format!("{text}next: `holdpoint check`, then `holdpoint window`\n"));
    Ok(ExitCode::Done)
}
