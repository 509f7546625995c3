//! The `unitbox-generator` program.
fn main() {}
