//! Budgets measured side by side with Podman in one machine and one run; printed, and asserted as ratios.
//!
//! CPU is the usage of the machine's root cgroup until it is quiet again: PID 1, journald, bus, client, monitor, runtime
//! and workers are all in it. Runs are interleaved; of each the least counts, as others on the host can only add to it.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// The root directory of `ROOTFS`.
const BUSYBOX: &str = "/usr/share/unitbox-lab/busybox";

/// Shell functions without a process of their own: `quiet VAR` waits until nothing happens and sets the usage so far in
/// microseconds; `nap` waits so many seconds.
pub(crate) const METER: &str = r#"
exec {never}<> <(:)
nap() { read -r -t $1 -u $never || :; }
usage() { local key value; while read -r key value; do if [ $key = usage_usec ]; then printf -v $1 %s $value; return; fi; done < /sys/fs/cgroup/cpu.stat; }
quiet() { local before after; usage before; while nap 0.3; usage after; [ $((after - before)) -gt 2500 ]; do before=$after; done; printf -v $1 %s $after; }
least() { sort -n | sed -n 1p; }
"#;

pub(crate) fn number(text: &str) -> f64 {
    text.trim()
        .parse()
        .unwrap_or_else(|_| panic!("a number, not {text:?}"))
}

/// Name, runtime, flag of ours, line of Quadlet's, and the largest ratio of a start.
///
/// runc alone takes a third of what Quadlet does for a start, and more where it compiles the filter of system calls (each
/// time; crun keeps what it has compiled). Neither of us can save that: with runc all that is not its own is what must
/// be at most half, and the whole is bounded by what it takes today.
const STARTS: [(&str, &str, &str, &str, f64); 3] = [
    ("crun", "crun", "", "", 0.5),
    ("runc", "runc", "", "", 0.65),
    (
        "bare",
        "runc",
        "--security-opt seccomp=unconfined",
        "SeccompProfile=unconfined",
        0.65,
    ),
];

/// What a stop may take of what Quadlet's does.
const STOP: f64 = 1.0 / 3.0;

/// What a start may take of what Quadlet's does, both without the runtime's own share.
const OURS: f64 = 0.5;

/// Rounds of seven samples. Others on the host can only add to a sample, so the smallest is the truth, and a machine that
/// is noisy for one round gets another.
pub(crate) const ROUNDS: usize = 3;

