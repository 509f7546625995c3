//! The user namespace of a container.

use oci_spec::runtime::{Linux, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceType, Mount};

use super::BundleFacts;
use super::isolation::Namespaces;
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
    namespace.set_typ(LinuxNamespaceType::User);
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
    let binds = [
        (&modes.network, "/sys", "ro"),
        (&modes.pid, "/proc", "rw"),
        (&modes.ipc, "/dev/mqueue", "rw"),
    ];
    for (_, path, access) in binds.iter().filter(|(mode, ..)| **mode == Namespace::Host) {
        let ours = |mount: &&mut Mount| {
            mount.destination().as_os_str() == *path && mount.typ().as_deref() != Some("bind")
        };
        if let Some(mount) = mounts.iter_mut().find(ours) {
            let options = ["rprivate", "nosuid", "noexec", "nodev", access, "rbind"];
            mount
                .set_typ(Some("bind".to_owned()))
                .set_source(Some(path.into()))
                .set_options(Some(options.map(str::to_owned).to_vec()));
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
