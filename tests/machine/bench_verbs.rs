//! What verbs cost: exec, lists, and many containers at once. CPU is that of the whole machine until it is quiet, as in
//! `bench.rs`; Podman does the same in the same machine and run.

use crate::bench::{METER, number};
use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

fn all() -> bool {
    std::env::var_os("UNITBOX_TEST_ALL").is_some()
}

fn values<const N: usize>(lab: &Lab, script: &str) -> [f64; N] {
    let values: Vec<f64> = lab.sh(script).ok().lines().map(number).collect();
    let got = format!("{values:?}");
    values
        .try_into()
        .unwrap_or_else(|_| panic!("{N} numbers, not {got}"))
}

/// How much slower this processor is now than the one that the budgets in milliseconds are for, by the time that
/// `podman --version` takes: 27.5 ms there.
const SLOWNESS: &str = "for i in 1 2 3 4 5; do quiet a; for k in 1 2 3 4; do command podman --version >/dev/null; done; quiet b; echo $(((b - a) / 4)); done | least";

fn slowness(micros: f64) -> f64 {
    (micros / 27_500.0).max(1.0)
}

/// The runtime's own exec is the floor. runc's is a fifth of Podman's already, so that the ratio is asked of crun only.
#[test]
fn bench_cpu_of_exec_against_the_runtime_and_podman() {
    let lab = Lab::boot(Suite::Trixie);
    let mut missed = Vec::new();
    for runtime in ["crun", "runc"] {
        let script = format!(
            "{METER}
            unitbox run -d --name u{runtime} --runtime {runtime} {ROOTFS} stamp run >/dev/null
            podman --runtime {runtime} run -d --name p{runtime} --network=none --rootfs /usr/share/unitbox-lab/busybox stamp run >/dev/null
            id=$(unitbox inspect --format '{{{{.Id}}}}' u{runtime})
            bare() {{ {runtime} --root /run/unitbox/$id/runtime exec $id true; }}
            unitbox() {{ command unitbox exec u{runtime} true; }}
            podman() {{ command podman --runtime {runtime} exec p{runtime} true; }}
            for what in bare unitbox podman; do $what || exit 9; done
            {SLOWNESS}
            for i in 1 2 3 4 5; do for what in bare unitbox podman; do
                quiet a; for k in 1 2 3 4; do $what; done; quiet b; echo $(((b - a) / 4)) >> /opt/$what.{runtime}
            done; done
            for what in bare unitbox podman; do least < /opt/$what.{runtime}; done"
        );
        let [slow, bare, ours, podman] = values(&lab, &script);
        let slow = slowness(slow);
        let [bare, ours, podman] = [bare, ours, podman].map(|micros| micros / 1e3);
        let ratio = ours / podman;
        println!(
            "{runtime}: exec {ours:.1} ms CPU; the runtime's own {bare:.1}, Podman's {podman:.1} = {ratio:.2}; {slow:.2} times as slow"
        );
        if ours > bare + 4.0 * slow {
            missed.push(format!("{runtime}: exec costs {:.1} ms more", ours - bare));
        }
        if runtime == "crun" && ratio > 0.15 {
            missed.push(format!("exec costs {ratio:.2} of Podman's"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("; "));
}

/// A list of ten times as many containers costs no more than ten times as much.
#[test]
fn bench_cpu_of_long_lists() {
    let lab = Lab::boot(Suite::Trixie);
    let many = if all() { 1000 } else { 300 };
    let script = format!(
        "{METER}
        fill() {{ for i in $(seq $1 $2); do echo $i; done | xargs -P 2 -I N unitbox create --name cN {ROOTFS} stamp run >/dev/null; }}
        list() {{ for i in 1 2 3 4 5; do quiet a; for k in 1 2 3 4; do unitbox ps -a >/dev/null; done; quiet b; echo $(((b - a) / 4)); done | least; }}
        inspect() {{ for i in 1 2 3 4 5; do quiet a; for k in 1 2 3 4; do unitbox inspect c7 >/dev/null; done; quiet b; echo $(((b - a) / 4)); done | least; }}
        fill 1 100; unitbox start c1 c2 c3 c4 c5 c6 c7 c8 c9 c10 >/dev/null
        {SLOWNESS}; list; inspect
        fill 101 {many}
        list; inspect; unitbox ps -aq | wc -l"
    );
    let [slow, few_list, few_one, many_list, many_one, count] = values(&lab, &script);
    let slow = slowness(slow);
    let (few_list, few_one) = (few_list / 1e3, few_one / 1e3);
    let (many_list, many_one) = (many_list / 1e3, many_one / 1e3);
    println!(
        "ps -a of 100: {few_list:.1} ms CPU, of {many}: {many_list:.1}; inspect: {few_one:.1} and {many_one:.1}; {slow:.2} times as slow"
    );
    assert_eq!(count, f64::from(many));
    assert!(few_list <= 15.0 * slow, "ps -a of 100: {few_list:.1} ms");
    assert!(
        few_one.max(many_one) <= 10.0 * slow,
        "inspect: {few_one:.1} and {many_one:.1} ms"
    );
    let linear = few_list * f64::from(many) / 100.0;
    assert!(many_list <= linear, "{many_list:.1} ms, linear {linear:.1}");
}

/// Starts, restarts and stops so many containers, a client for each, all at once.
const AT_ONCE: &str = r#"
at_once() { # ENGINE PREFIX COUNT: CPU and time of the three, microseconds; failures go to /opt/failed
    local a b begin verb i
    for verb in start restart stop; do
        quiet a; begin=${EPOCHREALTIME/./}
        for i in $(seq $3); do $1 $verb $2$i >/dev/null 2>>/opt/failed & done; wait
        echo $((${EPOCHREALTIME/./} - begin)) >> /opt/time.$2
        quiet b; echo $((b - a)) >> /opt/cpu.$2
        case $verb in stop) want=0 ;; *) want=$3 ;; esac
        [ $($1 ps -q | wc -l) = $want ] || echo "after $verb: $($1 ps -q | wc -l) of $want run" >> /opt/failed
    done
}
sum() { awk '{ s += $1 } END { print s }'; }
"#;

#[test]
fn bench_thirty_containers_at_once_against_podman() {
    let lab = Lab::boot(Suite::Trixie);
    let script = format!(
        "{METER}{AT_ONCE}
        for i in $(seq 30); do
            unitbox create --name u$i --runtime crun {ROOTFS} stamp run
            podman --runtime crun create --network=none --name p$i --rootfs /usr/share/unitbox-lab/busybox stamp run
        done >/dev/null
        at_once unitbox u 30; mv /opt/failed /opt/ours; at_once podman p 30
        cat /opt/ours >&2
        for what in cpu time; do for whose in u p; do sum < /opt/$what.$whose; done; done; wc -l < /opt/ours"
    );
    let run = lab.sh(&script);
    let numbers: Vec<f64> = run.ok().lines().map(number).collect();
    let [cpu, cpu_podman, time, time_podman, failures] = numbers[..] else {
        panic!("{numbers:?}")
    };
    assert!(failures == 0.0, "{}", run.err());
    let ratios = [cpu / cpu_podman, time / time_podman];
    println!(
        "30 started, restarted, stopped at once: {:.2} / {:.2} s CPU = {:.2}; {:.2} / {:.2} s = {:.2}",
        cpu / 1e6,
        cpu_podman / 1e6,
        ratios[0],
        time / 1e6,
        time_podman / 1e6,
        ratios[1]
    );
    assert!(ratios.iter().all(|ratio| *ratio <= 0.5), "{ratios:?}");
}

/// Ten times as many cost no more than ten times as much, and some for lists that grow with them: systemd tells every
/// client that waits for a job of all the others' jobs (1.1 to 1.45 of what would be linear, measured).
#[test]
fn bench_hundreds_of_containers_at_once() {
    let lab = Lab::boot(Suite::Trixie);
    let (few, many) = if all() { (30, 300) } else { (15, 60) };
    let script = format!(
        "{METER}{AT_ONCE}
        for i in $(seq {few}); do unitbox create --name f$i --runtime crun {ROOTFS} stamp run; done >/dev/null
        at_once unitbox f {few}; unitbox rm -a >/dev/null
        for i in $(seq {many}); do unitbox create --name m$i --runtime crun {ROOTFS} stamp run; done >/dev/null
        at_once unitbox m {many}; cat /opt/failed >&2
        sum < /opt/cpu.f; sum < /opt/cpu.m; wc -l < /opt/failed"
    );
    let run = lab.sh(&script);
    let numbers: Vec<f64> = run.ok().lines().map(number).collect();
    let [few_cpu, many_cpu, failures] = numbers[..] else {
        panic!("{numbers:?}")
    };
    assert!(failures == 0.0, "{}", run.err());
    let linear = few_cpu * f64::from(many) / f64::from(few) * 1.6;
    println!(
        "at once: {few} containers {:.2} s CPU, {many} containers {:.2} s, linear {:.2} s",
        few_cpu / 1e6,
        many_cpu / 1e6,
        linear / 1e6
    );
    assert!(many_cpu <= linear, "{many_cpu} us, linear {linear}");
}
