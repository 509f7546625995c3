//! What can go wrong with a container.

use std::io;
use std::path::PathBuf;

use crate::api::ExitCode;
use crate::definition::DefinitionError;
use crate::host::cgroup::CgroupError;
use crate::host::systemd::SystemdError;
use crate::image;
use crate::store::StoreError;
use crate::types::{ContainerId, ContainerName};

/// Why a verb failed.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// There is no such runtime.
    #[error(transparent)]
    Runtime(#[from] crate::host::runtime::RuntimeError),
    /// containers.conf(5) cannot be used.
    #[error(transparent)]
    Conf(#[from] super::conf::ConfError),
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// systemd.
    #[error(transparent)]
    Systemd(#[from] SystemdError),
    /// The image store.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The definition makes no container.
    #[error(transparent)]
    Definition(#[from] DefinitionError),
    /// The host cannot do what the options say.
    #[error(transparent)]
    Prepare(#[from] super::prepare::PrepareError),
    /// The host has no unified cgroup hierarchy.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The container is in the wrong state for this; in Podman's words.
    #[error("{0}: container state improper")]
    State(String),
    /// What comes of a unit file is changed there.
    #[error("{verb} container {name}: it comes of {source_file}; change that, and reload systemd")]
    Deployed {
        /// Which.
        name: ContainerName,
        /// What was to be done.
        verb: String,
        /// The file.
        source_file: String,
    },
    /// A unit file that cannot be used.
    #[error("{0}")]
    UnitFile(String),
    /// What was to be done with files makes no sense; in Podman's words where it has some.
    #[error("{0}")]
    Files(String),
    /// The payload could not be started.
    #[error("container {name}: start: {reason}")]
    Start {
        /// Which.
        name: ContainerName,
        /// 125, 126 or 127.
        code: u8,
        /// What the monitor, or systemd, said.
        reason: String,
    },
    /// The caller did not want to wait any longer for the end of a run, behind which it was to be started.
    #[error("container {name}: start: interrupted while its last run ends")]
    GivenUp {
        /// Which.
        name: ContainerName,
    },
    /// A job of systemd ended otherwise than wanted.
    #[error("container {name}: {verb}: systemd's job ended as {result}")]
    Job {
        /// Which.
        name: ContainerName,
        /// What was to be done.
        verb: &'static str,
        /// systemd's word.
        result: String,
    },
    /// A run that goes on was not told what is changed.
    #[error(
        "container {name}: update: the change is written and will hold from the next start on, but the run that goes on keeps to what was before: {reason}"
    )]
    Untold {
        /// Whose.
        name: ContainerName,
        /// What systemd, or its job, said.
        reason: String,
    },
    /// Some of what a run left could not be cleaned.
    #[error("container {name}: {problems}")]
    Cleanup {
        /// Which.
        name: String,
        /// What, joined by `; `.
        problems: String,
    },
    /// A dependency is missing.
    #[error("dependency {path}")]
    Dependency {
        /// Names on the way to it.
        path: String,
        /// Why it cannot be used.
        source: StoreError,
    },
    /// A container would depend on itself.
    #[error("dependencies lead back to where they come from: {path}")]
    DependencyCycle {
        /// Names on the way.
        path: String,
    },
    /// Dependencies that do not run.
    #[error("container {name}: start: some dependencies do not run: {problems}")]
    Dependencies {
        /// Whose.
        name: ContainerName,
        /// Which and why, joined by `; `.
        problems: String,
    },
    /// An IPC namespace that is not to be shared.
    #[error(
        "join the IPC namespace of container {name}: it is private; make that container with --ipc=shareable"
    )]
    NotShareable {
        /// Whose.
        name: ContainerName,
    },
    /// Others depend on it.
    #[error(
        "container {id} has dependent containers which must be removed before it: {dependents}: container already exists"
    )]
    Needed {
        /// Which.
        id: ContainerId,
        /// Their ids, joined by `, `.
        dependents: String,
    },
    /// The log driver keeps no log.
    #[error("container {name}: read logs: the log driver {driver} keeps none")]
    NoLogs {
        /// Which.
        name: ContainerName,
        /// The driver.
        driver: &'static str,
    },
    /// An operation of the system failed.
    #[error("{action} {}", object.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        object: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl ContainerError {
    /// Names action and object of a failed operation.
    pub fn io(action: &'static str, object: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let object = object.into();
        move |source| Self::Io {
            action,
            object,
            source,
        }
    }

    /// What the command line ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Start { code, .. } => *code,
            _ => ExitCode::Error.number(),
        }
    }

    /// Whether the container asked for is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_not_found())
    }

    /// Whether the caller was interrupted while a job, or the end of a run, was waited for.
    pub fn is_interrupted(&self) -> bool {
        matches!(
            self,
            Self::GivenUp { .. } | Self::Systemd(SystemdError::Interrupted { .. })
        )
    }
}
