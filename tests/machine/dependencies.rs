//! Containers that need one another: order, refusals, shared namespaces.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

#[test]
fn required_containers_start_first_and_stay() {
    let lab = Lab::boot(Suite::Trixie);
    let make = |name: &str, flags: &str, command: &str| {
        lab.sh(&format!(
            "unitbox create --name {name} {flags} {ROOTFS} {command}"
        ))
    };
    let refused = |name: &str, flags: &str, words: &str| {
        let run = make(name, flags, "stamp run");
        assert_eq!(run.code, 125);
        assert!(run.err().contains(words), "{}", run.err());
    };
    refused("web", "--requires nope", "\"nope\"");
    refused("web", "--requires web", "web -> web");
    refused("web", "--network container:nope", "\"nope\"");
    assert_eq!(
        lab.sh("unitbox ps -aq; ls /var/lib/unitbox/names 2>/dev/null")
            .out(),
        ""
    );
    make("disk", "", "stamp run").ok();
    make("db", "--requires disk", "stamp run").ok();
    make("cache", "", "stamp run").ok();
    make("web", "--requires db,cache", "stamp run").ok();
    let show = |property: &str| {
        lab.sh(&format!("systemctl show -P {property} unitbox-web | tr ' ' '\\n' | grep unitbox- | sort | paste -sd' '"))
            .ok()
    };
    assert_eq!(show("Requires"), "unitbox-cache.service unitbox-db.service");
    assert!(show("After").contains("unitbox-cache.service unitbox-db.service"));
    let pids = || {
        lab.sh("for n in disk db cache web; do systemctl show -P MainPID unitbox-$n; done | paste -sd' '")
            .ok()
    };
    lab.sh("unitbox start db && unitbox start web").ok();
    let first = pids();
    assert!(!first.split(' ').any(|pid| pid == "0"), "{first}");
    lab.sh("unitbox start web").ok();
    assert_eq!(pids(), first);
    let needs = lab.sh("unitbox inspect web | jq -r '.[0].Dependencies[]' | wc -l");
    assert_eq!(needs.ok(), "2");
    for name in ["db", "disk"] {
        let run = lab.sh(&format!("unitbox rm -f {name}"));
        assert_eq!(run.code, 125);
        assert!(run.err().contains("dependent containers"), "{}", run.err());
    }
    assert_eq!(pids(), first);
    lab.sh("unitbox stop web db disk cache; systemctl start unitbox-web")
        .ok();
    assert!(!pids().split(' ').any(|pid| pid == "0"));
    // The start of one that fails is the start of none behind it, and each is told.
    make("bad", "", "/nope").ok();
    make("worse", "", "/nope/either").ok();
    make("top", "--requires bad,worse", "stamp run").ok();
    let run = lab.sh("unitbox start top");
    assert_ne!(run.code, 0);
    assert!(
        run.err().contains("container bad") && run.err().contains("container worse"),
        "{}",
        run.err()
    );
    assert_eq!(
        lab.sh("systemctl show -P ActiveState unitbox-top").ok(),
        "inactive"
    );
    lab.sh(
        "unitbox rm -f top web bad worse && unitbox rm -f db cache && unitbox rm -f disk
        [ -z \"$(ls -A /var/lib/unitbox/containers /var/lib/unitbox/names | grep -v :)\" ]
        systemctl reset-failed; [ $(systemctl is-system-running) = running ]",
    )
    .ok();
}

#[test]
fn a_restart_by_policy_is_that_of_no_other() {
    let lab = Lab::boot(Suite::Trixie);
    let pid = |name: &str| {
        lab.sh(&format!("unitbox inspect -f '{{{{.State.Pid}}}}' {name}"))
            .ok()
    };
    lab.sh(&format!(
        "unitbox run -d --name db --restart always {ROOTFS} stamp run
        unitbox run -d --name web --requires db {ROOTFS} stamp run"
    ))
    .ok();
    let (db, web) = (pid("db"), pid("web"));
    lab.sh(&format!(
        "kill -9 {db}; for i in $(seq 100); do
            [ $(unitbox inspect -f '{{{{.RestartCount}}}}-{{{{.State.Status}}}}' db) = 1-running ] && exit; sleep 0.1; done; exit 1"
    ))
    .ok();
    lab.sh("sleep 0.5").ok();
    assert_ne!(pid("db"), db);
    assert_eq!(pid("web"), web);
}

#[test]
fn a_container_that_removes_itself_can_be_required() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "unitbox create --rm --name db {ROOTFS} stamp run
        unitbox run -d --rm --name web --requires db {ROOTFS} stamp run
        [ $(systemctl is-active unitbox-db) = active ]
        unitbox stop web
        ! unitbox ps -a --format json | grep -q web
        unitbox stop db
        for i in $(seq 50); do [ -z \"$(unitbox ps -aq)\" ] && exit; sleep 0.1; done; exit 1"
    ))
    .ok();
}

const INSIDE: &str = "ns() { for k in $*; do readlink /proc/$(unitbox inspect $n | jq .[0].State.Pid)/ns/$k; done | paste -sd' '; }\n";

