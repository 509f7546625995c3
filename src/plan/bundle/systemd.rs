//! A container whose first process is systemd (<https://systemd.io/CONTAINER_INTERFACE>).

use std::path::Path;

use oci_spec::runtime::Mount;

use super::files::{mount, user_mounts_on};
use super::{BundleFacts, args};
use crate::definition::{Definition, SystemdMode};

const INITS: [&str; 3] = ["/sbin/init", "/usr/sbin/init", "/usr/local/sbin/init"];

/// Whether systemd is to run inside.
pub(super) fn is_wanted(definition: &Definition, facts: &BundleFacts) -> bool {
    match definition.options.process.systemd {
        SystemdMode::Never => false,
        SystemdMode::Always => true,
        SystemdMode::Auto => {
            let words = args(definition, &facts.image).unwrap_or_default();
            let words = match &words[..] {
                [shell, option, rest @ ..] if shell == "/bin/sh" && option == "-c" => rest,
                words => words,
            };
            let is_init = |word: &String| {
                INITS.contains(&word.as_str())
                    || Path::new(word)
                        .file_name()
                        .is_some_and(|name| name == "systemd")
            };
            words.first().is_some_and(is_init)
        }
    }
}

/// What it wants to be mounted, and its cgroup writable.
pub(super) fn add_mounts(definition: &Definition, own_cgroups: bool, mounts: &mut Vec<Mount>) {
    let size = definition.options.files.shm_size_systemd;
    let size = size.map(|bytes| format!("size={bytes}"));
    for target in ["/run", "/run/lock", "/tmp", "/var/log/journal"] {
        let there = mounts
            .iter()
            .any(|mount| mount.destination() == Path::new(target));
        if !there && !user_mounts_on(definition, target) {
            let mut options = vec!["rw", "rprivate", "nosuid", "nodev", "tmpcopyup"];
            options.extend(size.as_deref());
            mounts.push(mount(target, "tmpfs", "tmpfs", &options));
        }
    }
    let cgroup = |mount: &&mut Mount| {
        mount.typ().as_deref() == Some("cgroup")
            && mount.destination() == Path::new("/sys/fs/cgroup")
    };
    if let Some(mount) = mounts.iter_mut().find(cgroup) {
        let mut options = vec!["private".to_owned(), "rw".to_owned()];
        if !own_cgroups {
            options.push("bind".to_owned());
            mount
                .set_typ(Some("bind".to_owned()))
                .set_source(Some("/sys/fs/cgroup".into()));
        }
        mount.set_options(Some(options));
    }
}
