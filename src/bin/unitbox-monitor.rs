//! The `unitbox-monitor` program.
fn main() {}
