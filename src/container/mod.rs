//! What the programs share, as functions over the records, systemd and the cgroups: no object, no state of its own.

pub mod apparmor;
pub mod attach;
pub mod check;
pub mod cleanup;
pub mod commit;
pub mod conf;
pub mod create;
pub mod defaults;
mod dependencies;
pub mod deploy;
pub mod environment;
mod error;
pub mod events;
pub mod exec;
mod exits;
pub mod files;
pub mod health;
pub mod hold;
pub mod kill;
pub mod logs;
mod names;
pub mod observe;
pub mod pause;
pub mod prepare;
pub mod probe;
pub mod pull;
pub mod remove;
pub mod rename;
pub mod restart;
pub mod restore;
pub mod selinux;
pub mod sketch;
pub mod start;
pub mod stop;
pub mod unit;
pub mod update;
pub mod volumes;
pub mod wait;

#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod update_tests;

pub use error::ContainerError;

use crate::api::Layout;
use crate::host::systemd::Manager;

/// Where containers are, and who runs them: what every verb needs.
#[derive(Clone, Copy)]
pub struct Site<'a> {
    /// Where things are.
    pub layout: &'a Layout,
    /// systemd.
    pub manager: &'a dyn Manager,
}