/// With both runtimes: what is joined is the same, survives its owner, and goes with the last who needs it.
#[test]
fn namespaces_are_joined_and_outlive_their_owner() {
    let lab = Lab::boot(Suite::Trixie);
    for runtime in ["runc", "crun"] {
        let joined = "--network container:own --ipc container:own --uts container:own";
        lab.sh(&format!(
            "set -e
            unitbox run -d --runtime {runtime} --name own --hostname owner {ROOTFS} stamp run
            unitbox run -d --runtime {runtime} --name all {joined} --pid container:own --cgroupns container:own {ROOTFS} stamp run
            unitbox run -d --runtime {runtime} --name some {joined} {ROOTFS} stamp run"
        ))
        .ok();
        let of = |name: &str, kinds: &str| lab.sh(&format!("{INSIDE} n={name}; ns {kinds}")).ok();
        let owner = of("own", "net ipc uts");
        assert_eq!(of("some", "net ipc uts"), owner, "{runtime}");
        assert_eq!(of("all", "net ipc uts"), owner, "{runtime}");
        assert_eq!(
            of("all", "pid cgroup"),
            of("own", "pid cgroup"),
            "{runtime}"
        );
        assert_ne!(of("some", "pid"), of("own", "pid"), "{runtime}");
        let shared = format!(
            "root() {{ echo /proc/$(unitbox inspect $1 | jq .[0].State.Pid)/root; }}
            echo {runtime} >$(root own)/dev/shm/word
            cat $(root some)/dev/shm/word $(root some)/etc/hostname | paste -sd' '
            unitbox run --rm --runtime {runtime} {joined} {ROOTFS} hostname"
        );
        assert_eq!(lab.sh(&shared).ok(), format!("{runtime} owner\nowner"));
        // The kernel ends who sits in the PID namespace; the other stays, and so does what it sits in.
        let pid = lab.sh("systemctl show -P MainPID unitbox-some").ok();
        lab.sh("unitbox kill -s KILL own; unitbox wait own all")
            .ok();
        assert_eq!(lab.sh("systemctl show -P MainPID unitbox-some").ok(), pid);
        lab.sh("for i in $(seq 50); do [ $(systemctl show -P ActiveState unitbox-own) = failed ] && break; sleep 0.1; done; unitbox start all").ok();
        assert_eq!(of("own", "net ipc uts"), owner, "{runtime}");
        assert_eq!(of("all", "net ipc uts"), owner, "{runtime}");
        assert_eq!(lab.sh("systemctl show -P MainPID unitbox-some").ok(), pid);
        let word = lab.sh("cat /proc/$(unitbox inspect own | jq .[0].State.Pid)/root/dev/shm/word");
        assert_eq!(word.ok(), runtime);
        // An ordered restart of the owner is one of all that need it.
        lab.sh("systemctl restart unitbox-own
            for i in $(seq 100); do unitbox inspect all some own | jq -e 'all(.State.Running)' && exit; sleep 0.1; done
            unitbox ps -a; exit 1")
            .ok();
        assert_ne!(lab.sh("systemctl show -P MainPID unitbox-some").ok(), pid);
        assert_eq!(of("some", "net ipc uts"), owner, "{runtime}");
        lab.sh("unitbox rm -f all some").ok();
        // Nobody needs them any more: the next run makes its own.
        lab.sh("unitbox stop own && unitbox start own && ! ls -d /run/unitbox/*/ns 2>/dev/null")
            .ok();
        lab.sh("unitbox rm -f own; ! grep /run/unitbox /proc/mounts; ! ls -d /run/unitbox/*/ns 2>/dev/null")
            .ok();
    }
}

/// Who joins a joined namespace joins its first owner's; the host's is the host's.
#[test]
fn joins_lead_to_whose_the_namespace_is() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "set -e
        unitbox run -d --name a {ROOTFS} stamp run
        unitbox run -d --name b --network container:a {ROOTFS} stamp run
        unitbox run -d --name c --network container:b {ROOTFS} stamp run
        unitbox run -d --name h --network host --uts host {ROOTFS} stamp run
        unitbox run -d --name j --network container:h --uts container:h {ROOTFS} stamp run
        net() {{ readlink /proc/$(unitbox inspect $1 | jq .[0].State.Pid)/ns/net; }}
        [ $(net a) = $(net c) ]
        [ $(net h) = $(net j) ] && [ $(net h) = $(readlink /proc/1/ns/net) ]"
    ))
    .ok();
    // What ended cannot be joined, and that is said by name.
    let run = lab.sh(&format!(
        "unitbox create --name short {ROOTFS} true
        unitbox run --rm --network container:short {ROOTFS} true"
    ));
    assert_eq!(run.code, 125);
    assert!(
        run.err()
            .contains("network namespace of container short: it is not running"),
        "{}",
        run.err()
    );
    let run = lab.sh(&format!(
        "unitbox create --name kept --ipc private {ROOTFS} true
        unitbox create --ipc container:kept {ROOTFS} true"
    ));
    assert_eq!(run.code, 125);
    assert!(
        run.err().contains("container kept: it is private"),
        "{}",
        run.err()
    );
}

#[test]
fn a_container_ends_at_its_timeout() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "unitbox run -d --name short --timeout 1 {ROOTFS} stamp run
        [ $(systemctl show -P RuntimeMaxUSec unitbox-short) = 1s ]
        timeout 10 unitbox wait short
        for i in $(seq 50); do [ $(systemctl show -P Result unitbox-short) = timeout ] && exit; sleep 0.1; done; exit 1"
    ))
    .ok();
}

/// Podman does that in an order by chance, and fails by chance.
#[test]
fn what_a_filter_finds_is_removed_in_any_order() {
    let lab = Lab::boot(Suite::Trixie);
    for _ in 0..4 {
        lab.sh(&format!(
            "unitbox create --name a -l of=us {ROOTFS} true; unitbox create --name b -l of=us --requires a {ROOTFS} true
            unitbox rm --filter label=of=us && [ -z \"$(unitbox ps -aq)\" ]"
        ))
        .ok();
    }
}
