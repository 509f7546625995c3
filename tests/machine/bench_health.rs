//! What health checks cost. CPU is that of the whole machine over a time, less what it takes with no check.

use crate::bench::{METER, ROUNDS, number};
use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// What a check may take of the runtime's own exec.
const ONE: f64 = 1.3;

/// What all checks may take of Podman's.
const MANY: f64 = 0.1;

/// One check against the runtime's own exec of the same command, which is the floor.
#[test]
fn bench_cpu_of_a_health_check_against_the_runtime() {
    let lab = Lab::boot(Suite::Trixie);
    let mut missed = Vec::new();
    for runtime in ["crun", "runc"] {
        let script = format!(
            "{METER}
            mkdir -p /opt/n
            up() {{ unitbox run -d --name $1 --runtime {runtime} -v /opt/n:/n --health-interval $2 --health-cmd 'echo >>/n/n' {ROOTFS} stamp run >/dev/null; }}
            over() {{ usage a; nap 6; usage b; }}
            up bare disable; id=$(unitbox inspect --format '{{{{.Id}}}}' bare)
            for round in 1 2 3; do
                quiet a; over; idle=$((b - a))
                quiet a; for k in 1 2 3 4 5 6 7 8; do {runtime} --root /run/unitbox/$id/runtime exec $id sh -c 'echo >>/n/n'; done; quiet b
                echo $(((b - a) / 8)) >>/opt/bare
                up checked 500ms; unitbox wait --condition healthy checked >/dev/null; : >/opt/n/n
                over; echo $(((b - a - idle) / $(wc -l </opt/n/n))) >>/opt/ours
                unitbox rm -f -t 0 checked >/dev/null
            done; unitbox rm -f -t 0 bare >/dev/null
            for what in bare ours; do least </opt/$what; done"
        );
        lab.sh("rm -f /opt/bare /opt/ours").ok();
        let mut ratio = f64::MAX;
        // Others on the host can only add to a sample.
        for _ in 0..ROUNDS {
            let values: Vec<f64> = lab.sh(&script).ok().lines().map(number).collect();
            let [bare, ours] = values[..] else {
                panic!("{values:?}")
            };
            ratio = ours / bare;
            println!(
                "{runtime}: health check {:.1} ms CPU, the runtime's own {:.1} = {ratio:.2}",
                ours / 1e3,
                bare / 1e3
            );
            if ratio <= ONE {
                break;
            }
        }
        if ratio > ONE {
            missed.push(format!("{runtime}: {ratio:.2} of the runtime's"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("; "));
}

/// Many containers that are looked at all the time, and nothing to tell of them.
#[test]
fn bench_many_health_checks_against_podman() {
    // Podman's timers cost more each the more there are, so that a smaller sample tells something else.
    let (count, interval) = (50, 5);
    let lab = Lab::boot(Suite::Trixie);
    let script = format!(
        "{METER}
        over() {{ usage a; nap 20; usage b; echo $((b - a)); }}
        quiet a; over
        flags='--runtime crun --health-interval {interval}s --health-cmd true'
        for i in $(seq {count}); do unitbox run -d --name u$i $flags {ROOTFS} stamp run; done >/dev/null
        unitbox wait --condition healthy $(seq -f u%g {count}) >/dev/null
        nap 2; journalctl --sync; journalctl --rotate; journalctl -q -n 0 --show-cursor | sed 's/^-- cursor: //' >/opt/cursor; over
        journalctl --sync; journalctl -q --after-cursor \"$(cat /opt/cursor)\" -o cat -u 'unitbox-*' | wc -l
        unitbox rm -f -a -t 0 >/dev/null
        for i in $(seq {count}); do podman run -d --name p$i --network=none $flags --rootfs /usr/share/unitbox-lab/busybox stamp run; done >/dev/null
        nap 5; over; podman rm -f -a -t 0 >/dev/null; nap 2"
    );
    let mut ratio = f64::MAX;
    for _ in 0..ROUNDS {
        let values: Vec<f64> = lab.sh(&script).ok().lines().map(number).collect();
        let [idle, ours, lines, theirs] = values[..] else {
            panic!("{values:?}")
        };
        ratio = (ours - idle) / (theirs - idle);
        println!(
            "{count} containers checked each {interval} s, for 20 s: {:.2} s CPU, Podman {:.2} = {ratio:.3}; {lines} lines in the journal",
            (ours - idle) / 1e6,
            (theirs - idle) / 1e6
        );
        assert!(lines == 0.0, "{lines} lines in the journal");
        if ratio <= MANY {
            return;
        }
    }
    panic!("{ratio:.3} of Podman's");
}
