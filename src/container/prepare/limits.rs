//! What the payload's cgroup can do.

use std::fs;

use super::Ground;
use crate::host::runtime::Runtime;
use crate::plan::bundle::LimitFacts;

pub(super) fn facts(ground: &Ground) -> LimitFacts {
    LimitFacts {
        controllers: ground.run.cgroup.controllers(),
        device_rules: device_rules(ground.runtime),
    }
}

/// crun raises RLIMIT_MEMLOCK before it loads them (up to 1.8 without asking whether it must) and fails where it may not,
/// as in a container without CAP_SYS_RESOURCE (capabilities(7), bit 24).
fn device_rules(runtime: &Runtime) -> bool {
    const SYS_RESOURCE: u64 = 1 << 24;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    !runtime.is_crun() || effective.is_none_or(|set| set & SYS_RESOURCE != 0)
}
