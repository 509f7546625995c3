//! The leak oracle sees what it is for: one leak of each kind, planted by hand, and each is named.

use crate::harness::{Kind, Lab, Oracle, Suite, list};

/// A container that never was.
const ID: &str = "dead0000dead0000dead0000dead0000dead0000dead0000dead0000dead0000";

/// What is planted, and how it must be named.
const PLANTS: [(&str, Kind, &str); 23] = [
    ("mount -t tmpfs planted /mnt", Kind::Mount, "/mnt (tmpfs planted, root /) in the mount namespace host"),
    (
        "mkdir -p $run/bundle/rootfs; systemd-run -q --service-type=exec -p PrivateMounts=yes --unit=holder \
         sh -c \"mount -t tmpfs inside $run/bundle/rootfs; exec sleep 1000\"
         until grep -q inside /proc/$(systemctl show -P MainPID holder)/mountinfo; do sleep 0.05; done",
        Kind::Mount,
        "/bundle/rootfs (tmpfs inside, root /) in the mount namespace mnt:[",
    ),
    (
        "unshare -m sh -c 'mount -t tmpfs stray /opt; exec sleep 1000' </dev/null >/dev/null 2>&1 &
         until grep -q stray /proc/$!/mountinfo; do sleep 0.05; done",
        Kind::Mount,
        "/opt (tmpfs stray, root /) in the mount namespace mnt:[",
    ),
    ("mkdir -p $run/bundle", Kind::RunFile, "/bundle"),
    ("mkdir -p $cgroup", Kind::Cgroup, "/sys/fs/cgroup/system.slice/unitbox-gone.service/payload"),
    ("mkdir /sys/fs/cgroup/system.slice/sub", Kind::Cgroup, "/sys/fs/cgroup/system.slice/sub"),
    ("mkdir -p /run/runc/web", Kind::RuntimeState, "/run/runc/web"),
    ("mkdir -p /run/crun/web", Kind::RuntimeState, "/run/crun/web"),
    ("mkdir -p $run/runtime/x", Kind::RuntimeState, "/runtime/x"),
    ("ip netns add planted", Kind::NetworkNamespace, "/run/netns/planted"),
    (
        "unshare -n sleep 1000 </dev/null >/dev/null 2>&1 &
         until [ $(readlink /proc/$!/ns/net) != $(readlink /proc/1/ns/net) ]; do sleep 0.05; done",
        Kind::NetworkNamespace,
        "sleep",
    ),
    ("ip link add planted0 type veth peer name planted1", Kind::Link, "planted0"),
    (
        "systemd-run -q --unit=listener perl -MIO::Socket::UNIX -e \
         \"IO::Socket::UNIX->new(Local => '$run/attach.sock', Listen => 1); sleep 1000\"
         until [ -S $run/attach.sock ]; do sleep 0.05; done",
        Kind::Socket,
        "/attach.sock",
    ),
    (
        "sleep 1000 </dev/null >/dev/null 2>&1 & echo $! >$cgroup/cgroup.procs",
        Kind::Process,
        "sleep [sleep 1000] in /system.slice/unitbox-gone.service/payload",
    ),
    (
        "cp /bin/sleep /tmp/unitbox-monitor; /tmp/unitbox-monitor 1000 </dev/null >/dev/null 2>&1 &
         until grep -q unitbox /proc/$!/comm; do sleep 0.05; done",
        Kind::Process,
        "unitbox-monitor [/tmp/unitbox-monitor 1000]",
    ),
    ("systemd-run -q --unit=failing false; sleep 0.2", Kind::FailedUnit, "failing.service"),
    ("touch $run/exit.new", Kind::TemporaryFile, "/exit.new"),
    ("mkdir -p /var/lib/unitbox/.part-1", Kind::TemporaryFile, "/var/lib/unitbox/.part-1"),
    ("touch /run/systemd/system/.unitbox-web.service.12", Kind::TemporaryFile, ".unitbox-web.service.12"),
    (
        "mkdir -p /var/lib/unitbox/names; ln -s ../containers/$id /var/lib/unitbox/names/web",
        Kind::NameLink,
        "/var/lib/unitbox/names/web -> ../containers/dead0000",
    ),
    ("mkdir -p /var/lib/unitbox/containers/$id/rootfs/upper/x.tmp", Kind::Container, ID),
    ("touch /run/systemd/units/log-extra-fields:unitbox-web.service", Kind::LogFields, "unitbox-web.service"),
    ("touch /run/systemd/system/unitbox-web.service", Kind::UnitFile, "unitbox-web.service"),
];

