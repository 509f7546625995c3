//! What keeps the payload apart: namespaces, kernel parameters, masked and read-only paths.

use std::collections::HashMap;
use std::path::PathBuf;

use oci_spec::runtime::{Capability, Linux, LinuxNamespace, LinuxNamespaceType};

use super::joined::{JoinedFacts, NamespaceKind, NamespaceSource};
use super::{BundleFacts, DeviceNode, Edits, Mapping, SeccompProfile, pattern};
use crate::definition::{Definition, Namespace, Network, Options, parse_sysctl};
use crate::plan::conf::Conf;
use crate::plan::selinux::{Labels, NESTED};

/// What the plan must know of the host's means to keep a payload apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IsolationFacts {
    /// Capabilities that we may hand on: our own bounding set.
    pub host_capabilities: Vec<Capability>,
    /// The host's own name, for a container that shares its UTS namespace.
    pub hostname: String,
    /// The profile of system calls; none: no filter.
    pub seccomp: Option<SeccompProfile>,
    /// Labels of SELinux; none where the host has no SELinux.
    pub labels: Option<Labels>,
    /// The AppArmor profile; none: no word of it.
    pub apparmor: Option<String>,
    /// Device nodes of the host.
    pub devices: Vec<DeviceNode>,
    /// What devices of the Container Device Interface change.
    pub cdi: Vec<Edits>,
    /// The mapping of users; none: the host's user namespace.
    pub mapping: Option<Mapping>,
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
    /// What containers.conf(5) has and nobody knows counts as not there.
    pub(super) fn of(definition: &Definition, conf: &Conf) -> Self {
        let isolation = &definition.options.isolation;
        let default = |conf: &Option<String>| conf.as_deref().and_then(|mode| mode.parse().ok());
        let mode = |wish: &Option<Namespace>, conf: &Option<String>| {
            wish.clone().or_else(|| default(conf)).unwrap_or_default()
        };
        let conf = &conf.containers;
        Self {
            pid: mode(&isolation.pid, &conf.pidns),
            ipc: (isolation.ipc.clone().or_else(|| default(&conf.ipcns)))
                .unwrap_or(Namespace::Shareable),
            uts: mode(&isolation.uts, &conf.utsns),
            cgroup: mode(&isolation.cgroup, &conf.cgroupns),
            network: match &definition.options.network {
                Network::None => Namespace::Private,
                Network::Host => Namespace::Host,
                Network::Path(path) => Namespace::Path(path.clone()),
                Network::Container(owner) => Namespace::Container(owner.clone()),
            },
        }
    }

    fn list(&self, joined: &JoinedFacts) -> Vec<LinuxNamespace> {
        let kinds = [
            (LinuxNamespaceType::Pid, &self.pid, Some(NamespaceKind::Pid)),
            (LinuxNamespaceType::Ipc, &self.ipc, Some(NamespaceKind::Ipc)),
            (LinuxNamespaceType::Uts, &self.uts, Some(NamespaceKind::Uts)),
            (LinuxNamespaceType::Mount, &Namespace::Private, None),
            (
                LinuxNamespaceType::Cgroup,
                &self.cgroup,
                Some(NamespaceKind::Cgroup),
            ),
            (
                LinuxNamespaceType::Network,
                &self.network,
                Some(NamespaceKind::Network),
            ),
        ];
        let listed = kinds.into_iter().filter_map(|(kind, mode, joined_as)| {
            let path = match (joined_as.and_then(|kind| joined.source(kind)), mode) {
                (Some(NamespaceSource::Host), _) | (None, Namespace::Host) => return None,
                (Some(NamespaceSource::Path(path)), _) => Some(path.clone()),
                (None, Namespace::Path(path)) => Some(PathBuf::from(path)),
                (
                    None,
                    Namespace::Private
                    | Namespace::Shareable
                    | Namespace::WithoutShm
                    | Namespace::Container(_),
                ) => None,
            };
            let mut namespace = LinuxNamespace::default();
            namespace.set_typ(kind).set_path(path);
            Some(namespace)
        });
        listed.collect()
    }
}

/// Whether a container is not confined, by its own options or by containers.conf(5).
pub fn is_privileged(definition: &Definition, conf: &Conf) -> bool {
    definition.options.isolation.privileged || conf.containers.privileged == Some(true)
}

pub(super) fn plan(definition: &Definition, facts: &BundleFacts, linux: &mut Linux) {
    let namespaces = Namespaces::of(definition, &facts.conf);
    let sysctls = sysctls(definition, facts, &namespaces);
    linux
        .set_namespaces(Some(namespaces.list(&facts.joined)))
        .set_sysctl(Some(sysctls).filter(|map| !map.is_empty()))
        .set_mount_label(
            facts
                .isolation
                .labels
                .as_ref()
                .map(|labels| labels.mount.to_string()),
        )
        .set_masked_paths(Some(masked(definition, facts)))
        .set_readonly_paths(Some(defaults(definition, facts, READ_ONLY)));
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
    let defaults = facts.conf.containers.default_sysctls.over(DEFAULT_SYSCTLS);
    let mut all: HashMap<String, String> = defaults
        .iter()
        .filter_map(|text| parse_sysctl(text).ok())
        .filter(|(key, _)| applies(key))
        .collect();
    all.extend(definition.options.isolation.sysctls.clone());
    all
}

/// Whether the payload is to label containers of its own.
pub fn is_nested(options: &Options) -> bool {
    options.isolation.label.iter().any(|label| label == NESTED)
}

/// The user's own masks hold for a privileged container too.
fn masked(definition: &Definition, facts: &BundleFacts) -> Vec<String> {
    let mut paths = defaults(definition, facts, MASKED);
    paths.extend(definition.options.isolation.mask.iter().cloned());
    paths
}

fn defaults(definition: &Definition, facts: &BundleFacts, paths: &[&str]) -> Vec<String> {
    let isolation = &definition.options.isolation;
    if is_privileged(definition, &facts.conf) {
        return Vec::new();
    }
    let unmasked = |path: &str| {
        if path == SELINUX && is_nested(&definition.options) {
            return true;
        }
        let mut patterns = isolation.unmask.iter();
        patterns.any(|text| text.eq_ignore_ascii_case("all") || pattern::matches(text, path))
    };
    let kept = paths.iter().filter(|path| !unmasked(path));
    kept.map(|path| (*path).to_owned()).collect()
}

/// Root may ping without CAP_NET_RAW (icmp(7)).
const DEFAULT_SYSCTLS: &[&str] = &["net.ipv4.ping_group_range=0 0"];

/// Where the kernel shows what SELinux does.
pub(super) const SELINUX: &str = "/sys/fs/selinux";

/// Paths of /proc and /sys that leak or change the host.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    SELINUX,
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
