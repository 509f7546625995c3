//! Device nodes of the container, and the rules of its cgroup for them.

use oci_spec::runtime::{Linux, LinuxDeviceCgroup};

use super::BundleFacts;
use crate::definition::Definition;

/// Every device is refused but those that the runtime itself allows (null, zero, full, random, urandom, tty, pts, ptmx).
pub(super) fn plan(
    definition: &Definition,
    facts: &BundleFacts,
    linux: &mut Linux,
    warnings: &mut Vec<String>,
) {
    let mut resources = linux.resources().clone().unwrap_or_default();
    if facts.limits.device_rules {
        let mut all = LinuxDeviceCgroup::default();
        all.set_allow(definition.options.isolation.privileged)
            .set_access(Some("rwm".to_owned()));
        resources.set_devices(Some(vec![all]));
    } else {
        resources.set_devices(None);
        let text = "no CAP_SYS_RESOURCE, which crun needs for device rules: container runs without";
        warnings.push(text.to_owned());
    }
    linux.set_resources(Some(resources));
}
