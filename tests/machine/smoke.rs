//! The machines themselves: what runs in them, that they are apart, that nothing is left of them.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Lab, Suite};

const STAMP: &str = "/usr/share/unitbox-lab/busybox/bin/stamp";

#[test]
fn trixie_runs_systemd_257_on_cgroup_v2() {
    let lab = Lab::boot(Suite::Trixie);
    assert_systemd(&lab, "systemd 257 ");
    assert!(
        lab.sh("podman --version")
            .ok()
            .starts_with("podman version 5.")
    );
    assert!(
        lab.sh("runc --version")
            .ok()
            .starts_with("runc version 1.1.15")
    );
    assert!(
        lab.sh("crun --version")
            .ok()
            .starts_with("crun version 1.21")
    );
}

#[test]
fn bookworm_runs_systemd_252_on_cgroup_v2() {
    let lab = Lab::boot(Suite::Bookworm);
    assert_systemd(&lab, "systemd 252 ");
    assert!(
        lab.sh("runc --version")
            .ok()
            .starts_with("runc version 1.1.5")
    );
    assert!(
        lab.sh("crun --version")
            .ok()
            .starts_with("crun version 1.8")
    );
}

fn assert_systemd(lab: &Lab, version: &str) {
    assert!(lab.sh("systemctl --version").ok().starts_with(version));
    assert_eq!(lab.sh("systemctl is-system-running").ok(), "running");
    assert_eq!(lab.sh("cat /proc/1/comm").ok(), "systemd");
    assert_eq!(lab.sh("stat -fc %T /sys/fs/cgroup").ok(), "cgroup2fs");
    assert_eq!(
        lab.sh("cat /proc/1/cgroup | grep ^0:").ok(),
        "0::/init.scope"
    );
    assert_eq!(lab.sh("hostname").ok(), lab.name());
    assert_eq!(
        lab.sh(
            "busctl get-property org.freedesktop.systemd1 /org/freedesktop/systemd1 \
        org.freedesktop.systemd1.Manager SystemState"
        )
        .ok(),
        "s \"running\""
    );
}

#[test]
fn the_journal_loses_no_line_of_a_burst() {
    let lab = Lab::bare(Suite::Trixie);
    lab.sh(&format!(
        "systemd-run --quiet --wait --unit=burst {STAMP} lines 100000 100"
    ))
    .ok();
    let lines = lab.sh("journalctl --sync; journalctl -u burst -o cat --no-pager | grep -c ' xxx'");
    assert_eq!(lines.ok(), "100000");
}

#[test]
fn the_image_runs_under_podman() {
    let lab = Lab::bare(Suite::Trixie);
    lab.sh("podman load -q -i /usr/share/unitbox-lab/busybox.tar")
        .ok();
    let run = "podman run --rm --network none";
    lab.sh(&format!(
        "{run} docker.io/library/busybox:latest sh -c 'id; exit 7'"
    ))
    .fails(7);
    lab.sh(&format!("{run} busybox stamp exit 9")).fails(9);
}

#[test]
fn the_payload_is_exact_about_signals() {
    let lab = Lab::bare(Suite::Trixie);
    let killed_by_term = |mode: &str| {
        lab.sh(&format!(
            "mkfifo /tmp/p; {STAMP} {mode} >/tmp/p & read ready </tmp/p; kill $!; wait $!"
        ))
    };
    killed_by_term("run").fails(0);
    killed_by_term("code 41").fails(41);
    let hups = lab.sh(&format!(
        "{STAMP} hups /tmp/f & p=$!; until grep -qs ready /tmp/f; do :; done
        kill -HUP $p; until grep -q 'HUP 1' /tmp/f; do :; done
        kill -USR1 $p; until grep -q 'USR1 1' /tmp/f; do :; done
        kill $p; wait $p && cat /tmp/f"
    ));
    assert_eq!(hups.ok(), "ready\nHUP 1\nUSR1 1");
    assert_eq!(
        lab.sh(&format!("{STAMP} lines 2 14")).ok(),
        "00000000 xxxx\n00000001 xxxx"
    );
}

