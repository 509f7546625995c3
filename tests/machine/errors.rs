//! What cannot work says so in one line and leaves nothing.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

#[track_caller]
fn one_line(lab: &Lab, script: &str, code: i32, words: &[&str]) {
    let run = lab.sh(script);
    run.fails(code);
    let text = run.err();
    assert_eq!(text.lines().count(), 1, "{text}");
    for word in words {
        assert!(text.contains(word), "{word:?} in {text:?}");
    }
}

#[test]
fn wrong_usage_is_named() {
    let lab = Lab::boot(Suite::Trixie);
    for (flags, words) in [
        ("--network bridge", ["--network", "bridge"]),
        ("--publish 80:80", ["--publish", ""]),
        ("--stop-signal NOPE", ["--stop-signal", "NOPE"]),
        ("--runtime /no/such", ["/no/such", ""]),
        ("--name a/b", ["--name", "a/b"]),
    ] {
        one_line(
            &lab,
            &format!("unitbox run {flags} {ROOTFS} true"),
            125,
            &words,
        );
    }
    one_line(
        &lab,
        "unitbox run --rootfs /no/such/dir true",
        125,
        &["/no/such/dir"],
    );
    one_line(
        &lab,
        "unitbox run no-such-image true",
        125,
        &["no-such-image"],
    );
    one_line(&lab, "unitbox start no-such", 125, &["no-such"]);
    lab.sh(&format!("unitbox create --name twice {ROOTFS} true"))
        .ok();
    one_line(
        &lab,
        &format!("unitbox create --name twice {ROOTFS} true"),
        125,
        &["twice", "in use"],
    );
    lab.sh("unitbox rm twice").ok();
    assert_eq!(lab.sh("unitbox ps -aq").ok(), "");
    assert_eq!(
        lab.sh("ls /run/systemd/system | grep unitbox; true").ok(),
        ""
    );
}

#[test]
fn nobody_but_root() {
    let lab = Lab::boot(Suite::Trixie);
    one_line(
        &lab,
        &format!("setpriv --reuid 1000 --clear-groups unitbox run {ROOTFS} true"),
        125,
        &["root"],
    );
    one_line(
        &lab,
        "setpriv --reuid 1000 --clear-groups unitbox stop x",
        125,
        &["root"],
    );
}

#[test]
fn a_dead_bus_is_no_obstacle() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("systemctl stop dbus.socket dbus.service; pkill -9 dbus-daemon; true")
        .ok();
    lab.sh(&format!("unitbox run --rm {ROOTFS} sh -c 'exit 4'"))
        .fails(4);
    lab.sh(&format!(
        "unitbox run -d --name nobus {ROOTFS} stamp run && unitbox stop nobus && unitbox rm nobus"
    ))
    .ok();
}

#[test]
fn full_disks_stop_starts_and_nothing_else() {
    let lab = Lab::boot(Suite::Trixie);
    // /run full while a container runs: stop and exit truth still work.
    let fill = "mount -o remount,size=$(($(df --output=used -B1 /run | tail -1) + 4096)) /run; head -c 1M /dev/zero >> /run/fill; true";
    lab.sh(&format!("unitbox run -d --name r {ROOTFS} stamp code 3"))
        .ok();
    lab.sh(fill).ok();
    lab.sh("systemctl stop unitbox-r; true").ok();
    assert_eq!(
        lab.sh("systemctl show -P ExecMainStatus unitbox-r").ok(),
        "3"
    );
    lab.sh(fill).ok();
    one_line(
        &lab,
        &format!("unitbox run --rm {ROOTFS} true"),
        125,
        &["space"],
    );
    lab.sh("mount -o remount,size=512m /run; rm /run/fill; unitbox start r && unitbox rm -f r")
        .ok();
    assert_eq!(
        lab.sh("unitbox ps -aq; ls /run/unitbox | grep -vE '^(exits|locks|runtime-check)$'; true")
            .ok(),
        ""
    );
}

#[test]
fn a_full_var_refuses_new_containers_and_holds_up_no_stop() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mount -t tmpfs -o size=256k none /var/lib/unitbox")
        .ok();
    lab.sh(&format!("unitbox run -d --name v {ROOTFS} stamp code 3"))
        .ok();
    lab.sh("head -c 1M /dev/zero > /var/lib/unitbox/fill; true")
        .ok();
    let before = lab.sh("find /var/lib/unitbox | sort").ok();
    for verb in ["run --rm", "run -d", "create"] {
        let script = format!("unitbox {verb} --name new {ROOTFS} true");
        one_line(&lab, &script, 125, &["space"]);
    }
    assert_eq!(lab.sh("find /var/lib/unitbox | sort").ok(), before);
    lab.sh("unitbox stop v").ok();
    assert_eq!(lab.sh("unitbox wait v").ok(), "3");
    lab.sh("unitbox rm v && rm /var/lib/unitbox/fill").ok();
    lab.sh(&format!("unitbox run --rm {ROOTFS} true")).ok();
}

#[test]
fn passthrough_leaves_nothing_for_a_client() {
    let lab = Lab::boot(Suite::Trixie);
    let script = format!("unitbox run --rm --log-driver passthrough {ROOTFS} true");
    one_line(&lab, &script, 125, &["passthrough", "--detach"]);
    assert_eq!(lab.sh("unitbox ps -aq").ok(), "");
}

#[test]
fn cgroup_version_1_is_refused_in_one_line() {
    let lab = Lab::boot(Suite::Trixie);
    // What a host with the old hierarchy has there.
    one_line(
        &lab,
        &format!(
            "unshare -m sh -c 'mount -t tmpfs none /sys/fs/cgroup && unitbox run --rm {ROOTFS} true'"
        ),
        125,
        &["cgroup"],
    );
}
