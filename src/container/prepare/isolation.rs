//! What the host has to keep a payload apart.

use super::Ground;
use super::error::PrepareError;
use crate::plan::bundle::IsolationFacts;

pub(super) fn facts(_ground: &Ground) -> Result<IsolationFacts, PrepareError> {
    Ok(IsolationFacts {})
}
