//! Why there is no process.

use std::io;

use crate::container::observe::State;
use crate::container::prepare::{PrepareError, UserError};
use crate::host::runtime::RuntimeError;
use crate::sys::exec::ExecError as SpawnError;

/// Podman's code of an error before the process, other than those of the runtime.
const FAILED: u8 = 255;

/// Why there is no process.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The container does not run.
    #[error("it is {}; can only create exec sessions on running containers", .0.as_str())]
    State(State),
    /// The user is not known.
    #[error(transparent)]
    User(#[from] UserError),
    /// There is no runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// What the host has cannot be read.
    #[error(transparent)]
    Host(#[from] PrepareError),
    /// A program was not started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The runtime has failed.
    #[error("{reason}")]
    Failed {
        /// 126, 127 or 255.
        code: u8,
        /// Its words.
        reason: String,
    },
    /// What the child that waits for a process has said instead of starting it.
    #[error("{0}")]
    Told(String),
    /// A file operation.
    #[error("{what}")]
    Io {
        /// What was done.
        what: String,
        /// The cause.
        source: io::Error,
    },
}

impl ExecError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// What Podman ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed { code, .. } => *code,
            _ => FAILED,
        }
    }
}
