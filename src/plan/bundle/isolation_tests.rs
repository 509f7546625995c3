//! What options of isolation come to in config.json.

use serde_json::{Value, json};

use super::super::tests::{definition, facts};
use super::super::*;
use crate::definition::{Options, options};

/// The part of config.json at a pointer, for these flags and this user.
fn part(flags: &[(&str, &str)], uid: u32, pointer: &str) -> Value {
    let mut wish = Options::default();
    for (flag, value) in flags {
        let spec = options().find(|spec| spec.flag == *flag).unwrap();
        spec.apply(&mut wish, value).unwrap();
    }
    wish.check().unwrap();
    let mut facts = facts(&ImageDefaults::default(), &[]);
    facts.process.user.uid = uid;
    let bundle = plan(&definition(&["sh"], wish), &facts).unwrap();
    let spec = serde_json::to_value(&bundle.spec).unwrap();
    sorted(spec.pointer(pointer).cloned().unwrap_or(Value::Null))
}

/// Sets have no order of their own.
fn sorted(mut value: Value) -> Value {
    if let Value::Array(list) = &mut value
        && list.iter().all(Value::is_string)
    {
        list.sort_by_key(ToString::to_string);
    }
    value
}

fn capabilities(flags: &[(&str, &str)], uid: u32, set: &str) -> Value {
    part(flags, uid, &format!("/process/capabilities/{set}"))
}

#[test]
fn the_bounding_set_is_the_default_plus_and_minus() {
    let drop_all = [("cap-drop", "all"), ("cap-add", "chown,kill")];
    for (flags, expected) in [
        (&drop_all[..], json!(["CAP_CHOWN", "CAP_KILL"])),
        // The host does not have it to give.
        (&[("cap-drop", "all"), ("cap-add", "sys_time")], json!([])),
    ] {
        assert_eq!(capabilities(flags, 0, "bounding"), expected);
        assert_eq!(capabilities(flags, 0, "effective"), expected);
        assert_eq!(capabilities(flags, 0, "ambient"), Value::Null);
    }
    let count =
        |flags: &[(&str, &str)]| capabilities(flags, 0, "bounding").as_array().unwrap().len();
    assert_eq!(count(&[("cap-drop", "CAP_KILL")]), 10);
    assert_eq!(count(&[("cap-add", "sys_admin")]), 12);
    assert_eq!(count(&[("cap-add", "all"), ("cap-drop", "chown")]), 11);
    assert_eq!(count(&[("privileged", "true"), ("cap-drop", "all")]), 12);
}

#[test]
fn another_user_than_root_has_only_what_was_added() {
    for (flags, expected) in [
        (&[][..], Value::Null),
        (&[("cap-add", "sys_admin")], json!(["CAP_SYS_ADMIN"])),
        (&[("cap-add", "sys_time")], Value::Null),
        (&[("privileged", "true")], Value::Null),
    ] {
        assert_eq!(capabilities(flags, 7, "ambient"), expected);
        assert_eq!(capabilities(flags, 7, "inheritable"), expected);
        let effective = capabilities(flags, 7, "effective");
        assert_eq!(effective.as_array().unwrap().is_empty(), expected.is_null());
    }
    let bounding = capabilities(&[], 7, "bounding");
    assert_eq!(bounding, capabilities(&[], 0, "bounding"));
}

