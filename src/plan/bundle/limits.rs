//! Limits and device rules of the payload's cgroup.

use oci_spec::runtime::{Linux, LinuxDeviceCgroup, LinuxMemory, LinuxResources};

use crate::definition::Definition;

/// What the plan must know of the payload's cgroup.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LimitFacts {
    /// Controllers that the payload's cgroup can use.
    pub controllers: Vec<String>,
    /// Whether the runtime can load the device rules of a cgroup.
    pub device_rules: bool,
}

pub(super) fn plan(
    definition: &Definition,
    facts: &LimitFacts,
    linux: &mut Linux,
    warnings: &mut Vec<String>,
) {
    linux.set_resources(Some(resources(definition, facts, warnings)));
}

/// Every device is refused but those that the runtime itself allows (null, zero, full, random, urandom, tty, pts, ptmx).
fn resources(
    definition: &Definition,
    facts: &LimitFacts,
    warnings: &mut Vec<String>,
) -> LinuxResources {
    let mut resources = LinuxResources::default();
    resources.set_devices(None);
    if facts.device_rules {
        let mut devices = LinuxDeviceCgroup::default();
        devices.set_allow(false).set_access(Some("rwm".to_owned()));
        resources.set_devices(Some(vec![devices]));
    } else {
        let text = "no CAP_SYS_RESOURCE, which crun needs for device rules: container runs without";
        warnings.push(text.to_owned());
    }
    if let Some(limit) = definition.options.memory {
        if facts.controllers.iter().any(|name| name == "memory") {
            let mut memory = LinuxMemory::default();
            memory.set_limit(Some(i64::try_from(limit).unwrap_or(i64::MAX)));
            resources.set_memory(Some(memory));
        } else {
            warnings.push("--memory: no memory controller here, no limit set".to_owned());
        }
    }
    resources
}
