//! What keeps the payload apart: namespaces, kernel parameters, masked and read-only paths.

use std::collections::HashMap;
use std::path::PathBuf;

use oci_spec::runtime::{Capability, Linux, LinuxNamespace, LinuxNamespaceType};

use super::{BundleFacts, SeccompProfile, pattern};
use crate::definition::{Definition, Namespace, Network};

/// What the plan must know of the host's means to keep a payload apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IsolationFacts {
    /// Capabilities of a container that asks for none (containers.conf(5)).
    pub default_capabilities: Vec<Capability>,
    /// Capabilities that we may hand on: our own bounding set.
    pub host_capabilities: Vec<Capability>,
    /// Kernel parameters of a container that sets none (containers.conf(5)).
    pub default_sysctls: Vec<(String, String)>,
    /// The host's own name, for a container that shares its UTS namespace.
    pub hostname: String,
    /// The profile of system calls; none: no filter.
    pub seccomp: Option<SeccompProfile>,
    /// Major and minor number of the running kernel.
    pub kernel: (u32, u32),
}

/// The modes of the namespaces of a container, defaults filled in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Namespaces {
    pub(super) pid: Namespace,
    pub(super) ipc: Namespace,
    pub(super) uts: Namespace,
    pub(super) cgroup: Namespace,
    pub(super) network: Namespace,
}

impl Namespaces {
    pub(super) fn of(definition: &Definition) -> Self {
        let isolation = &definition.options.isolation;
        let mode = |wish: &Option<Namespace>| wish.clone().unwrap_or_default();
        Self {
            pid: mode(&isolation.pid),
            ipc: isolation.ipc.clone().unwrap_or(Namespace::Shareable),
            uts: mode(&isolation.uts),
            cgroup: mode(&isolation.cgroup),
            network: match &definition.options.network {
                Network::None => Namespace::Private,
                Network::Host => Namespace::Host,
                Network::Path(path) => Namespace::Path(path.clone()),
            },
        }
    }

    fn list(&self) -> Vec<LinuxNamespace> {
        let kinds = [
            (LinuxNamespaceType::Pid, &self.pid),
            (LinuxNamespaceType::Ipc, &self.ipc),
            (LinuxNamespaceType::Uts, &self.uts),
            (LinuxNamespaceType::Mount, &Namespace::Private),
            (LinuxNamespaceType::Cgroup, &self.cgroup),
            (LinuxNamespaceType::Network, &self.network),
        ];
        let listed = kinds.into_iter().filter_map(|(kind, mode)| {
            let path = match mode {
                Namespace::Host => return None,
                Namespace::Path(path) => Some(PathBuf::from(path)),
                Namespace::Private | Namespace::Shareable | Namespace::WithoutShm => None,
            };
            let mut namespace = LinuxNamespace::default();
            namespace.set_typ(kind).set_path(path);
            Some(namespace)
        });
        listed.collect()
    }
}

pub(super) fn plan(definition: &Definition, facts: &BundleFacts, linux: &mut Linux) {
    let namespaces = Namespaces::of(definition);
    let sysctls = sysctls(definition, facts, &namespaces);
    linux
        .set_namespaces(Some(namespaces.list()))
        .set_sysctl(Some(sysctls).filter(|map| !map.is_empty()))
        .set_masked_paths(Some(masked(definition)))
        .set_readonly_paths(Some(defaults(definition, READ_ONLY)));
}

/// The user's, and the host's defaults as far as the container has the namespace for itself.
fn sysctls(
    definition: &Definition,
    facts: &BundleFacts,
    namespaces: &Namespaces,
) -> HashMap<String, String> {
    let applies = |key: &str| match key {
        "kernel.domainname" | "kernel.hostname" => namespaces.uts.is_new(),
        _ if key.starts_with("net.") => namespaces.network.is_new(),
        _ => namespaces.ipc.is_new(),
    };
    let defaults = facts.isolation.default_sysctls.iter();
    let mut all: HashMap<String, String> =
        defaults.filter(|(key, _)| applies(key)).cloned().collect();
    all.extend(definition.options.isolation.sysctls.clone());
    all
}

/// The user's own masks hold for a privileged container too.
fn masked(definition: &Definition) -> Vec<String> {
    let mut paths = defaults(definition, MASKED);
    paths.extend(definition.options.isolation.mask.iter().cloned());
    paths
}

fn defaults(definition: &Definition, paths: &[&str]) -> Vec<String> {
    let isolation = &definition.options.isolation;
    if isolation.privileged {
        return Vec::new();
    }
    let unmasked = |path: &str| {
        let mut patterns = isolation.unmask.iter();
        patterns.any(|text| text.eq_ignore_ascii_case("all") || pattern::matches(text, path))
    };
    let kept = paths.iter().filter(|path| !unmasked(path));
    kept.map(|path| (*path).to_owned()).collect()
}

/// Paths of /proc and /sys that leak or change the host.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/dev/block",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
];

const READ_ONLY: &[&str] = &[
    "/proc/asound",
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sysrq-trigger",
];

#[cfg(test)]
#[path = "isolation_tests.rs"]
mod tests;
