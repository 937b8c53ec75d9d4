//! Retrieval over MCP: a folder of Markdown articles, searched with citations.
//!
//! The data flow: `corpus` reads the articles, `chunk` cuts them into passages, `index` keeps
//! them searchable on disk, `library` serves one index and swaps in a newer one, `search`
//! answers a question, `tools` speaks MCP, `http` carries it, `telemetry` and `metrics` remember
//! what was asked and how it went.

pub mod analysis;
pub mod chunk;
pub mod clock;
pub mod corpus;
pub mod http;
pub mod index;
pub mod library;
pub mod metrics;
pub mod search;
pub mod service;
pub mod settings;
pub mod shutdown;
pub mod telemetry;
pub mod tools;
