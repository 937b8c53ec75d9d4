//! The environment that points Fly's own command-line client at a platform on this computer, as a
//! file that a shell reads. It names the token's file and does not hold the token.

use std::fs;
use std::path::{Path, PathBuf};

use crate::exit_code::ExitCode;
use crate::message::Problem;
use crate::settings::AddressFile;

/// The file's name, inside the state directory.
const FILE: &str = "fly.env";

/// The folder of the client's own settings, inside the state directory: those for Fly, with
/// another token and other versions of secrets, stay as they are.
const CONFIG_FOLDER: &str = "fly";

/// Writes the file; gives its path.
pub(super) fn write(state_dir: &Path, address: &AddressFile) -> Result<PathBuf, Problem> {
    let path = state_dir.join(FILE);
    fs::write(&path, text(state_dir, address)).map_err(|error| {
        let sentence = format!("cannot write `{}`", path.display());
        Problem::because(ExitCode::Unexpected, sentence, &error)
            .hint("check that the state directory may be written")
    })?;
    Ok(path)
}

fn text(state_dir: &Path, address: &AddressFile) -> String {
    let api = quoted(&address.api);
    let host = address.api.split_once("://").map_or(address.api.as_str(), |(_, host)| host);
    let token_file = quoted(&address.token_file.display().to_string());
    let config = quoted(&state_dir.join(CONFIG_FOLDER).display().to_string());
    let mut lines: Vec<String> = ["FLY_FLAPS_BASE_URL", "FLY_API_BASE_URL", "FLY_UIEX_BASE_URL"]
        .iter()
        .map(|name| format!("export {name}={api}"))
        .collect();
    lines.push(format!("export FLY_REGISTRY_HOST={}", quoted(host)));
    lines.push(format!("export FLY_API_TOKEN=\"$(cat {token_file})\""));
    lines.push("unset FLY_ACCESS_TOKEN".to_owned());
    lines.push(format!("export FLY_CONFIG_DIR={config}"));
    lines.push(format!("export HOLDPOINT_PROXY_URL={}", quoted(&address.proxy)));
    // what would ask servers elsewhere
    lines.push("export FLY_SEND_METRICS=0 FLY_SYNTHETICS_AGENT=0".to_owned());
    lines.push("export FLY_NO_UPDATE_CHECK=1 FLY_NO_INCIDENTS_CHECK=1".to_owned());
    lines.join("\n") + "\n"
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_that_reads_the_file_speaks_to_this_platform_and_the_token_is_not_in_it() {
        let address = AddressFile {
            api: "http://127.0.0.1:4280".to_owned(),
            proxy: "http://127.0.0.1:4281".to_owned(),
            token_file: PathBuf::from("/state/ada's/platform-token"),
        };
        insta::assert_snapshot!(text(Path::new("/state/ada's"), &address), @r#"
        export FLY_FLAPS_BASE_URL='http://127.0.0.1:4280'
        export FLY_API_BASE_URL='http://127.0.0.1:4280'
        export FLY_UIEX_BASE_URL='http://127.0.0.1:4280'
        export FLY_REGISTRY_HOST='127.0.0.1:4280'
        export FLY_API_TOKEN="$(cat '/state/ada'\''s/platform-token')"
        unset FLY_ACCESS_TOKEN
        export FLY_CONFIG_DIR='/state/ada'\''s/fly'
        export HOLDPOINT_PROXY_URL='http://127.0.0.1:4281'
        export FLY_SEND_METRICS=0 FLY_SYNTHETICS_AGENT=0
        export FLY_NO_UPDATE_CHECK=1 FLY_NO_INCIDENTS_CHECK=1
        "#);
    }
}
