//! Asks git what is known of a version: the commit, whether everything is committed, whether the
//! version has a tag and whether that tag is on the main branch. It changes nothing.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use jiff::Timestamp;
use semver::Version;
use thiserror::Error;
use tokio::process::Command;

/// Git answers all of these questions from the local repository, within a second.
const TIMEOUT: Duration = Duration::from_secs(20);

/// What counts as the main branch, the first that there is.
const MAIN_BRANCHES: [&str; 4] = ["origin/main", "main", "origin/master", "master"];

/// What git knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GitFacts {
    /// The commit that is checked out.
    pub head: String,
    /// Whether nothing is changed that is not committed.
    pub is_clean: bool,
    /// The version's tag, if there is one.
    pub tag: Option<Tag>,
}

/// A version's tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its name: the version, with a leading `v` or without.
    pub name: String,
    /// The commit that it names.
    pub commit: String,
    /// The main branch, and whether it holds the tag's commit; `None` without such a branch.
    pub main: Option<(String, bool)>,
}

/// Why git could not be asked.
#[derive(Debug, Error)]
pub enum VcsError {
    /// Git can't be run.
    #[error("could not run `git` in `{directory}`: {message}\nhint: install git (Debian: `git`)")]
    Run {
        /// Where.
        directory: PathBuf,
        /// What the system says.
        message: String,
    },
    /// Git failed.
    #[error("`git {arguments}` failed in `{directory}`: {message}\nhint: run it there by hand")]
    Failed {
        /// What it was asked.
        arguments: String,
        /// Where.
        directory: PathBuf,
        /// Its own words.
        message: String,
    },
}

/// What git knows of this version in this directory; `None` where no repository is.
pub async fn inspect(directory: &Path, version: &Version) -> Result<Option<GitFacts>, VcsError> {
    let git = Git { directory };
    if !git.is_repository().await? {
        return Ok(None);
    }
    let Some(head) = git.commit("HEAD").await? else {
        return Ok(None);
    };
    let changes = git.text(&["status", "--porcelain", "--untracked-files=no"]).await?;
    let mut tag = None;
    for name in [format!("v{version}"), version.to_string()] {
        if let Some(commit) = git.commit(&format!("refs/tags/{name}")).await? {
            let main = git.is_on_main(&commit).await?;
            tag = Some(Tag { name, commit, main });
            break;
        }
    }
    Ok(Some(GitFacts { head, is_clean: changes.is_empty(), tag }))
}

/// When a file was last changed by a commit; `None` where git knows of none.
pub async fn last_change(directory: &Path, file: &Path) -> Result<Option<Timestamp>, VcsError> {
    let git = Git { directory };
    if !git.is_repository().await? {
        return Ok(None);
    }
    let file = file.to_string_lossy();
    let seconds = git.text(&["log", "-1", "--format=%ct", "--", &file]).await?;
    Ok(seconds.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok()))
}

/// The highest version of which a tag is checked out, if there is one.
pub async fn version_at_head(directory: &Path) -> Result<Option<Version>, VcsError> {
    let git = Git { directory };
    if !git.is_repository().await? || git.commit("HEAD").await?.is_none() {
        return Ok(None);
    }
    let tags = git.text(&["tag", "--points-at", "HEAD"]).await?;
    let versions = tags.lines().map(|tag| tag.strip_prefix('v').unwrap_or(tag));
    Ok(versions.filter_map(|version| Version::parse(version).ok()).max())
}

/// The name that git signs commits with in this directory, if it has one.
pub async fn author(directory: &Path) -> Option<String> {
    let name = Git { directory }.text(&["config", "user.name"]).await.ok()?;
    Some(name).filter(|name| !name.is_empty())
}

/// What counts as the main branch in this directory, if there is one.
pub async fn main_branch(directory: &Path) -> Option<&'static str> {
    let git = Git { directory };
    for branch in MAIN_BRANCHES {
        if git.commit(branch).await.ok()?.is_some() {
            return Some(branch);
        }
    }
    None
}

struct Git<'a> {
    directory: &'a Path,
}

