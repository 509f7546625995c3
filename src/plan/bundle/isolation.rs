//! What keeps the payload apart: namespaces, masked and read-only paths.

use oci_spec::runtime::{Linux, LinuxNamespace, LinuxNamespaceType};

use super::BundleFacts;
use crate::definition::{Definition, Network};

/// What the plan must know of the host's means to keep a payload apart.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IsolationFacts {}

pub(super) fn plan(definition: &Definition, _facts: &BundleFacts, linux: &mut Linux) {
    linux
        .set_namespaces(Some(namespaces(definition)))
        .set_masked_paths(Some(to_strings(MASKED)))
        .set_readonly_paths(Some(to_strings(READ_ONLY)));
}

fn namespaces(definition: &Definition) -> Vec<LinuxNamespace> {
    let mut kinds = vec![
        LinuxNamespaceType::Pid,
        LinuxNamespaceType::Ipc,
        LinuxNamespaceType::Uts,
        LinuxNamespaceType::Mount,
        LinuxNamespaceType::Cgroup,
    ];
    if definition.options.network == Network::None {
        kinds.push(LinuxNamespaceType::Network);
    }
    let namespace = |kind| {
        let mut namespace = LinuxNamespace::default();
        namespace.set_typ(kind);
        namespace
    };
    kinds.into_iter().map(namespace).collect()
}

fn to_strings(paths: &[&str]) -> Vec<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
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
