//! One stop, whoever asks: the same signal, the same time, the same end; and races with it.

use std::time::{Duration, Instant};

use crate::harness::{Guest, Lab, Oracle, Suite};
use crate::run::ROOTFS;

/// A payload that writes down what it hears, waits as long as it is told, and ends.
fn listener(name: &str, wait: u32, code: u8) -> String {
    format!(
        "-v /opt/heard:/heard {ROOTFS} sh -c 'for s in TERM USR1 INT HUP QUIT; do
            trap \"echo $s >>/heard/{name}; sleep {wait}; exit {code}\" $s; done
            echo ready >/heard/{name}; while :; do sleep 0.05; done'"
    )
}

/// What the exit file and the unit say of a container's last run.
fn end_of(lab: &Lab, name: &str) -> String {
    lab.sh(&format!(
        "f=/run/unitbox/$(basename $(readlink /var/lib/unitbox/names/{name}))/exit
        [ -e $f ] || f=/var/lib/unitbox/containers/$(basename $(readlink /var/lib/unitbox/names/{name}))/last-exit
        for k in ENDED STATUS STOP; do sed -n \"s/^$k=//p\" $f; done | tr '\\n' ' '
        unitbox inspect --format '{{{{.State.Status}}}} {{{{.State.ExitCode}}}}' {name}"
    ))
    .ok()
}

#[test]
fn a_stop_is_the_same_whoever_asks() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir -p /opt/heard").ok();
    // Name, flags, seconds that the payload takes, what it has heard, how it ended.
    let kinds = [
        (
            "own",
            "--stop-signal USR1",
            1,
            "ready USR1",
            "exited 3 ordered exited 3",
        ),
        (
            "late",
            "--stop-timeout 1",
            60,
            "ready TERM",
            "signaled 9 timed-out exited 137",
        ),
    ];
    for (kind, flags, wait, heard, end) in kinds {
        for (asker, stop) in [
            ("unitbox", "unitbox stop NAME"),
            ("systemctl", "systemctl stop unitbox-NAME"),
            ("podmans", "unitbox container stop --all"),
            ("shutdown", ""),
            ("removal", "unitbox rm -f NAME"),
        ] {
            let name = format!("{kind}-{asker}");
            lab.sh(&format!(
                "unitbox run -d --name {name} {flags} {}
                for i in $(seq 200); do [ -s /opt/heard/{name} ] && exit 0; sleep 0.05; done; exit 1",
                listener(&name, wait, 3)
            ))
            .ok();
            let begin = Instant::now();
            match asker {
                "shutdown" => lab.reboot(),
                _ => drop(lab.sh(&stop.replace("NAME", &name))),
            }
            assert!(begin.elapsed() < Duration::from_secs(30), "{name}");
            let said = lab.sh(&format!("tr '\\n' ' ' </opt/heard/{name}")).ok();
            assert_eq!(said, heard, "{name}");
            if asker == "removal" {
                lab.sh(&format!("unitbox container exists {name}")).fails(1);
                let code = lab.sh(&format!(
                    "journalctl --sync; journalctl -o cat -u unitbox-{name} | grep -c 'did not end in time' || :"
                ));
                assert_eq!(code.ok() == "1", kind == "late", "{name}");
            } else {
                assert_eq!(end_of(&lab, &name), end, "{name}");
            }
        }
    }
    // A payload that a reboot has stopped is not up again, as no restart was asked for.
    assert_eq!(lab.sh("unitbox ps -q").ok(), "");
}

#[test]
fn who_is_always_restarted_stays_stopped() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "unitbox create --name r --restart always --stop-timeout 5 {ROOTFS} stamp run"
    ))
    .ok();
    let runs = || {
        lab.sh("for i in $(seq 100); do [ $(unitbox inspect --format '{{.State.Status}}' r) = running ] && exit 0; sleep 0.05; done; exit 1").ok();
    };
    let stays = |stop: &str| {
        lab.sh(
            "sleep 1; [ $(unitbox inspect --format '{{.State.Status}}' r) = exited ] &&
            [[ $(systemctl show -P ActiveState unitbox-r) =~ inactive|failed ]]",
        )
        .ok();
        println!("stays stopped: {stop}");
    };
    for stop in [
        "unitbox stop r",
        "unitbox stop -t 0 r",
        "systemctl stop unitbox-r",
        "unitbox stop --all",
        "unitbox kill r; unitbox wait r",
        "unitbox kill -s TERM r; unitbox wait r",
        "unitbox pause r; unitbox stop r",
    ] {
        lab.sh("unitbox start r").ok();
        lab.sh(&format!("timeout 30 bash -c '{stop}'")).ok();
        stays(stop);
    }
    // What nobody has asked for is no stop.
    for end in [
        "kill -KILL $(unitbox inspect --format '{{.State.Pid}}' r)",
        "systemctl kill -s TERM --kill-whom=all unitbox-r",
    ] {
        lab.sh("unitbox start r").ok();
        let first = lab.sh("unitbox inspect --format '{{.State.Pid}}' r").ok();
        lab.sh(end).ok();
        lab.sh(&format!(
            "for i in $(seq 100); do p=$(unitbox inspect --format '{{{{.State.Pid}}}}' r); \
             [ $p != 0 ] && [ $p != {first} ] && exit 0; sleep 0.05; done; exit 1"
        ))
        .ok();
        runs();
        lab.sh("unitbox stop r").ok();
        stays(end);
    }
    lab.sh("unitbox start r && unitbox rm -f -t 0 r").ok();
}

