//! Exit truth outlives what it can.

use crate::harness::{Lab, Oracle, Suite};
use crate::run::ROOTFS;

#[test]
fn waiters_get_the_code_before_and_after_the_removal() {
    let lab = Lab::boot(Suite::Trixie);
    let script = format!(
        "id=$(unitbox run -d --rm --name w {ROOTFS} sh -c 'sleep 1; exit 9'); \
         unitbox wait w > /opt/early & unitbox wait $id > /opt/early-id & wait; \
         cat /opt/early /opt/early-id; unitbox wait $id; unitbox wait w"
    );
    assert_eq!(lab.sh(&script).ok(), "9\n9\n9\n9");
    assert_eq!(lab.sh("unitbox ps -aq").ok(), "");
    lab.sh("unitbox wait no-such").fails(125);
}

#[test]
fn the_last_exit_survives_a_reboot_and_a_power_cut_is_told() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!("unitbox run --name done {ROOTFS} sh -c 'exit 7'"))
        .fails(7);
    lab.sh(&format!("unitbox run -d --name running {ROOTFS} stamp run"))
        .ok();
    lab.sh(&format!(
        "unitbox run -d --rm --name gone {ROOTFS} stamp run"
    ))
    .ok();
    lab.power_cut();
    let ps = lab.sh("unitbox ps -a --no-trunc").ok();
    assert!(ps.contains("Exited (7)"), "{ps}");
    let row = ps
        .lines()
        .find(|line| line.contains("running"))
        .unwrap_or_default();
    assert!(row.contains("unknown"), "{ps}");
    assert!(!row.contains("(0)") && !row.contains("-1"), "{ps}");
    assert!(!ps.contains("gone"), "{ps}");
    lab.sh("unitbox start running && systemctl is-active unitbox-running && unitbox rm -f running")
        .ok();
    // An orderly reboot is an ordered stop.
    lab.sh(&format!(
        "unitbox run -d --name orderly {ROOTFS} stamp code 143"
    ))
    .ok();
    lab.reboot();
    let ps = lab.sh("unitbox ps -a").ok();
    assert!(
        ps.lines()
            .any(|line| line.contains("orderly") && line.contains("Exited (143)")),
        "{ps}"
    );
    assert!(ps.contains("Exited (7)"), "{ps}");
}

#[test]
fn a_killed_monitor_is_told_as_such() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!("unitbox run -d --name m {ROOTFS} stamp run"))
        .ok();
    lab.sh("kill -9 $(systemctl show -P MainPID unitbox-m)")
        .ok();
    assert_eq!(lab.sh("unitbox wait m").ok(), "137");
    let inspect = lab.sh("unitbox inspect m").ok();
    assert!(inspect.contains("monitor killed"), "{inspect}");
    lab.sh("unitbox start m && unitbox rm -f m").ok();
}

/// The drop-in of a unit whose processes get no inotify instance, as where others have them all.
pub(crate) const NO_INOTIFY: &str =
    "[Service]\\nSystemCallFilter=~inotify_init inotify_init1\\nSystemCallErrorNumber=EMFILE\\n";

/// The kernel's 128 inotify instances of a user are everybody's: who gets none does all the same.
#[test]
fn a_run_does_without_inotify() {
    let lab = Lab::boot(Suite::Trixie);
    let oracle = Oracle::baseline(&lab);
    for runtime in ["runc", "crun"] {
        let script = format!(
            "drop=/run/systemd/system/unitbox-n.service.d; mkdir -p $drop; printf '{NO_INOTIFY}' >$drop/n.conf
            unitbox create -i --name n --runtime {runtime} --stop-timeout 60 {ROOTFS} sh -c 'trap : TERM; while :; do read line && exit $line; sleep 0.1; done' >/dev/null
            systemctl daemon-reload; unitbox start n >/dev/null
            readlink /proc/$(systemctl show -P MainPID unitbox-n)/fd/* | grep -c inotify
            echo 7 | timeout 20 unitbox attach n; echo $? $(unitbox wait n)
            unitbox start n >/dev/null; systemctl stop unitbox-n & sleep 0.5
            timeout 20 unitbox stop -t 0 n >/dev/null; echo $?; timeout 20 unitbox wait n; wait
            unitbox rm n >/dev/null; rm -r $drop; systemctl daemon-reload"
        );
        assert_eq!(lab.sh(&script).ok(), "0\n7 7\n0\n137", "{runtime}");
    }
    oracle.assert_clean(&lab);
}

/// Half of the instances are left to others.
#[test]
fn many_runs_leave_inotify_instances_to_others() {
    let lab = Lab::boot(Suite::Trixie);
    let script = format!(
        "half=$(($(cat /proc/sys/fs/inotify/max_user_instances) / 2))
        unitbox create --name m {ROOTFS} stamp run >/dev/null
        instances() {{ systemctl start unitbox-m; readlink /proc/$(systemctl show -P MainPID unitbox-m)/fd/* | grep -c inotify; systemctl stop unitbox-m; }}
        instances; for i in $(seq $half); do mkdir /run/unitbox/x$i; done; instances; rmdir /run/unitbox/x*; instances"
    );
    assert_eq!(lab.sh(&script).ok(), "1\n0\n1");
}
