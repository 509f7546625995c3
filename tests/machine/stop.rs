//! Ordered stops: who asked, how the payload ended, what systemd and the exit file say.

use std::time::{Duration, Instant};

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// The exit file of a kept container: `ENDED STATUS STOP`.
fn exit_file(lab: &Lab, name: &str) -> String {
    let script = format!(
        "f=/run/unitbox/$(basename $(readlink /var/lib/unitbox/names/{name}))/exit; \
         for k in ENDED STATUS STOP; do sed -n \"s/^$k=//p\" $f; done | tr '\\n' ' '"
    );
    lab.sh(&script).ok()
}

fn unit(lab: &Lab, name: &str) -> String {
    let state = lab
        .sh(&format!("systemctl show -P ActiveState unitbox-{name}"))
        .ok();
    let result = lab
        .sh(&format!("systemctl show -P Result unitbox-{name}"))
        .ok();
    format!("{state} {result}")
}

#[test]
fn the_table_of_ordered_stops() {
    let lab = Lab::boot(Suite::Trixie);
    table(&lab);
}

#[test]
fn the_table_of_ordered_stops_on_debian_12() {
    let lab = Lab::boot(Suite::Bookworm);
    table(&lab);
}

fn table(lab: &Lab) {
    for (name, flags, command, stop, expected_unit, expected_file) in [
        (
            "signal",
            "--stop-signal KILL",
            "stamp ignore",
            "systemctl stop unitbox-signal",
            "inactive success",
            "signaled 9 ordered",
        ),
        (
            "zero",
            "",
            "stamp run",
            "systemctl stop unitbox-zero",
            "inactive success",
            "exited 0 ordered",
        ),
        (
            "as-shells-do",
            "",
            "stamp code 143",
            "systemctl stop unitbox-as-shells-do",
            "inactive success",
            "exited 143 ordered",
        ),
        (
            "hup",
            "--stop-signal HUP",
            "sh -c 'trap \"exit 129\" HUP; echo ready; while :; do sleep 0.05; done'",
            "unitbox stop hup",
            "inactive success",
            "exited 129 ordered",
        ),
        (
            "other",
            "",
            "stamp code 3",
            "systemctl stop unitbox-other",
            "failed exit-code",
            "exited 3 ordered",
        ),
        (
            "too-late",
            "--stop-timeout 1",
            "stamp ignore",
            "systemctl stop unitbox-too-late",
            "inactive success",
            "signaled 9 timed-out",
        ),
        (
            "at-once",
            "",
            "stamp ignore",
            "unitbox stop -t 0 at-once",
            "inactive success",
            "signaled 9 timed-out",
        ),
        (
            "for-ever",
            "--stop-timeout 1",
            "sh -c 'trap \"sleep 3; exit 143\" TERM; echo ready; while :; do sleep 0.05; done'",
            "unitbox stop -t -1 for-ever",
            "inactive success",
            "exited 143 ordered",
        ),
        (
            "beyond",
            "--stop-timeout 1",
            "sh -c 'trap \"sleep 23; exit 143\" TERM; echo ready; while :; do sleep 0.05; done'",
            "unitbox stop -t 40 beyond",
            "inactive success",
            "exited 143 ordered",
        ),
    ] {
        lab.sh(&format!(
            "unitbox run -d --name {name} {flags} {ROOTFS} {command}"
        ))
        .ok();
        lab.sh(&format!("for i in $(seq 100); do journalctl --sync; unitbox logs {name} | grep -q ready && exit 0; sleep 0.05; done; exit 1")).ok();
        lab.sh(stop).ok();
        assert_eq!(unit(lab, name), expected_unit, "{name}");
        assert_eq!(exit_file(lab, name), expected_file, "{name}");
        let warned = lab.sh(&format!("journalctl --sync; journalctl -u unitbox-{name} -p warning -o cat | grep -c 'killing it' || true")).ok();
        assert_eq!(
            warned,
            if expected_file.ends_with("timed-out") {
                "1"
            } else {
                "0"
            },
            "{name}"
        );
        // What was stopped starts again, by either master.
        lab.sh(&format!(
            "systemctl start unitbox-{name}; unitbox stop -t 0 {name}; unitbox start {name}"
        ))
        .ok();
        lab.sh(&format!("unitbox rm -f -t 0 {name}")).ok();
    }
}

#[test]
fn paused_and_frozen_containers_stop_in_order() {
    let lab = Lab::boot(Suite::Trixie);
    let started = || {
        lab.sh(&format!("unitbox run -d --name p {ROOTFS} stamp run"))
            .ok();
        lab.sh("for i in $(seq 100); do journalctl --sync; unitbox logs p | grep -q ready && exit 0; sleep 0.05; done; exit 1").ok();
    };
    // The payload alone is frozen, as `pause` does: systemd's own stop must do.
    started();
    lab.sh("echo 1 > /sys/fs/cgroup/system.slice/unitbox-p.service/payload/cgroup.freeze")
        .ok();
    let begin = Instant::now();
    lab.sh("systemctl stop unitbox-p").ok();
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(exit_file(&lab, "p"), "exited 0 ordered");
    lab.sh("unitbox rm p").ok();
    // The whole unit is frozen: ours thaws it first.
    started();
    lab.sh("systemctl freeze unitbox-p && unitbox stop p").ok();
    assert_eq!(exit_file(&lab, "p"), "exited 0 ordered");
    lab.sh("unitbox rm p").ok();
}

#[test]
fn a_hung_journal_does_not_hold_up_a_stop() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "unitbox run -d --name y --stop-timeout 2 {ROOTFS} sh -c 'trap \"exit 0\" TERM; while :; do echo yyyyyyyyyyyyyyyyyyyyyyyy; done'"
    ))
    .ok();
    lab.sh("kill -STOP $(systemctl show -P MainPID systemd-journald); sleep 2")
        .ok();
    let begin = Instant::now();
    let stop = lab.sh("timeout 30 systemctl stop unitbox-y; echo $?");
    let took = begin.elapsed();
    lab.sh("kill -CONT $(systemctl show -P MainPID systemd-journald)")
        .ok();
    assert_eq!(stop.ok(), "0");
    assert!(took < Duration::from_secs(10), "{took:?}");
}

/// An attached client holds back the signals that end programs; while it waits for the end of the run before, there is
/// nobody to pass them on to.
#[test]
fn a_start_that_waits_for_the_end_of_a_run_can_be_given_up() {
    let lab = Lab::boot(Suite::Trixie);
    for (flags, state) in [("", "exited"), ("--rm", "")] {
        let seen = lab
            .sh(&format!(
                "state() {{ unitbox ps -a --format '{{{{.State}}}}'; }}
                unitbox run -d --name s {flags} --stop-timeout 60 {ROOTFS} stamp ignore >/dev/null
                unitbox stop s >/dev/null & stop=$!
                until [ \"$(state)\" = stopping ]; do sleep 0.05; done
                for signal in INT TERM HUP; do
                    SECONDS=0; timeout --preserve-status -k 20 -s $signal 1 unitbox start -a s 2>/dev/null
                    echo $? $((SECONDS < 10))
                done
                state; unitbox kill s >/dev/null; wait $stop; echo $?; state; unitbox rm -i s >/dev/null"
            ))
            .ok();
        let want = format!("130 1\n130 1\n130 1\nstopping\n0\n{state}");
        assert_eq!(seen.trim(), want.trim(), "{flags}");
    }
}
