//! What the container sees of files besides its root.

use serde::{Deserialize, Serialize};

/// Mounts, devices, secrets, files of /etc.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FileOptions {}
