//! What a payload can reach, seen from inside: capabilities, filters, namespaces, devices, users.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// Runs a shell command in a container with these flags; the container's output.
#[track_caller]
fn inside(lab: &Lab, flags: &str, command: &str) -> String {
    lab.sh(&format!(
        "unitbox run --rm {flags} {ROOTFS} sh -c '{command}'"
    ))
    .ok()
}

#[track_caller]
fn refused(lab: &Lab, flags: &str) -> String {
    let run = lab.sh(&format!("unitbox create {flags} {ROOTFS} true"));
    run.fails(125);
    assert_eq!(run.err().lines().count(), 1, "{}", run.err());
    assert_eq!(lab.sh("unitbox ps -aq").ok(), "");
    run.err()
}

/// A line of /proc/self/status.
fn status<'a>(text: &'a str, key: &str) -> &'a str {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|line| line.strip_prefix(':'))
        .unwrap_or("")
        .trim()
}

#[test]
fn a_payload_has_the_default_rights_and_nothing_inherited() {
    let lab = Lab::boot(Suite::Trixie);
    for runtime in ["runc", "crun"] {
        let flags = format!("--runtime {runtime}");
        let text = inside(&lab, &flags, "cat /proc/self/status");
        for (key, expected) in [
            ("CapInh", "0000000000000000"),
            ("CapAmb", "0000000000000000"),
            ("CapBnd", "00000000800405fb"),
            ("CapEff", "00000000800405fb"),
            ("Seccomp", "2"),
            ("NoNewPrivs", "0"),
        ] {
            assert_eq!(status(&text, key), expected, "{runtime} {key}");
        }
        let flags = format!(
            "--runtime {runtime} --user 7 --cap-add net_admin --security-opt no-new-privileges"
        );
        let text = inside(&lab, &flags, "cat /proc/self/status");
        for (key, expected) in [
            ("CapAmb", "0000000000001000"),
            ("CapEff", "0000000000001000"),
            ("CapBnd", "00000000800415fb"),
            ("NoNewPrivs", "1"),
        ] {
            assert_eq!(status(&text, key), expected, "{runtime} {key}");
        }
        let score = inside(
            &lab,
            &format!("--runtime {runtime}"),
            "cat /proc/self/oom_score_adj",
        );
        assert_eq!(score, "0", "{runtime}");
    }
}

/// CVE-2024-21626: a descriptor of the host's that reaches the container is a way out. The runtimes of today close what
/// they were not meant to have, so that the payload alone would not tell whether we do: the runtime itself must have none.
#[test]
fn descriptors_of_the_unit_do_not_reach_the_payload() {
    let lab = Lab::boot(Suite::Trixie);
    for runtime in ["runc", "crun"] {
        let spy = format!(
            "#!/bin/bash\nfind /proc/$$/fd -type l -printf '%f %l\\n' >>/opt/fds\nexec {runtime} \"$@\"\n"
        );
        lab.write(&format!("/opt/{runtime}"), spy);
        lab.sh(&format!("chmod 755 /opt/{runtime}; rm -f /opt/fds"))
            .ok();
        let list = "ls /proc/self/fd | wc -l";
        lab.sh(&format!(
            "unitbox create --name fds --runtime /opt/{runtime} {ROOTFS} sh -c '{list}' 7</etc 8</etc/passwd"
        ))
        .ok();
        lab.sh(
            "d=/run/systemd/system/unitbox-fds.service.d; mkdir -p $d; \
             printf '[Service]\\nOpenFile=/etc/passwd:a:read-only\\nOpenFile=/etc/group:b:read-only\\n' > $d/x.conf; \
             systemctl daemon-reload; unitbox start fds 9</etc; unitbox wait fds; journalctl --sync",
        )
        .ok();
        // 0, 1, 2 and the directory that ls itself has open.
        assert_eq!(lab.sh("unitbox logs fds | tail -1").ok(), "4", "{runtime}");
        let open = lab.sh("cat /opt/fds").ok();
        let leaked = |line: &&str| {
            ["/etc/passwd", "/etc/group", "/etc"]
                .iter()
                .any(|file| line.ends_with(file))
        };
        assert!(open.contains("/opt/"), "{runtime}: {open}");
        assert_eq!(open.lines().find(leaked), None, "{runtime}: {open}");
        lab.sh("unitbox rm fds; rm -r /run/systemd/system/unitbox-fds.service.d; systemctl daemon-reload")
            .ok();
    }
}

