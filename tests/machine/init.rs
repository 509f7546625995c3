//! `init`: a container that is made and waits for its start, whoever gives it.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

fn state(lab: &Lab, name: &str) -> String {
    let states = "{{.State.Status}} {{.State.Running}} {{.State.ExitCode}}";
    let ours = lab.sh(&format!("unitbox inspect --format '{states}' {name}"));
    let unit = lab.sh(&format!("systemctl show -P ActiveState unitbox-{name}"));
    format!("{} {}", ours.ok(), unit.ok())
}

fn made(lab: &Lab, name: &str, command: &str) {
    lab.sh(&format!("unitbox create --name {name} {ROOTFS} {command}"))
        .ok();
    lab.sh(&format!("timeout 20 unitbox init {name}")).ok();
    assert_eq!(state(lab, name), "initialized false 0 activating", "{name}");
}

#[test]
fn who_starts_it_lets_it_go() {
    let lab = Lab::boot(Suite::Trixie);
    all(&lab);
}

#[test]
fn who_starts_it_lets_it_go_on_debian_12() {
    let lab = Lab::boot(Suite::Bookworm);
    all(&lab);
}

fn all(lab: &Lab) {
    made(lab, "by-systemd", "stamp run");
    lab.sh("timeout 20 systemctl start unitbox-by-systemd").ok();
    assert_eq!(state(lab, "by-systemd"), "running true 0 active");

    made(lab, "by-us", "stamp run");
    lab.sh("timeout 20 unitbox start by-us").ok();
    assert_eq!(state(lab, "by-us"), "running true 0 active");

    made(lab, "attached", "sh -c 'echo one; exit 3'");
    let seen = lab.sh("timeout 20 unitbox start -a attached");
    assert_eq!((seen.code, seen.out().trim()), (3, "one"));

    made(lab, "stopped", "stamp run");
    lab.sh("timeout 20 systemctl stop unitbox-stopped").ok();
    assert_eq!(state(lab, "stopped"), "exited false 137 inactive");

    // The worker that waits is not what the container lives by.
    made(lab, "waiter", "stamp run");
    let pids = "pgrep -P $(systemctl show -P MainPID unitbox-waiter) -f unitbox-monitor";
    lab.sh(&format!("kill -9 $({pids}); sleep 0.5")).ok();
    assert_eq!(state(lab, "waiter"), "initialized false 0 activating");
    lab.sh("timeout 20 systemctl start unitbox-waiter").ok();
    assert_eq!(state(lab, "waiter"), "running true 0 active");

    // What one has asked for who was killed holds nobody's start.
    lab.sh(&format!("unitbox create --name stale {ROOTFS} stamp run"))
        .ok();
    lab.sh(
        "d=/run/unitbox/$(unitbox inspect --format '{{.Id}}' stale); mkdir -m 700 -p $d; echo 1 1 >$d/hold",
    )
    .ok();
    lab.sh("timeout 20 systemctl start unitbox-stale").ok();
    assert_eq!(state(lab, "stale"), "running true 0 active");

    lab.sh("unitbox rm -af -t 0").ok();
    lab.sh("! ls /run/systemd/system/unitbox-*.service 2>/dev/null")
        .ok();
}

/// The run before is still being cleaned up, which takes all of it away but not what asks for the next one.
#[test]
fn one_that_is_cleaned_up_waits_for_its_start_too() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir /opt/hooks").ok();
    lab.write(
        "/opt/hooks/slow.json",
        r#"{"version":"1.0.0","hook":{"path":"/usr/bin/sleep","args":["sleep","2"]},"when":{"always":true},"stages":["poststop"]}"#,
    );
    lab.sh(&format!(
        "unitbox run -d --name late --hooks-dir /opt/hooks {ROOTFS} stamp run
        unitbox kill late; unitbox wait late; timeout 20 unitbox init late"
    ))
    .ok();
    assert_eq!(state(&lab, "late"), "initialized false 0 activating");
}