/// The smallest CPU so far, microseconds: start and stop of ours, start and stop of Quadlet's, the runtime alone.
fn cheapest(lab: &Lab, name: &str, runtime: &str) -> [f64; 5] {
    let script = format!(
        "{METER}
        mkdir -p /opt/{name}; ln -sfn {BUSYBOX} /opt/{name}/rootfs
        systemctl start unitbox-u{name}; systemctl start q{name}
        jq '.process.args = [\"/bin/stamp\", \"lines\", \"0\", \"10\"] | .linux.cgroupsPath = \"/alone-{name}\" | del(.hooks)
            | .mounts |= map(select(.type != \"bind\"))' /run/unitbox/*/bundle/config.json > /opt/{name}/config.json
        systemctl stop unitbox-u{name} q{name}
        alone() {{ {runtime} run --bundle /opt/{name} alone-{name} </dev/null; }}
        for i in 1 2 3 4 5 6 7; do
            for unit in unitbox-u{name} q{name}; do
                quiet a; systemctl start $unit; quiet b; systemctl stop $unit; quiet c
                echo $((b - a)) >> /opt/$unit.start; echo $((c - b)) >> /opt/$unit.stop
            done
            quiet a; alone; quiet b; echo $((b - a)) >> /opt/alone-{name}.start
        done
        for unit in unitbox-u{name} q{name}; do for what in start stop; do least < /opt/$unit.$what; done; done
        least < /opt/alone-{name}.start"
    );
    let values: Vec<f64> = lab.sh(&script).ok().lines().map(number).collect();
    values.try_into().expect("five numbers")
}

#[test]
fn bench_cpu_of_start_and_stop_against_quadlet() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir -p /etc/containers/systemd").ok();
    for (name, runtime, flag, line, _) in STARTS {
        lab.sh(&format!(
            "unitbox create --name u{name} --runtime {runtime} {flag} {ROOTFS} stamp run"
        ))
        .ok();
        lab.write(
            &format!("/etc/containers/systemd/q{name}.container"),
            format!(
                "[Container]\nRootfs={BUSYBOX}\nExec=/bin/stamp run\nNetwork=none\nGlobalArgs=--runtime={runtime}\n{line}\n"
            ),
        );
    }
    lab.sh("systemctl daemon-reload").ok();
    let mut missed = Vec::new();
    for (name, runtime, _, _, most) in STARTS {
        let mut over = Vec::new();
        for _ in 0..ROUNDS {
            let [start, stop, their_start, their_stop, alone] = cheapest(&lab, name, runtime);
            let ratios = [
                ("start costs", start / their_start, most),
                (
                    "start without the runtime costs",
                    (start - alone) / (their_start - alone),
                    OURS,
                ),
                ("stop costs", stop / their_stop, STOP),
            ];
            let [start, stop, their_start, their_stop, alone] =
                [start, stop, their_start, their_stop, alone].map(|micros| micros / 1e3);
            println!(
                "{name}: start {start:.1} / {their_start:.1} ms CPU = {:.2}, without the runtime's {alone:.1} = {:.2}; stop {stop:.1} / {their_stop:.1} = {:.2}",
                ratios[0].1, ratios[1].1, ratios[2].1,
            );
            over = ratios
                .iter()
                .filter(|(_, ratio, most)| ratio > most)
                .map(|(what, ratio, _)| format!("{name}: {what} {ratio:.2} of Quadlet's"))
                .collect();
            if over.is_empty() {
                break;
            }
        }
        missed.append(&mut over);
    }
    assert!(missed.is_empty(), "{}", missed.join("; "));
}

#[test]
fn bench_time_from_exit_to_inactive_against_quadlet() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!("unitbox create --name u --runtime crun {ROOTFS} stamp run; mkdir -p /etc/containers/systemd")).ok();
    lab.write(
        "/etc/containers/systemd/q.container",
        "[Container]\nContainerName=q\nRootfs=/usr/share/unitbox-lab/busybox\nExec=/bin/stamp run\nNetwork=none\nGlobalArgs=--runtime=crun\n",
    );
    let script = format!(
        "{METER}
        systemctl daemon-reload
        once() {{ # unit: microseconds from the payload's SIGTERM to the return of who waits for the unit's end
            systemctl start --wait $1 & local waiter=$!
            until [ \"$(systemctl show -P ActiveState $1)\" = active ]; do nap 0.05; done
            nap 0.3
            local pid before; pid=$(pgrep -x stamp); before=${{EPOCHREALTIME/./}}
            kill -TERM $pid; wait $waiter || :; echo $((${{EPOCHREALTIME/./}} - before))
        }}
        once unitbox-u >/dev/null; once q >/dev/null
        for i in 1 2 3 4 5 6 7; do once unitbox-u >> /opt/u; sleep 0.3; once q >> /opt/q; sleep 0.3; done
        least < /opt/u; least < /opt/q"
    );
    let values: Vec<f64> = lab.sh(&script).ok().lines().map(number).collect();
    let ratio = values[0] / values[1];
    println!(
        "exit to inactive: {:.1} / {:.1} ms = {ratio:.2}",
        values[0] / 1e3,
        values[1] / 1e3
    );
    assert!(ratio <= 1.0 / 3.0, "{ratio:.2}");
}