#[test]
fn a_namespace_of_somebody_else_is_not_changed() {
    let kinds = |flags| {
        let list = part(flags, 0, "/linux/namespaces");
        let list = list.as_array().unwrap().iter();
        let text = |entry: &Value| {
            let path = entry["path"].as_str().unwrap_or_default();
            format!("{} {path}", entry["type"].as_str().unwrap())
        };
        list.map(text).collect::<Vec<_>>().join(",")
    };
    let hosts = [
        ("pid", "host"),
        ("ipc", "host"),
        ("uts", "host"),
        ("cgroupns", "host"),
        ("network", "host"),
    ];
    assert_eq!(kinds(&hosts), "mount ");
    assert_eq!(part(&hosts, 0, "/linux/sysctl"), Value::Null);
    assert_eq!(part(&hosts, 0, "/hostname"), Value::Null);
    assert_eq!(
        part(&[("uts", "ns:/x"), ("network", "ns:/y")], 0, "/hostname"),
        Value::Null
    );
    assert_eq!(
        kinds(&[("uts", "ns:/x"), ("network", "ns:/y")]),
        "pid ,ipc ,uts /x,mount ,cgroup ,network /y"
    );
    let sysctls = part(&[("sysctl", "kernel.sem=1")], 0, "/linux/sysctl");
    assert_eq!(
        sysctls,
        json!({"net.ipv4.ping_group_range": "0 0", "kernel.sem": "1"})
    );
}

#[test]
fn sysctls_of_a_shared_namespace_are_refused() {
    for (flag, mode, sysctl) in [
        ("network", "host", "net.ipv4.ip_forward=1"),
        ("ipc", "host", "kernel.sem=1"),
        ("ipc", "host", "fs.mqueue.msg_max=1"),
    ] {
        let mut wish = Options::default();
        for (flag, value) in [(flag, mode), ("sysctl", sysctl)] {
            let spec = options().find(|spec| spec.flag == flag).unwrap();
            spec.apply(&mut wish, value).unwrap();
        }
        let text = wish.check().unwrap_err().to_string();
        assert!(text.contains(sysctl), "{text}");
    }
}

#[test]
fn hidden_paths_can_be_shown_and_others_hidden() {
    let masked = |flags| {
        let list = part(flags, 0, "/linux/maskedPaths");
        list.as_array().unwrap().len()
    };
    let read_only = |flags| {
        let list = part(flags, 0, "/linux/readonlyPaths");
        list.as_array().unwrap().len()
    };
    assert_eq!((masked(&[]), read_only(&[])), (11, 6));
    let all = [
        ("security-opt", "unmask=all"),
        ("security-opt", "mask=/a:/b"),
    ];
    assert_eq!((masked(&all), read_only(&all)), (2, 0));
    let some = [("security-opt", "unmask=/proc/k*:/proc/bus")];
    assert_eq!((masked(&some), read_only(&some)), (9, 5));
    let privileged = [("privileged", "true"), ("security-opt", "mask=/a")];
    assert_eq!((masked(&privileged), read_only(&privileged)), (1, 0));
}

#[test]
fn a_privileged_container_may_use_every_device() {
    let rules = |flags| part(flags, 0, "/linux/resources/devices/0/allow");
    assert_eq!(rules(&[("privileged", "true")]), json!(true));
    assert_eq!(rules(&[]), json!(false));
}

#[test]
fn the_filter_of_system_calls_follows_the_capabilities() {
    let rules = |flags| {
        let rules = part(flags, 0, "/linux/seccomp/syscalls");
        rules.as_array().map(Vec::len)
    };
    assert_eq!(rules(&[]), Some(1));
    assert_eq!(rules(&[("cap-add", "sys_admin")]), Some(0));
    assert_eq!(rules(&[("security-opt", "seccomp=unconfined")]), None);
    assert_eq!(rules(&[("privileged", "true")]), None);
    let own = [("privileged", "true"), ("security-opt", "seccomp=/x")];
    assert_eq!(rules(&own), Some(0));
}

#[test]
fn a_container_without_a_filter_warns() {
    let mut facts = facts(&ImageDefaults::default(), &[]);
    facts.isolation.seccomp = None;
    let bundle = plan(&definition(&["sh"], Options::default()), &facts).unwrap();
    assert!(
        bundle.warnings[0].contains("seccomp"),
        "{:?}",
        bundle.warnings
    );
}

