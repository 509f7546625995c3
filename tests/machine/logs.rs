//! Where output goes, and that none of it is lost.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

#[test]
fn the_journal_has_fields_priorities_and_both_streams() {
    for suite in [Suite::Trixie, Suite::Bookworm] {
        let lab = Lab::boot(suite);
        let id = lab
            .sh(&format!(
                "unitbox run -d --name j --log-opt tag=blue --log-opt stderr-priority=err {ROOTFS} \
                 sh -c 'echo plain; echo \"<4>warned\"; echo bad >&2; echo again >/dev/stdout; echo fd >/proc/self/fd/1; echo e2 >/dev/stderr'"
            ))
            .ok();
        lab.sh("unitbox wait j; journalctl --sync").ok();
        let line = |message: &str, field: &str| {
            lab.sh(&format!(
                "journalctl -u unitbox-j -o json MESSAGE={message} | jq -r '.{field}' | tail -1"
            ))
            .ok()
        };
        for (message, priority) in [
            ("plain", "6"),
            ("warned", "4"),
            ("bad", "3"),
            ("again", "6"),
            ("fd", "6"),
            ("e2", "3"),
        ] {
            assert_eq!(line(message, "PRIORITY"), priority, "{message}");
        }
        assert_eq!(line("plain", "CONTAINER_NAME"), "j");
        assert_eq!(line("plain", "CONTAINER_ID"), id[..12]);
        assert_eq!(line("plain", "CONTAINER_ID_FULL"), id);
        assert_eq!(line("plain", "CONTAINER_TAG"), "blue");
        assert_eq!(
            line("plain", "IMAGE_NAME"),
            "/usr/share/unitbox-lab/busybox"
        );
        assert_eq!(line("plain", "_SYSTEMD_UNIT"), "unitbox-j.service");
        assert_eq!(line("plain", "SYSLOG_IDENTIFIER"), "j");
        let logs = lab.sh("unitbox logs j 2>&1").ok();
        for message in ["plain", "warned", "bad", "again", "fd", "e2"] {
            assert!(
                logs.lines().any(|line| line == message),
                "{message} in {logs}"
            );
        }
        assert!(!logs.contains("Started unitbox"), "{logs}");
    }
}

/// journald asks whose lines those of a process are, as long as that is there: a run that is over in no time waits for it.
#[test]
fn a_journal_that_is_late_still_knows_whose_line_it_is() {
    let lab = Lab::boot(Suite::Trixie);
    let late = lab.sh(&format!(
        "unitbox run --rm {ROOTFS} true; mkdir /opt/o; pid=$(systemctl show -P MainPID systemd-journald); kill -STOP $pid
        (until [ -e /opt/o/over ]; do sleep 0.01; done; sleep 0.7; kill -CONT $pid) &
        unitbox run --rm --name late --log-opt tag=blue -v /opt/o:/o {ROOTFS} sh -c 'echo said; touch /o/over' >/dev/null
        wait; journalctl --sync
        journalctl -o json MESSAGE=said | jq -r '.CONTAINER_NAME + .CONTAINER_TAG'"
    ));
    assert_eq!(late.ok(), "lateblue");
}

#[test]
fn the_other_drivers() {
    let lab = Lab::boot(Suite::Trixie);
    let script = "sh -c 'echo out; echo err >&2; echo again >/dev/stdout'";
    // It is a socket there, which cannot be opened again: that is the price of passthrough.
    let plain = "sh -c 'echo out; echo err >&2'";
    lab.sh(&format!("unitbox run -d --name pass --log-driver passthrough {ROOTFS} {plain}; unitbox wait pass; journalctl --sync")).ok();
    let logs = lab.sh("unitbox logs pass 2>&1").ok();
    assert_eq!(
        logs.lines()
            .filter(|line| ["out", "err"].contains(line))
            .count(),
        2,
        "{logs}"
    );
    // The payload itself is the writer.
    assert_ne!(
        lab.sh("journalctl -u unitbox-pass MESSAGE=out -o json | jq -r ._COMM")
            .ok(),
        "unitbox-monitor"
    );

    for (driver, name) in [("k8s-file", "k"), ("json-file", "s")] {
        lab.sh(&format!("unitbox run -d --name {name} --log-driver {driver} --log-opt path=/opt/{name}.log {ROOTFS} {script}; unitbox wait {name}")).ok();
        let text = lab.sh(&format!("cat /opt/{name}.log")).ok();
        let found: Vec<&str> = text
            .lines()
            .filter_map(|line| line.split_once(' ').map(|(_, rest)| rest))
            .collect();
        assert!(
            found.contains(&"stdout F out") && found.contains(&"stderr F err"),
            "{text}"
        );
        let logs = lab.sh(&format!("unitbox logs {name} 2>&1 | sort")).ok();
        assert_eq!(logs, "again\nerr\nout");
    }
    lab.sh(&format!("unitbox run -d --name big --log-driver k8s-file --log-opt max-size=10kb {ROOTFS} stamp lines 10000 100; unitbox wait big")).ok();
    let size = lab
        .sh("stat -c %s /var/lib/unitbox/containers/*/ctr.log")
        .ok();
    assert!(
        size.parse::<u32>().is_ok_and(|size| size <= 10 * 1024),
        "{size}"
    );

    lab.sh(&format!(
        "unitbox run -d --name none --log-driver none {ROOTFS} {script}; unitbox wait none"
    ))
    .ok();
    lab.sh("unitbox logs none").fails(125);
    let foreground = lab
        .sh(&format!(
            "unitbox run --rm --log-driver none {ROOTFS} {script}"
        ))
        .ok();
    assert_eq!(foreground, "out\nagain");
}

#[test]
fn a_million_lines_arrive_in_order() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!("unitbox run -d --name m {ROOTFS} stamp lines 1000000 100; unitbox wait m; journalctl --sync")).ok();
    let script = "unitbox logs m | awk '{ if ($1+0 != NR-1+first && NR > 1) { print \"line\", NR, $1; exit 1 } if (NR == 1) first = $1+0 } END { print NR }'";
    assert_eq!(lab.sh(script).ok(), "1000000");
}

#[test]
fn following_shows_what_comes() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "unitbox run -d --name f {ROOTFS} sh -c 'for i in 1 2 3; do echo $i; sleep 0.5; done'"
    ))
    .ok();
    // It ends when the container has ended.
    assert_eq!(lab.sh("timeout 20 unitbox logs -f f").ok(), "1\n2\n3");
}
