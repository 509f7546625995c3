//! Promises that are numbers: sizes of the programs and of the source files; and names that no file may have.

mod source;

use std::env;
use std::fs;
use std::path::PathBuf;

const KIB: u64 = 1024;

/// The largest size of each program as it is shipped.
///
/// The generator delays each boot, so that what it links is paid for often; most of it is the table of options, with what
/// reads and checks each value. Of the monitor most is for its workers, which
/// read definitions, containers.conf, seccomp profiles and hooks, look at the health (96 KiB), and hand a run on
/// to another program (96 KiB); what it costs per
/// container is measured by `bench_memory`. The bus service tells the health, too.
/// The client has the same plans in it: for `exec`, and for what `inspect` says of the bundle. 768 KiB are for
/// `top`, `stats`, `info`, `events`, `cp`, unit files and the ways to choose containers, and 768 for the verbs on images.
const PROGRAMS: &[(&str, u64)] = &[
    ("unitbox-generator", 800 * KIB),
    ("unitbox-monitor", 2304 * KIB),
    ("unitbox-bus", 1760 * KIB),
    ("unitbox", 7296 * KIB),
];

/// The most lines that a source file may have.
const LINES: usize = 600;

/// Names that say nothing of what is inside.
const NAMES: &[&str] = &[
    "util", "utils", "common", "helper", "helpers", "misc", "shared",
];

/// `$UNITBOX_BIN_DIR`, or where Cargo puts release builds.
fn release_programs() -> PathBuf {
    env::var_os("UNITBOX_BIN_DIR").map_or_else(
        || {
            let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
            target
                .unwrap_or_else(|| source::package().join("target"))
                .join("release")
        },
        PathBuf::from,
    )
}

#[test]
fn programs_are_within_their_budgets() {
    let directory = release_programs();
    for (program, budget) in PROGRAMS {
        let path = directory.join(program);
        let size = fs::metadata(&path)
            .unwrap_or_else(|error| {
                panic!(
                    "{}: {error}; `cargo build --release` makes it",
                    path.display()
                )
            })
            .len();
        println!("{program}: {} KiB of {} KiB", size / KIB, budget / KIB);
        assert!(
            size <= *budget,
            "{program} has {} KiB, its budget is {} KiB",
            size / KIB,
            budget / KIB
        );
    }
}

#[test]
fn files_are_short_and_have_names_that_say_something() {
    let mut wrong = Vec::new();
    for (path, text) in source::rust_files("src")
        .into_iter()
        .chain(source::rust_files("tests"))
    {
        let lines = text.lines().count();
        if lines > LINES {
            wrong.push(format!(
                "{}: {lines} lines, {LINES} at most",
                path.display()
            ));
        }
        let parts = path.iter().filter_map(|part| part.to_str()).map(stem);
        for part in parts.filter(|part| NAMES.contains(part)) {
            wrong.push(format!("{}: nothing is called {part}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn stem(part: &str) -> &str {
    part.strip_suffix(".rs").unwrap_or(part)
}

/// `expect("why it cannot fail")` says what a reader must know.
#[test]
fn nothing_is_unwrapped_outside_tests() {
    let files = source::rust_files("src");
    let test_modules: Vec<&str> = files
        .iter()
        .flat_map(|(_, text)| test_modules(text))
        .collect();
    for (path, text) in &files {
        let mut parts = path.iter().filter_map(|part| part.to_str()).map(stem);
        if parts.any(|part| part.ends_with("_tests") || test_modules.contains(&part)) {
            continue;
        }
        // Tests within a file are the end of it.
        let end = text
            .find("\n#[cfg(test)]\nmod tests {")
            .unwrap_or(text.len());
        let line = text[..end]
            .lines()
            .position(|line| line.contains(".unwrap()"));
        if let Some(line) = line {
            panic!("{}:{} unwraps", path.display(), line + 1);
        }
    }
}

/// The modules that a file declares for tests only.
fn test_modules(text: &str) -> impl Iterator<Item = &str> {
    text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
        let declaration = rest.lines().next()?.strip_suffix(';')?;
        Some(declaration.rsplit_once("mod ")?.1)
    })
}
