//! Whether the release notes are written (the runbook's "Deployment notes prepared").

use std::path::Path;

use holdpoint_core::project::Project;
use semver::Version;

use super::finding::{Finding, Lack};
use super::skipped;

pub(super) async fn look(root: &Path, project: &Project, version: &Version) -> Finding {
    let Some(pattern) = &project.release_notes else {
        return Ok(skipped("the project asks for none"));
    };
    let path = pattern.replace("{version}", &version.to_string());
    let hint = format!("write what changes for whom into `{path}`");
    match tokio::fs::read(root.join(&path)).await {
        Ok(text) if text.iter().all(u8::is_ascii_whitespace) => {
            Err(Lack::new(format!("`{path}` is empty"), hint))
        }
        Ok(text) => Ok(format!("`{path}` has {} bytes", text.len())),
        Err(error) => Err(Lack::new(format!("`{path}` can't be read: {error}"), hint)),
    }
}
