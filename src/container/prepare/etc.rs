//! What the files of /etc are made from.

use std::fs;

use super::Ground;
use crate::plan::bundle::EtcFacts;

pub(super) fn facts(ground: &Ground) -> EtcFacts {
    let layout = ground.run.layout;
    let resolv_conf = fs::read_to_string(layout.root().join("etc/resolv.conf"));
    EtcFacts {
        directory: layout.run_container(&ground.definition.id),
        resolv_conf: resolv_conf.unwrap_or_default(),
    }
}
