//! Whatever text a user writes reaches its target unchanged, with the real systemd between: tests/text.rs proves the pure
//! part.

use std::io::Read;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use unitbox::api::Layout;
use unitbox::plan::unit::{BusValue, Unit, UnitFacts};

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;
use crate::words::{Words, definition, words};

/// Two thousand with UNITBOX_TEST_ALL, else this many; the same each time.
fn samples(few: usize) -> Vec<Words> {
    let all = std::env::var_os("UNITBOX_TEST_ALL").is_some();
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let count = if all { 2000 } else { few };
    let one = |_| words().new_tree(&mut runner).expect("a sample").current();
    (0..count).map(one).collect()
}

/// systemd reads the unit files, and tells over D-Bus what it has read.
#[test]
fn systemd_reads_from_files_what_was_written() {
    let lab = Lab::boot(Suite::Trixie);
    let layout = Layout::new("/srv/$x %n \"y\" \\");
    let monitor = std::path::PathBuf::from("/opt/a b/%n $x");
    let facts = UnitFacts {
        systemd: 257,
        monitor: &monitor,
        layout: &layout,
        dependencies: &[],
    };
    let units: Vec<Unit> = samples(200)
        .iter()
        .map(|words| Unit::of(&definition(words), &facts))
        .collect();
    let mut pack = tar::Builder::new(Vec::new());
    for (at, unit) in units.iter().enumerate() {
        let text = unit.render();
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        pack.append_data(&mut header, format!("text{at}.service"), text.as_bytes())
            .expect("memory is enough");
    }
    let pack = pack.into_inner().expect("memory is enough");
    lab.sh_with_input("tar -C /run/systemd/system -x", &pack)
        .ok();
    let script = format!(
        "systemctl daemon-reload; for i in $(seq 0 {}); do busctl --json=short get-property org.freedesktop.systemd1 \
         /org/freedesktop/systemd1/unit/text${{i}}_2eservice org.freedesktop.systemd1.Service ExecStart LogExtraFields \
         SyslogIdentifier || exit; done",
        units.len() - 1
    );
    let said = lab.sh(&script).ok();
    let said: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(said.len(), units.len() * 3);
    for (unit, said) in units.iter().zip(said.chunks(3)) {
        let wished = unit.bus_properties();
        let wished = |key: &str| {
            wished
                .iter()
                .find(|(name, _)| *name == key)
                .map(|(_, value)| value.clone())
        };
        let Some(BusValue::Exec(command, _)) = wished("ExecStart") else {
            panic!("no ExecStart");
        };
        let Some(BusValue::ByteArrays(fields)) = wished("LogExtraFields") else {
            panic!("no LogExtraFields");
        };
        assert_eq!(said[0]["data"][0][1], serde_json::json!(command));
        assert_eq!(said[1]["data"], serde_json::json!(fields));
        assert_eq!(
            wished("SyslogIdentifier"),
            said[2]["data"]
                .as_str()
                .map(|text| BusValue::Str(text.to_owned()))
        );
    }
}

/// Containers get their words and variables, and the journal the fields, whether the unit is a file or transient.
#[test]
fn payloads_and_journal_get_what_was_written() {
    let lab = Lab::boot(Suite::Trixie);
    let samples = samples(24);
    // Those that are kept are removed now and then, so that the cost of one stays what it is.
    for (at, chunk) in samples.chunks(200).enumerate() {
        run_chunk(&lab, at * 200, chunk);
    }
    lab.sh("journalctl --sync").ok();
    let journal = lab
        .sh("journalctl -o json --output-fields=CONTAINER_NAME,CONTAINER_TAG MESSAGE=done")
        .ok();
    let mut found = 0;
    for line in journal.lines() {
        let entry: Value = serde_json::from_str(line).expect("JSON");
        let name = entry["CONTAINER_NAME"].as_str().expect("a name");
        let at: usize = name
            .strip_prefix('t')
            .and_then(|at| at.parse().ok())
            .expect("a number");
        assert_eq!(field(&entry["CONTAINER_TAG"]), samples[at].tag.as_bytes());
        found += 1;
    }
    assert_eq!(found, samples.len());
}

