//! What is mounted into the container besides its root.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use super::isolation::{Namespaces, SELINUX, is_nested, is_privileged};
use super::mounts::{self, MountFacts};
use super::{BundleFacts, Mapping};
use crate::definition::{Definition, Namespace};
use crate::plan::conf::Conf;

/// What the plan must know of the host's files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileFacts {
    /// What is known of the user's mounts, in their order.
    pub mounts: Vec<MountFacts>,
    /// Secrets, credentials, and the directory of [`NOTIFY_SOCKET`](crate::api::NOTIFY_SOCKET).
    pub given: Vec<GivenFile>,
    /// Variables that secrets become.
    pub secret_env: Vec<(String, String)>,
    /// A mount for /dev/shm, where the runtime cannot make one that belongs to the container's root.
    pub shm: Option<PathBuf>,
}

/// Something of the host's that is bound into this container only.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GivenFile {
    /// Path on the host.
    pub source: PathBuf,
    /// Path in the container.
    pub target: String,
    /// Whether the payload may not change it.
    pub read_only: bool,
}

pub(super) fn plan(definition: &Definition, facts: &BundleFacts) -> Vec<Mount> {
    let files = &definition.options.files;
    let (before, behind) = mounts::plan(definition, facts);
    let mut all = mounts::superseded(before, base(definition, facts), files);
    mounts::read_only_tmpfs(files, &mut all);
    all.extend(behind);
    let given = facts.files.given.iter();
    let wanted = given.filter(|given| !files.mounts_on(&given.target));
    let mut given: Vec<Mount> = Vec::new();
    given.extend(wanted.map(|given| {
        let options: &[&str] = match given.read_only {
            true => &["bind", "rprivate", "ro"],
            false => &["bind", "rprivate"],
        };
        bind(&given.source, &given.target, options)
    }));
    mounts::close(files, &mut given);
    all.extend(given);
    all
}

/// Whether the user mounts something at a path of the container: that wins over ours.
pub(super) fn user_mounts_on(definition: &Definition, target: &str) -> bool {
    definition.options.files.mounts_on(target)
}

/// What every container has.
fn base(definition: &Definition, facts: &BundleFacts) -> Vec<Mount> {
    let isolation = &definition.options.isolation;
    let privileged = is_privileged(definition, &facts.conf);
    let mut proc_options: Vec<&str> = isolation.proc_options.iter().map(String::as_str).collect();
    if proc_options.is_empty() {
        proc_options = vec!["nosuid", "noexec", "nodev"];
    }
    let (sys, access): (&[&str], _) = match privileged {
        true => (&["rprivate", "nosuid", "noexec", "nodev", "rw"], "rw"),
        false => (&["nosuid", "noexec", "nodev", "ro"], "ro"),
    };
    // A payload that sees all of /sys may also make cgroups, as in Podman.
    let mut unmasked = isolation.unmask.iter();
    let cgroups = match unmasked.any(|text| text.eq_ignore_ascii_case("all")) {
        true => "rw",
        false => access,
    };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &proc_options),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k"],
        ),
        mount("/sys", "sysfs", "sysfs", sys),
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
    ];
    mounts.extend(shm(definition, facts));
    if is_nested(&definition.options) {
        let options = ["rw", "rprivate", "noexec", "nosuid", "nodev", "rbind"];
        mounts.push(bind(Path::new(SELINUX), SELINUX, &options));
    }
    mounts.push(mount(
        "/sys/fs/cgroup",
        "cgroup",
        "cgroup",
        &["rprivate", "nosuid", "noexec", "nodev", "relatime", cgroups],
    ));
    mounts
}

/// POSIX shared memory belongs to the IPC namespace: the host's with the host's, none with none.
fn shm(definition: &Definition, facts: &BundleFacts) -> Option<Mount> {
    match Namespaces::of(definition, &facts.conf).ipc {
        Namespace::WithoutShm => None,
        Namespace::Host => Some(bind(
            Path::new("/dev/shm"),
            "/dev/shm",
            &["bind", "rprivate", "nosuid", "noexec", "nodev"],
        )),
        Namespace::Private
        | Namespace::Shareable
        | Namespace::Path(_)
        | Namespace::Container(_) => {
            if let Some(own) = &facts.files.shm {
                let options = ["bind", "rprivate", "nosuid", "noexec", "nodev"];
                return Some(bind(own, "/dev/shm", &options));
            }
            let size = definition.options.files.shm_size;
            let size = format!("size={}", size.unwrap_or(SHM_SIZE));
            let options = ["nosuid", "noexec", "nodev", "mode=1777", &size];
            Some(mount("/dev/shm", "tmpfs", "shm", &options))
        }
    }
}

/// The size of shared memory that must be mounted before the container's user namespace is there; none if it need not.
pub fn mapped_shm(definition: &Definition, conf: &Conf, mapping: Option<&Mapping>) -> Option<u64> {
    let files = &definition.options.files;
    let own = match Namespaces::of(definition, conf).ipc {
        Namespace::Private | Namespace::Shareable | Namespace::Path(_) => true,
        Namespace::Host | Namespace::WithoutShm | Namespace::Container(_) => false,
    };
    let wanted = own && mapping.is_some() && !files.mounts_on("/dev/shm");
    wanted.then(|| files.shm_size.unwrap_or(SHM_SIZE))
}

/// Bytes of /dev/shm if nobody says otherwise: 64000 KiB, as Podman has it.
const SHM_SIZE: u64 = 65_536_000;

pub(super) fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
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
