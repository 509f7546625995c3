//! The user namespace of a container.

use oci_spec::runtime::{Linux, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType, Mount};

use super::isolation::{Namespaces, is_privileged};
use super::{BundleFacts, NamespaceKind, NamespaceSource};
use crate::definition::{Definition, IdRange, Namespace};

/// Which ids of the host stand behind those of a container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mapping {
    /// Users.
    pub uids: Vec<IdRange>,
    /// Groups.
    pub gids: Vec<IdRange>,
}

impl Mapping {
    /// The host's user and group for those of the container; ids that are not mapped belong to nobody there.
    pub fn owner(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        let find = |ranges: &[IdRange], id| ranges.iter().find_map(|range| range.to_host(id));
        Some((find(&self.uids, uid)?, find(&self.gids, gid)?))
    }

    /// The ranges of a text as in uid_map; lines that are none are left out.
    pub fn ranges(text: &str) -> Vec<IdRange> {
        let range = |line: &str| {
            let mut numbers = line.split_whitespace().map(|number| number.parse().ok());
            Some(IdRange {
                container: numbers.next()??,
                host: numbers.next()??,
                size: numbers.next()??,
            })
        };
        text.lines().filter_map(range).collect()
    }

    /// Whether every id is the same on both sides, so that no file needs another owner.
    pub fn is_identity(&self) -> bool {
        let all = self.uids.iter().chain(&self.gids);
        all.into_iter().all(|range| range.container == range.host)
    }

    /// Whether the container has a group.
    pub(super) fn has_group(&self, gid: u32) -> bool {
        self.gids.iter().any(|range| range.to_host(gid).is_some())
    }
}

/// The text of /proc/PID/uid_map and gid_map (user_namespaces(7)).
pub fn map_file(ranges: &[IdRange]) -> String {
    let line = |range: &IdRange| format!("{} {} {}\n", range.container, range.host, range.size);
    ranges.iter().map(line).collect()
}

pub(super) fn plan(facts: &BundleFacts, linux: &mut Linux) {
    let Some(mapping) = &facts.isolation.mapping else {
        return;
    };
    let mut namespace = LinuxNamespace::default();
    let path = match facts.joined.source(NamespaceKind::User) {
        Some(NamespaceSource::Path(path)) => Some(path.clone()),
        Some(NamespaceSource::Host) | None => None,
    };
    namespace.set_typ(LinuxNamespaceType::User).set_path(path);
    linux
        .namespaces_mut()
        .get_or_insert_default()
        .push(namespace);
    let line = |range: &IdRange| {
        LinuxIdMappingBuilder::default()
            .container_id(range.container)
            .host_id(range.host)
            .size(range.size)
            .build()
            .expect("every field has a default")
    };
    let translate = |ranges: &[IdRange]| Some(ranges.iter().map(line).collect());
    linux
        .set_uid_mappings(translate(&mapping.uids))
        .set_gid_mappings(translate(&mapping.gids));
}

/// File systems show what their namespace has, and that must belong to the mounter's user namespace: of the host's, a
/// mapped container gets what the host has mounted. A terminal's group must be one of the container's.
pub(super) fn adapt(definition: &Definition, facts: &BundleFacts, mounts: &mut [Mount]) {
    let Some(mapping) = &facts.isolation.mapping else {
        return;
    };
    let modes = Namespaces::of(definition, &facts.conf);
    let access = match is_privileged(definition, &facts.conf) {
        true => "rw",
        false => "ro",
    };
    let common = ["nosuid", "noexec", "nodev"];
    // A network of somebody else belongs to another user namespace, whoever that is.
    let foreign_network = !modes.network.is_new();
    let binds = [
        (foreign_network, "/sys", [access, "rprivate", "rbind"]),
        (
            modes.pid == Namespace::Host,
            "/proc",
            ["rw", "rprivate", "rbind"],
        ),
        (
            modes.ipc == Namespace::Host,
            "/dev/mqueue",
            ["rw", "private", "bind"],
        ),
    ];
    let mut ours = mounts
        .iter_mut()
        .filter(|mount| mount.typ().as_deref() != Some("bind"));
    for mount in ours.by_ref() {
        let at = mount.destination().to_string_lossy().into_owned();
        let bind = binds
            .iter()
            .find(|(wanted, path, _)| *wanted && *path == at);
        if let Some((_, path, own)) = bind {
            let options = own.iter().chain(&common).map(|word| (*word).to_owned());
            mount
                .set_typ(Some("bind".to_owned()))
                .set_source(Some(path.into()))
                .set_options(Some(options.collect()));
        } else if at == "/sys/fs/cgroup" && foreign_network && !is_of_systemd(mount) {
            let options = ["rprivate", access].into_iter().chain(common);
            mount
                .set_source(Some("/sys/fs/cgroup".into()))
                .set_options(Some(options.map(str::to_owned).collect()));
        }
    }
    let terminals = mounts
        .iter_mut()
        .filter(|mount| mount.typ().as_deref() == Some("devpts"));
    for mount in terminals.filter(|_| !mapping.has_group(5)) {
        if let Some(options) = mount.options_mut() {
            options.retain(|option| option != "gid=5");
        }
    }
}

/// Whether it was made writable for a systemd in the container.
fn is_of_systemd(mount: &Mount) -> bool {
    let mut words = mount.options().iter().flatten();
    words.any(|word| word == "private")
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::tests::{definition, facts};
    use super::super::{ImageDefaults, plan};
    use super::*;
    use crate::definition::{Network, Options};

    fn spec(options: Options, size: u32) -> Value {
        let mut facts = facts(&ImageDefaults::default(), &[]);
        let range = IdRange {
            container: 0,
            host: 1000,
            size,
        };
        facts.isolation.mapping = Some(Mapping {
            uids: vec![range],
            gids: vec![range],
        });
        let bundle = plan(&definition(&["sh"], options), &facts).unwrap();
        serde_json::to_value(&bundle.spec).unwrap()
    }

    #[test]
    fn a_mapping_makes_a_user_namespace() {
        let spec = spec(Options::default(), 9);
        let line = json!([{"containerID": 0, "hostID": 1000, "size": 9}]);
        assert_eq!(spec["linux"]["uidMappings"], line);
        assert_eq!(spec["linux"]["gidMappings"], line);
        let kinds = spec["linux"]["namespaces"].as_array().unwrap();
        assert!(kinds.contains(&json!({"type": "user"})));
    }

    #[test]
    fn what_a_mapped_container_cannot_mount_is_bound() {
        let mut options = Options {
            network: Network::Host,
            ..Options::default()
        };
        options.isolation.pid = Some(Namespace::Host);
        let spec = spec(options, 5);
        let mounts = spec["mounts"].as_array().unwrap();
        let at = |path: &str| {
            mounts
                .iter()
                .find(|mount| mount["destination"] == path)
                .unwrap()
        };
        for path in ["/sys", "/proc"] {
            assert_eq!(
                (&at(path)["type"], &at(path)["source"]),
                (&json!("bind"), &json!(path))
            );
        }
        assert_eq!(at("/dev/mqueue")["type"], "mqueue");
        let options = at("/dev/pts")["options"].as_array().unwrap();
        assert!(!options.contains(&json!("gid=5")));
    }
}
