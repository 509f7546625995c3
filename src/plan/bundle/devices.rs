//! Device nodes of the container, and the rules of its cgroup for them.

use std::path::PathBuf;

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType, Mount};

use super::{BundleFacts, is_privileged};
use crate::definition::{Definition, DeviceRule};

/// A device node as it is on the host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceNode {
    /// Where it is on the host.
    pub host: PathBuf,
    /// Where it is to be in the container.
    pub path: PathBuf,
    /// Whether it is a block device, not a character one.
    pub block: bool,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Type and permissions (`st_mode`, inode(7)).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// What the cgroup allows: `r`, `w`, `m`.
    pub access: String,
}

impl DeviceNode {
    fn is_elsewhere(&self) -> bool {
        self.host != self.path
    }
}

/// In a user namespace nobody makes nodes, and runc binds what the host has at the container's path: what is to be
/// elsewhere is bound by us.
pub(super) fn binds(facts: &BundleFacts) -> Vec<Mount> {
    if facts.isolation.mapping.is_none() {
        return Vec::new();
    }
    let elsewhere = facts
        .isolation
        .devices
        .iter()
        .filter(|node| node.is_elsewhere());
    let bind = |node: &DeviceNode| {
        let options = ["bind", "rprivate", "nosuid", "noexec"];
        let mut mount = Mount::default();
        mount
            .set_destination(node.path.clone())
            .set_typ(Some("bind".to_owned()))
            .set_source(Some(node.host.clone()))
            .set_options(Some(options.map(str::to_owned).to_vec()));
        mount
    };
    elsewhere.map(bind).collect()
}

/// Every device is refused but those asked for, and those that the runtime itself allows (null, zero, full, random,
/// urandom, tty, pts, ptmx).
pub(super) fn plan(
    definition: &Definition,
    facts: &BundleFacts,
    linux: &mut Linux,
    warnings: &mut Vec<String>,
) {
    let nodes = &facts.isolation.devices;
    let mapped = facts.isolation.mapping.is_some();
    let made = nodes.iter().filter(|node| !(mapped && node.is_elsewhere()));
    let listed: Vec<LinuxDevice> = made.map(device).collect();
    linux.set_devices(Some(listed).filter(|devices| !devices.is_empty()));
    let mut resources = linux.resources().clone().unwrap_or_default();
    if facts.limits.device_rules {
        let privileged = is_privileged(definition, &facts.conf);
        let mut rules = Vec::new();
        // Where users are others on the host, nobody can make device nodes, and the host's are not theirs.
        let others = facts.isolation.mapping.as_ref();
        let others = others.is_some_and(|mapping| !mapping.is_identity());
        if privileged || !others {
            let mut all = LinuxDeviceCgroup::default();
            all.set_allow(privileged).set_access(Some("rwm".to_owned()));
            rules.push(all);
        }
        if !privileged {
            rules.extend(nodes.iter().map(node_rule));
        }
        let own = definition.options.isolation.device_rules.iter();
        rules.extend(own.filter(|_| !privileged).map(rule));
        resources.set_devices(Some(rules).filter(|rules| !rules.is_empty()));
    } else {
        resources.set_devices(None);
        let text = "no CAP_SYS_RESOURCE, which crun needs for device rules: container runs without";
        warnings.push(text.to_owned());
    }
    linux.set_resources(Some(resources));
}

fn kind(block: bool) -> LinuxDeviceType {
    match block {
        true => LinuxDeviceType::B,
        false => LinuxDeviceType::C,
    }
}

fn device(node: &DeviceNode) -> LinuxDevice {
    let mut device = LinuxDevice::default();
    device
        .set_path(node.path.clone())
        .set_typ(kind(node.block))
        .set_major(node.major.into())
        .set_minor(node.minor.into())
        .set_file_mode(Some(node.mode))
        .set_uid(Some(node.uid))
        .set_gid(Some(node.gid));
    device
}

fn node_rule(node: &DeviceNode) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(kind(node.block)))
        .set_major(Some(node.major.into()))
        .set_minor(Some(node.minor.into()))
        .set_access(Some(node.access.clone()));
    rule
}

fn rule(wish: &DeviceRule) -> LinuxDeviceCgroup {
    let kind = match wish.kind {
        'b' => LinuxDeviceType::B,
        'c' => LinuxDeviceType::C,
        _ => LinuxDeviceType::A,
    };
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(true)
        .set_typ(Some(kind))
        .set_major(wish.major.map(i64::from))
        .set_minor(wish.minor.map(i64::from))
        .set_access(Some(wish.access.clone()));
    rule
}
