//! The same flags with Podman and with unitbox: exit code, config.json and the view from inside must be equal.

mod cases;
mod compare;
mod pairs;
mod refusals;

use std::collections::BTreeMap;
use std::io::Read;

use crate::harness::{Lab, Suite};
use cases::Case;
use compare::Outcome;

const ENGINES: [&str; 2] = ["podman", "unitbox"];

/// A lab with images, files and containers that both engines share.
fn lab() -> Lab {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir -p /opt/diff").ok();
    lab.write("/opt/diff/view", include_str!("view.sh"));
    lab.write("/opt/diff/batch", include_str!("batch.sh"));
    lab.sh(&format!(
        "bash -s <<'SETUP'\n{}\nSETUP",
        include_str!("setup.sh")
    ))
    .ok();
    lab
}

/// Runs cases with both engines, many in one entry into the lab.
fn run(lab: &Lab, cases: &[Case]) -> Vec<[Outcome; 2]> {
    let mut pack = tar::Builder::new(Vec::new());
    for (at, case) in cases.iter().enumerate() {
        let mut text = case.words.join("\0").into_bytes();
        text.push(0);
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        pack.append_data(&mut header, at.to_string(), text.as_slice())
            .expect("memory is enough");
    }
    let pack = pack.into_inner().expect("memory is enough");
    lab.sh_with_input("rm -f /opt/diff/cases/*; tar -C /opt/diff/cases -x", &pack)
        .ok();
    let numbers: Vec<String> = (0..cases.len()).map(|at| at.to_string()).collect();
    lab.sh(&format!("bash /opt/diff/batch {}", numbers.join(" ")))
        .ok();
    let files = read(&lab.sh("tar -C /opt/diff/out -c .").fails(0).stdout);
    (0..cases.len())
        .map(|at| ENGINES.map(|engine| outcome(&files, at, engine)))
        .collect()
}

fn read(pack: &[u8]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut archive = tar::Archive::new(pack);
    for entry in archive.entries().expect("a tar archive") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a path").display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("memory is enough");
        files.insert(
            name.trim_start_matches("./").to_owned(),
            String::from_utf8_lossy(&bytes).into_owned(),
        );
    }
    files
}

fn outcome(files: &BTreeMap<String, String>, at: usize, engine: &str) -> Outcome {
    let file = |kind: &str| {
        files
            .get(&format!("{at}.{engine}.{kind}"))
            .cloned()
            .unwrap_or_default()
    };
    let id = file("id").trim().to_owned();
    let config = files.get(&format!("specs/{id}.json"));
    let namespaces = files
        .get(&format!("{engine}.namespaces"))
        .cloned()
        .unwrap_or_default();
    Outcome {
        code: file("code").trim().parse().unwrap_or(-1),
        out: file("out"),
        err: file("err"),
        config: config.and_then(|text| serde_json::from_str(text).ok()),
        // The host's are the first ones: a container that shares one with the host is no other's.
        namespaces: namespaces
            .lines()
            .rev()
            .filter_map(|line| line.split_once(' '))
            .map(|(whose, inode)| (inode.to_owned(), whose.to_owned()))
            .collect(),
        id,
    }
}

/// A part of the cases, the same each time, unless all are wanted.
fn sample(cases: Vec<Case>, every: usize) -> Vec<Case> {
    match std::env::var_os("UNITBOX_TEST_ALL") {
        Some(_) => cases,
        None => cases.into_iter().step_by(every).collect(),
    }
}

#[track_caller]
fn assert_equal(cases: &[Case]) {
    let lab = lab();
    let outcomes = run(&lab, cases);
    let mut report = Vec::new();
    let mut count: BTreeMap<String, usize> = BTreeMap::new();
    for (case, [podman, unitbox]) in cases.iter().zip(&outcomes) {
        let lines = compare::differences(&case.name, podman, unitbox);
        if lines.is_empty() {
            continue;
        }
        report.push(format!("### {}", case.name));
        for line in lines {
            let field = line.split(':').next().unwrap_or("").to_owned();
            *count.entry(field).or_default() += 1;
            report.push(format!("    {line}"));
        }
    }
    if let Some(path) = std::env::var_os("UNITBOX_DIFF_REPORT") {
        let sums = count
            .iter()
            .map(|(field, times)| format!("{times:5} {field}"));
        let text: Vec<String> = sums.chain(report.iter().cloned()).collect();
        std::fs::write(path, text.join("\n")).expect("the report can be written");
    }
    report.truncate(200);
    assert!(report.is_empty(), "{}", report.join("\n"));
}

#[test]
fn each_flag_alone_is_as_with_podman() {
    assert_equal(&sample(cases::alone(&cases::known), 3));
}

#[test]
fn flags_in_pairs_are_as_with_podman() {
    assert_equal(&sample(cases::in_pairs(&cases::known), 4));
}