#[test]
fn bench_memory_of_thirty_containers_against_conmon() {
    let lab = Lab::boot(Suite::Trixie);
    let script = format!(
        "set -e
        pss() {{ for p in $(pgrep -x \"$1\"); do sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$p/smaps_rollup; done | awk '{{ s += $1 }} END {{ print s + 0 }}'; }}
        for i in $(seq 30); do unitbox run -d --name m$i {ROOTFS} sh -c 'stamp lines 1000 100; exec stamp run' >/dev/null; done
        for i in $(seq 30); do unitbox stop m$i >/dev/null; unitbox start m$i >/dev/null; done
        sleep 2
        main=$(systemctl show -P MainPID unitbox-m1)
        ls /proc/$main/task | wc -l
        readlink /proc/$main/fd/* | grep -c dbus || true
        pgrep -x unitbox-monitor | wc -l
        echo $(($(pss unitbox-monitor) + $(pss unitbox-bus)))
        for i in $(seq 30); do unitbox rm -f -t 0 m$i >/dev/null; done
        for i in $(seq 30); do podman run -d --network=none --log-driver=journald --rootfs /usr/share/unitbox-lab/busybox sh -c 'stamp lines 1000 100; exec stamp run' >/dev/null; done
        sleep 2
        pgrep -x conmon | wc -l
        pss conmon"
    );
    let values: Vec<f64> = lab.sh(&script).ok().lines().map(number).collect();
    let [threads, bus, monitors, ours, conmons, theirs] = values[..] else {
        panic!("{values:?}")
    };
    assert_eq!((threads, bus, monitors, conmons), (1.0, 0.0, 30.0, 30.0));
    println!(
        "PSS per container: {:.0} kB, conmon {:.0} kB",
        ours / 30.0,
        theirs / 30.0
    );
    assert!(ours < theirs, "{ours} kB against {theirs} kB");
}

#[test]
fn bench_cpu_per_log_line_against_a_plain_service() {
    let lab = Lab::boot(Suite::Trixie);
    let script = format!(
        "{METER}
        stamp=/usr/share/unitbox-lab/busybox/bin/stamp
        plain() {{ systemd-run -q --wait --collect -p StandardOutput=journal $stamp $*; }}
        ours() {{ unitbox run -d --name l {ROOTFS} stamp $* >/dev/null; unitbox wait l >/dev/null; unitbox rm l >/dev/null; }}
        once() {{ local a b; quiet a; $1 lines $2 100; quiet b; echo $((b - a)) >> /opt/$1.$2; }}
        ours lines 1 100; plain lines 1 100
        for i in 1 2 3 4 5; do for lines in 0 200000; do once plain $lines; once ours $lines; done; done
        for who in ours plain; do echo $(($(least < /opt/$who.200000) - $(least < /opt/$who.0))); done"
    );
    let mut ratio = f64::MAX;
    for _ in 0..ROUNDS {
        let values: Vec<f64> = lab.sh(&script).ok().lines().map(number).collect();
        ratio = values[0] / values[1];
        println!(
            "CPU per line: {:.2} us, plain service {:.2} us = {ratio:.2}",
            values[0] / 2e5,
            values[1] / 2e5
        );
        if ratio <= 1.15 {
            return;
        }
    }
    panic!("{ratio:.2}");
}

/// Of a hundred containers ten run. Podman needs 71 ms for the list and 47 ms for one; 15 and 10 are promised.
#[test]
fn bench_cpu_of_ps_and_inspect_against_podman() {
    let lab = Lab::boot(Suite::Trixie);
    let script = format!(
        "{METER}
        rootfs=/usr/share/unitbox-lab/busybox
        for i in $(seq 100); do
            unitbox create --name c$i --rootfs $rootfs stamp run
            podman create --network=none --name c$i --rootfs $rootfs stamp run
        done >/dev/null
        for i in 1 2 3 4 5 6 7 8 9 10; do unitbox start c$i; podman start c$i; done >/dev/null
        ps() {{ $1 ps -a; }}; inspect() {{ $1 inspect c5; }}
        for what in ps inspect; do for i in 1 2 3 4 5 6 7; do for engine in unitbox podman; do
            quiet a; for k in 1 2 3 4 5; do $what $engine >/dev/null; done; quiet b
            echo $(((b - a) / 5)) >> /opt/$engine.$what
        done; done; done
        unitbox ps -aq | wc -l; podman ps -aq | wc -l
        for what in ps inspect; do for engine in unitbox podman; do least < /opt/$engine.$what; done; done"
    );
    let values: Vec<f64> = lab.sh(&script).ok().lines().map(number).collect();
    let [ours, theirs, ps, ps_podman, inspect, inspect_podman] = values[..] else {
        panic!("{values:?}")
    };
    assert_eq!((ours, theirs), (100.0, 100.0));
    let ratios = [ps / ps_podman, inspect / inspect_podman];
    println!(
        "ps -a of 100: {:.1} / {:.1} ms CPU = {:.2}; inspect: {:.1} / {:.1} ms CPU = {:.2}",
        ps / 1e3,
        ps_podman / 1e3,
        ratios[0],
        inspect / 1e3,
        inspect_podman / 1e3,
        ratios[1]
    );
    assert!(
        ratios.iter().all(|ratio| *ratio <= 15.0 / 71.0),
        "{ratios:?}"
    );
}
