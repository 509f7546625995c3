//! A program in skopeo's place.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use super::skopeo::{Skopeo, Watcher};
use super::stage::{LAYOUT, PULLED, Stage};
use crate::image::error::Result;
use crate::image::local::Images;

struct Place {
    dir: PathBuf,
    store: Images,
}

impl Place {
    fn new(name: &str) -> Place {
        let dir = std::env::temp_dir().join(format!("unitbox-pull-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let store = Images::open(&dir.join("state")).unwrap();
        Place { dir, store }
    }

    /// A shell script that is run like skopeo; what it answers.
    fn run(&self, script: &str, patience: Duration) -> (std::result::Result<(), String>, Seen) {
        let program = self.dir.join("skopeo");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let stage = Stage::new(&self.store).unwrap();
        let mut seen = Seen::default();
        let ran = Skopeo::at(program, patience).run(vec!["word".into()], &stage, None, &mut seen);
        (ran.map_err(|error| error.to_string()), seen)
    }

    fn staged(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.join("state/images")).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with(PULLED)).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

#[derive(Default)]
struct Seen {
    output: String,
    warnings: Vec<String>,
}

impl Watcher for Seen {
    fn output(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.push_str(&String::from_utf8_lossy(bytes));
        Ok(())
    }

    fn warning(&mut self, line: &str) {
        self.warnings.push(line.to_owned());
    }

    fn position(&mut self) -> u64 {
        0
    }
}

const LONG: Duration = Duration::from_secs(300);

#[test]
fn what_it_says_is_passed_on_and_its_last_word_is_the_error() {
    let place = Place::new("words");
    let (ran, seen) = place.run(
        "echo one $1; echo plain >&2; echo 'time=\"x\" level=fatal msg=\"no \\\"such\\\" image\"' >&2; exit 1",
        LONG,
    );
    assert_eq!(ran.unwrap_err(), "no \"such\" image");
    assert_eq!(seen.output, "one word\n");
    assert_eq!(seen.warnings, ["plain"]);
    let (ran, _) = place.run("exit 7", LONG);
    assert_eq!(ran.unwrap_err(), "skopeo ended with 7");
    let (ran, _) = place.run("kill -9 $$", LONG);
    assert_eq!(ran.unwrap_err(), "skopeo was killed by signal 9");
    assert!(place.staged().is_empty());
}

#[test]
fn one_that_stands_still_is_killed_with_its_children() {
    let place = Place::new("still");
    let child = place.dir.join("child");
    let script = format!("sleep 1000 & echo $! > {}; wait", child.display());
    let (ran, _) = place.run(&script, Duration::from_millis(50));
    assert!(ran.unwrap_err().contains("gave up"));
    let pid = fs::read_to_string(&child).unwrap();
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim()));
    assert!(stat.is_err() || stat.is_ok_and(|stat| stat.contains(") Z ")));
}

#[test]
fn it_gets_our_environment_but_for_what_is_the_units() {
    let place = Place::new("env");
    let (ran, seen) = place.run("echo \"$TMPDIR:$NOTIFY_SOCKET:$PATH\"; pwd", LONG);
    ran.unwrap();
    let mut lines = seen.output.lines();
    let first: Vec<&str> = lines.next().unwrap().splitn(3, ':').collect();
    let dir = lines.next().unwrap();
    assert_eq!(first[0], format!("{dir}/tmp"));
    assert_eq!(first[1], "");
    assert_eq!(first[2], std::env::var("PATH").unwrap());
}

#[test]
fn a_stage_has_the_blobs_of_the_store_and_is_swept_when_nobody_has_it() {
    let place = Place::new("stage");
    let blob = place.dir.join("state/images/blobs/sha256/aa");
    fs::write(&blob, "x").unwrap();
    let stage = Stage::new(&place.store).unwrap();
    let linked = stage.dir.join(LAYOUT).join("blobs/sha256/aa");
    assert_eq!(fs::read_to_string(linked).unwrap(), "x");
    // One that somebody has stays, one of a crash goes.
    let crashed = place
        .dir
        .join("state/images")
        .join(format!("{PULLED}crashed"));
    fs::create_dir_all(crashed.join(LAYOUT)).unwrap();
    drop(place.store.lock_staging().unwrap());
    assert!(stage.dir.exists() && !crashed.exists());
    drop(stage);
    assert!(place.staged().is_empty() && blob.exists());
}