#[test]
fn devices_and_rules_are_as_podman_has_them() {
    let mut facts = facts(&ImageDefaults::default(), &[]);
    facts.isolation.devices = vec![DeviceNode {
        host: "/dev/x".into(),
        path: "/dev/xx".into(),
        block: true,
        major: 1,
        minor: 7,
        mode: 0o60666,
        uid: 3,
        gid: 4,
        access: "rw".to_owned(),
    }];
    let mut wish = Options::default();
    let spec = options().find(|spec| spec.flag == "device-cgroup-rule");
    spec.unwrap().apply(&mut wish, "c *:3 r").unwrap();
    let bundle = plan(&definition(&["sh"], wish), &facts).unwrap();
    let linux = serde_json::to_value(bundle.spec.linux()).unwrap();
    let node = json!([{"path": "/dev/xx", "type": "b", "major": 1, "minor": 7,
        "fileMode": 0o60666, "uid": 3, "gid": 4}]);
    assert_eq!(linux["devices"], node);
    let rules = json!([
        {"allow": false, "access": "rwm"},
        {"allow": true, "type": "b", "major": 1, "minor": 7, "access": "rw"},
        {"allow": true, "type": "c", "minor": 3, "access": "r"},
    ]);
    assert_eq!(linux["resources"]["devices"], rules);
}

#[test]
fn the_hosts_configuration_is_the_default() {
    let mut facts = facts(&ImageDefaults::default(), &[]);
    let text = "[containers]\npidns='host'\nipcns='none'\ndefault_capabilities=['KILL']\n\
        default_sysctls=['net.ipv4.x=1']\nseccomp_profile='unconfined'";
    facts.conf = Conf::parse(text, "x").unwrap();
    let bundle = plan(&definition(&["sh"], Options::default()), &facts).unwrap();
    let spec = serde_json::to_value(&bundle.spec).unwrap();
    assert_eq!(
        spec["process"]["capabilities"]["bounding"],
        json!(["CAP_KILL"])
    );
    assert_eq!(spec["linux"]["sysctl"], json!({"net.ipv4.x": "1"}));
    assert_eq!(spec["linux"]["seccomp"], Value::Null);
    let kinds = spec["linux"]["namespaces"].as_array().unwrap();
    assert!(!kinds.contains(&json!({"type": "pid"})));
    let mounts = spec["mounts"].as_array().unwrap();
    assert!(
        !mounts
            .iter()
            .any(|mount| mount["destination"] == "/dev/shm")
    );
    assert!(bundle.warnings.is_empty(), "{:?}", bundle.warnings);
}

#[test]
fn a_mapped_container_has_moved_devices_bound() {
    let mut facts = facts(&ImageDefaults::default(), &[]);
    let node = |host: &str, path: &str| DeviceNode {
        host: host.into(),
        path: path.into(),
        block: false,
        major: 1,
        minor: 7,
        mode: 0o20666,
        uid: 0,
        gid: 0,
        access: "rw".to_owned(),
    };
    facts.isolation.devices = vec![node("/dev/a", "/dev/a"), node("/dev/b", "/dev/c")];
    let range = crate::definition::IdRange {
        container: 0,
        host: 1000,
        size: 9,
    };
    facts.isolation.mapping = Some(Mapping {
        uids: vec![range],
        gids: vec![range],
    });
    let bundle = plan(&definition(&["sh"], Options::default()), &facts).unwrap();
    let spec = serde_json::to_value(&bundle.spec).unwrap();
    let devices = spec["linux"]["devices"].as_array().unwrap();
    assert_eq!((devices.len(), &devices[0]["path"]), (1, &json!("/dev/a")));
    let mounts = spec["mounts"].as_array().unwrap();
    let bound = mounts.iter().find(|mount| mount["destination"] == "/dev/c");
    assert_eq!(bound.unwrap()["source"], "/dev/b");
    assert_eq!(
        spec["linux"]["resources"]["devices"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
}