#[test]
fn what_would_change_the_host_is_refused() {
    let lab = Lab::boot(Suite::Trixie);
    let pattern = lab.sh("cat /proc/sys/kernel/core_pattern").ok();
    for flags in [
        "--sysctl 'kernel.core_pattern=|/x'",
        "--sysctl 'kernel.shm_rmid_forced=1+kernel.core_pattern=|/x'",
        "--sysctl net.ipv4.ip_forward=1 --network host",
        "--annotation org.systemd.property.ExecStopPost=/bin/x",
        "--cap-add nonsense",
        "--cap-add kill --cap-drop kill",
        "--security-opt nonsense=1",
        "--security-opt seccomp=/no/such/profile",
        "--security-opt seccomp=/etc/passwd",
        "--device /dev/no-such",
        "--device /etc/passwd",
        "--device vendor.com/class=none",
        "--device-cgroup-rule 'c 1:3'",
        "--uidmap 0:1:2 --uidmap 1:9:2",
        "--uidmap 0:1:2 --userns auto",
        "--hostname x --uts host",
    ] {
        refused(&lab, flags);
    }
    assert_eq!(lab.sh("cat /proc/sys/kernel/core_pattern").ok(), pattern);
}

#[test]
fn a_filter_of_system_calls_is_the_one_asked_for() {
    let lab = Lab::boot(Suite::Trixie);
    lab.write(
        "/opt/profile.json",
        r#"{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errno": "EXDEV", "args": [],
             "excludes": {"caps": ["CAP_SYS_ADMIN"]}}]}"#,
    );
    let own = "--security-opt seccomp=/opt/profile.json";
    let make = "mkdir /tmp/made 2>&1; rmdir /tmp/made 2>&1; grep Seccomp: /proc/self/status";
    let said = inside(&lab, own, make);
    assert!(
        said.contains("Invalid cross-device link") && said.ends_with("2"),
        "{said}"
    );
    let said = inside(&lab, &format!("{own} --cap-add sys_admin"), make);
    assert!(!said.contains("link"), "{said}");
    let said = inside(&lab, "--security-opt seccomp=unconfined", make);
    assert!(said.ends_with("0"), "{said}");
    // The host's own profile comes before the distribution's.
    lab.sh("mkdir -p /etc/containers; cp /opt/profile.json /etc/containers/seccomp.json")
        .ok();
    let said = inside(&lab, "", make);
    assert!(said.contains("Invalid cross-device link"), "{said}");
}

#[test]
fn paths_are_hidden_and_shown_as_asked() {
    let lab = Lab::boot(Suite::Trixie);
    let look =
        "wc -c < /proc/timer_list; echo x 2>&1 > /proc/sys/kernel/domainname; wc -c < /etc/passwd";
    let usual = inside(&lab, "", look);
    assert!(
        usual.starts_with("0\n") && usual.contains("Read-only"),
        "{usual}"
    );
    let flags = "--security-opt unmask=ALL --security-opt mask=/etc/passwd";
    let shown = inside(&lab, flags, look);
    assert!(
        !shown.starts_with("0\n") && !shown.contains("Read-only"),
        "{shown}"
    );
    assert!(shown.ends_with("\n0"), "{shown}");
}

#[test]
fn a_privileged_container_is_not_confined() {
    let lab = Lab::boot(Suite::Trixie);
    let look = "grep -E \"CapEff|Seccomp:\" /proc/self/status; ls /dev/net/tun; \
        grep -c \" /sys .*rw\" /proc/mounts; wc -c < /proc/timer_list";
    let host = lab.sh("grep CapBnd /proc/self/status | cut -f2").ok();
    let said = inside(&lab, "--privileged", look);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(status(&said, "CapEff"), host);
    assert_eq!(status(&said, "Seccomp"), "0");
    assert_eq!(lines[2..4], ["/dev/net/tun", "1"], "{said}");
    assert_ne!(lines[4], "0");
}

#[test]
fn devices_are_there_as_asked() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(
        "mkdir -p /dev/many/below /etc/cdi; mknod /dev/many/below/x c 1 7; ln -s full /dev/link",
    )
    .ok();
    lab.write(
        "/etc/cdi/v.json",
        r#"{"cdiVersion": "0.6.0", "kind": "v.com/c", "devices": [{"name": "x", "containerEdits":
            {"env": ["CDI=yes"], "deviceNodes": [{"path": "/dev/cdi", "hostPath": "/dev/full"}]}}]}"#,
    );
    for runtime in ["runc", "crun"] {
        let flags = format!(
            "--runtime {runtime} --device /dev/full:/dev/xx:rw --device /dev/many --device v.com/c=x"
        );
        let list = "echo $CDI; for d in /dev/xx /dev/many/below/x /dev/cdi; do stat -c \"%F %t %T\" $d; done";
        let device = "character special file 1 7";
        let expected = format!("yes\n{device}\n{device}\n{device}");
        assert_eq!(inside(&lab, &flags, list), expected, "{runtime}");
    }
    for runtime in ["runc", "crun"] {
        let flags =
            format!("--runtime {runtime} --uidmap 0:100000:1000 --device /dev/full:/dev/xx");
        let said = inside(&lab, &flags, "stat -c \"%F %t %T\" /dev/xx");
        assert_eq!(said, "character special file 1 7", "{runtime}");
    }
    let via_link = inside(&lab, "--device /dev/link", "ls -l /dev/full");
    assert!(via_link.starts_with('c'), "{via_link}");
}

