//! What is said of the payload's first process.

use serde::{Deserialize, Serialize};

/// The process, besides command, user, environment and working directory.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessOptions {}
