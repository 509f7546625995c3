//! What else can break: the journal hangs, a disk is full, the runtime dies or hangs.

use std::time::{Duration, Instant};

use crate::harness::container::{Container, install_monitor, monitor, values};
use crate::harness::{Lab, Oracle, Suite};

const BUSYBOX: &str = "/usr/share/unitbox-lab/busybox";
const AWAIT_READY: &str =
    "for i in $(seq 200); do [ -e $ready ] && break; sleep 0.02; done; [ -e $ready ] || exit 9";
const AWAIT_END: &str = "for i in $(seq 400); do
    case $(systemctl show -P ActiveState $unit) in inactive | failed) break ;; esac; sleep 0.02; done";
const SHOW: &str = "systemctl show -p Result,ActiveState,ExecMainStatus $unit";

fn lab() -> Lab {
    let lab = Lab::bare(Suite::Trixie);
    install_monitor(&lab, &monitor());
    lab
}

/// Runs a script with the container's variables; returns its output and how long it took.
#[track_caller]
fn timed(lab: &Lab, container: &Container, script: &str) -> (String, Duration) {
    let begin = Instant::now();
    let text = lab.sh(&format!("{}{script}", container.variables())).ok();
    (text, begin.elapsed())
}

/// A good start and stop, after which nothing is left.
#[track_caller]
fn heals(lab: &Lab, oracle: &Oracle, container: &Container) {
    let script = format!(
        "rm -f $ready; systemctl start $unit || exit 8; {AWAIT_READY}; systemctl stop $unit; {SHOW}"
    );
    let (text, _) = timed(lab, container, &script);
    assert_eq!(values(&text).get("Result"), Some(&"success"), "{text}");
    oracle.assert_clean(lab);
}

#[test]
fn a_stop_does_not_wait_for_a_journal_that_hangs() {
    let lab = lab();
    let oracle = Oracle::baseline(&lab);
    let quiet = Container::new("quiet").create(&lab);
    // Its pipe is full, so that it cannot say its last words and has to be killed after its time.
    let loud = Container::new("loud")
        .command("trap 'echo end; exit 0' TERM; touch /tmp/ready; while :; do echo xxxxxxxxxxxxxxxxxxxxxxxx; done")
        .options(|options| options.stop_timeout = Some(2))
        .create(&lab);
    for (container, limit) in [(&quiet, 7), (&loud, 9)] {
        let script = format!(
            "rm -f $ready; systemctl start $unit; {AWAIT_READY}
            pid=$(systemctl show -P MainPID systemd-journald)
            kill -STOP $pid; sleep 0.5; systemctl stop $unit; code=$?; {SHOW}; kill -CONT $pid; exit $code"
        );
        let (text, time) = timed(&lab, container, &script);
        assert_eq!(values(&text).get("Result"), Some(&"success"), "{text}");
        assert!(
            time < Duration::from_secs(limit),
            "it took {time:?}\n{text}"
        );
        oracle.assert_clean(&lab);
    }
}

/// Shell function `fill DIR`: not one block is free afterwards.
const FILL: &str = "fill() { dd if=/dev/zero of=$1/filler$RANDOM bs=4k 2>/dev/null; true; }\n";

/// A container ends by itself with 7, another is stopped, a third is started while nothing can be written.
fn disk_full(directory: &str, prepare: &str) {
    let lab = lab();
    lab.sh(prepare).ok();
    let oracle = Oracle::baseline(&lab);
    let command = |code: u8| {
        format!(
            "trap 'exit 0' TERM; trap 'exit {code}' HUP; touch /tmp/ready; while :; do sleep 1 & wait $!; done"
        )
    };
    let dying = Container::new("dying").command(&command(7)).create(&lab);
    let stopped = Container::new("stopped").create(&lab);
    let fresh = Container::new("fresh").create(&lab);
    for container in [&dying, &stopped] {
        timed(
            &lab,
            container,
            &format!("rm -f $ready; systemctl start $unit; {AWAIT_READY}"),
        );
    }
    lab.sh(&format!("{FILL}fill {directory}")).ok();
    let script = format!("systemctl kill -s HUP --kill-whom=all $unit; {AWAIT_END}; {SHOW}");
    let (text, _) = timed(&lab, &dying, &script);
    let seen = values(&text);
    assert_eq!(
        seen.get("ExecMainStatus"),
        Some(&"7"),
        "the code must stand in the unit\n{text}"
    );
    let (text, time) = timed(&lab, &stopped, &format!("systemctl stop $unit; {SHOW}"));
    assert_eq!(values(&text).get("Result"), Some(&"success"), "{text}");
    assert!(time < Duration::from_secs(5), "the stop took {time:?}");
    // The others' ends have made room.
    lab.sh(&format!("{FILL}fill {directory}")).ok();
    let script = format!(
        "systemctl start $unit && exit 1; {SHOW}; journalctl --sync; journalctl -u $unit -o cat -n 20"
    );
    let (text, time) = timed(&lab, &fresh, &script);
    assert!(text.to_lowercase().contains("no space left"), "{text}");
    assert!(time < Duration::from_secs(5), "the start took {time:?}");
    lab.sh(&format!("rm {directory}/filler*; systemctl reset-failed"))
        .ok();
    for container in [&dying, &stopped, &fresh] {
        heals(&lab, &oracle, container);
    }
}

