//! Many clients at once, at random: each answer is true in one order of all that was done, nothing waits for ever, and
//! nothing is left.

mod check;
mod model;

use std::collections::BTreeMap;

use crate::harness::{Lab, Oracle, Suite};
use check::{Operation, unexplained};
use model::{Answer, Verb, Word};

const CLIENTS: usize = 8;
const NAMES: [&str; 3] = ["one", "two", "three"];

fn verb(word: &str) -> Verb {
    match word {
        "create" => Verb::Create,
        "run" => Verb::Run,
        "start" => Verb::Start,
        "stop" => Verb::Stop,
        "restart" => Verb::Restart,
        "kill" | "term" => Verb::Kill,
        "pause" => Verb::Pause,
        "unpause" => Verb::Unpause,
        "rm" => Verb::Remove,
        "rmf" => Verb::RemoveForce,
        "exec" => Verb::Exec,
        "ps" | "inspect" => Verb::Look,
        other => panic!("no verb of the driver: {other}"),
    }
}

/// The answer, if the code and the words are ones that this verb may give.
fn answer(verb: Verb, code: i32, said: &str) -> Option<Answer> {
    let says = |text: &str| said.contains(text);
    if code == 0 {
        return match (verb, said) {
            (Verb::Look, "") => Some(Answer::NoSuch),
            (Verb::Look, "created") => Some(Answer::Is(Word::Created)),
            (Verb::Look, "running") => Some(Answer::Is(Word::Running)),
            (Verb::Look, "paused") => Some(Answer::Is(Word::Paused)),
            (Verb::Look, "stopping") => Some(Answer::Is(Word::Stopping)),
            (Verb::Look, "exited") => Some(Answer::Is(Word::Exited)),
            (Verb::Look, "removing") => Some(Answer::Is(Word::Removing)),
            (Verb::Look, _) => None,
            _ => Some(Answer::Done),
        };
    }
    let expected = match verb {
        Verb::Remove => [1, 2].contains(&code),
        Verb::Exec => [125, 137, 143, 255].contains(&code),
        _ => code == 125,
    };
    if !expected {
        return None;
    }
    if verb == Verb::Exec && [137, 143].contains(&code) {
        Some(Answer::Overtaken)
    } else if says("no such container") || says("no such object") || says("no container with") {
        Some(Answer::NoSuch)
    } else if says("in use") {
        Some(Answer::InUse)
    } else if says("container state improper") || says("sessions on running containers") {
        Some(Answer::Improper)
    } else if says("stopped before it had started") || says(" meanwhile") {
        Some(Answer::Overtaken)
    } else {
        None
    }
}

/// Runs the clients; what they did, by container.
fn drive(lab: &Lab, seed: usize, seconds: usize) -> BTreeMap<String, Vec<Operation>> {
    lab.sh("mkdir -p /opt/clients").ok();
    lab.write("/opt/clients.sh", include_str!("drive.sh"));
    lab.sh(&format!(
        "export OUT=/opt/clients; rm -f $OUT/*; for i in $(seq {CLIENTS}); do
            bash /opt/clients.sh $i $(({seed} * 100 + i)) {seconds} {} & done; wait",
        NAMES.join(" ")
    ))
    .ok();
    let mut histories: BTreeMap<String, Vec<Operation>> = BTreeMap::new();
    let mut wrong = Vec::new();
    let all = lab.sh("cat /opt/clients/*").ok();
    for line in all.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let number = |at: usize| fields[at].parse().expect("a number");
        let verb = verb(fields[2]);
        let said = fields.get(5).copied().unwrap_or_default();
        match answer(verb, number(4) as i32, said) {
            Some(answer) => histories
                .entry(fields[3].to_owned())
                .or_default()
                .push(Operation {
                    from: number(0),
                    to: number(1),
                    verb,
                    answer,
                    line: line.to_owned(),
                }),
            None => wrong.push(line),
        }
    }
    assert!(
        wrong.is_empty(),
        "seed {seed}: no answers of these verbs:\n{}\nall that was done:\n{}",
        wrong.join("\n"),
        sorted(&all)
    );
    histories
}

/// The lines of all clients, by the time when they began.
fn sorted(all: &str) -> String {
    let mut lines: Vec<&str> = all.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

#[test]
fn eight_clients_at_random_see_one_order() {
    let all = std::env::var_os("UNITBOX_TEST_ALL").is_some();
    let (seeds, seconds) = if all { (1..=6, 40) } else { (1..=1, 20) };
    let lab = Lab::boot(Suite::Trixie);
    let oracle = Oracle::baseline(&lab);
    for seed in seeds {
        let histories = drive(&lab, seed, seconds);
        let count: usize = histories.values().map(Vec::len).sum();
        println!("seed {seed}: {count} operations");
        assert!(count > 10 * CLIENTS, "too few to tell: {count}");
        for (name, history) in &histories {
            if let Some(report) = unexplained(history) {
                panic!("seed {seed}, container {name}: {report}");
            }
        }
        // All that was stopped heard the signal: none had to be killed after its time.
        let killed = lab.sh(
            "journalctl --sync; journalctl -o short-precise | grep -B 40 'did not end in time'",
        );
        assert_eq!(killed.out(), "");
        lab.sh("unitbox rm -f -a -t 4 && [ -z \"$(unitbox ps -aq)\" ]")
            .ok();
        // For the report, if one is left.
        let failed = lab.sh(
            "systemctl --failed --plain --no-legend | cut -d' ' -f1 | while read unit; do
                journalctl -o short-precise -n 50 UNIT=$unit + _SYSTEMD_UNIT=$unit; done",
        );
        println!("{}", failed.ok());
        oracle.assert_clean(&lab);
    }
}
