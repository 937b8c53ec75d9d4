//! The shape of a journal record and the chain of hashes that ties records together. Storing
//! them is the shell's business.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::canonical;
use crate::event::Event;

/// The hash that the first record names as its predecessor.
pub const GENESIS: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

/// The version of the format of `body`. A change of [`Event`] that older readers can't read
/// raises it (CONTRIBUTING.md, "a changed stored format").
pub const FORMAT: u32 = 1;

/// All events of one input: the unit in which the journal is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// From 1, without gaps.
    pub seq: u64,
    /// The time of the input, by the release's clock.
    pub at: Timestamp,
    /// The hash of the record before.
    pub previous: String,
    /// The events as JSON. It is kept as text so that its hash never depends on how a reader
    /// would write it again.
    pub body: String,
    /// The hash over all of the above.
    pub hash: String,
}

/// What `body` holds.
#[derive(Serialize, Deserialize)]
struct Body {
    format: u32,
    events: Vec<Event>,
}

/// Why a journal can't be read. It is never repaired silently.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplayError {
    /// A record is missing or out of place.
    #[error("journal record {found} stands where record {expected} must stand")]
    OutOfOrder {
        /// The number that was expected.
        expected: u64,
        /// The number that was found.
        found: u64,
    },
    /// A record's hash does not fit its content or its predecessor.
    #[error("journal record {seq} does not fit its hash: it was altered or damaged")]
    BrokenChain {
        /// Which.
        seq: u64,
    },
    /// A record can't be parsed.
    #[error("journal record {seq} can't be read: {message}")]
    Unreadable {
        /// Which.
        seq: u64,
        /// What the parser said.
        message: String,
    },
    /// A record was written by a newer version.
    #[error("journal record {seq} has format {format}; this version reads up to {FORMAT}")]
    NewerFormat {
        /// Which.
        seq: u64,
        /// Its format.
        format: u32,
    },
}

impl Record {
    /// The record that follows one with the given number and hash.
    pub fn following(seq: u64, previous: &str, at: Timestamp, events: Vec<Event>) -> Self {
        let body = canonical::text(&Body { format: FORMAT, events });
        let hash = hash(seq + 1, at, previous, &body);
        Self { seq: seq + 1, at, previous: previous.to_owned(), body, hash }
    }

    /// Checks that this record follows one with the given number and hash, and reads its events.
    pub fn events_after(&self, seq: u64, previous: &str) -> Result<Vec<Event>, ReplayError> {
        if self.seq != seq + 1 {
            return Err(ReplayError::OutOfOrder { expected: seq + 1, found: self.seq });
        }
        let fits = self.previous == previous
            && self.hash == hash(self.seq, self.at, &self.previous, &self.body);
        if !fits {
            return Err(ReplayError::BrokenChain { seq: self.seq });
        }
        self.events()
    }

    /// Reads the events without checking the chain: for views over records that were checked.
    pub fn events(&self) -> Result<Vec<Event>, ReplayError> {
        let unreadable = |error: serde_json::Error| ReplayError::Unreadable {
            seq: self.seq,
            message: error.to_string(),
        };
        let body: serde_json::Value = serde_json::from_str(&self.body).map_err(unreadable)?;
        let format = body.get("format").and_then(serde_json::Value::as_u64).unwrap_or_default();
        if format > u64::from(FORMAT) {
            let format = u32::try_from(format).unwrap_or(u32::MAX);
            return Err(ReplayError::NewerFormat { seq: self.seq, format });
        }
        let body: Body = serde_json::from_value(body).map_err(unreadable)?;
        Ok(body.events)
    }
}

fn hash(seq: u64, at: Timestamp, previous: &str, body: &str) -> String {
    canonical::sha256(format!("{seq}\n{at}\n{previous}\n{body}").as_bytes())
}