#[test]
fn namespaces_are_the_hosts_or_somebodys_as_asked() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("ip netns add shared").ok();
    let kinds = "pid ipc uts cgroup net";
    let links = format!("for n in {kinds}; do readlink /proc/self/ns/$n; done");
    let host = lab.sh(&links).ok();
    let shared = inside(
        &lab,
        "--pid host --ipc host --uts host --cgroupns host --network host",
        &links,
    );
    assert_eq!(shared, host);
    let own = inside(&lab, "", &links);
    assert!(
        own.lines().zip(host.lines()).all(|(own, host)| own != host),
        "{own}"
    );
    let joined = inside(
        &lab,
        "--network ns:/run/netns/shared",
        "readlink /proc/self/ns/net",
    );
    let pinned = lab
        .sh("ip netns exec shared readlink /proc/self/ns/net")
        .ok();
    assert_eq!(joined, pinned);
    assert_eq!(
        inside(&lab, "--uts host", "hostname; cat /etc/hostname"),
        format!("{0}\n{0}", lab.name())
    );
    assert_eq!(
        inside(
            &lab,
            "--ipc none",
            "ls -d /dev/shm 2>/dev/null || echo none"
        ),
        "none"
    );
}

#[test]
fn users_of_a_container_are_others_on_the_host() {
    let lab = Lab::boot(Suite::Trixie);
    crate::harness::container::load_image(&lab);
    lab.sh("echo containers:2000000:100000 | tee /etc/subuid > /etc/subgid")
        .ok();
    for runtime in ["runc", "crun"] {
        lab.sh(&format!(
            "unitbox run -d --name mapped --runtime {runtime} --uidmap 0:100000:5000 busybox sh -c \
             'stat -c %u / /etc/hosts /dev/shm /kept 2>/dev/null | tr \"\\n\" \" \"; echo; touch /kept; chown 7 /kept; sleep 1000'"
        ))
        .ok();
        let said = "for i in $(seq 100); do journalctl --sync; unitbox logs mapped | grep -q 0.0.0 && break; sleep 0.1; done; \
            unitbox logs mapped | tail -1; pgrep -x sleep | head -1 | xargs -I{} stat -c %u /proc/{}";
        let said = lab.sh(said).ok();
        assert!(said.starts_with("0 0 0"), "{runtime}: {said}");
        assert!(said.ends_with("100000"), "{runtime}: {said}");
        // Nobody else on the host sees anything below the run directory, though its path is known.
        let id = lab
            .sh("basename $(readlink /var/lib/unitbox/names/mapped)")
            .ok();
        let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups";
        for path in [
            "",
            "/hosts",
            "/exit",
            "/bundle",
            "/bundle/config.json",
            "/bundle/rootfs/etc/passwd",
        ] {
            let look = format!("{nobody} cat /run/unitbox/{id}{path} /run/unitbox/{id}{path}/");
            let run = lab.sh(&look);
            assert_ne!(run.code, 0, "{path}");
            assert!(
                run.err().contains("Permission denied"),
                "{path}: {}",
                run.err()
            );
        }
        lab.sh(&format!(
            "! {nobody} ls /run/unitbox && ! {nobody} ls /var/lib/unitbox"
        ))
        .ok();
        // The files are the container's own on disk, and stay so.
        lab.sh(&format!(
            "test $(stat -c %u /var/lib/unitbox/containers/{id}/rootfs/upper/kept) = 7"
        ))
        .ok();
        lab.sh("unitbox stop -t 0 mapped; unitbox start mapped; sleep 1")
            .ok();
        let again = lab
            .sh("journalctl --sync; unitbox logs mapped | tail -1")
            .ok();
        assert_eq!(again.trim_end(), "0 0 0 7", "{runtime}");
        lab.sh("unitbox rm -f -t 0 mapped").ok();
    }
}

#[test]
fn automatic_mappings_have_no_id_in_common() {
    let lab = Lab::boot(Suite::Trixie);
    crate::harness::container::load_image(&lab);
    let run = "unitbox run -d --userns auto:size=40000 busybox sleep 1000";
    let none = lab.sh(run);
    none.fails(125);
    assert!(none.err().contains("subuid"), "{}", none.err());
    lab.sh("unitbox rm -f $(unitbox ps -aq); true").ok();
    lab.sh("echo containers:2000000:100000 | tee /etc/subuid > /etc/subgid")
        .ok();
    for _ in 0..2 {
        lab.sh(run).ok();
    }
    let maps = "for p in $(pgrep -f 'sleep 1000' | sort -n); do grep -v 4294967295 /proc/$p/uid_map | tr -s ' '; done | sort -u";
    let maps = lab.sh(maps).ok();
    assert_eq!(maps.trim(), "0 2000000 40000\n 0 2040000 40000");
    // There are not enough for a third.
    let third = lab.sh(run);
    third.fails(125);
    assert!(third.err().contains("free ids"), "{}", third.err());
    lab.sh("unitbox rm -f -t 0 $(unitbox ps -aq)").ok();
    lab.sh(&format!("{run} && unitbox rm -f -t 0 $(unitbox ps -aq)"))
        .ok();
}