impl Git<'_> {
    /// A repository that git refuses to look into is one all the same, and an error.
    async fn is_repository(&self) -> Result<bool, VcsError> {
        match self.text(&["rev-parse", "--is-inside-work-tree"]).await {
            Ok(answer) => Ok(answer == "true"),
            Err(VcsError::Failed { message, .. }) if message.contains("not a git repository") => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    async fn is_on_main(&self, commit: &str) -> Result<Option<(String, bool)>, VcsError> {
        for branch in MAIN_BRANCHES {
            if self.commit(branch).await?.is_some() {
                let arguments = ["merge-base", "--is-ancestor", commit, branch];
                let is_on_main = self.run(arguments).await?.status.success();
                return Ok(Some((branch.to_owned(), is_on_main)));
            }
        }
        Ok(None)
    }

    /// The commit that a name means, if it means one.
    async fn commit(&self, name: &str) -> Result<Option<String>, VcsError> {
        let name = format!("{name}^{{commit}}");
        let output = self.run(["rev-parse", "--verify", "--quiet", &name]).await?;
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok((output.status.success() && !text.is_empty()).then_some(text))
    }

    async fn text(&self, arguments: &[&str]) -> Result<String, VcsError> {
        let output = self.run(arguments).await?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        Err(VcsError::Failed {
            arguments: arguments.join(" "),
            directory: self.directory.to_owned(),
            message: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        })
    }

    async fn run(
        &self,
        arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<Output, VcsError> {
        let failed =
            |message: String| VcsError::Run { directory: self.directory.to_owned(), message };
        let output = Command::new("git")
            .args(arguments)
            .current_dir(self.directory)
            // Looking must neither ask a person nor take the repository's locks.
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_OPTIONAL_LOCKS", "0")
            // Its words are looked at.
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output();
        match tokio::time::timeout(TIMEOUT, output).await {
            Ok(output) => output.map_err(|error| failed(error.to_string())),
            Err(_elapsed) => Err(failed(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn git(directory: &Path, arguments: &[&str]) {
        let output = Command::new("git")
            .args(["-c", "user.name=Test", "-c", "user.email=test@example.com"])
            .args(["-c", "commit.gpgsign=false", "-c", "tag.gpgsign=false"])
            .args(arguments)
            .current_dir(directory)
            .output()
            .await
            .expect("git runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    async fn commit(directory: &Path, content: &str) {
        std::fs::write(directory.join("file"), content).expect("written");
        git(directory, &["add", "file"]).await;
        git(directory, &["commit", "--quiet", "-m", content]).await;
    }

    #[tokio::test]
    async fn a_tag_is_found_and_told_whether_it_is_on_main() {
        let directory = tempfile::tempdir().expect("directory");
        let root = directory.path();
        git(root, &["init", "--quiet", "--initial-branch", "main"]).await;
        commit(root, "one").await;
        git(root, &["tag", "v1.0.0"]).await;
        git(root, &["checkout", "--quiet", "-b", "aside"]).await;
        commit(root, "two").await;
        git(root, &["tag", "-a", "-m", "two", "1.1.0"]).await;

        let facts = inspect(root, &Version::new(1, 0, 0)).await.expect("asked").expect("there");
        let tag = facts.tag.expect("tag");
        assert_eq!((tag.name.as_str(), tag.main), ("v1.0.0", Some(("main".to_owned(), true))));
        assert_ne!(tag.commit, facts.head);
        assert!(facts.is_clean);

        git(root, &["tag", "v1.0.1"]).await;
        git(root, &["tag", "latest"]).await;
        assert_eq!(version_at_head(root).await.expect("asked"), Some(Version::new(1, 1, 0)));

        std::fs::write(root.join("file"), "changed").expect("written");
        let facts = inspect(root, &Version::new(1, 1, 0)).await.expect("asked").expect("there");
        let tag = facts.tag.expect("tag");
        assert_eq!((tag.name.as_str(), tag.main), ("1.1.0", Some(("main".to_owned(), false))));
        assert_eq!(tag.commit, facts.head);
        assert!(!facts.is_clean);

        let changed = last_change(root, Path::new("file")).await.expect("asked");
        assert!(changed.is_some_and(|at| at > Timestamp::UNIX_EPOCH));
        assert_eq!(last_change(root, Path::new("absent")).await.expect("asked"), None);

        let facts = inspect(root, &Version::new(9, 0, 0)).await.expect("asked").expect("there");
        assert_eq!(facts.tag, None);
    }

    #[tokio::test]
    async fn a_directory_without_a_repository_has_no_facts() {
        let directory = tempfile::tempdir().expect("directory");
        let facts = inspect(directory.path(), &Version::new(1, 0, 0)).await.expect("asked");
        assert_eq!(facts, None);
    }

    #[tokio::test]
    async fn a_repository_that_git_cannot_read_is_an_error_and_not_a_missing_one() {
        let directory = tempfile::tempdir().expect("directory");
        git(directory.path(), &["init", "--quiet"]).await;
        std::fs::write(directory.path().join(".git/config"), "[broken").expect("written");
        let error = inspect(directory.path(), &Version::new(1, 0, 0)).await.expect_err("refused");
        assert!(error.to_string().contains("hint: "), "{error}");
    }
}