/// Whatever comes of a start and a stop that meet: both end, and the container is in a state that one of them leads to.
#[test]
fn a_start_and_a_stop_that_meet() {
    let lab = Lab::boot(Suite::Trixie);
    let oracle = Oracle::baseline(&lab);
    // Not PID 1 of a namespace: that one is deaf to a signal until it says what it does about it.
    lab.sh(&format!(
        "unitbox create --name c --pid host {ROOTFS} stamp run"
    ))
    .ok();
    let rounds = if std::env::var_os("UNITBOX_TEST_ALL").is_some() {
        100
    } else {
        12
    };
    let script = format!(
        "for i in $(seq {rounds}); do for stop in 'unitbox stop -t 5 c' 'systemctl stop unitbox-c' 'unitbox kill c'; do
            unitbox start c >/dev/null 2>/opt/start & start=$!
            sleep 0.$(printf %03d $((i * 7 % 90)))
            timeout 30 $stop >/dev/null 2>/opt/stop; stop_code=$?
            wait $start; start_code=$?
            [ $stop_code = 124 ] && echo \"$i $stop: it hangs\"
            state=$(unitbox inspect --format '{{{{.State.Status}}}}' c)
            case $start_code:$stop_code:$state in
                0:0:exited | 125:0:created | 125:0:exited) ;;
                # The stop came first, and found nothing that ran.
                0:0:running) ;;
                0:1:running) [ \"$stop\" = 'systemctl stop unitbox-c' ] || echo \"$i $stop: canceled\" ;;
                0:125:running) [ \"$stop\" = 'unitbox kill c' ] || echo \"$i $stop: refused\" ;;
                # What was killed has not ended yet.
                *) echo \"$i $stop: $start_code:$stop_code:$state $(cat /opt/start /opt/stop)\" ;;
            esac
            timeout 30 unitbox stop -t 5 c >/dev/null || echo \"$i $stop: it does not stop\"
        done; done"
    );
    assert_eq!(lab.sh(&script).ok(), "");
    // No signal was lost.
    let killed = lab.sh("journalctl --sync; journalctl -o cat | grep -c 'did not end in time'");
    assert_eq!(killed.out(), "0");
    lab.sh("unitbox rm c").ok();
    oracle.assert_clean(&lab);
}

#[test]
fn everything_is_removed_in_every_state() {
    let lab = Lab::boot(Suite::Trixie);
    let oracle = Oracle::baseline(&lab);
    let make = format!(
        "unitbox create --name created {ROOTFS} true
        unitbox run --name exited {ROOTFS} true
        unitbox run -d --name running {ROOTFS} stamp run
        unitbox run -d --name deaf {ROOTFS} stamp ignore
        unitbox run -d --name paused {ROOTFS} stamp ignore; unitbox pause paused
        unitbox run -d --name frozen {ROOTFS} stamp run; systemctl freeze unitbox-frozen
        unitbox run -d --name stopping {ROOTFS} stamp ignore; unitbox stop -t -1 stopping & sleep 0.5
        unitbox run -d --rm --name transient {ROOTFS} stamp run
        unitbox run --name failed {ROOTFS} no-such-command
        unitbox run -d --name orphan {ROOTFS} stamp run; kill -KILL $(systemctl show -P MainPID unitbox-orphan)
        unitbox run -d --name busy {ROOTFS} stamp run; unitbox exec -d busy sleep 1000
        unitbox run -d --name cut {ROOTFS} stamp run; echo x >/var/lib/unitbox/containers/$(basename $(readlink /var/lib/unitbox/names/cut))/definition.json"
    );
    for remove in [
        "unitbox rm -f -a -t 1",
        "unitbox rm -f -t 1 $(ls /var/lib/unitbox/names)",
    ] {
        lab.sh(&format!("({make}) >/dev/null 2>&1; true")).ok();
        assert_eq!(lab.sh("unitbox ps -aq | wc -l").ok(), "12");
        let run = lab.sh(&format!("timeout 60 {remove}"));
        run.ok();
        assert_eq!(lab.sh("unitbox ps -aq; ls /var/lib/unitbox/names").ok(), "");
        oracle.assert_clean(&lab);
    }
    assert_eq!(Guest::sh(&lab, "systemctl --failed --no-legend").ok(), "");
}

