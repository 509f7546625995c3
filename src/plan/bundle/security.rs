//! What the process may do: capabilities (capabilities(7)), `no_new_privs`, its AppArmor profile and label of
//! SELinux.

use std::collections::HashSet;

use oci_spec::runtime::{Capability, LinuxCapabilities, Process};

use super::{BundleFacts, is_privileged};
use crate::definition::{Definition, parse_capability};

/// The set that containers.conf(5) documents as the default of `default_capabilities`.
const DEFAULT: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Label by which an image asks for fewer capabilities than the default ones: a list with commas.
const WANTED: &str = "io.containers.capabilities";

type Set = HashSet<Capability>;

pub(super) fn plan(
    definition: &Definition,
    facts: &BundleFacts,
    systemd: bool,
    process: &mut Process,
) {
    let labels = facts.isolation.labels.as_ref();
    let label = labels.and_then(|labels| labels.first_process(systemd));
    process
        .set_capabilities(Some(capabilities(definition, facts)))
        .set_no_new_privileges(Some(definition.options.isolation.no_new_privileges))
        .set_apparmor_profile(facts.isolation.apparmor.clone())
        .set_selinux_label(label.map(|label| label.to_string()));
}

/// The bounding set: what the payload can have at most.
pub(super) fn bounding(definition: &Definition, facts: &BundleFacts) -> Set {
    let host = host(facts);
    let isolation = &definition.options.isolation;
    if is_privileged(definition, &facts.conf) {
        return host;
    }
    let mut set: Set = match isolation.cap_drop.all {
        true => Set::new(),
        false => defaults(facts),
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

/// Of the host's configuration; a name that nobody knows counts as not there.
fn defaults(facts: &BundleFacts) -> Set {
    let names = facts.conf.containers.default_capabilities.over(DEFAULT);
    let known = names.iter().filter_map(|name| parse_capability(name).ok());
    known.collect()
}

/// What the host has to give: a capability that we lack would fail the start.
fn host(facts: &BundleFacts) -> Set {
    facts.isolation.host_capabilities.iter().copied().collect()
}

/// What the image says it needs; an unknown name voids it.
fn wanted(definition: &Definition, facts: &BundleFacts) -> Option<Set> {
    let own = definition.options.labels.get(WANTED);
    let list = own.or_else(|| facts.image.labels.get(WANTED))?;
    let names = list.split(',').filter(|name| !name.trim().is_empty());
    names.map(|name| parse_capability(name).ok()).collect()
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
