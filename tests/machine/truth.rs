//! Exit truth outlives what it can.

use crate::harness::{Lab, Suite};
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
