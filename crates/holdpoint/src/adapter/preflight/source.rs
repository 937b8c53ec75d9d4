//! What git knows of the version: whether exactly its tag is checked out, and whether that tag is
//! on the main branch (the runbook's "Version tagged" and "Code … merged to main branch").

use std::path::Path;

use semver::Version;

use super::finding::{Finding, Lack};
use super::skipped;
use crate::adapter::vcs::{self, GitFacts, Tag, VcsError};

/// Whether exactly the version's tag is checked out.
pub(super) async fn tag(root: &Path, version: &Version, is_rehearsal: bool) -> Finding {
    match vcs::inspect(root, version).await {
        Ok(None) => Ok(skipped("the project is in no git repository")),
        Ok(Some(facts)) if is_rehearsal => {
            let head = &facts.head;
            Ok(skipped(&format!("a rehearsal needs no tag; its images are built from {head}")))
        }
        Ok(Some(facts)) => judge_tag(&facts, version),
        Err(error) => not_asked(&error, is_rehearsal),
    }
}

/// Whether that tag is on the main branch.
pub(super) async fn merged(root: &Path, version: &Version, is_rehearsal: bool) -> Finding {
    match vcs::inspect(root, version).await {
        Ok(None) => Ok(skipped("the project is in no git repository")),
        Ok(Some(_)) if is_rehearsal => Ok(skipped("a rehearsal needs no tag")),
        Ok(Some(facts)) => judge_merged(&facts, version),
        Err(error) => not_asked(&error, is_rehearsal),
    }
}

fn not_asked(error: &VcsError, is_rehearsal: bool) -> Finding {
    if is_rehearsal {
        return Ok(skipped("a rehearsal needs no tag, and git can't be asked"));
    }
    Err(Lack::told(error, "ask git by hand"))
}

fn no_tag(version: &Version) -> Lack {
    Lack::new(
        format!("there is no tag `v{version}`"),
        format!("merge to the main branch, then `git tag v{version}`"),
    )
}

fn judge_tag(facts: &GitFacts, version: &Version) -> Finding {
    let GitFacts { head, is_clean, tag } = facts;
    let Tag { name, commit, .. } = tag.as_ref().ok_or_else(|| no_tag(version))?;
    if commit != head {
        return Err(Lack::new(
            format!("tag `{name}` is {commit}, but {head} is checked out"),
            format!("`git checkout {name}`, then release again"),
        ));
    }
    if !is_clean {
        return Err(Lack::new(
            format!("the files differ from tag `{name}`"),
            "commit or undo what `git status` shows, then release again",
        ));
    }
    Ok(format!("tag `{name}` is {commit}, and nothing else is checked out"))
}

fn judge_merged(facts: &GitFacts, version: &Version) -> Finding {
    let Tag { name, main, .. } = facts.tag.as_ref().ok_or_else(|| no_tag(version))?;
    match main {
        Some((branch, true)) => Ok(format!("tag `{name}` is on `{branch}`")),
        Some((branch, false)) => Err(Lack::new(
            format!("tag `{name}` is not on `{branch}`"),
            format!("merge it to `{branch}` first"),
        )),
        None => Err(Lack::new(
            "there is no branch `main` or `master` to look for the tag on",
            "fetch the main branch",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(tag: Option<Tag>) -> GitFacts {
        GitFacts { head: "abc".to_owned(), is_clean: true, tag }
    }

    fn tag(commit: &str, is_on_main: bool) -> Tag {
        let main = Some(("main".to_owned(), is_on_main));
        Tag { name: "v1.0.0".to_owned(), commit: commit.to_owned(), main }
    }

    #[test]
    fn a_release_comes_from_a_clean_tag_on_main() {
        let version = Version::new(1, 0, 0);
        let judge = |facts: &GitFacts| {
            judge_tag(facts, &version).and_then(|_| judge_merged(facts, &version))
        };
        assert!(judge(&facts(Some(tag("abc", true)))).is_ok());
        for (wrong, expected) in [
            (facts(None), "there is no tag `v1.0.0`"),
            (facts(Some(tag("def", true))), "but abc is checked out"),
            (facts(Some(tag("abc", false))), "is not on `main`"),
            (GitFacts { is_clean: false, ..facts(Some(tag("abc", true))) }, "the files differ"),
        ] {
            let Lack { detail, hint } = judge(&wrong).expect_err("refused");
            assert!(detail.contains(expected) && !hint.is_empty(), "{detail}");
        }
    }
}
