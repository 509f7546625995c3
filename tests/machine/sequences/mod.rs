//! The same sequences of verbs with Podman and with unitbox: codes, outputs, errors and states must be equal.

mod cases;
mod daily;
mod sentences;

use regex_lite::Regex;

use crate::harness::{Lab, Suite};
use cases::Sequence;

/// What is otherwise on purpose, or not there yet: the step that differs, and why.
const DIFFERENT: &[(&str, &str)] = &[
    (
        r"^paused: (stop|kill -s TERM)",
        "one that is paused is thawed, so that it can be stopped and hears the signal",
    ),
    (
        r"^failed: (init|start|restart|wait|logs)",
        "the code and the words of a start that failed are kept; Podman tells them once",
    ),
];

fn is_different(name: &str) -> bool {
    DIFFERENT
        .iter()
        .any(|(pattern, _)| Regex::new(pattern).expect("a pattern").is_match(name))
}

/// What one engine did, without what is its own: ids, its name, times, warnings.
fn normal(text: &str) -> Vec<String> {
    let rules = [
        (r"\b[0-9a-f]{64}\b", "ID"),
        (r"\b[0-9a-f]{12}\b", "ID"),
        (r"\b(podman|unitbox)\b", "ENGINE"),
    ]
    .map(|(pattern, with)| (Regex::new(pattern).expect("a pattern"), with));
    let mut lines = Vec::new();
    for line in text.lines() {
        let warns = line.starts_with("err time=") && line.contains("level=warning");
        let help = line.starts_with("err See 'podman");
        // The shell's word for a client that was killed, with its PID.
        let killed = line.starts_with("err ") && line.contains(" Killed ");
        // Podman's word when what it has just passed a signal to has ended by then, which it has now and then.
        let late = line == "err container not running: No such process";
        if warns || help || killed || late {
            continue;
        }
        let mut line = line.trim_end().to_owned();
        if line.contains("is already in use") {
            line = "err the name is in use".to_owned();
        }
        for (pattern, with) in &rules {
            line = pattern.replace_all(&line, *with).into_owned();
        }
        // Podman's word while conmon has not told it yet.
        if line.starts_with("state ") {
            line = line.replace(" stopped ", " exited ");
        }
        line = line.replace("\"stopped\" is not", "\"exited\" is not");
        if let Some(rest) = line.strip_prefix("out stopped ") {
            line = format!("out exited {rest}");
        }
        // Podman forgets the code of a start that failed.
        if line.contains("created") {
            line = line.replace(" 127", " 0");
        }
        lines.push(line);
    }
    lines
}

#[track_caller]
fn assert_equal(sequences: Vec<Sequence>, every: usize) {
    let sequences: Vec<Sequence> = match std::env::var_os("UNITBOX_TEST_ALL") {
        Some(_) => sequences,
        None => sequences.into_iter().step_by(every).collect(),
    };
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir -p /opt/seq/cases /opt/seq/results").ok();
    lab.write("/opt/seq/drive", include_str!("drive.sh"));
    let mut script = String::new();
    for (at, sequence) in sequences.iter().enumerate() {
        script.push_str(&format!(
            "cat >/opt/seq/cases/{at} <<'STEPS'\n{}\nSTEPS\n",
            sequence.steps.join("\n")
        ));
    }
    lab.write("/opt/seq/write", script);
    let last = sequences.len() - 1;
    lab.sh(&format!(
        "bash /opt/seq/write; seq 0 2 {last} >/opt/seq/even; seq 1 2 {last} >/opt/seq/odd
        for engine in podman unitbox; do for half in even odd; do
            bash /opt/seq/drive $engine $(cat /opt/seq/$half) >/opt/seq/log.$engine.$half 2>&1 &
        done; done; wait"
    ))
    .ok();
    let mut report = Vec::new();
    let mut excused = 0;
    for (at, sequence) in sequences.iter().enumerate() {
        let [podman, unitbox] = ["podman", "unitbox"]
            .map(|engine| normal(&lab.sh(&format!("cat /opt/seq/results/{at}.{engine}")).ok()));
        assert!(
            podman
                .iter()
                .filter(|line| line.starts_with("code "))
                .count()
                == sequence.steps.len(),
            "{}: not every step was done: {podman:?}",
            sequence.name
        );
        if podman == unitbox {
            continue;
        }
        if is_different(&sequence.name) {
            excused += 1;
            continue;
        }
        report.push(format!(
            "### {}\n--- podman\n{}\n--- unitbox\n{}",
            sequence.name,
            podman.join("\n"),
            unitbox.join("\n")
        ));
    }
    println!(
        "{} sequences, {excused} different on purpose",
        sequences.len()
    );
    assert!(
        report.is_empty(),
        "{} of {} differ\n{}",
        report.len(),
        sequences.len(),
        report.join("\n\n")
    );
}

#[test]
fn every_verb_meets_every_state() {
    assert_equal(cases::table(), 14);
}

#[test]
fn sentences_are_understood_as_podman_does() {
    assert_equal(cases::others(), 4);
}

/// The one verb that Podman has no command for: its cells are compared with what they must be.
#[test]
fn artifacts_are_there_in_every_state() {
    let lab = Lab::boot(Suite::Trixie);
    for (at, (state, steps)) in cases::STATES.iter().enumerate() {
        let steps = steps.join("\n");
        let run = lab.sh(&format!(
            "E=unitbox P=s{at} L= R='--network=none --rootfs /usr/share/unitbox-lab/busybox'\n{{ :\n{steps}\n}} >/dev/null 2>&1
            artifact=\"unitbox container artifact\"
            echo text | $artifact add ${{P}}a one -; echo add $?
            $artifact ls ${{P}}a; echo ls $?; $artifact get ${{P}}a one; echo get $?
            $artifact rm ${{P}}a one; echo rm $?; $artifact get ${{P}}a one; echo gone $?"
        ));
        let expected = match *state {
            "missing" => "add 125\nls 125\nget 125\nrm 125\ngone 125",
            _ => "add 0\none\nls 0\ntext\nget 0\nrm 0\ngone 125",
        };
        assert_eq!(run.out(), expected, "{state}: {}", run.err());
    }
}

#[test]
fn lines_of_every_day_do_what_they_do_with_podman() {
    assert_equal(cases::daily(), 1);
}

#[test]
fn walks_lead_to_the_same_place() {
    assert_equal(cases::walks(60), 12);
}
