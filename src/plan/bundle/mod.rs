//! The OCI bundle of a run: config.json (OCI runtime specification 1.0) and the files in /etc that are ours.

mod mounts;
mod process;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use oci_spec::runtime::{
    Linux, LinuxDeviceCgroup, LinuxMemory, LinuxNamespace, LinuxNamespaceType, LinuxResources,
    Root, Spec,
};

use crate::definition::{Definition, DefinitionError, Network};
use crate::types::Signal;

pub use mounts::EtcFiles;

/// What an image says about how it wants to be run (OCI image configuration).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageDefaults {
    /// Entry point.
    pub entrypoint: Vec<String>,
    /// Command, or arguments of the entry point.
    pub command: Vec<String>,
    /// `NAME=value` assignments.
    pub env: Vec<String>,
    /// `USER[:GROUP]`; empty: root.
    pub user: String,
    /// Working directory; empty: `/`.
    pub workdir: String,
    /// Signal of an ordered stop.
    pub stop_signal: Option<Signal>,
}

/// A user as the container's own files know it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct UserFacts {
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// All groups, the primary one first, each once.
    pub groups: Vec<u32>,
    /// Home directory; none if there is no entry.
    pub home: Option<String>,
}

/// What the plan must know of the host and of the container's root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BundleFacts<'a> {
    /// The image's wishes; empty for `--rootfs`.
    pub image: &'a ImageDefaults,
    /// The user to run as, looked up.
    pub user: &'a UserFacts,
    /// Absolute path of the root directory.
    pub rootfs: &'a Path,
    /// The payload's cgroup, from the root of the hierarchy.
    pub cgroup: &'a str,
    /// Controllers that the payload's cgroup can use.
    pub controllers: &'a [String],
    /// Whether the runtime can load the device rules of a cgroup.
    pub device_rules: bool,
    /// `oom_score_adj` of the payload.
    pub oom_score_adj: i32,
    /// Directory that holds [`EtcFiles`].
    pub etc: &'a Path,
    /// Contents of the host's resolv.conf.
    pub resolv_conf: &'a str,
}

/// A planned bundle.
#[derive(Clone, PartialEq, Debug)]
pub struct Bundle {
    /// config.json.
    pub spec: Spec,
    /// Files that config.json mounts, with their contents.
    pub etc: Vec<(PathBuf, String)>,
    /// Limits that were left out because their controller is missing.
    pub warnings: Vec<String>,
}

/// Plans the bundle of a container.
///
/// # Errors
/// There is no command at all.
pub fn plan(definition: &Definition, facts: &BundleFacts) -> Result<Bundle, DefinitionError> {
    let etc = EtcFiles::of(definition, facts);
    let mut warnings = Vec::new();
    let mut root = Root::default();
    root.set_path(facts.rootfs.to_owned())
        .set_readonly(Some(false));
    let mut spec = Spec::default();
    spec.set_root(Some(root))
        .set_process(Some(process::plan(definition, facts)?))
        .set_hostname(Some(hostname(definition)))
        .set_mounts(Some(mounts::plan(&etc)))
        .set_linux(Some(linux(definition, facts, &mut warnings)))
        .set_annotations(Some(
            definition.options.annotations.clone().into_iter().collect(),
        ));
    Ok(Bundle {
        spec,
        etc: etc.files,
        warnings,
    })
}

/// The container's host name: with the host's UTS namespace it would be the host's own.
pub(super) fn hostname(definition: &Definition) -> String {
    let wished = definition.options.hostname.clone();
    wished.unwrap_or_else(|| definition.id.short().to_owned())
}

fn linux(definition: &Definition, facts: &BundleFacts, warnings: &mut Vec<String>) -> Linux {
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
    let mut linux = Linux::default();
    linux
        .set_namespaces(Some(kinds.into_iter().map(namespace).collect()))
        .set_cgroups_path(Some(PathBuf::from(facts.cgroup)))
        .set_resources(Some(resources(definition, facts, warnings)))
        .set_masked_paths(Some(to_strings(MASKED)))
        .set_readonly_paths(Some(to_strings(READ_ONLY)));
    linux
}

/// Every device is refused but those that the runtime itself allows (null, zero, full, random, urandom, tty, pts, ptmx).
fn resources(
    definition: &Definition,
    facts: &BundleFacts,
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
