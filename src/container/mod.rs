//! What the programs share, as functions on records, systemd and cgroups: no object, no state of its own.

pub mod cleanup;
pub mod observe;
pub mod prepare;
mod user;
