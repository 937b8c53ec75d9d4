//! holdpoint-sim

fn main() {}
