//! The audit trail: who did what to an approval, when, in order. Entries are only ever added; the
//! database itself refuses to change one.

use serde::Serialize;
use serde_json::Value;

/// Something that was done to an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Drafted,
    Edited,
    Approved,
    Rejected,
    Superseded,
    /// A reply is about to be sent; written before the request leaves.
    Sending,
    /// A reply was found at Chatwoot after its sending had been interrupted.
    Found,
    Executed,
    Failed,
}

impl Action {
    /// Its name in the database and in the API.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Drafted => "drafted",
            Self::Edited => "edited",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Superseded => "superseded",
            Self::Sending => "sending",
            Self::Found => "found",
            Self::Executed => "executed",
            Self::Failed => "failed",
        }
    }
}

/// The actor of what the service does by itself.
pub(crate) const SERVICE: &str = "agent-service";
/// The actor of what a customer's message causes.
pub(crate) const CUSTOMER: &str = "customer";

/// An entry to write.
#[derive(Debug)]
pub(crate) struct NewEntry<'a> {
    pub(crate) approval_id: &'a str,
    pub(crate) at_ms: i64,
    pub(crate) actor: &'a str,
    pub(crate) action: Action,
    /// The approval's version after the action.
    pub(crate) version: i64,
    pub(crate) details: Value,
}

/// An entry as it is read.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry {
    pub(crate) number: i64,
    /// RFC 3339.
    pub(crate) at: String,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) version: i64,
    pub(crate) details: Value,
}
