//! What is mounted into the container besides its root.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use super::{BundleFacts, hostname};
use crate::definition::{Definition, Network};

/// The files of /etc and /run that are made for each run and bound over the root's own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EtcFiles {
    /// Host path and contents.
    pub files: Vec<(PathBuf, String)>,
    /// Host path and where it is mounted.
    pub mounts: Vec<(PathBuf, &'static str)>,
}

impl EtcFiles {
    /// The files of a container.
    pub fn of(definition: &Definition, facts: &BundleFacts) -> Self {
        let host = hostname(definition);
        let resolv = match definition.options.network {
            Network::Host => facts.resolv_conf.to_owned(),
            Network::None => String::new(),
        };
        let environment = format!(
            "engine=\"unitbox\"\nname=\"{}\"\nid=\"{}\"\nimage=\"{}\"\n",
            definition.name,
            definition.id,
            quoted(definition.source_name())
        );
        let all = [
            ("hosts", hosts(&host), "/etc/hosts"),
            ("hostname", format!("{host}\n"), "/etc/hostname"),
            ("resolv.conf", resolv, "/etc/resolv.conf"),
            (".containerenv", environment, "/run/.containerenv"),
        ];
        let mut etc = Self {
            files: Vec::new(),
            mounts: Vec::new(),
        };
        for (name, contents, target) in all {
            etc.files.push((facts.etc.join(name), contents));
            etc.mounts.push((facts.etc.join(name), target));
        }
        etc
    }
}

/// What stands between double quotes of a file that shells read, as os-release(5) has it.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars().filter(|c| !c.is_control()) {
        if matches!(c, '"' | '\\' | '$' | '`') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

fn hosts(host: &str) -> String {
    format!(
        "127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n127.0.1.1\t{host}\n"
    )
}

pub(super) fn plan(etc: &EtcFiles) -> Vec<Mount> {
    let mut mounts = vec![
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
    ];
    for (source, target) in &etc.mounts {
        mounts.push(bind(
            source,
            target,
            &["bind", "nosuid", "nodev", "rprivate"],
        ));
    }
    mounts
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

fn bind(source: &Path, target: &str, options: &[&str]) -> Mount {
    mount(target, "bind", &source.to_string_lossy(), options)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_cannot_leave_its_quotes() {
        assert_eq!(
            quoted("/srv/a\"b\\$c`\nid=x d:e"),
            "/srv/a\\\"b\\\\\\$c\\`id=x d:e"
        );
    }
}
