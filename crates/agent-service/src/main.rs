//! agent-service

fn main() {}
