//! `unitbox run`: exit codes, streams, clients that die.

use std::time::{Duration, Instant};

use crate::harness::{Lab, Suite};

/// The root directory that most payloads run in.
pub(crate) const ROOTFS: &str = "--rootfs /usr/share/unitbox-lab/busybox";

#[test]
fn exit_codes_and_streams_are_the_payloads() {
    let lab = Lab::boot(Suite::Trixie);
    exit_codes(&lab);
}

#[test]
fn exit_codes_on_debian_12() {
    let lab = Lab::boot(Suite::Bookworm);
    exit_codes(&lab);
}

fn exit_codes(lab: &Lab) {
    for runtime in ["runc", "crun"] {
        let run = |command: &str| {
            lab.sh(&format!(
                "unitbox run --rm --runtime {runtime} {ROOTFS} {command}"
            ))
        };
        let both = run("sh -c 'echo out; echo err >&2; exit 7'");
        both.fails(7);
        assert_eq!(
            (both.out().as_str(), both.err().as_str()),
            ("out", "err"),
            "{runtime}"
        );
        run("true").fails(0);
        // An init ignores its own SIGKILL: it has to come from outside.
        let killed = format!(
            "rm -f /opt/k; touch /opt/k; unitbox run --rm --name k --runtime {runtime} {ROOTFS} stamp run > /opt/k & \
             until grep -q ready /opt/k; do sleep 0.05; done; unitbox kill -s KILL k; wait $!"
        );
        lab.sh(&killed).fails(137);
        run("stamp crash").fails(139);
        run("sh -c 'exit 255'").fails(255);
        let missing = run("no-such-command");
        missing.fails(127);
        assert_eq!(missing.err().lines().count(), 1, "{}", missing.err());
        assert!(
            missing.err().contains("no-such-command"),
            "{}",
            missing.err()
        );
        let not_executable = run("/etc/passwd");
        not_executable.fails(126);
        assert_eq!(
            not_executable.err().lines().count(),
            1,
            "{}",
            not_executable.err()
        );
    }
    lab.sh("unitbox run --rm --no-such-flag x").fails(125);
    assert_eq!(lab.sh("unitbox ps -aq").ok(), "");
}

#[test]
fn a_kept_container_tells_systemd_how_it_ended() {
    let lab = Lab::boot(Suite::Trixie);
    for (name, command, shell_code, expected) in [
        (
            "seven",
            "sh -c 'exit 7'",
            7,
            "Result=exit-code ExecMainCode=1 ExecMainStatus=7",
        ),
        (
            "kill",
            "stamp run",
            137,
            "Result=signal ExecMainCode=2 ExecMainStatus=9",
        ),
        (
            "segv",
            "stamp crash",
            139,
            "Result=signal ExecMainCode=2 ExecMainStatus=11",
        ),
    ] {
        lab.sh(&format!("unitbox run -d --name {name} {ROOTFS} {command}"))
            .ok();
        if shell_code == 137 {
            lab.sh(&format!("unitbox kill -s KILL {name}")).ok();
        }
        lab.sh(&format!("unitbox wait {name}")).ok();
        let show = format!(
            "systemctl show unitbox-{name} -p Result -p ExecMainCode -p ExecMainStatus | sort -r | tr '\\n' ' '"
        );
        let mut wanted: Vec<&str> = expected.split(' ').collect();
        wanted.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(lab.sh(&show).ok(), wanted.join(" "), "{name}");
        assert_eq!(
            lab.sh(&format!("unitbox wait {name}")).ok(),
            shell_code.to_string()
        );
    }
}

#[test]
fn a_hundred_failing_runs_leave_nothing_failed_and_no_name_taken() {
    let lab = Lab::boot(Suite::Trixie);
    let script = format!(
        "for i in $(seq 100); do unitbox run --rm --runtime crun --name again {ROOTFS} sh -c 'exit 3'; \
         code=$?; [ $code = 3 ] || {{ echo run $i: $code; exit 1; }}; done"
    );
    lab.sh(&script).ok();
    // Units of a crash's cleanup may still be ending.
    lab.sh("for i in $(seq 50); do [ $(systemctl is-system-running) = running ] && exit 0; sleep 0.1; done; systemctl --failed; exit 1").ok();
    assert_eq!(
        lab.sh("systemctl list-units --all --no-legend 'unitbox-again*'")
            .ok(),
        ""
    );
}

#[test]
fn a_hundred_megabytes_come_back_equal_and_streams_stay_apart() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("head -c 104857600 /dev/urandom > /opt/random").ok();
    lab.sh(&format!(
        "unitbox run -i --rm --log-driver none {ROOTFS} cat < /opt/random > /opt/back && cmp /opt/random /opt/back"
    ))
    .ok();
    lab.sh(&format!(
        "head -c 5000000 /opt/random > /opt/small; unitbox run -i --rm --log-driver none {ROOTFS} \
         sh -c 'tee /dev/stderr' < /opt/small > /opt/o 2> /opt/e && cmp /opt/o /opt/small && cmp /opt/e /opt/small"
    ))
    .ok();
    // With the journal as second sink nothing is missing either.
    lab.sh(&format!(
        "head -c 3000000 /opt/random | base64 > /opt/text; unitbox run -i --rm {ROOTFS} cat < /opt/text | cmp - /opt/text"
    ))
    .ok();
}

