//! What is said of the payload's first process.

use serde::{Deserialize, Serialize};

/// Files of containers.conf(5) that the user chose instead of the system's, or on top of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfFiles {
    /// The only one to be read (CONTAINERS_CONF), absolute.
    pub only: Option<String>,
    /// One more, read last (CONTAINERS_CONF_OVERRIDE), absolute.
    pub on_top: Option<String>,
}

/// The process, besides command, user, environment and working directory.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessOptions {}
