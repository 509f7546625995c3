//! The `unitbox` program.
fn main() {}
