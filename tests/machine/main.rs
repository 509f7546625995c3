//! Tests that need a machine with systemd as PID 1. Each boots its own, and fails where
//! it cannot: none is ever skipped.
//!
//! Run them as root: `cargo nextest run --config-file tests/nextest.toml --test machine`.

mod faults;
mod harness;
mod kill_points;
mod kill_random;
mod leaks;
mod smoke;
mod vm_smoke;
