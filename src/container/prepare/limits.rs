//! What the payload's cgroup can do.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use super::Ground;
use super::error::{PrepareError, effect};
use crate::host::runtime::Runtime;
use crate::plan::bundle::LimitFacts;
use crate::plan::unit::is_overridden;

pub(super) fn facts(ground: &Ground) -> Result<LimitFacts, PrepareError> {
    let mut facts = LimitFacts {
        controllers: ground.run.cgroup.controllers(),
        device_rules: device_rules(ground.runtime),
        overridden: overridden(ground),
        ..LimitFacts::default()
    };
    for device in ground.definition.options.limits.devices() {
        let path = Path::new(device);
        let found = effect("look at device", path, fs::metadata(path))?;
        if !found.file_type().is_block_device() {
            let error = std::io::Error::other("not a block device");
            return effect("limit device", path, Err(error));
        }
        let numbers = nix::sys::stat::major(found.rdev()) as i64;
        let numbers = (numbers, nix::sys::stat::minor(found.rdev()) as i64);
        facts.devices.insert(device.to_owned(), numbers);
    }
    Ok(facts)
}

fn overridden(ground: &Ground) -> BTreeMap<String, String> {
    let files = ground.run.limits.iter();
    let others = files.filter(|(name, content)| is_overridden(ground.definition, name, content));
    others
        .map(|(name, content)| (name.clone(), content.trim().to_owned()))
        .collect()
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
