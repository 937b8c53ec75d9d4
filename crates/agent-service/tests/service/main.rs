//! The service from outside: the real binary, asked over HTTP, with a real MCP server and
//! loopback listeners that play Chatwoot and the chat API.

#![expect(clippy::unwrap_used, reason = "a test stops at the first thing that isn't so")]
#![expect(clippy::panic, reason = "a test says what never came")]
#![expect(clippy::indexing_slicing, reason = "a missing JSON member reads as null")]

mod approvals;
mod chat_api;
mod chatwoot;
mod drafts;
mod harness;
mod knowledge;
mod lifecycle;
mod sending;
mod webhooks;
