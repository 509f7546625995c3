//! Why there is no process.

use std::io;

use crate::container::observe::State;
use crate::container::prepare::{PrepareError, UserError};
use crate::host::runtime::RuntimeError;
use crate::sys::exec::ExecError as SpawnError;
use crate::types::chain;

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
    #[error("{reason}")]
    Told {
        /// Its code.
        code: u8,
        /// Its words.
        reason: String,
    },
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
            Self::Failed { code, .. } | Self::Told { code, .. } => *code,
            _ => FAILED,
        }
    }

    /// Code and words, as one process tells another of it.
    pub(super) fn words(&self) -> String {
        format!("{} {}", self.exit_code(), chain(self))
    }

    /// What another process has told; none: it did not live to tell.
    pub(super) fn told(words: Option<&str>) -> Self {
        let said = words.and_then(|words| words.split_once(' '));
        let said = said.and_then(|(code, reason)| Some((code.parse().ok()?, reason)));
        let (code, reason) =
            said.unwrap_or((FAILED, "the child that starts the process was killed"));
        let reason = reason.to_owned();
        Self::Told { code, reason }
    }
}
