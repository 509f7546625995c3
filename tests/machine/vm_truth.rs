//! How a run ended, where only a whole machine shows it: out of memory, over a reboot, over a power cut.
//!
//! One machine for all of it, as a boot takes half a minute.

use std::thread;
use std::time::Duration;

use crate::boot;
use crate::harness::{Oracle, Vm};
use crate::run::ROOTFS;
use crate::{restart, restart_table};

/// 33554432 bytes.
const MEMORY: &str = "--memory 32m";
/// The status of a container that ran when the power went.
const UNKNOWN: &str = "Exited, code unknown (power cut)";
/// Takes more than [`MEMORY`] in one process, so that it is this one that is killed.
const EAT: &str = "dd if=/dev/zero of=/dev/null bs=200M count=1";

#[test]
fn vm_ends_are_told_after_oom_reboot_and_power_cut() {
    let all = std::env::var_os("UNITBOX_TEST_ALL").is_some_and(|value| value == "1");
    let vm = Vm::boot();
    on_its_own_file_system(&vm);
    let oracle = Oracle::baseline(&vm);
    for _ in 0..if all { 5 } else { 1 } {
        out_of_memory(&vm);
    }
    restart_table::out_of_memory(&vm);
    oracle.assert_clean(&vm);
    reboot(&vm, &oracle);
    restart::over_a_reboot(&vm, || vm.reboot());
    vm.sh("unitbox rm -af -t 0").ok();
    oracle.assert_clean(&vm);
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..if all { 10 } else { 1 } {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        power_cut(
            &vm,
            &oracle,
            round,
            Duration::from_millis(4000 + seed % 8000),
        );
    }
}

/// What is kept is mounted only when the boot has begun, as any file system but the root.
fn on_its_own_file_system(vm: &Vm) {
    vm.sh(
        "mkdir -p -m 700 /var/lib/unitbox /srv/unitbox; cp -a /var/lib/unitbox/. /srv/unitbox/; rm -rf /var/lib/unitbox/*
        echo '/srv/unitbox /var/lib/unitbox none bind 0 0' >>/etc/fstab; systemctl daemon-reload
        systemctl start var-lib-unitbox.mount && mountpoint -q /var/lib/unitbox",
    )
    .ok();
}

