//! Limits of the payload's cgroup.

use oci_spec::runtime::{Linux, LinuxMemory, LinuxResources};

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

fn resources(
    definition: &Definition,
    facts: &LimitFacts,
    warnings: &mut Vec<String>,
) -> LinuxResources {
    let mut resources = LinuxResources::default();
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
