//! Fly's Machines API as data and as calls: wire types, a client whose errors
//! say whether a call may be repeated, the parser of `fly.toml`, and a suite of
//! cases that any server of the API can be held to.
//!
//! This crate never waits, never repeats a call and keeps no state: it says
//! what happened and leaves the decision to its caller.

mod call;
pub mod client;
pub mod conformance;
pub mod error;
pub mod fly_toml;
pub mod types;
