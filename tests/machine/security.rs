//! What a hostile image, payload or value tries, and must not get.

use std::time::{Duration, Instant};

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// A copy of the busybox root that a test may change.
const TREE: &str =
    "rm -rf /opt/tree && cp -a /usr/share/unitbox-lab/busybox /opt/tree && cd /opt/tree\n";

/// An account file of the container is no file, is a link to one of the host, or never ends (CVE-2024-9676 and others).
#[test]
fn account_files_are_untrusted() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("echo 'of-the-host:x:4321:4321::/:/bin/sh' >/opt/passwd; cat /opt/passwd >>/etc/passwd")
        .ok();
    for (make, said) in [
        ("mkfifo etc/passwd", "/etc/passwd"),
        ("ln -s /opt/passwd etc/passwd", "of-the-host"),
        (
            "ln -s ../../../../../../../../opt/passwd etc/passwd",
            "of-the-host",
        ),
        (
            "ln -s ../../../../../../../../etc/passwd etc/passwd",
            "/etc/passwd",
        ),
        ("ln -s /dev/zero etc/passwd", "of-the-host"),
        ("mknod etc/passwd c 1 5", "/etc/passwd"),
        ("truncate -s 1G etc/passwd", "/etc/passwd"),
        ("mkdir etc/passwd", "/etc/passwd"),
        ("mkfifo etc/group", "/etc/group"),
        ("truncate -s 1G etc/group", "/etc/group"),
    ] {
        let file = make
            .rsplit(' ')
            .find(|word| word.starts_with("etc/"))
            .expect("a file");
        lab.sh(&format!("{TREE} rm -f {file}; {make}")).ok();
        let begin = Instant::now();
        let run = lab.sh("unitbox run --rm --rootfs --user of-the-host /opt/tree id -u");
        let took = begin.elapsed();
        assert!(
            run.code == 125 || run.code == 126,
            "{make}: {} {}",
            run.code,
            run.out()
        );
        assert!(run.err().contains(said), "{make}: {}", run.err());
        assert!(took < Duration::from_secs(2), "{make}: {took:?}");
    }
}

/// A home directory that would add a line to /etc/passwd (CVE-2026-15809).
#[test]
fn a_home_cannot_add_an_account() {
    let lab = Lab::boot(Suite::Trixie);
    let script = format!(
        "unitbox run --rm --user 4000 --env HOME=$'/\\nroot2:x:0:0::/:/bin/sh' {ROOTFS} sh -c 'grep -c root2 /etc/passwd; id root2'"
    );
    let run = lab.sh(&script);
    assert!(
        run.code == 125 || run.out().starts_with('0'),
        "{} {}",
        run.out(),
        run.err()
    );
    lab.sh(&format!(
        "{TREE} printf 'app:x:7:7::/\\rx:/bin/sh\\n' >>etc/passwd"
    ))
    .ok();
    let home = lab.sh("unitbox run --rm --rootfs --user app /opt/tree sh -c 'echo \"$HOME\"'");
    assert!(!home.out().contains('\r'), "{:?}", home.out());
}

/// CVE-2024-21626: descriptors of the host in the payload, and a working directory by way of them.
#[test]
fn no_descriptor_leads_out() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("touch /of-the-host").ok();
    let open: String = (10..60).map(|fd| format!("exec {fd}</\n")).collect();
    for runtime in ["runc", "crun"] {
        let list = lab.sh(&format!(
            "{open} unitbox run --rm --runtime {runtime} {ROOTFS} sh -c 'cd /proc/$$/fd; for fd in *; do [ ! -e $fd ] || echo $fd; done'"
        ));
        let list = list.ok();
        let fds: Vec<&str> = list.lines().collect();
        // The shell itself may hold one of its own.
        assert!(
            fds.iter().all(|fd| ["0", "1", "2", "10"].contains(fd)),
            "{runtime}: {fds:?}"
        );
        let script = format!(
            "{open} for fd in 3 4 5 6 7 8 9 10 11 12 15 20 40; do for way in self/fd 1/fd self/cwd thread-self/fd; do
            unitbox run --rm --runtime {runtime} --workdir /proc/$way/$fd {ROOTFS} \
            sh -c 'ls of-the-host ../of-the-host ../../of-the-host ../../../of-the-host' 2>/dev/null; done; done; true"
        );
        assert_eq!(lab.sh(&script).ok(), "", "{runtime}");
    }
}

/// CVE-2024-25621: what is ours is closed to others, and is closed again if somebody has opened it.
#[test]
fn nobody_else_can_look_into_our_directories() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!("unitbox run -d --name c {ROOTFS} stamp run"))
        .ok();
    let closed = |when: &str| {
        for directory in ["/var/lib/unitbox", "/run/unitbox"] {
            let list = lab.sh(&format!(
                "setpriv --reuid 65534 --regid 65534 --clear-groups ls {directory}"
            ));
            assert!(list.code != 0, "{when}: {directory}: {}", list.out());
        }
        let read = lab.sh(
            "find /var/lib/unitbox /run/unitbox -xdev \\( -name '*.json' -o -name exit -o -name '*.sock' \\) >/opt/files
            setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'while read f; do cat $f && echo $f; done </opt/files' 2>/dev/null; true",
        );
        assert_eq!(read.ok(), "", "{when}");
    };
    lab.sh("chmod 644 /opt/* 2>/dev/null; true").ok();
    closed("at first");
    lab.sh("chmod 755 /var/lib/unitbox /run/unitbox /run/unitbox/* /var/lib/unitbox/containers")
        .ok();
    lab.sh(&format!("unitbox run --rm {ROOTFS} true")).ok();
    closed("after they were opened");
}