/// Who removes a container that another has removed meanwhile leaves the next one of its name alone.
#[test]
fn a_removal_that_comes_late_is_not_of_the_next_one() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "id=$(unitbox create --name c {ROOTFS} stamp run)
        flock -o /run/unitbox/locks/$id sleep 20 >/dev/null 2>&1 & holder=$!
        for i in $(seq 400); do grep -q FLOCK /proc/locks && break; sleep 0.02; done
        unitbox rm -f c >/opt/said 2>&1 & late=$!
        for i in $(seq 400); do grep -q -e '-> FLOCK' /proc/locks && break; sleep 0.02; done
        [ $i -lt 400 ] || {{ cat /proc/locks; exit 1; }}
        # As another's removal would.
        rm -r /var/lib/unitbox/names/c /var/lib/unitbox/containers/$id /run/systemd/system/unitbox-c.service
        unitbox create --name c {ROOTFS} stamp run
        kill $holder; wait $late && [ \"$(cat /opt/said)\" = c ]
        [ -e /run/systemd/system/unitbox-c.service ] && unitbox start c && unitbox rm -f -t 5 c"
    ))
    .ok();
}

/// A payload that ignores it: the signal arrives and changes nothing; SIGKILL ends it; the client's signals do the same.
#[test]
fn a_payload_that_ignores_a_signal_lives() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!("unitbox run -d --name i {ROOTFS} stamp ignore"))
        .ok();
    // An init without a handler hears nothing but SIGKILL and what it asks for (pid_namespaces(7)).
    lab.sh(&format!("unitbox run -d --name b {ROOTFS} sleep 1000"))
        .ok();
    for name in ["i", "b"] {
        for signal in ["TERM", "INT", "HUP", "USR1"] {
            if (name, signal) == ("i", "TERM") || name == "b" {
                lab.sh(&format!("unitbox kill -s {signal} {name}")).ok();
            }
        }
        lab.sh(&format!(
            "sleep 0.3; [ $(unitbox inspect --format '{{{{.State.Status}}}}' {name}) = running ]"
        ))
        .ok();
        lab.sh(&format!("unitbox kill {name}")).ok();
        assert_eq!(lab.sh(&format!("unitbox wait {name}")).ok(), "137");
    }
    lab.sh("unitbox rm i b").ok();
    // Through the client, every signal that is passed on, in order and none twice.
    lab.sh(&format!(
        "unitbox run --name p {ROOTFS} stamp hups >/opt/hups & client=$!
        for i in $(seq 200); do grep -q ready /opt/hups && break; sleep 0.05; done
        for i in 1 2 3; do kill -HUP $client; until grep -q \"HUP $i\" /opt/hups; do sleep 0.02; done
            kill -USR1 $client; until grep -q \"USR1 $i\" /opt/hups; do sleep 0.02; done; done
        kill -TERM $client; wait $client; [ $? = 0 ]
        [ \"$(tr '\\n' ' ' </opt/hups)\" = 'ready HUP 1 USR1 1 HUP 2 USR1 2 HUP 3 USR1 3 ' ] && unitbox rm p"
    ))
    .ok();
}

/// A payload that is the first process of its PID namespace loses what comes before it has its handlers.
#[test]
fn a_stop_right_behind_a_start_is_heard() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = lab.sh(&format!(
        "for runtime in runc crun; do
            unitbox run -d --name $runtime --runtime $runtime {ROOTFS} sh -c 'sleep 1; trap \"exit 7\" TERM; while :; do sleep 0.1; done' >/dev/null
            unitbox stop $runtime; unitbox inspect -f '{{{{.State.ExitCode}}}}' $runtime
        done
        unitbox run -d --name twice -v /opt:/opt {ROOTFS} sh -c 'trap \"echo heard >>/opt/heard; [ -e /opt/go ] && exit 0\" TERM; while :; do sleep 0.1; done' >/dev/null
        sleep 0.5; unitbox stop -t 2 twice; cat /opt/heard"
    ));
    assert_eq!(seen.ok(), "runc\n7\ncrun\n7\ntwice\nheard");
}