#[test]
fn the_run_directory_is_full() {
    disk_full(
        "/run/unitbox",
        "mkdir -p -m 700 /run/unitbox; mount -t tmpfs -o size=512k tmpfs /run/unitbox",
    );
}

#[test]
fn the_state_directory_is_full() {
    disk_full(
        "/var/lib/unitbox",
        "mount -t tmpfs -o size=512k tmpfs /var/lib/unitbox",
    );
}

/// Removes all records, so that the next container may have the same name.
fn forget_all(lab: &Lab) {
    lab.sh(
        "rm -rf /var/lib/unitbox/{names,containers} /run/unitbox/* /run/systemd/system/unitbox-*.service",
    )
    .ok();
}

/// A runtime whose `run` is this script.
fn wrapper(lab: &Lab, script: &str) {
    lab.write(
        "/opt/runtime",
        format!(
            "#!/bin/bash\ncase \" $* \" in *' run '*) ;; *) exec runc \"$@\" ;; esac\n{script}\n"
        ),
    );
    lab.sh("chmod 755 /opt/runtime").ok();
}

#[test]
fn a_runtime_that_is_killed_fails_the_start_at_once() {
    let lab = lab();
    for script in [
        // After it was done, before it was begun, and with the real one still at it.
        "runc \"$@\"; kill -9 $$",
        "kill -9 $$",
        "runc \"$@\" & sleep 0.0$((RANDOM % 5)); kill -9 $$",
    ] {
        wrapper(&lab, script);
        let oracle = Oracle::baseline(&lab);
        let container = Container::new("web")
            .options(|options| options.runtime = Some("/opt/runtime".to_owned()))
            .create(&lab);
        for _ in 0..5 {
            let begin = "begin=$(date +%s%N); systemctl start $unit && exit 1; echo ms=$((($(date +%s%N) - begin) / 1000000))";
            let text = lab.sh(&format!("{}{begin}\n{SHOW}; systemctl reset-failed; journalctl --sync; journalctl -u $unit -o cat -n 10", container.variables())).ok();
            assert!(
                text.contains("the runtime was killed by SIGKILL")
                    || text.contains("was killed 3 times"),
                "{script}\n{text}"
            );
            let time: u64 = values(&text)["ms"].parse().expect("a number");
            assert!(time < 1000, "it took {time} ms\n{text}");
            oracle.assert_clean(&lab);
        }
        wrapper(&lab, "exec runc \"$@\"");
        heals(&lab, &oracle, &container);
        forget_all(&lab);
    }
}

#[test]
fn a_runtime_that_hangs_can_be_stopped() {
    let lab = lab();
    for script in [
        "exec sleep 1000",
        "sleep 1000; true",
        "trap '' TERM; runc \"$@\"; sleep 1000; true",
    ] {
        wrapper(&lab, script);
        let oracle = Oracle::baseline(&lab);
        let container = Container::new("web")
            .options(|options| options.runtime = Some("/opt/runtime".to_owned()))
            .create(&lab);
        let (text, time) = timed(
            &lab,
            &container,
            &format!("systemctl start --no-block $unit; sleep 0.5; systemctl stop $unit; {SHOW}"),
        );
        assert!(
            time < Duration::from_secs(4),
            "{script}: the stop took {time:?}\n{text}"
        );
        let seen = values(&text);
        assert_eq!(
            seen.get("ActiveState"),
            Some(&"inactive"),
            "{script}\n{text}"
        );
        oracle.assert_clean(&lab);
        wrapper(&lab, "exec runc \"$@\"");
        heals(&lab, &oracle, &container);
        forget_all(&lab);
    }
}

#[test]
fn children_that_hold_the_output_do_not_delay_the_end() {
    let lab = lab();
    let oracle = Oracle::baseline(&lab);
    let container = Container::new("web")
        .command("sleep 1000 & sleep 1000 & exit 3")
        .create(&lab);
    let (text, time) = timed(
        &lab,
        &container,
        &format!("systemctl start $unit; {AWAIT_END}; {SHOW}; systemctl reset-failed"),
    );
    assert_eq!(values(&text).get("ExecMainStatus"), Some(&"3"), "{text}");
    assert!(time < Duration::from_secs(3), "it took {time:?}");
    oracle.assert_clean(&lab);
}

#[test]
fn a_hundred_short_runs_each_with_its_code() {
    let lab = lab();
    let oracle = Oracle::baseline(&lab);
    let container = Container::new("web")
        .command("exit $(cat /tmp/code)")
        .create(&lab);
    let script = format!(
        "for code in $(seq 0 99); do
            echo $code >{BUSYBOX}/tmp/code
            systemctl start $unit || {{ echo \"$code: not started\"; break; }}
            {AWAIT_END}
            systemctl show -P ExecMainStatus $unit >/opt/status
            [ $code = 0 ] || [ $code = $(cat /opt/status) ] || echo \"$code: unit says $(cat /opt/status)\"
            grep -qx STATUS=$code /run/unitbox/$id/exit || echo \"$code: exit file says $(grep STATUS /run/unitbox/$id/exit)\"
            systemctl reset-failed $unit 2>/dev/null
        done"
    );
    let (text, _) = timed(&lab, &container, &script);
    assert_eq!(text, "");
    oracle.assert_clean(&lab);
}
