//! A message that was decided and is still to be delivered. A message that can't be delivered
//! never changes a release.

use serde::{Deserialize, Serialize};

use super::Attempt;
use crate::effect::Notice;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What it says.
    pub content: Content,
    /// How its delivery goes.
    pub attempt: Attempt,
}

/// What a message says, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// To people.
    Notice(Notice),
    /// To the reliability log.
    Lines(Vec<String>),
}
