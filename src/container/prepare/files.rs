//! What is mounted and written besides the root.

use std::fs;

use super::Ground;
use crate::plan::bundle::FileFacts;

pub(super) fn facts(ground: &Ground) -> FileFacts {
    let layout = ground.run.layout;
    let resolv_conf = fs::read_to_string(layout.root().join("etc/resolv.conf"));
    FileFacts {
        etc: layout.run_container(&ground.definition.id),
        resolv_conf: resolv_conf.unwrap_or_default(),
    }
}