#[test]
fn a_command_is_connected_and_its_end_is_told() {
    let lab = Lab::bare(Suite::Trixie);
    let bytes: Vec<u8> = (0..1_000_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let run = lab.sh_with_input("cat; echo err >&2; exit 3", &bytes);
    assert!(run.stdout == bytes, "the bytes came back changed");
    assert_eq!(run.fails(3).err(), "err");
    lab.sh("kill -9 $$").fails(137);
    lab.sh("no-such-command").fails(127);
    lab.write("/etc/motd", "it's here");
    assert_eq!(lab.sh("cat /etc/motd").ok(), "it's here");
}

#[test]
fn two_machines_do_not_see_each_other() {
    let (one, two) = (Lab::bare(Suite::Trixie), Lab::bare(Suite::Trixie));
    for lab in [&one, &two] {
        lab.sh(&format!(
            "systemd-run --quiet --unit=same --service-type=exec {STAMP} run"
        ))
        .ok();
    }
    one.sh("systemctl stop same; touch /var/lib/unitbox/mine")
        .ok();
    assert_eq!(two.sh("systemctl is-active same").ok(), "active");
    assert_eq!(two.sh("ls -A /var/lib/unitbox").ok(), "");
    assert_ne!(
        one.sh("cat /etc/machine-id").ok(),
        two.sh("cat /etc/machine-id").ok()
    );
}

#[test]
fn nothing_is_left_of_a_stopped_machine() {
    let lab = Lab::boot(Suite::Trixie);
    let name = lab.name().to_owned();
    // One that ignores SIGTERM, a mount and a network namespace: what makes a stop hard.
    lab.sh(&format!(
        "systemd-run --quiet -p TimeoutStopSec=1 {STAMP} ignore
        mount -t tmpfs x /mnt && ip netns add n"
    ))
    .ok();
    let mut entered = lab.spawn("sleep 1000");
    assert!(
        !traces(&name).is_empty(),
        "a running machine must have traces, else this test sees nothing"
    );
    lab.stop();
    assert_eq!(traces(&name), Vec::<String>::new());
    assert!(!entered.wait().expect("a child can be waited for").success());
}

/// What the host knows of a machine: processes, mounts, cgroups, directories.
fn traces(name: &str) -> Vec<String> {
    let script = format!(
        "grep -lz -e '{name}' /proc/[0-9]*/cmdline; grep -l 'unitbox-lab-{name}' /proc/[0-9]*/cgroup
        grep -h '{name}' /proc/[0-9]*/mounts; find /sys/fs/cgroup /run -path '*{name}*'"
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .output()
        .expect("bash is there");
    let own = format!("/proc/{}/", std::process::id());
    let mut found: Vec<String> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter(|line| !line.starts_with(&own) && is_there(line))
        .map(str::to_owned)
        .collect();
    let state =
        std::env::var("UNITBOX_LAB_STATE").unwrap_or_else(|_| "/var/lib/unitbox-lab".into());
    let state = Path::new(&state).join(name);
    found.extend(state.exists().then(|| state.display().to_string()));
    found
}

/// The search finds itself too: a process that has ended since is no trace, nor is one that the
/// host has yet to reap.
fn is_there(line: &str) -> bool {
    let Some(process) = line.strip_prefix("/proc/") else {
        return true;
    };
    let pid = process.split('/').next().unwrap_or_default();
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

#[test]
fn a_reboot_keeps_the_disk_and_nothing_else() {
    let lab = Lab::bare(Suite::Trixie);
    let boots = || lab.sh("journalctl --list-boots -q --no-pager | wc -l").ok();
    assert_eq!(boots(), "1");
    lab.sh("touch /var/lib/unitbox/kept /run/lost").ok();
    lab.reboot();
    assert_eq!(
        lab.sh("ls -A /var/lib/unitbox; ls /run/lost")
            .fails(2)
            .out(),
        "kept"
    );
    assert_eq!(boots(), "2");
    lab.sh(&format!(
        "systemd-run --quiet --unit=ignore --service-type=exec {STAMP} ignore"
    ))
    .ok();
    lab.power_cut();
    assert_eq!(
        lab.sh("systemctl is-active ignore").fails(4).out(),
        "inactive"
    );
    assert_eq!(lab.sh("systemctl is-system-running").ok(), "running");
}
