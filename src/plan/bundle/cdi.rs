//! Devices of the Container Device Interface (CDI specification 0.8): a file of a vendor says what of config.json a device
//! of a name changes.

use std::path::PathBuf;

use oci_spec::runtime::{Hook, LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType, Mount, Spec};
use serde::Deserialize;

/// A file of the interface.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CdiFile {
    kind: String,
    #[serde(default)]
    devices: Vec<NamedDevice>,
    #[serde(default)]
    container_edits: Edits,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct NamedDevice {
    name: String,
    #[serde(default)]
    container_edits: Edits,
}

/// What changes in config.json. A field that this program does not know is refused: to leave it out would give the
/// container another device than the vendor meant.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct Edits {
    env: Vec<String>,
    device_nodes: Vec<Node>,
    mounts: Vec<CdiMount>,
    hooks: Vec<CdiHook>,
    #[serde(rename = "additionalGIDs", alias = "additionalGids")]
    additional_gids: Vec<u32>,
}

/// A device node; type and numbers that are not said are those of the host.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Node {
    path: PathBuf,
    host_path: Option<PathBuf>,
    #[serde(rename = "type")]
    kind: Option<LinuxDeviceType>,
    major: Option<i64>,
    minor: Option<i64>,
    file_mode: Option<u32>,
    permissions: Option<String>,
    uid: Option<u32>,
    gid: Option<u32>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CdiMount {
    host_path: PathBuf,
    container_path: PathBuf,
    #[serde(default)]
    options: Vec<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct CdiHook {
    hook_name: Stage,
    path: PathBuf,
    #[serde(default)]
    args: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    timeout: Option<i64>,
}

/// When a hook runs (OCI runtime specification, "POSIX-platform Hooks").
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Stage {
    Prestart,
    CreateRuntime,
    CreateContainer,
    StartContainer,
    Poststart,
    Poststop,
}

impl CdiFile {
    /// Reads the JSON of a file.
    ///
    /// # Errors
    /// It is none.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The changes for a device by its whole name, those for any of the file first; none if it is not here.
    pub fn device(&self, wished: &str) -> Option<Vec<Edits>> {
        let (kind, name) = wished.split_once('=')?;
        if kind != self.kind {
            return None;
        }
        let device = self.devices.iter().find(|device| device.name == name)?;
        let both = [&self.container_edits, &device.container_edits];
        Some(both.into_iter().cloned().collect())
    }
}

impl Edits {
    /// The nodes, to be completed from the host.
    pub fn nodes(&mut self) -> impl Iterator<Item = &mut Node> {
        self.device_nodes.iter_mut()
    }
}

impl Node {
    /// Where it is on the host.
    pub fn host_path(&self) -> &std::path::Path {
        self.host_path.as_ref().unwrap_or(&self.path)
    }

    /// Whether type or numbers are to be taken from the host.
    pub fn lacks_numbers(&self) -> bool {
        self.kind.is_none() || self.major.is_none() || self.minor.is_none()
    }

    /// Takes type and numbers from the host where the file does not say them.
    pub fn complete(&mut self, host: &super::DeviceNode) {
        self.kind.get_or_insert(match host.block {
            true => LinuxDeviceType::B,
            false => LinuxDeviceType::C,
        });
        self.major.get_or_insert(host.major.into());
        self.minor.get_or_insert(host.minor.into());
    }
}

/// Changes config.json; with `rules`, the device rules of the cgroup too.
pub(super) fn apply(edits: &[Edits], rules: bool, spec: &mut Spec) {
    for edit in edits {
        for node in &edit.device_nodes {
            add_node(node, rules, spec);
        }
        let mounts = edit.mounts.iter().map(mount);
        spec.mounts_mut().get_or_insert_default().extend(mounts);
        if let Some(process) = spec.process_mut() {
            let env = process.env_mut().get_or_insert_default();
            for assignment in &edit.env {
                let name = assignment.split('=').next().unwrap_or_default();
                env.retain(|other| other.split('=').next() != Some(name));
                env.push(assignment.clone());
            }
            let groups = process
                .user_mut()
                .additional_gids_mut()
                .get_or_insert_default();
            for gid in edit.additional_gids.iter().filter(|gid| **gid != 0) {
                if !groups.contains(gid) {
                    groups.push(*gid);
                }
            }
        }
        for hook in &edit.hooks {
            add_hook(hook, spec);
        }
    }
}

fn add_node(node: &Node, rules: bool, spec: &mut Spec) {
    let kind = node.kind.unwrap_or(LinuxDeviceType::C);
    let (major, minor) = (node.major.unwrap_or(0), node.minor.unwrap_or(0));
    let linux = spec.linux_mut().get_or_insert_default();
    let mut device = LinuxDevice::default();
    device
        .set_path(node.path.clone())
        .set_typ(kind)
        .set_major(major)
        .set_minor(minor)
        .set_file_mode(node.file_mode)
        .set_uid(node.uid)
        .set_gid(node.gid);
    let devices = linux.devices_mut().get_or_insert_default();
    devices.retain(|other| other.path() != &node.path);
    devices.push(device);
    if rules {
        let mut rule = LinuxDeviceCgroup::default();
        rule.set_allow(true)
            .set_typ(Some(kind))
            .set_major(Some(major))
            .set_minor(Some(minor))
            .set_access(Some(node.permissions.clone().unwrap_or("rwm".to_owned())));
        let resources = linux.resources_mut().get_or_insert_default();
        resources.devices_mut().get_or_insert_default().push(rule);
    }
}

fn mount(wish: &CdiMount) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_source(Some(wish.host_path.clone()))
        .set_destination(wish.container_path.clone())
        .set_typ(wish.kind.clone())
        .set_options(Some(wish.options.clone()).filter(|options| !options.is_empty()));
    mount
}

