//! Limits, where there are controllers: seen inside as set, changed while the payload runs, and what they contain.

use crate::harness::{Oracle, Vm};
use crate::run::ROOTFS;
use crate::truth::NO_INOTIFY;
use crate::vm_devices;

#[test]
fn vm_limits_reach_the_payload_and_hold() {
    let vm = Vm::boot();
    as_with_podman(&vm);
    let oracle = Oracle::baseline(&vm);
    for runtime in ["runc", "crun"] {
        seen_inside(&vm, runtime);
        fork_bomb(&vm, runtime);
        vm_devices::rules(&vm, runtime);
    }
    let drop = "/run/systemd/system/unitbox-web.service.d";
    vm.sh(&format!(
        "mkdir -p {drop}; printf '{NO_INOTIFY}' >{drop}/n.conf; systemctl daemon-reload"
    ))
    .ok();
    seen_inside(&vm, "runc");
    vm.sh(&format!("rm -r {drop}; systemctl daemon-reload"))
        .ok();
    vm_devices::rules_of_podman(&vm);
    vm_devices::policy_of_the_unit(&vm);
    drop_ins(&vm);
    out_of_memory(&vm);
    oracle.assert_clean(&vm);
}

/// Flags of which both engines make the same files of the payload's cgroup.
const AS_WITH_PODMAN: &[&str] = &[
    "--memory 64m --memory-reservation 32m --memory-swap 128m --cpu-period 50000 --cpu-quota 20000 --cpu-shares 512 \
     --cpuset-cpus 0 --cpuset-mems 0 --pids-limit 50 --blkio-weight 200 --cgroup-conf memory.high=50331648",
    "--cpus 0.5 --memory 64m --device-read-bps /dev/vda:1mb --device-read-iops /dev/vda:100 \
     --device-write-bps /dev/vda:2mb --device-write-iops /dev/vda:200",
    "--cgroups enabled --cgroup-parent machine.slice --memory 64m --memory-swap -1 --pids-limit -1",
    "--blkio-weight-device /dev/vda:100",
    "--oom-kill-disable --memory 64m",
    "--memory 64m --memory-swappiness 10",
];

/// What no kernel takes: Podman finds that out from the runtime, unitbox before anything is made.
const REFUSED: &[&str] = &["--memory 64m --memory-swap 32m"];

fn as_with_podman(vm: &Vm) {
    let view = "cd /sys/fs/cgroup; for f in memory.max memory.low memory.high memory.swap.max cpu.max cpu.weight \
        cpuset.cpus cpuset.mems pids.max io.max io.weight io.bfq.weight; do [ ! -e $f ] || echo $f $(cat $f); done";
    let run = |engine: &str, flags: &str| {
        let run = vm.sh(&format!(
            "{engine} run --rm --network none --runtime /usr/sbin/runc {flags} {ROOTFS} sh -c '{view}'"
        ));
        println!(
            "{engine} {flags}: {}\n{}\n{}",
            run.code,
            run.out(),
            run.err()
        );
        (run.code, run.out())
    };
    for flags in AS_WITH_PODMAN {
        assert_eq!(run("podman", flags), run("unitbox", flags), "{flags}");
    }
    for flags in REFUSED {
        let codes = (run("podman", flags).0, run("unitbox", flags).0);
        assert_eq!(codes, (126, 125), "{flags}");
    }
}

/// What the payload reads of its own cgroup.
const FILES: &str = "memory.max memory.low memory.swap.max cpu.max cpu.weight cpuset.cpus pids.max";

fn read(vm: &Vm, name: &str, files: &str) -> String {
    vm.sh(&format!(
        "cd /proc/$(unitbox inspect {name} | jq .[0].State.Pid)/root/sys/fs/cgroup; cat {files} | paste -sd,"
    ))
    .ok()
}

