//! Contracts that others see: where things are, the exit record, exit codes, D-Bus names, journal fields.

pub mod client;
pub mod dbus;
pub mod event;
mod exit_record;
pub mod journal;
mod layout;
mod run_files;

pub use crate::types::{Ended, ExitCode, StopKind};
pub use exit_record::{ExitRecord, RecordError};
pub use layout::{LOG_FIELDS, Layout, NOTIFY_SOCKET};
pub use run_files::{LastStart, Payload, RunFileError};