/// Runs containers, the first of which has this number, two at a time: every second one as a transient unit.
fn run_chunk(lab: &Lab, first: usize, chunk: &[Words]) {
    let mut input = Vec::new();
    for words in chunk {
        input.extend(command_line(words).join("\0").into_bytes());
        input.push(0);
    }
    lab.sh_with_input("rm -f /opt/err.*; cat >/opt/words", &input)
        .ok();
    let script = "words=() n=FIRST; while IFS= read -r -d '' word; do
        if [[ $word != $'\\x01end' ]]; then words+=(\"$word\"); continue; fi
        if ((n % 2)); then way=(run --rm); else way=(run); fi
        unitbox \"${way[@]}\" --name t$n \"${words[@]}\" </dev/null >/opt/out.$n 2>/opt/err.$n \
            || echo \"t$n: $? $(head -c 400 /opt/err.$n)\" &
        ((n % 2)) && wait
        words=() n=$((n + 1)); done </opt/words; wait; unitbox rm -a >/dev/null";
    assert_eq!(
        lab.sh(&script.replace("FIRST", &first.to_string())).ok(),
        ""
    );
    let told = lab.sh("cd /opt && tar -c err.*");
    let mut archive = tar::Archive::new(told.fails(0).stdout.as_slice());
    let mut count = 0;
    for entry in archive.entries().expect("a tar archive") {
        let mut entry = entry.expect("an entry");
        let path = entry.path().expect("a path").display().to_string();
        let number = path.strip_prefix("err.").and_then(|at| at.parse().ok());
        let at: usize = number.expect("a number");
        let mut seen = Vec::new();
        entry.read_to_end(&mut seen).expect("memory is enough");
        assert_told(&chunk[at - first], &seen);
        count += 1;
    }
    assert_eq!(count, chunk.len());
}

const TELL: &str = "echo done; cat /proc/$$/cmdline /proc/$$/environ >&2; true";

/// The words of one `run`, and one that ends them.
fn command_line(words: &Words) -> Vec<String> {
    let mut line = vec![
        "--network=none".to_owned(),
        format!("--log-opt=tag={}", words.tag),
    ];
    for (flag, pairs) in [
        ("label", &words.labels),
        ("annotation", &words.annotations),
        ("env", &words.env),
    ] {
        let pairs = pairs.iter();
        line.extend(pairs.map(|(key, value)| format!("--{flag}={key}={value}")));
    }
    let (image, payload) = ROOTFS.split_once(' ').expect("a flag and a path");
    line.extend([image, payload, "sh", "-c", TELL].map(str::to_owned));
    line.extend(words.args.iter().cloned());
    line.push("\u{1}end".to_owned());
    line
}

/// What a payload told of its command line and environment is what was asked for.
fn assert_told(words: &Words, seen: &[u8]) {
    let mut wanted = format!("sh\0-c\0{TELL}\0").into_bytes();
    for word in &words.args {
        wanted.extend(word.as_bytes());
        wanted.push(0);
    }
    let told = String::from_utf8_lossy(seen);
    assert!(seen.starts_with(&wanted), "{:?}\n{told:?}", words.args);
    let env: Vec<&[u8]> = seen[wanted.len()..].split(|byte| *byte == 0).collect();
    for (name, _) in &words.env {
        let last = words.env.iter().rfind(|(other, _)| other == name);
        let assignment = format!("{name}={}", last.expect("it is set").1);
        assert!(env.contains(&assignment.as_bytes()), "{assignment:?}");
    }
}

/// A field of the journal: text, or numbers where it is not printable.
fn field(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(bytes) => bytes
            .iter()
            .map(|byte| byte.as_u64().expect("a byte") as u8)
            .collect(),
        other => panic!("{other}"),
    }
}
