//! Which processes of `exec` live: their records in the run directory, each the id of a session and a process id.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::{Layout, Payload};
use crate::sys::process::Pidfd;
use crate::types::ContainerId;

/// The ids of the processes that `exec` has started in a payload and that live.
pub fn sessions(layout: &Layout, id: &ContainerId, payload: &Payload) -> Vec<String> {
    let mut live: Vec<String> = records(&layout.sessions(id))
        .filter(|(_, path)| fate(path, payload) == Fate::Alive)
        .map(|(session, _)| session)
        .collect();
    live.sort_unstable();
    live
}

fn records(directory: &Path) -> impl Iterator<Item = (String, PathBuf)> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        Some((name.strip_suffix(".pid")?.to_owned(), entry.path()))
    })
}

/// What has become of the process of a record.
#[derive(PartialEq, Eq)]
enum Fate {
    /// It lives in the payload.
    Alive,
    /// Its client has not looked yet, or the record is being written.
    Pending,
    /// It is gone: another process may have its number.
    Gone,
}

fn fate(record: &Path, payload: &Payload) -> Fate {
    let text = fs::read_to_string(record).unwrap_or_default();
    let Ok(pid) = text.trim().parse::<i32>() else {
        return Fate::Pending;
    };
    let Ok(pidfd) = Pidfd::open(pid) else {
        return Fate::Gone;
    };
    // From here on the descriptor is one process: in the payload's cgroup it is the right one.
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let own = text.lines().find_map(|line| line.strip_prefix("0::/"));
    let group = payload.cgroup.strip_prefix("/sys/fs/cgroup").ok();
    let inside = own
        .zip(group)
        .is_some_and(|(own, group)| Path::new(own).starts_with(group));
    match (inside, pidfd.has_ended()) {
        (true, Ok(false)) => Fate::Alive,
        (false, Ok(false)) => Fate::Gone,
        (_, Ok(true) | Err(_)) => Fate::Pending,
    }
}

/// No start of a process takes longer: what it needs for that, and nobody took away, is a killed client's.
const START_TIME: Duration = Duration::from_secs(60);

/// Forgets sessions that have ended without a client to tell, and what was left at their start.
pub(super) fn prune(directory: &Path, payload: &Payload) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let age = entry.metadata().and_then(|data| data.modified());
        let age = age
            .ok()
            .and_then(|made| made.elapsed().ok())
            .unwrap_or_default();
        let dead = match path.extension().is_some_and(|kind| kind == "pid") {
            true => fate(&path, payload) == Fate::Gone,
            false => age > START_TIME,
        };
        if dead {
            let _ = fs::remove_file(path);
        }
    }
}