/// The kernel kills the payload's init, or a child that its init outlives: then systemd stops the unit, and the end is
/// what the init makes of it.
fn out_of_memory(vm: &Vm) {
    let ends = [
        ("init", format!("exec {EAT}"), 137, "2:9"),
        (
            "child",
            format!("trap 'exit 4' TERM; {EAT}; while :; do sleep 0.1; done"),
            4,
            "1:4",
        ),
    ];
    for runtime in ["runc", "crun"] {
        let limit = vm.sh(&format!(
            "unitbox run --rm --runtime {runtime} {MEMORY} {ROOTFS} cat /sys/fs/cgroup/memory.max"
        ));
        assert_eq!(limit.ok(), "33554432", "{runtime}");
        for (victim, command, code, main) in &ends {
            let what = format!("{runtime}, {victim}");
            let text = vm.sh(&format!(
                "unitbox run -d --name oom --runtime {runtime} {MEMORY} {ROOTFS} sh -c \"{command}\" >/dev/null
                 unitbox wait oom
                 until [ $(systemctl show -P ActiveState unitbox-oom) = failed ]; do sleep 0.1; done
                 systemctl show -P Result unitbox-oom
                 echo $(systemctl show -P ExecMainCode unitbox-oom):$(systemctl show -P ExecMainStatus unitbox-oom)
                 grep OOM= /run/unitbox/*/exit
                 unitbox inspect oom | jq -c '.[0].State | [.Status, .OOMKilled, .ExitCode, .Error]'
                 unitbox rm oom"
            ));
            let expected =
                format!("{code}\noom-kill\n{main}\nOOM=true\n[\"exited\",true,{code},\"\"]\noom");
            assert_eq!(text.ok(), expected, "{what}");
        }
    }
    // Not even the runtime fits in: what was killed decides who tells.
    let run = vm.sh(&format!(
        "unitbox run --rm --runtime runc --memory 2m {ROOTFS} true"
    ));
    let told = ["out of memory", "oom-kill"]
        .iter()
        .any(|word| run.err().contains(word));
    assert!(run.code == 125 && told, "{}: {}", run.code, run.err());
    assert_eq!(running(vm), "running");
}

/// An orderly reboot is an ordered stop of what runs, and all that is kept is there again.
fn reboot(vm: &Vm, oracle: &Oracle) {
    vm.sh(&format!("unitbox run --name done {ROOTFS} sh -c 'exit 7'"))
        .fails(7);
    let run = |name: &str, command: &str| {
        vm.sh(&format!("unitbox run -d --name {name} {ROOTFS} {command}"))
            .ok()
    };
    run("stopped", "stamp code 3");
    run("ended", "stamp code 143");
    run("gone --rm", "stamp run");
    run("twice", "stamp code 5");
    vm.sh("unitbox stop twice && unitbox start twice").ok();
    boot::set_up(vm);
    vm.reboot();
    boot::check(vm, 1);
    boot::tear_down(vm);
    assert_eq!(
        table(vm),
        "done Exited (7)\nstopped Exited (3)\nended Exited (143)\ntwice Exited (5)"
    );
    assert_eq!(running(vm), "running");
    oracle.assert_clean(vm);
    // By systemd alone.
    vm.sh("systemctl start unitbox-stopped unitbox-done; systemctl is-active unitbox-stopped")
        .ok();
    assert_eq!(vm.sh("unitbox wait done").ok(), "7");
    vm.sh("systemctl stop unitbox-stopped; unitbox rm -f done stopped ended twice")
        .ok();
    oracle.assert_clean(vm);
}

/// Makes, starts and removes containers until the power goes.
const BUSY: &str = "
    made() { local i=0; while :; do i=$((i+1)); unitbox create --name made-$i $ROOTFS sh -c 'exit 7'; done; }
    ended() { while :; do unitbox start ended; unitbox wait ended; done; }
    gone() { while :; do unitbox run --rm --name gone $ROOTFS true; done; }
    removed() { while :; do unitbox run -d --name removed $ROOTFS stamp code 7; unitbox rm -f removed; done; }
    unitbox create --name ended $ROOTFS sh -c 'exit 7'
    made & ended & gone & removed & wait";

/// Without power nobody could see the end: that is said, and no code is made up.
fn power_cut(vm: &Vm, oracle: &Oracle, round: i32, delay: Duration) {
    let what = format!("cut {round} after {delay:?}");
    vm.sh(&format!(
        "unitbox run --name done {ROOTFS} sh -c 'exit 7'; sync"
    ))
    .ok();
    for name in ["running", "gone-running --rm"] {
        vm.sh(&format!("unitbox run -d --name {name} {ROOTFS} stamp run"))
            .ok();
    }
    let mut busy = vm.spawn(&format!("exec >/dev/null 2>&1; ROOTFS='{ROOTFS}'; {BUSY}"));
    thread::sleep(delay);
    vm.power_cut();
    busy.wait().expect("a child can be waited for");
    assert_eq!(running(vm), "running", "{what}");
    oracle.assert_clean(vm);
    let table = table(vm);
    let mut names = Vec::new();
    for line in table.lines() {
        let (name, status) = line.split_once(' ').expect("a name and a status");
        let right = match name {
            "done" => status == "Exited (7)",
            "running" => status == UNKNOWN,
            "ended" => ["Created", "Exited (7)", UNKNOWN].contains(&status),
            "removed" => ["Created", "Exited (7)", UNKNOWN].contains(&status),
            // Cut before its start: it might as well be a `create --rm` that waits for its `start`.
            "gone" => status == "Created",
            made => made.starts_with("made-") && status == "Created",
        };
        assert!(right, "{what}: {table}");
        names.push(name);
    }
    assert!(
        ["done", "running"].iter().all(|name| names.contains(name)),
        "{what}: {table}"
    );
    let state = vm.sh(
        "unitbox inspect running | jq -c '.[0].State | [.Status, .ExitCode, .Error]'
        unitbox wait running",
    );
    assert_eq!(
        state.ok(),
        "[\"exited\",null,\"unknown (power cut)\"]\nunknown (power cut)",
        "{what}"
    );
    let all = names.join(" ");
    let inspected = vm.sh(&format!("unitbox inspect {all} >/dev/null"));
    inspected.ok();
    assert_eq!(inspected.err(), "", "{what}");
    vm.sh("systemctl start unitbox-running && systemctl is-active unitbox-running")
        .ok();
    // The last that were made are those the power may have cut.
    let last: Vec<&str> = names.iter().rev().take(4).copied().collect();
    vm.sh(&format!("unitbox start {}", last.join(" "))).ok();
    vm.sh(&format!("unitbox rm -f {all}")).ok();
    assert_eq!(vm.sh("unitbox ps -aq").ok(), "", "{what}");
    oracle.assert_clean(vm);
}

/// Every container's name and status, oldest first, without the time that has passed since.
#[track_caller]
fn table(vm: &Vm) -> String {
    let listed = vm.sh("unitbox ps -a --format json | jq -r '.[] | .Names[0] + \" \" + .Status'");
    let listed = (listed.ok(), listed.err());
    assert_eq!(listed.1, "", "{}", listed.0);
    let without_time = |line: &str| match line.split_once(')') {
        Some((status, _)) => format!("{status})"),
        None => line.to_owned(),
    };
    listed
        .0
        .lines()
        .map(without_time)
        .collect::<Vec<_>>()
        .join("\n")
}

#[track_caller]
fn running(vm: &Vm) -> String {
    let state = vm.sh("systemctl is-system-running; systemctl --failed --no-legend --plain >&2");
    assert_eq!(state.err(), "");
    state.out()
}
