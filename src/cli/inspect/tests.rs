//! The shape of what is shown.

use super::container::describe;
use crate::api::Layout;
use crate::cli::tests::{definition, seen};
use crate::container::observe::State;
use crate::definition::Source;

/// What Podman 5.4 prints of a container of a directory, that has no files of a run.
const KEYS: &str = include_str!("podman-keys.txt");

fn shown() -> serde_json::Value {
    let mut definition = *definition("web");
    definition.source = Source::Rootfs {
        path: "/srv/tree".to_owned(),
    };
    let seen = seen(State::Running, None);
    let value = describe(&Layout::new("/nowhere"), &definition, &seen, true);
    serde_json::from_str(&value.to_json()).unwrap()
}

#[test]
fn every_key_of_podmans_is_there() {
    let shown = shown();
    let missing: Vec<&str> = KEYS
        .lines()
        .filter(|path| {
            let mut keys = path.split('.');
            let found = keys.try_fold(&shown, |value, key| value.get(key));
            found.is_none()
        })
        .collect();
    assert!(
        missing.is_empty() && KEYS.lines().count() > 150,
        "{missing:?}"
    );
}

#[test]
fn values_are_those_of_the_definition() {
    let shown = shown();
    for (path, want) in [
        ("/Name", "\"web\""),
        ("/Rootfs", "\"/srv/tree\""),
        ("/Path", "\"sh\""),
        ("/State/Status", "\"running\""),
        ("/State/Pid", "42"),
        ("/Config/StopSignal", "\"SIGTERM\""),
        ("/Config/Umask", "\"0022\""),
        ("/Config/WorkingDir", "\"/\""),
        ("/HostConfig/NetworkMode", "\"none\""),
        ("/HostConfig/ShmSize", "65536000"),
        ("/HostConfig/IpcMode", "\"shareable\""),
        ("/SizeRootFs", "0"),
    ] {
        let found = shown.pointer(path).map(ToString::to_string);
        assert_eq!(found.as_deref(), Some(want), "{path}");
    }
    let caps = shown["EffectiveCaps"].as_array().unwrap();
    assert!(caps.contains(&"CAP_CHOWN".into()), "{caps:?}");
}