/// CVE-2020-14370: neither the environment of who calls nor that of the container is seen where others look.
#[test]
fn the_environment_stays_where_it_belongs() {
    let lab = Lab::boot(Suite::Trixie);
    lab.write(
        "/opt/runc",
        "#!/bin/bash\ntr '\\0' '\\n' </proc/$$/environ >>/opt/runtime-env\nexec /usr/bin/runc \"$@\"\n",
    );
    lab.sh("chmod +x /opt/runc").ok();
    let env = lab
        .sh(&format!(
            "export CALLER=canary-of-the-caller; export OWN=canary-of-the-container
            unitbox run -d --name kept --runtime /opt/runc --env OWN {ROOTFS} stamp run >/dev/null
            setsid unitbox run --rm --name loose --runtime /opt/runc --env OWN {ROOTFS} sh -c 'env; exec stamp run' >/opt/said 2>&1 </dev/null &
            for i in $(seq 100); do grep -q ready /opt/said && break; sleep 0.05; done; cat /opt/said"
        ))
        .ok();
    assert!(
        env.contains("OWN=canary-of-the-container") && !env.contains("canary-of-the-caller"),
        "{env}"
    );
    lab.sh("grep -q PATH /opt/runtime-env && ! grep canary /opt/runtime-env")
        .ok();
    let seen = lab.sh(
        "systemctl show 'unitbox-*' | grep canary-
        grep -r canary- /run/systemd /etc/systemd
        for p in /proc/[0-9]*; do [ \"$(cat $p/comm)\" = unitbox ] || tr '\\0' ' ' <$p/cmdline | grep -H --label=$p -e canary-; done 2>/dev/null | grep -v grep
        journalctl -o export SYSLOG_IDENTIFIER=unitbox-monitor | grep -a canary-
        setpriv --reuid 65534 --regid 65534 --clear-groups sh -c 'cat /proc/[0-9]*/environ 2>/dev/null | grep -a canary-'
        true",
    );
    assert_eq!(seen.ok(), "");
}

/// CVE-2024-3154: annotations that runtimes turn into properties of units, by whatever way they come.
#[test]
fn no_annotation_changes_the_unit() {
    let lab = Lab::boot(Suite::Trixie);
    for key in ["org.systemd.property.ExecStopPost", "run.oci.hooks.stderr"] {
        let run = lab.sh(&format!(
            "unitbox run --rm '--annotation={key}=x' {ROOTFS} true"
        ));
        run.fails(125);
        assert!(run.err().contains("--annotation"), "{}", run.err());
    }
    lab.sh(&format!(
        "unitbox run -d --name c --label 'org.systemd.property.ExecStopPost=/bin/false' \
         --label 'org.systemd.property.MemoryMax=uint64 5' {ROOTFS} stamp run"
    ))
    .ok();
    assert_eq!(lab.sh("systemctl show -P ExecStopPost unitbox-c").ok(), "");
    assert_eq!(
        lab.sh("systemctl show -P MemoryMax unitbox-c").ok(),
        "infinity"
    );
    lab.sh("! grep -r org.systemd.property /run/unitbox/*/bundle/config.json")
        .ok();
}

/// CVE-2024-40635: numbers of users that do not fit become no other user.
#[test]
fn user_numbers_do_not_wrap() {
    let lab = Lab::boot(Suite::Trixie);
    for user in [
        "4294967296",
        "4294967295",
        "-1",
        "18446744073709551616",
        "0:4294967296",
        "0:-1",
        "0x0",
    ] {
        let run = lab.sh(&format!("unitbox run --rm --user={user} {ROOTFS} id -u"));
        assert!(
            [125, 126].contains(&run.code),
            "{user}: {} {}",
            run.code,
            run.out()
        );
    }
    // runc knows half of them only.
    for (runtime, user) in [
        ("runc", "2147483647"),
        ("crun", "2147483648"),
        ("crun", "4294967294"),
    ] {
        let script = format!(
            "unitbox run --rm --runtime {runtime} --user={user} {ROOTFS} sh -c 'id -u; grep CapEff /proc/self/status'"
        );
        assert_eq!(
            lab.sh(&script).ok(),
            format!("{user}\nCapEff:\t0000000000000000")
        );
    }
}

/// CVE-2019-19921, CVE-2023-27561 and others: directories of the image that are links lead nowhere. Those where runtimes
/// mount are refused by us: the fixed runtimes of today would refuse them too.
#[test]
fn links_in_the_root_lead_nowhere_outside() {
    let lab = Lab::boot(Suite::Trixie);
    let pattern = lab.sh("cat /proc/sys/kernel/core_pattern").ok();
    for runtime in ["runc", "crun"] {
        for (name, target) in [
            ("proc", "/opt/out"),
            ("sys", "/opt/out"),
            ("dev", "/opt/out"),
            ("dev", "../../../../../../opt/out"),
            ("run", "/opt/out"),
            ("etc", "/opt/out"),
        ] {
            let script = format!(
                "{TREE} mkdir -p /opt/out && rm -rf /opt/out/* /opt/tree/{name} && ln -s {target} /opt/tree/{name}
                timeout 20 unitbox run --rm --runtime {runtime} --rootfs /opt/tree sh -c 'ls -d /of-the-host; echo ran' >/opt/said 2>&1
                ls -A /opt/out; findmnt -n /opt/out; grep -x /of-the-host /opt/said
                case {name} in proc|sys|dev) grep -q 'is a symbolic link, which' /opt/said || cat /opt/said;; esac"
            );
            assert_eq!(lab.sh(&script).ok(), "", "{runtime}: {name} -> {target}");
        }
    }
    // A working directory by way of a link is made inside, or not at all (CVE-2026-55686).
    for runtime in ["runc", "crun"] {
        for link in [
            "../../../../../../../../../../../../opt/escaped",
            "/opt/escaped",
            "/proc/self/root/opt/escaped",
        ] {
            lab.sh(&format!(
                "{TREE} ln -s {link} w; unitbox run --rm --runtime {runtime} --workdir /w/a/b --rootfs /opt/tree true; true"
            ))
            .ok();
            lab.sh("! ls -d /opt/escaped").ok();
        }
    }
    assert_eq!(lab.sh("cat /proc/sys/kernel/core_pattern").ok(), pattern);
}

