//! Limits on what a container may use.

use serde::{Deserialize, Serialize};

/// Limits other than memory.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitOptions {}
