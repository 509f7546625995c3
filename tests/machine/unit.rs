//! A container is an ordinary service: what systemctl shows and does.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

#[test]
fn a_detached_container_is_a_unit() {
    let lab = Lab::boot(Suite::Trixie);
    as_a_unit(&lab);
}

#[test]
fn a_detached_container_is_a_unit_on_debian_12() {
    let lab = Lab::boot(Suite::Bookworm);
    as_a_unit(&lab);
}

fn as_a_unit(lab: &Lab) {
    let id = lab
        .sh(&format!("unitbox run -d --name web {ROOTFS} stamp hups"))
        .ok();
    assert_eq!(id.len(), 64, "{id}");
    assert!(id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    let show = |property: &str| {
        lab.sh(&format!("systemctl show -P {property} unitbox-web"))
            .ok()
    };
    assert_eq!(show("ActiveState"), "active");
    assert_eq!(show("Type"), "notify");
    assert!(!show("StatusText").is_empty());
    let main = show("MainPID");
    assert_eq!(
        lab.sh(&format!("cat /proc/{main}/comm")).ok(),
        "unitbox-monitor"
    );
    assert_eq!(lab.sh(&format!("ls /proc/{main}/task | wc -l")).ok(), "1");
    let cgroup = "/sys/fs/cgroup/system.slice/unitbox-web.service";
    assert_eq!(
        lab.sh(&format!("cat {cgroup}/monitor/cgroup.procs")).ok(),
        main
    );
    let payload = lab.sh(&format!("cat {cgroup}/payload/cgroup.procs")).ok();
    assert_eq!(lab.sh(&format!("cat /proc/{payload}/comm")).ok(), "stamp");

    // systemctl kill reaches the payload's init exactly once; the container lives on.
    ready(lab);
    lab.sh("systemctl kill -s HUP unitbox-web; systemctl kill -s HUP unitbox-web; sleep 0.3")
        .ok();
    let hups = lab
        .sh("journalctl --sync; unitbox logs web | grep ^HUP")
        .ok();
    assert_eq!(hups, "HUP 1\nHUP 2");
    assert_eq!(show("MainPID"), main);
    lab.sh("unitbox kill -s USR1 web; sleep 0.3").ok();
    assert_eq!(
        lab.sh("journalctl --sync; unitbox logs web | grep ^USR1")
            .ok(),
        "USR1 1"
    );

    lab.sh("systemctl restart unitbox-web").ok();
    assert_ne!(show("MainPID"), main);
    lab.sh("systemctl stop unitbox-web").ok();
    assert_eq!(show("ActiveState"), "inactive");
    lab.sh("systemctl start unitbox-web && systemctl stop unitbox-web")
        .ok();
    lab.sh("unitbox start web && systemctl is-active unitbox-web")
        .ok();
    lab.sh("unitbox stop web && unitbox rm web").ok();
    assert_eq!(show("LoadState"), "not-found");
    lab.sh("test -z \"$(ls -A /var/lib/unitbox/containers /var/lib/unitbox/names | grep -v :)\"")
        .ok();
}

fn ready(lab: &Lab) {
    lab.sh("for i in $(seq 100); do journalctl --sync; unitbox logs web | grep -q ready && exit 0; sleep 0.05; done; exit 1").ok();
}

#[test]
fn systemd_finds_nothing_to_complain_about() {
    for suite in [Suite::Trixie, Suite::Bookworm] {
        let lab = Lab::boot(suite);
        lab.sh(&format!(
            "unitbox create --name v --memory 64m --label 'a=100%' --log-opt 'tag=x\"y\\z $HOME %h' {ROOTFS} true"
        ))
        .ok();
        let verify = lab.sh("systemd-analyze verify /run/systemd/system/unitbox-v.service");
        verify.fails(0);
        assert_eq!((verify.out(), verify.err()), (String::new(), String::new()));
        // What the user wrote came through byte for byte.
        lab.sh("unitbox start v; sleep 0.3; journalctl --sync").ok();
        lab.sh("unitbox rm -f v").ok();
        let all = lab.sh(
            "for u in /lib/systemd/system/unitbox*.service; do systemd-analyze verify $u; done",
        );
        all.fails(0);
        assert_eq!((all.out(), all.err()), (String::new(), String::new()));
    }
}

/// Properties that differ between a transient unit and a unit file by their nature.
const DIFFERENT_BY_NATURE: &[&str] = &[
    "Id",
    "Names",
    "Description",
    "FragmentPath",
    "Transient",
    "UnitFileState",
    "UnitFilePreset",
    "CollectMode",
    "ExecStart",
    "ExecStartEx",
    "SyslogIdentifier",
    "LogExtraFields",
    "OnFailure",
    "InvocationID",
    "ControlGroup",
    "ControlGroupId",
    "MainPID",
    "ExecMainPID",
    "WatchdogTimestamp",
    "WatchdogTimestampMonotonic",
    "NeedDaemonReload",
];

#[test]
fn transient_and_file_units_are_the_same() {
    for suite in [Suite::Trixie, Suite::Bookworm] {
        let lab = Lab::boot(suite);
        lab.sh(&format!(
            "unitbox run -d --name filed --memory 64m {ROOTFS} stamp run"
        ))
        .ok();
        lab.sh(&format!(
            "unitbox run -d --rm --name loose --memory 64m {ROOTFS} stamp run"
        ))
        .ok();
        let show = |name: &str| -> Vec<(String, String)> {
            let text = lab.sh(&format!("systemctl show --all unitbox-{name}")).ok();
            let pairs = text.lines().filter_map(|line| line.split_once('='));
            let volatile = |key: &str| {
                DIFFERENT_BY_NATURE.contains(&key)
                    || [
                        "Timestamp",
                        "TimestampMonotonic",
                        "NSec",
                        "Current",
                        "Peak",
                        "Handoff",
                    ]
                    .iter()
                    .any(|suffix| key.contains(suffix))
                    || key.starts_with("IO")
                    || key.starts_with("IP")
                    || key.starts_with("Memory") && key != "MemoryMax"
                    || key.starts_with("Tasks")
                    || key.starts_with("Effective")
            };
            let sorted = |value: &str| {
                let mut words: Vec<&str> = value.split(' ').collect();
                words.sort_unstable();
                words.join(" ")
            };
            pairs
                .filter(|(key, _)| !volatile(key))
                .map(|(key, value)| (key.to_owned(), sorted(&value.replace("loose", "filed"))))
                .collect()
        };
        let (filed, loose) = (show("filed"), show("loose"));
        assert!(
            filed.len() > 150,
            "systemctl show gave {} properties",
            filed.len()
        );
        let differ: Vec<_> = filed.iter().zip(&loose).filter(|(a, b)| a != b).collect();
        assert!(
            filed.len() == loose.len() && differ.is_empty(),
            "{differ:#?}"
        );
        lab.sh("unitbox rm -f -t 0 filed loose").ok();
    }
}

#[test]
fn a_container_that_fails_often_starts_as_often_as_it_is_asked_to() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "unitbox create --name often --runtime crun {ROOTFS} stamp exit 3"
    ))
    .ok();
    // Each failure starts the cleanup unit, which must leave the next run alone.
    let codes = lab.sh(
        "set -e; for i in $(seq 40); do unitbox start often >/dev/null; unitbox wait often; done >codes; sort -u codes",
    );
    assert_eq!(codes.ok(), "3");
}
