//! The virtual machines themselves: what a namespace container cannot do.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::Vm;

#[test]
fn vm_has_every_controller_and_kills_what_takes_too_much_memory() {
    let vm = Vm::boot();
    assert_eq!(vm.sh("systemctl is-system-running").ok(), "running");
    let controllers = vm.sh("cat /sys/fs/cgroup/cgroup.controllers").ok();
    for wanted in ["cpuset", "cpu", "io", "memory", "pids"] {
        assert!(
            controllers.split(' ').any(|c| c == wanted),
            "no {wanted} in {controllers}"
        );
    }
    let run = vm.sh(
        "systemd-run --wait --unit=eater -p MemoryMax=16M -p MemorySwapMax=0 \
        sh -c 'head -c 64M /dev/zero | tail'",
    );
    assert!(
        run.code != 0 && run.err().contains("oom-kill"),
        "{}: {}",
        run.code,
        run.err()
    );
    let show = vm.sh("systemctl show -P Result eater; systemctl reset-failed eater");
    assert_eq!(show.ok(), "oom-kill");
}

#[test]
fn vm_commands_are_connected_and_their_end_is_told() {
    let vm = Vm::bare();
    let bytes: Vec<u8> = (0..1_000_000_u32)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let run = vm.sh_with_input("cat; echo err >&2; exit 3", &bytes);
    assert!(run.stdout == bytes, "the bytes came back changed");
    assert_eq!(run.fails(3).err(), "err");
    vm.sh("kill -9 $$").fails(137);
    vm.sh("no-such-command").fails(127);
    // What a killed caller leaves must not run on, nor speak in the next caller's output.
    let mut caller = vm.spawn("echo stale; sleep 1000; echo stale");
    thread::sleep(Duration::from_secs(2));
    caller.kill().expect("the caller runs");
    caller.wait().expect("a child can be waited for");
    vm.sh("for i in $(seq 100); do pgrep -x sleep || exit 0; sleep 0.05; done; exit 1")
        .fails(0);
    // More callers than ports wait for each other.
    thread::scope(|scope| {
        for i in 0..12 {
            let vm = &vm;
            scope.spawn(move || assert_eq!(vm.sh(&format!("echo {i}")).ok(), i.to_string()));
        }
    });
}

#[test]
fn vm_keeps_through_a_power_cut_what_was_synced_and_no_more() {
    let vm = Vm::bare();
    let boot = || vm.sh("cat /proc/sys/kernel/random/boot_id").ok();
    let first = boot();
    vm.sh("echo kept >/root/synced; sync; touch /run/there; echo lost >/root/unsynced")
        .ok();
    vm.power_cut();
    let second = boot();
    assert_ne!(first, second);
    assert_eq!(vm.sh("cat /root/synced").ok(), "kept");
    // The name may have reached the disk with the journal; the data had no time to.
    assert_eq!(vm.sh("cat /root/unsynced 2>/dev/null || true").ok(), "");
    vm.write("/root/written", "by a reboot");
    vm.reboot();
    assert_ne!(second, boot());
    assert_eq!(vm.sh("cat /root/written").ok(), "by a reboot");
    assert_eq!(vm.sh("systemctl is-system-running").ok(), "running");
}

#[test]
fn vm_ends_with_the_process_it_belongs_to() {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lab/vm.sh");
    let name = format!("orphan-{}", std::process::id());
    // The owner ends without a word to the tool.
    let script = "\"$0\" new \"$1\" --no-install --owner $$ && \"$0\" boot \"$1\" && kill -9 $$";
    let output = Command::new("bash")
        .args(["-c", script])
        .arg(&tool)
        .arg(&name)
        .output()
        .expect("bash is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code().is_none(),
        "it was not killed but failed: {said}"
    );
    let cache = std::env::var_os("UNITBOX_LAB_CACHE");
    let cache = cache.map_or("/var/cache/unitbox-lab".into(), PathBuf::from);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !traces(&cache, &name).is_empty() {
        assert!(
            Instant::now() < deadline,
            "left over: {:?}",
            traces(&cache, &name)
        );
        thread::sleep(Duration::from_millis(100));
    }
}

/// The directory of a machine, and processes that work in it or were given its name.
fn traces(cache: &Path, name: &str) -> Vec<String> {
    let dir = cache.join("vm").join(name);
    let mut found: Vec<String> = dir
        .exists()
        .then(|| dir.display().to_string())
        .into_iter()
        .collect();
    let processes = std::fs::read_dir("/proc").expect("proc is mounted");
    for process in processes.flatten().map(|entry| entry.path()) {
        let works_there = std::fs::read_link(process.join("cwd"))
            .is_ok_and(|cwd| cwd.to_string_lossy().contains(name));
        let named = std::fs::read_to_string(process.join("cmdline"))
            .is_ok_and(|line| line.split('\0').any(|word| word == name));
        if works_there || named {
            found.push(process.display().to_string());
        }
    }
    found
}
