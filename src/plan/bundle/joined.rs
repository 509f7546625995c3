//! Namespaces that are not made for this run: those of other containers, and own ones that others hold on to.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

/// A namespace that containers may share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NamespaceKind {
    /// Network devices, addresses, ports.
    Network,
    /// System V objects and message queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// Process ids.
    Pid,
    /// The root of what is seen of the cgroups.
    Cgroup,
    /// Users, groups and capabilities.
    User,
}

impl NamespaceKind {
    /// What people call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Ipc => "IPC",
            Self::Uts => "UTS",
            Self::Pid => "PID",
            Self::Cgroup => "cgroup",
            Self::User => "user",
        }
    }

    /// Its file below /proc/PID/ns (namespaces(7)).
    pub fn file(self) -> &'static str {
        match self {
            Self::Network => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Pid => "pid",
            Self::Cgroup => "cgroup",
            Self::User => "user",
        }
    }
}

/// Where a namespace that is not made for this run comes from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NamespaceSource {
    /// It is the host's.
    Host,
    /// Its file.
    Path(PathBuf),
}

/// Namespaces that are not made for this run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JoinedFacts {
    /// Those of other containers, and own ones that others hold on to.
    pub sources: Vec<(NamespaceKind, NamespaceSource)>,
    /// What is mounted at /dev/shm with a shared IPC namespace.
    pub shm: Option<PathBuf>,
    /// resolv.conf of the container whose network is joined.
    pub resolv_conf: Option<String>,
    /// Its /etc/hosts.
    pub hosts: Option<String>,
    /// Host name of the container whose UTS namespace is joined.
    pub hostname: Option<String>,
}

impl JoinedFacts {
    pub(super) fn source(&self, kind: NamespaceKind) -> Option<&NamespaceSource> {
        let mut all = self.sources.iter();
        all.find(|(other, _)| *other == kind)
            .map(|(_, source)| source)
    }
}

/// Puts the shared memory of another container, or of an earlier run, in the place of a new one; what the user mounts
/// there stays.
pub(super) fn share_shm(mounts: &mut [Mount], joined: &JoinedFacts, mapped: Option<&Path>) {
    let Some(shared) = &joined.shm else { return };
    for mount in mounts {
        let source = mount.source().as_deref();
        let own = source == Some(Path::new("shm")) || mapped.is_some() && source == mapped;
        if own && mount.destination() == Path::new("/dev/shm") {
            let options = ["bind", "nosuid", "noexec", "nodev", "rprivate"];
            mount
                .set_typ(Some("bind".to_owned()))
                .set_source(Some(shared.clone()))
                .set_options(Some(options.map(str::to_owned).to_vec()));
        }
    }
}
