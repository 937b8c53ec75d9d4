//! `holdpoint scale`: what is refused before anything is changed.

use std::fs;

use super::{UNKNOWN_KEY, folder, seen};

#[tokio::test]
async fn a_scaling_that_means_nothing_or_too_much_is_refused_with_what_mends_it() {
    let folder = folder();
    let project = UNKNOWN_KEY.replace("machine = 2\n", "");
    fs::write(folder.path().join("holdpoint.toml"), project).expect("written");
    let scale = |more: &[&'static str]| [&["scale", "web", "production"], more].concat();
    insta::assert_snapshot!(seen(folder.path(), &scale(&[])).await, @r"
    exit 2
    --- stdout

    --- stderr
    error: nothing was said to scale

    hint: give `--memory MB`, `--cpus N`, `--count N` or `--min-running N`
    ");
    insta::assert_snapshot!(seen(folder.path(), &scale(&["--count", "0"])).await, @r"
    exit 3
    --- stdout

    --- stderr
    error: `--count 0` takes `web` offline
      cause: every machine of it in production would be stopped

    hint: repeat it with `--yes` if that is meant, and say why with `--reason`
    ");
    let kept = scale(&["--count", "1", "--min-running", "2"]);
    insta::assert_snapshot!(seen(folder.path(), &kept).await, @r"
    exit 2
    --- stdout

    --- stderr
    error: 2 machines can't be kept running where 1 are

    hint: give `--min-running` no more than `--count`
    ");
    insta::assert_snapshot!(
        seen(folder.path(), &["scale", "wab", "production", "--cpus", "2"]).await,
        @r"
    exit 2
    --- stdout

    --- stderr
    error: the project has no service `wab`

    hint: name one of `web`
    "
    );
    insta::assert_snapshot!(seen(folder.path(), &["scale", "--help"]).await);
}
