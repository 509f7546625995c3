//! What the process may do: capabilities (capabilities(7)) and `no_new_privs`.

use std::collections::HashSet;
use std::str::FromStr;

use oci_spec::runtime::{Capability, LinuxCapabilities, Process};

use super::BundleFacts;
use crate::definition::Definition;

/// The set that containers.conf(5) documents as the default of `default_capabilities`.
pub const DEFAULT_CAPABILITIES: [Capability; 11] = [
    Capability::Chown,
    Capability::DacOverride,
    Capability::Fowner,
    Capability::Fsetid,
    Capability::Kill,
    Capability::NetBindService,
    Capability::Setfcap,
    Capability::Setgid,
    Capability::Setpcap,
    Capability::Setuid,
    Capability::SysChroot,
];

/// Label by which an image asks for fewer capabilities than the default ones: a list with commas.
const WANTED: &str = "io.containers.capabilities";

type Set = HashSet<Capability>;

pub(super) fn plan(definition: &Definition, facts: &BundleFacts, process: &mut Process) {
    process
        .set_capabilities(Some(capabilities(definition, facts)))
        .set_no_new_privileges(Some(definition.options.isolation.no_new_privileges));
}

/// The bounding set: what the payload can have at most.
pub(super) fn bounding(definition: &Definition, facts: &BundleFacts) -> Set {
    let host = host(facts);
    let isolation = &definition.options.isolation;
    if isolation.privileged {
        return host;
    }
    let mut set: Set = match isolation.cap_drop.all {
        true => Set::new(),
        false => facts
            .isolation
            .default_capabilities
            .iter()
            .copied()
            .collect(),
    };
    match isolation.cap_add.all {
        true => set.clone_from(&host),
        false => set.extend(&isolation.cap_add.named),
    }
    if !isolation.cap_drop.all {
        set.retain(|capability| !isolation.cap_drop.named.contains(capability));
    }
    set.retain(|capability| host.contains(capability));
    match wanted(definition, facts) {
        Some(wanted) if wanted.is_subset(&set) => wanted,
        _ => set,
    }
}

/// What the host has to give: a capability that we lack would fail the start.
fn host(facts: &BundleFacts) -> Set {
    facts.isolation.host_capabilities.iter().copied().collect()
}

/// What the image says it needs; an unknown name voids it.
fn wanted(definition: &Definition, facts: &BundleFacts) -> Option<Set> {
    let own = definition.options.labels.get(WANTED);
    let list = own.or_else(|| facts.image.labels.get(WANTED))?;
    let parse = |name: &str| {
        let name = name.trim().to_ascii_uppercase();
        Capability::from_str(name.strip_prefix("CAP_").unwrap_or(&name)).ok()
    };
    let names = list.split(',').filter(|name| !name.trim().is_empty());
    names.map(parse).collect()
}

/// Root has its bounding set from the start. For another user it counts only what was added by name: the ambient set keeps
/// that beyond execve(2). Nothing else is ever inheritable (CVE-2022-27649).
fn capabilities(definition: &Definition, facts: &BundleFacts) -> LinuxCapabilities {
    let bounding = bounding(definition, facts);
    let (effective, ambient) = if facts.process.user.uid == 0 {
        (bounding.clone(), Set::new())
    } else {
        let wish = &definition.options.isolation.cap_add;
        let added: Set = match wish.all {
            true => bounding.clone(),
            false => wish.named.iter().copied().collect(),
        };
        let added: Set = added.intersection(&bounding).copied().collect();
        (added.clone(), added)
    };
    let some = |set: Set| Some(set).filter(|set| !set.is_empty());
    let mut capabilities = LinuxCapabilities::default();
    capabilities
        .set_bounding(Some(bounding))
        .set_effective(Some(effective.clone()))
        .set_permitted(Some(effective))
        .set_inheritable(some(ambient.clone()))
        .set_ambient(some(ambient));
    capabilities
}
