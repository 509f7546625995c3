//! What keeps a payload apart from the host and from other containers.

use serde::{Deserialize, Serialize};

/// Namespaces, capabilities, labels.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IsolationOptions {}
