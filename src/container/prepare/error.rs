//! Why a container cannot be prepared.

use std::io;
use std::path::{Path, PathBuf};

use super::user;
use crate::api::ExitCode;
use crate::container::conf::ConfError;
use crate::definition::DefinitionError;
use crate::host::runtime::RuntimeError;
use crate::image;
use crate::store::StoreError;
use crate::types::ContainerName;

/// Why a container cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The definition cannot be read.
    #[error("read definition {path}", path = path.display())]
    Definition {
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The definition makes no container.
    #[error(transparent)]
    Plan(#[from] DefinitionError),
    /// containers.conf(5) cannot be used.
    #[error(transparent)]
    Conf(#[from] ConfError),
    /// No runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The image cannot be used.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The user cannot be looked up.
    #[error(transparent)]
    User(#[from] user::UserError),
    /// There is no init to be run.
    #[error("init {path}: no such program", path = path.display())]
    NoInit {
        /// What was looked for.
        path: PathBuf,
    },
    /// The file that /etc/hosts begins with cannot be read.
    #[error("read hosts file {path}", path = path.display())]
    Hosts {
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// There is no such time zone.
    #[error("time zone {name:?}")]
    Zone {
        /// Its name.
        name: String,
        /// The cause.
        source: io::Error,
    },
    /// The root filesystem is not a directory.
    #[error("root filesystem {path}", path = path.display())]
    Rootfs {
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The working directory cannot be used.
    #[error("workdir {path:?} {reason}")]
    Workdir {
        /// Path in the container.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
    },
    /// The container cannot be locked.
    #[error(transparent)]
    Lock(#[from] StoreError),
    /// A container whose namespace is joined has ended.
    #[error("join the {namespace} namespace of container {name}: it is not running")]
    NotRunning {
        /// Which kind.
        namespace: &'static str,
        /// Whose.
        name: ContainerName,
    },
    /// A container whose namespace is joined is gone.
    #[error("join a namespace of container {name}: no such container")]
    Gone {
        /// Whose.
        name: String,
    },
    /// Containers join each other without end.
    #[error("join the {namespace} namespace: the containers lead to one another")]
    Chain {
        /// Which kind.
        namespace: &'static str,
    },
    /// Labels of SELinux cannot be given.
    #[error("SELinux: {reason}")]
    Label {
        /// Why not.
        reason: String,
    },
    /// `label=nested`, and the kernel does not run SELinux.
    #[error("SELinux: label=nested, which the kernel does not run")]
    NoSelinux,
    /// An AppArmor profile that was named cannot be used.
    #[error("AppArmor profile {profile:?}")]
    AppArmor {
        /// Its name.
        profile: String,
        /// The cause.
        source: io::Error,
    },
    /// An effect on the host failed.
    #[error("{what} {path}", path = path.display())]
    Effect {
        /// What was done.
        what: &'static str,
        /// To which path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

impl PrepareError {
    /// What the run ends with (podman-run(1), "Exit Status").
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Workdir { .. } | Self::User(_) | Self::NoSelinux => {
                ExitCode::NotExecutable.number()
            }
            _ => ExitCode::Error.number(),
        }
    }

    /// The file that /etc/hosts begins with cannot be read.
    pub(super) fn hosts(path: &Path, source: io::Error) -> Self {
        Self::Hosts {
            path: path.to_owned(),
            source,
        }
    }
}

/// Names object and action of an effect.
pub(super) fn effect<T>(
    what: &'static str,
    path: &Path,
    result: io::Result<T>,
) -> Result<T, PrepareError> {
    result.map_err(|source| PrepareError::Effect {
        what,
        path: path.to_owned(),
        source,
    })
}
