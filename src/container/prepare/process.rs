//! Who runs, and how.

use std::fs;

use super::error::PrepareError;
use super::{Ground, user};
use crate::plan::bundle::ProcessFacts;

pub(super) fn facts(ground: &Ground) -> Result<ProcessFacts, PrepareError> {
    let wish = ground.definition.options.user.as_deref();
    let own_score = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    Ok(ProcessFacts {
        user: user::look_up(ground.rootfs, wish.unwrap_or(&ground.image.user))?,
        // To lower it takes CAP_SYS_RESOURCE, which we may not have; to raise it none.
        oom_score_adj: own_score.trim().parse().unwrap_or(0).max(0),
    })
}