#[test]
fn a_slow_reader_gets_everything_after_the_end() {
    let lab = Lab::boot(Suite::Trixie);
    // 200 kB do not fit into one pipe; the reader starts when the payload is long gone or blocked.
    let script = format!(
        "unitbox run --rm {ROOTFS} stamp lines 2000 100 | (sleep 1; cat) | tail -1 | cut -c1-8"
    );
    let last = lab.sh(&script).ok();
    assert!(last.parse::<u32>().is_ok_and(|n| n == 1999), "{last}");
}

#[test]
fn killing_the_client_harms_no_container() {
    let lab = Lab::boot(Suite::Trixie);
    let start = format!(
        "setsid unitbox run -i --name c {ROOTFS} sh -c 'while :; do echo tick; sleep 0.1; done' \
         </dev/null >/dev/null 2>&1 & echo $!"
    );
    let pid = lab.sh(&start).ok();
    lab.sh("for i in $(seq 100); do systemctl is-active -q unitbox-c && exit 0; sleep 0.05; done; exit 1").ok();
    let main = lab.sh("systemctl show -P MainPID unitbox-c").ok();
    lab.sh(&format!("kill -9 {pid}")).ok();
    lab.sh("sleep 0.5; systemctl is-active -q unitbox-c").ok();
    assert_eq!(lab.sh("systemctl show -P MainPID unitbox-c").ok(), main);
    // It is still logged.
    lab.sh(
        "count() { journalctl --sync; unitbox logs c | wc -l; }; before=$(count); sleep 0.5; \
         after=$(count); echo $before $after; [ $after -gt $before ]",
    )
    .ok();
    lab.sh("unitbox rm -f -t 0 c").ok();
}

#[test]
fn an_interrupt_during_the_start_leaves_nothing() {
    let lab = Lab::boot(Suite::Trixie);
    // A runtime that hangs before it does anything: the client is interrupted while the unit is activating.
    lab.write(
        "/opt/slow-runtime",
        "#!/bin/sh\ncase \"$*\" in *' run '*) sleep 60;; esac\nexec /usr/bin/crun \"$@\"\n",
    );
    lab.sh("chmod +x /opt/slow-runtime").ok();
    let begin = Instant::now();
    let script = format!(
        "unitbox run --rm --name slow --runtime /opt/slow-runtime {ROOTFS} true & pid=$!; sleep 1; kill -INT $pid; wait $pid"
    );
    let run = lab.sh(&script);
    assert!(
        begin.elapsed() < Duration::from_secs(15),
        "{:?}",
        begin.elapsed()
    );
    run.fails(130);
    assert_eq!(run.err().lines().count(), 1, "{}", run.err());
    assert_eq!(lab.sh("unitbox ps -aq").ok(), "");
    lab.sh("! pgrep -x slow-runtime").ok();
    assert_eq!(
        lab.sh("ls /run/unitbox | grep -vE '^(exits|locks|runtime-check)$'; true")
            .ok(),
        ""
    );
}

/// Nobody waits for who has handed them over once, nor fails without them.
#[test]
fn descriptors_are_for_the_run_that_they_were_given_to() {
    let lab = Lab::boot(Suite::Trixie);
    let command = "sh -c '{ cat <&5; } 2>/dev/null && exit 3; echo none; exit 4'";
    for (name, keep) in [("runc", "--preserve-fd 5"), ("crun", "--preserve-fds 3")] {
        let run = format!("--runtime {name} {keep} {ROOTFS} {command}");
        let seen = lab
            .sh(&format!(
                "exec 3</dev/null 4</dev/null 5< <(echo given); unitbox run -d --restart on-failure:2 --name {name} {run} >/dev/null
                for i in $(seq 200); do
                    now=$(unitbox inspect -f '{{{{.RestartCount}}}} {{{{.State.Status}}}} {{{{.State.ExitCode}}}}' {name})
                    [ \"$now\" = '2 exited 4' ] && break; sleep 0.1
                done; echo $now; unitbox logs {name}; unitbox rm {name} >/dev/null
                exec 5< <(echo given); unitbox run --name {name} {run}; echo $?
                timeout 20 unitbox start -a {name}; echo $?; timeout 20 unitbox restart {name} >/dev/null; unitbox wait {name}
                unitbox rm {name} >/dev/null"
            ))
            .ok();
        let want = "2 exited 4\ngiven\nnone\nnone\ngiven\n3\nnone\n4\n4";
        assert_eq!(seen.trim(), want, "{name}");
    }
}