/// A file or link in the place of the exit file is no exit.
#[test]
fn an_exit_file_made_by_another_is_no_exit() {
    let lab = Lab::boot(Suite::Trixie);
    for plant in [
        "printf 'VERSION=1\\nSTATUS=0\\n' >/run/unitbox/$id/exit",
        "ln -s /opt/target /run/unitbox/$id/exit",
        "mkdir /run/unitbox/$id/exit.new; ln -s /opt/target /run/unitbox/$id/exit",
    ] {
        let code = lab
            .sh(&format!(
                "echo untouched >/opt/target; unitbox rm -f c >/dev/null 2>&1
                id=$(unitbox create --name c {ROOTFS} sh -c 'sleep 0.3; exit 3'); mkdir -p -m 700 /run/unitbox/$id; {plant}
                unitbox start c; unitbox wait c"
            ))
            .ok();
        assert_eq!(code.lines().last(), Some("3"), "{plant}");
        assert_eq!(lab.sh("cat /opt/target").ok(), "untouched", "{plant}");
    }
    // The exit of an earlier run, and a monitor that cannot tell its own.
    let state = lab.sh(&format!(
        "mkdir /opt/flag; id=$(unitbox create --name k -v /opt/flag:/flag {ROOTFS} sh -c 'mkdir /flag/x || sleep 1000')
        unitbox start k; unitbox wait k; mkdir -p -m 700 /run/unitbox/$id
        cp /var/lib/unitbox/containers/$id/last-exit /run/unitbox/$id/exit && unitbox start k >/dev/null
        kill -KILL $(systemctl show -P MainPID unitbox-k); unitbox wait k
        unitbox inspect --format '{{{{.State.Status}}}}' k; unitbox rm k"
    ));
    assert_eq!(state.ok(), "k\n0\n137\nexited\nk");
    // While it runs: what the monitor saw wins.
    let code = lab
        .sh(&format!(
            "unitbox rm -f c >/dev/null; id=$(unitbox run -d --name c {ROOTFS} sh -c 'sleep 1; exit 5')
            printf 'VERSION=1\\nSTATUS=0\\n' >/run/unitbox/$id/exit; unitbox wait c"
        ))
        .ok();
    assert_eq!(code.lines().last(), Some("5"));
}

/// Other bytes than UTF-8 are refused by the name of the option.
#[test]
fn bytes_that_are_no_text_are_refused_by_name() {
    let lab = Lab::boot(Suite::Trixie);
    for words in [
        "--label $'a=\\xff' IMG true",
        "--env $'A=b\\xc3' IMG true",
        "--annotation=$'x=\\xed\\xa0\\x80' IMG true",
        "--name $'\\xff' IMG true",
    ] {
        let run = lab.sh(&format!(
            "unitbox run --rm {}",
            words.replace("IMG", ROOTFS)
        ));
        run.fails(125);
        let flag = words.split([' ', '=']).next().expect("a flag");
        assert!(
            run.err().contains(flag) && run.err().lines().count() == 1,
            "{}",
            run.err()
        );
    }
    let run = lab.sh(&format!("unitbox run --rm {ROOTFS} echo $'\\xff'"));
    run.fails(125);
    assert!(run.err().contains("UTF-8"), "{}", run.err());
}