fn seen_inside(vm: &Vm, runtime: &str) {
    vm.sh(&format!(
        "unitbox run -d --name web --runtime {runtime} --memory 64m --memory-reservation 32m --memory-swap 100m \
         --cpus 0.5 --cpu-shares 512 --cpuset-cpus 0 --pids-limit 40 --cgroup-conf memory.high=50331648 {ROOTFS} stamp run"
    ))
    .ok();
    let expected = "67108864,33554432,37748736,50000 100000,20,0,40,50331648";
    assert_eq!(
        read(vm, "web", &format!("{FILES} memory.high")),
        expected,
        "{runtime}"
    );
    // Within a second, and without a word in the journal.
    let changed = vm.sh(
        "run=$(systemctl show -P InvocationID unitbox-web)
        words() { journalctl --sync; journalctl -q _SYSTEMD_INVOCATION_ID=$run -p warning -o cat; }
        before=$(words | wc -l)
        systemctl set-property --runtime unitbox-web MemoryMax=96M CPUQuota=25% TasksMax=30 AllowedCPUs=0-1
        cd /proc/$(unitbox inspect web | jq .[0].State.Pid)/root/sys/fs/cgroup
        from=$(date +%s%N)
        until [ \"$(cat memory.max cpu.max pids.max cpuset.cpus | paste -sd,)\" = '100663296,25000 100000,30,0-1' ]; do
            [ $(($(date +%s%N) - from)) -lt 1000000000 ] || { cat memory.max cpu.max pids.max cpuset.cpus; exit 1; }
        done
        cat memory.high memory.low
        words | tail -n +$((before + 1))",
    );
    assert_eq!(changed.ok(), "50331648\n33554432", "{runtime}");
    // The unit's own number of processes is the payload's and some more.
    let back = vm.sh(
        "systemctl set-property --runtime unitbox-web TasksMax=104
        cd /proc/$(unitbox inspect web | jq .[0].State.Pid)/root/sys/fs/cgroup; sleep 1; cat pids.max",
    );
    assert_eq!(back.ok(), "40", "{runtime}");
    let updated = vm.sh(
        "unitbox update --memory 80m --memory-swap 80m --pids-limit 50 --cpus 1 --cpu-shares 1024 web >/dev/null
        sleep 1; cd /proc/$(unitbox inspect web | jq .[0].State.Pid)/root/sys/fs/cgroup
        cat memory.max memory.swap.max pids.max cpu.max cpu.weight | paste -sd,
        cd /; unitbox stop -t 0 web >/dev/null; unitbox start web >/dev/null
        cd /proc/$(unitbox inspect web | jq .[0].State.Pid)/root/sys/fs/cgroup
        cat memory.max memory.swap.max pids.max cpu.max cpu.weight | paste -sd,",
    );
    let expected = "83886080,0,50,100000 100000,39";
    assert_eq!(updated.ok(), format!("{expected}\n{expected}"), "{runtime}");
    vm.sh("unitbox rm -f web; ! ls -d /run/systemd/system.control/unitbox-web.service.d")
        .ok();
}

/// An administrator's drop-in wins over the definition, inside too.
fn drop_ins(vm: &Vm) {
    vm.sh(&format!(
        "unitbox create --name web --memory 64m {ROOTFS} stamp run
        mkdir -p /run/systemd/system/unitbox-web.service.d
        printf '[Service]\\nMemoryMax=80M\\nAllowedCPUs=1\\nTasksMax=77\\nOOMPolicy=continue\\n' >/run/systemd/system/unitbox-web.service.d/x.conf
        systemctl daemon-reload; unitbox start web"
    ))
    .ok();
    let files = read(vm, "web", "memory.max pids.max cpuset.cpus");
    assert_eq!(files, "83886080,77,1");
    let policy = vm.sh("systemctl show -P OOMPolicy unitbox-web");
    assert_eq!(policy.ok(), "continue");
    vm.sh("unitbox rm -f web; rm -r /run/systemd/system/unitbox-web.service.d; systemctl daemon-reload")
        .ok();
}

/// The monitor lives, a stop works, and nothing is left.
fn fork_bomb(vm: &Vm, runtime: &str) {
    let bomb = "sh -c 'while :; do (sleep 1000 &) ; done'";
    let text = vm.sh(&format!(
        "unitbox run -d --name bomb --runtime {runtime} --pids-limit 30 {ROOTFS} {bomb} >/dev/null
        group=/sys/fs/cgroup/system.slice/unitbox-bomb.service/payload
        for i in $(seq 100); do grep -q 'max [1-9]' $group/pids.events && break; sleep 0.1; done
        cat $group/pids.max; [ $(cat $group/pids.current) -le 30 ] && echo contained
        systemctl is-active unitbox-bomb
        timeout 30 unitbox stop -t 1 bomb; unitbox rm bomb
        ls -d ${{group%/payload}} 2>/dev/null"
    ));
    assert!(
        text.out().starts_with("30\ncontained\nactive\nbomb\nbomb"),
        "{runtime}: {}{}",
        text.out(),
        text.err()
    );
}

/// The kernel kills in the payload, never the monitor, and the end says so.
fn out_of_memory(vm: &Vm) {
    let eat = "dd if=/dev/zero of=/dev/null bs=200M count=1";
    let text = vm.sh(&format!(
        "unitbox run -d --name eater --memory 32m --memory-swap 32m {ROOTFS} sh -c 'exec {eat}' >/dev/null
        unitbox wait eater
        until [ $(systemctl show -P ActiveState unitbox-eater) = failed ]; do sleep 0.1; done
        systemctl show -P Result unitbox-eater
        unitbox inspect eater | jq .[0].State.OOMKilled
        unitbox rm eater"
    ));
    assert_eq!(text.ok(), "137\noom-kill\ntrue\neater");
}
