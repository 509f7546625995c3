//! What is mounted into the container besides its root.

use std::path::{Path, PathBuf};

use oci_spec::runtime::Mount;

use super::hostname;
use crate::definition::{Definition, Network};

/// What the plan must know of the host's files.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FileFacts {
    /// Directory for the files that are made for each run and bound over the root's own.
    pub etc: PathBuf,
    /// Contents of the host's resolv.conf.
    pub resolv_conf: String,
}

/// What is mounted, and what must be written before.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Files {
    /// Mounts, in order.
    pub(super) mounts: Vec<Mount>,
    /// Files of the host with their contents.
    pub(super) etc: Vec<(PathBuf, String)>,
}

pub(super) fn plan(definition: &Definition, facts: &FileFacts) -> Files {
    let etc = EtcFiles::of(definition, facts);
    let mut mounts = base();
    for (source, target) in &etc.mounts {
        mounts.push(bind(
            source,
            target,
            &["bind", "nosuid", "nodev", "rprivate"],
        ));
    }
    Files {
        mounts,
        etc: etc.files,
    }
}

/// The files of /etc and /run that are made for each run and bound over the root's own.
#[derive(Clone, PartialEq, Eq, Debug)]
struct EtcFiles {
    /// Host path and contents.
    files: Vec<(PathBuf, String)>,
    /// Host path and where it is mounted.
    mounts: Vec<(PathBuf, &'static str)>,
}

impl EtcFiles {
    fn of(definition: &Definition, facts: &FileFacts) -> Self {
        let host = hostname(definition);
        let resolv = match definition.options.network {
            Network::Host => facts.resolv_conf.clone(),
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
