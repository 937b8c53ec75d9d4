//! Whether the question of an invariant is answered at all: one that never is would hold a release
//! at its first rollout.

use std::path::Path;

use holdpoint_core::id::Environment;
use holdpoint_core::project::Invariant;

use super::finding::{Finding, Lack};
use crate::adapter::invariant::ask;

pub(super) async fn look(root: &Path, invariant: &Invariant, environment: Environment) -> Finding {
    match ask(root, invariant, environment).await {
        Ok(value) => Ok(format!("is {value} in {environment}")),
        Err(problem) => Err(Lack::new(
            format!("no value in {environment}: {problem}"),
            format!(
                "run `HOLDPOINT_ENVIRONMENT={environment} {}` by hand; it must print one value",
                invariant.command.join(" ")
            ),
        )),
    }
}
