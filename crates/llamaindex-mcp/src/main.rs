//! llamaindex-mcp

fn main() {}
