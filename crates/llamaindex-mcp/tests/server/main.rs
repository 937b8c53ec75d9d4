//! The real binary, started on a free port and talked to over the network.

mod http;
mod mcp;
mod support;