fn each_planted_leak_is_named(suite: Suite) {
    let lab = Lab::bare(suite);
    let oracle = Oracle::baseline(&lab);
    oracle.assert_clean(&lab);
    let variables = format!(
        "id={ID}; run=/run/unitbox/$id; cgroup=/sys/fs/cgroup/system.slice/unitbox-gone.service/payload"
    );
    for (script, _, _) in PLANTS {
        lab.sh(&format!("{variables}\n{script}")).ok();
    }
    let found = oracle.check(&lab);
    for (_, kind, what) in PLANTS {
        assert!(
            found
                .iter()
                .any(|leak| leak.kind == kind && leak.what.contains(what)),
            "{kind:?} {what} was not found among:\n{}",
            list(&found)
        );
    }
    // What belongs to a container that is kept is no leak, whatever its payload calls its files.
    assert!(!list(&found).contains("x.tmp"), "{}", list(&found));
    let late = Oracle::baseline(&lab);
    late.assert_clean(&lab);
}

#[test]
fn each_planted_leak_is_named_on_trixie() {
    each_planted_leak_is_named(Suite::Trixie);
}

#[test]
fn each_planted_leak_is_named_on_bookworm() {
    each_planted_leak_is_named(Suite::Bookworm);
}

#[test]
fn what_systemd_itself_does_is_no_leak() {
    let lab = Lab::bare(Suite::Trixie);
    let oracle = Oracle::baseline(&lab);
    lab.sh(
        "systemd-run -q --wait -p PrivateMounts=yes -p PrivateNetwork=yes -p PrivateTmp=yes true
        systemd-run -q --unit=on -p PrivateNetwork=yes -p PrivateTmp=yes -p DynamicUser=yes sleep 1000
        hostnamectl >/dev/null; systemctl daemon-reload; systemctl restart systemd-journald",
    )
    .ok();
    oracle.assert_clean(&lab);
}

#[test]
fn the_command_line_leaves_nothing() {
    let lab = Lab::boot(Suite::Trixie);
    let rootfs = "rootfs='--rootfs /usr/share/unitbox-lab/busybox'";
    // The bus service is there as long as containers run, and then some.
    lab.sh(&format!("{rootfs}; unitbox run --rm $rootfs true"))
        .ok();
    let oracle = Oracle::baseline(&lab);
    for script in [
        "unitbox run --rm $rootfs sh -c 'exit 3'; [ $? = 3 ]",
        "unitbox run --rm -d --name web $rootfs stamp run && unitbox stop web",
        "unitbox run -d --name web $rootfs stamp run && unitbox stop web && unitbox start web && unitbox rm -f web",
        "unitbox run --rm $rootfs no-such-command; [ $? = 127 ]",
        "unitbox run -d --name web $rootfs stamp run && systemctl kill -s KILL --kill-whom=main unitbox-web; unitbox rm -f web",
        "timeout -k 1 -s INT 0.1 unitbox run --rm $rootfs stamp run; sleep 0.5; unitbox rm -fa 2>/dev/null; true",
    ] {
        lab.sh(&format!("{rootfs}; {script}")).ok();
        let left = oracle.settle(&lab);
        assert!(left.is_empty(), "left by {script}:\n{}", list(&left));
    }
}
