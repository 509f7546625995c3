//! Where the output of a container goes.

use serde::{Deserialize, Serialize};

/// The log driver (podman-run(1), `--log-driver`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogDriver {
    /// The monitor moves the output into the journal.
    #[default]
    Journald,
    /// The payload writes to the journal itself.
    Passthrough,
    /// Lines with time and stream in a file; `json-file` is an alias, as in Podman.
    K8sFile,
    /// Nowhere.
    None,
}

impl LogDriver {
    /// The driver's name as flags and `inspect` have it.
    pub fn name(self) -> &'static str {
        match self {
            LogDriver::Journald => "journald",
            LogDriver::Passthrough => "passthrough",
            LogDriver::K8sFile => "k8s-file",
            LogDriver::None => "none",
        }
    }
}

/// Options of the log driver (`--log-opt KEY=VALUE`).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogOptions {
    /// File of the k8s-file driver, absolute; none: in the container's directory.
    pub path: Option<String>,
    /// Size in bytes at which that file starts again.
    pub max_size: Option<u64>,
    /// The journal field CONTAINER_TAG.
    pub tag: Option<String>,
    /// Priority of standard error in the journal, 0 to 7 (syslog(3)); none: 6, info.
    pub stderr_priority: Option<u8>,
}
