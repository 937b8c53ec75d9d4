//! What `holdpoint check` says of the runbooks that a release writes into.

use std::fs;

use crate::{UNKNOWN_KEY, folder, seen};

#[tokio::test]
async fn a_runbook_whose_markers_are_not_right_is_told_with_file_and_line() {
    let folder = folder();
    let documents = "[documents]\nrunbook = \"deployment.md\"\nmonitoring_runbook = \"none.md\"\n";
    let project = UNKNOWN_KEY.replace("machine = 2\n", "") + documents;
    fs::write(folder.path().join("holdpoint.toml"), project).expect("written");
    let runbook = "# Deployment\n<!-- holdpoint:begin -->\n<!-- holdpoint:begin -->\n";
    fs::write(folder.path().join("deployment.md"), runbook).expect("written");
    let seen = seen(folder.path(), &["check", "--offline", "--json"]).await;
    for words in [
        "there is a second `<!-- holdpoint:begin -->`, the first is on line 2",
        "\"line\": 3",
        "keep one section, and remove the other's two markers",
        "cannot read the runbook",
        "none.md",
    ] {
        assert!(seen.contains(words), "{words} in {seen}");
    }
}
