//! What the programs share, as functions over the records, systemd and the cgroups: no object, no state of its own.

pub mod cleanup;
pub mod observe;
pub mod prepare;
mod user;

#[cfg(test)]
mod kill_tests;
