//! A message that was decided and is still to be delivered, and channels that don't deliver. A
//! message that can't be delivered never changes a release.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Attempt;
use crate::document::Document;
use crate::notice::Delivery;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// What it says, and to whom.
    pub content: Content,
    /// How its delivery goes.
    pub attempt: Attempt,
}

/// What a message says, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// To people, on one channel.
    Notice(Box<Delivery>),
    /// To a document, as lines at its end.
    Lines {
        /// The document.
        file: String,
        /// The lines.
        lines: Vec<String>,
    },
    /// To a document, as something else than lines.
    Document(Box<Document>),
}

impl Message {
    /// The channel or document that it is for. Messages to the same one go in their order, one
    /// after the other.
    pub fn recipient(&self) -> &str {
        match &self.content {
            Content::Notice(delivery) => &delivery.channel.name,
            Content::Lines { file, .. } => file,
            Content::Document(document) => document.path(),
        }
    }
}

/// A channel or document to which messages were given up, and nothing was delivered since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryTrouble {
    /// Since when.
    pub since: Timestamp,
    /// Why, at the newest message.
    pub reason: String,
    /// How many messages were given up.
    pub lost: u64,
}
