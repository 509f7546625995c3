//! The `unitbox-bus` program.
fn main() {}