fn add_hook(wish: &CdiHook, spec: &mut Spec) {
    let mut hook = Hook::default();
    hook.set_path(wish.path.clone())
        .set_args(Some(wish.args.clone()).filter(|args| !args.is_empty()))
        .set_env(Some(wish.env.clone()).filter(|env| !env.is_empty()))
        .set_timeout(wish.timeout);
    let mut hooks = spec.hooks().clone().unwrap_or_default();
    #[allow(deprecated, reason = "vendors' files still use prestart")]
    let list = match wish.hook_name {
        Stage::Prestart => hooks.prestart_mut(),
        Stage::CreateRuntime => hooks.create_runtime_mut(),
        Stage::CreateContainer => hooks.create_container_mut(),
        Stage::StartContainer => hooks.start_container_mut(),
        Stage::Poststart => hooks.poststart_mut(),
        Stage::Poststop => hooks.poststop_mut(),
    };
    list.get_or_insert_default().push(hook);
    spec.set_hooks(Some(hooks));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FILE: &str = r#"{
        "cdiVersion": "0.6.0", "kind": "v.com/c",
        "containerEdits": {"env": ["A=1", "PATH=/v"]},
        "devices": [
            {"name": "one", "containerEdits": {
                "deviceNodes": [{"path": "/dev/v", "hostPath": "/dev/h", "permissions": "rw"}],
                "mounts": [{"hostPath": "/opt/v", "containerPath": "/v", "options": ["ro", "bind"]}],
                "hooks": [{"hookName": "createContainer", "path": "/bin/h", "args": ["h", "x"]}],
                "additionalGIDs": [44]}},
            {"name": "two"}
        ]}"#;

    #[test]
    fn a_device_changes_what_its_file_says() {
        let file = CdiFile::parse(FILE).unwrap();
        assert_eq!(file.device("v.com/c=three"), None);
        assert_eq!(file.device("v.com/d=one"), None);
        let mut edits = file.device("v.com/c=one").unwrap();
        let host = super::super::DeviceNode {
            host: "/dev/h".into(),
            path: "/dev/h".into(),
            block: false,
            major: 7,
            minor: 8,
            mode: 0o20660,
            uid: 0,
            gid: 44,
            access: "rwm".to_owned(),
        };
        for node in edits.iter_mut().flat_map(Edits::nodes) {
            assert!(node.lacks_numbers());
            assert_eq!(node.host_path(), std::path::Path::new("/dev/h"));
            node.complete(&host);
        }
        let mut spec = Spec::default();
        apply(&edits, true, &mut spec);
        let value = serde_json::to_value(&spec).unwrap();
        let env = value.pointer("/process/env").unwrap().as_array().unwrap();
        assert_eq!(
            env.iter()
                .filter(|text| text.as_str().unwrap().starts_with("PATH="))
                .count(),
            1
        );
        assert!(env.contains(&json!("A=1")));
        for (pointer, expected) in [
            (
                "/linux/devices/0",
                json!({"path": "/dev/v", "type": "c", "major": 7, "minor": 8}),
            ),
            (
                "/linux/resources/devices/0",
                json!({"allow": true, "type": "c", "major": 7, "minor": 8, "access": "rw"}),
            ),
            (
                "/hooks/createContainer",
                json!([{"path": "/bin/h", "args": ["h", "x"]}]),
            ),
            ("/process/user/additionalGids", json!([44])),
        ] {
            assert_eq!(value.pointer(pointer), Some(&expected), "{pointer}");
        }
        let mounts = value["mounts"].as_array().unwrap();
        let last = json!({"destination": "/v", "source": "/opt/v", "options": ["ro", "bind"]});
        assert_eq!(mounts.last(), Some(&last));
    }

    #[test]
    fn what_is_not_understood_is_not_left_out() {
        let bad = FILE.replace("additionalGIDs", "novelty");
        assert!(CdiFile::parse(&bad).is_err());
        let bad = FILE.replace("createContainer", "whenever");
        assert!(CdiFile::parse(&bad).is_err());
    }
}
