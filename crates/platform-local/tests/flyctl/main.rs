//! What somebody gets who points Fly's own command-line client at this platform: the runbook's
//! commands, request by request.
//!
//! The client itself is not here and was never run against this platform. The sequences were read
//! from its public source (superfly/flyctl and superfly/fly-go, in whatever version of each file
//! was at hand, the newest of August 2026): which requests a command sends, in which order, with which headers and
//! bodies, and which fields of the replies it reads without looking whether they are there. Each
//! test plays one command or a few, against a real platform with real processes as machines, and
//! asserts on every field that the client reads. The client's pauses are left out.

mod account;
mod bluegreen;
mod client;
mod logs;
mod machines;
mod refusals;
mod registry;
mod rolling;
mod scale;
mod secrets;
#[path = "../support/mod.rs"]
mod support;
