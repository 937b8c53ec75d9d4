//! What Chatwoot says and is told: its webhook's payload and signature, and its messages API.
//!
//! What is done with a message, and when a reply is sent, is decided elsewhere.

pub(crate) mod client;
pub(crate) mod payload;
pub(crate) mod signature;
