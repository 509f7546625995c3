//! What is mounted into the container besides its root.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use crate::definition::Definition;

/// What the plan must know of the host's files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileFacts {}

pub(super) fn plan(_definition: &Definition, _facts: &FileFacts) -> Vec<Mount> {
    base()
}

/// Whether the user mounts something at a path of the container: that wins over ours.
pub(super) fn user_mounts_on(_definition: &Definition, _target: &str) -> bool {
    false
}

/// What every container has.
fn base() -> Vec<Mount> {
    vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount(
            "/sys",
            "sysfs",
            "sysfs",
            &["nosuid", "noexec", "nodev", "ro"],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &[
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ],
        ),
        mount(
            "/dev/mqueue",
            "mqueue",
            "mqueue",
            &["nosuid", "noexec", "nodev"],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536000"],
        ),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &["nosuid", "noexec", "nodev", "relatime", "ro"],
        ),
    ]
}

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(target))
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(PathBuf::from(source)))
        .set_options(Some(
            options.iter().map(|option| (*option).to_owned()).collect(),
        ));
    mount
}

pub(super) fn bind(source: &Path, target: &str, options: &[&str]) -> Mount {
    mount(target, "bind", &source.to_string_lossy(), options)
}
