//! Keeps the limits of the payload's cgroup as those of its unit.
//!
//! The limits that count sit on the unit, where `systemctl set-property` changes them; the payload looks at its own
//! cgroup, which is the root of what it sees. The kernel tells by inotify(7) when somebody writes a file of a cgroup, so
//! that this takes no connection to the bus, and nothing that could fail for want of processes or memory.

use std::fs;
use std::io;

use inotify::WatchDescriptor;

use super::notices::Notices;
use crate::host::cgroup::UnitCgroup;

/// Files with the controller that has them.
const FILES: &[(&str, &str)] = &[
    ("memory", "memory.max"),
    ("memory", "memory.high"),
    ("memory", "memory.low"),
    ("memory", "memory.swap.max"),
    ("cpu", "cpu.max"),
    ("cpu", "cpu.weight"),
    ("cpuset", "cpuset.cpus"),
    ("cpuset", "cpuset.mems"),
    ("pids", "pids.max"),
    ("io", "io.max"),
    ("io", "io.weight"),
    ("hugetlb", "hugetlb.2MB.max"),
    ("hugetlb", "hugetlb.1GB.max"),
];

/// What `pids.max` of the payload is where the unit has this value: the unit has some more for the monitor and the
/// runtime.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pids {
    pub(super) unit: u64,
    pub(super) payload: u64,
}

impl Pids {
    /// Two numbers with a space between.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (unit, payload) = text.trim().split_once(' ')?;
        Some(Self {
            unit: unit.parse().ok()?,
            payload: payload.parse().ok()?,
        })
    }
}

/// A file of the unit's cgroup.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) name: &'static str,
    /// What it said when it was last looked at.
    pub(super) content: String,
    /// None where the directory is watched as a whole.
    watch: Option<WatchDescriptor>,
    /// It was written since.
    written: bool,
}

/// The files that are there, in a run.
#[derive(Debug, Default)]
pub(super) struct Mirror(Vec<Watched>);

impl Mirror {
    /// Watches what files there are; a machine without controllers has none, and pays for one read.
    pub(super) fn new(cgroup: &UnitCgroup, notices: &mut Notices) -> Self {
        let controllers = cgroup.controllers();
        let there = FILES
            .iter()
            .filter(|(controller, _)| controllers.iter().any(|name| name == controller));
        if !controllers.is_empty() {
            notices.watch_directory(&cgroup.unit_file("."));
        }
        let watched = there.filter_map(|(_, name)| {
            let path = cgroup.unit_file(name);
            // The watch comes first, so that no change goes unseen.
            let watch = notices.watch_file(&path)?;
            let content = fs::read_to_string(&path).ok()?;
            Some(Watched {
                name,
                content,
                watch,
                written: false,
            })
        });
        Self(watched.collect())
    }

    /// For a successor: the files and what was handed on last.
    pub(super) fn keep(&self) -> Vec<(String, String)> {
        let files = self.0.iter();
        files
            .map(|file| (file.name.to_owned(), file.content.clone()))
            .collect()
    }

    /// Knows what a program before this one has handed on.
    pub(super) fn resume(&mut self, kept: &[(String, String)]) {
        for (name, content) in kept {
            for file in self.0.iter_mut().filter(|file| file.name == name) {
                file.content.clone_from(content);
            }
        }
    }

    /// The files and what they say.
    pub(super) fn files(&self) -> &[Watched] {
        &self.0
    }

    /// Notes that a file was written; without one, that any may have been.
    pub(super) fn note(&mut self, watch: Option<&WatchDescriptor>) {
        for file in &mut self.0 {
            file.written |= watch.is_none() || watch == file.watch.as_ref();
        }
    }

    /// Marks files whose content differs from what the payload's cgroup was made with.
    pub(super) fn differs(&mut self, names: &[String]) {
        for file in &mut self.0 {
            if names.iter().any(|name| name == file.name) {
                file.written = true;
                file.content = String::new();
            }
        }
    }

    /// Hands what has changed to the payload's cgroup, which must be there.
    pub(super) fn apply(&mut self, cgroup: &UnitCgroup, pids: Option<Pids>) {
        for file in self.0.iter_mut().filter(|file| file.written) {
            file.written = false;
            let Ok(now) = fs::read_to_string(cgroup.unit_file(file.name)) else {
                continue;
            };
            // systemd writes every file of a controller when one of them changes.
            if now == file.content {
                continue;
            }
            file.content = now;
            let target = cgroup.payload_path().join(file.name);
            let current = fs::read_to_string(&target).unwrap_or_default();
            for line in lines(file.name, &file.content, &current, pids) {
                match fs::write(&target, &line) {
                    // The payload has just ended.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => eprintln!(
                        "<4>limit {} of the payload to {}: {error}; that of the unit holds all the same",
                        file.name,
                        line.trim()
                    ),
                    Ok(()) => {}
                }
            }
        }
    }
}

/// What has to be written, line by line (a write sets one device), so that a file says the same as the unit's.
fn lines(name: &str, unit: &str, payload: &str, pids: Option<Pids>) -> Vec<String> {
    match name {
        "pids.max" => {
            let own = pids.filter(|pids| unit.trim() == pids.unit.to_string());
            vec![own.map_or(unit.to_owned(), |pids| pids.payload.to_string())]
        }
        "io.max" | "io.weight" => {
            let device = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
            let known: Vec<String> = unit.lines().map(device).collect();
            let default = match name {
                "io.max" => "rbps=max wbps=max riops=max wiops=max",
                _ => "default",
            };
            let gone = payload.lines().map(device);
            let gone = gone.filter(|device| !known.contains(device));
            gone.map(|device| format!("{device} {default}"))
                .chain(unit.lines().map(str::to_owned))
                .collect()
        }
        // No processor or node is named: all of them. Nothing written would be no write.
        _ if unit.trim().is_empty() => vec!["\n".to_owned()],
        _ => vec![unit.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_makes_the_files_equal() {
        let pids = Some(Pids {
            unit: 96,
            payload: 32,
        });
        for (name, unit, payload, expected) in [
            ("memory.max", "max\n", "4096\n", vec!["max\n"]),
            ("pids.max", "96\n", "max\n", vec!["32"]),
            ("pids.max", "95\n", "32\n", vec!["95\n"]),
            ("pids.max", "max\n", "32\n", vec!["max\n"]),
            ("cpuset.cpus", "\n", "0-1\n", vec!["\n"]),
            (
                "io.max",
                "8:0 rbps=1 wbps=max riops=max wiops=max\n",
                "8:0 rbps=2 wbps=max riops=max wiops=max\n8:16 rbps=3 wbps=max riops=max wiops=max\n",
                vec![
                    "8:16 rbps=max wbps=max riops=max wiops=max",
                    "8:0 rbps=1 wbps=max riops=max wiops=max",
                ],
            ),
            (
                "io.weight",
                "default 50\n",
                "default 100\n8:0 20\n",
                vec!["8:0 default", "default 50"],
            ),
            ("io.max", "", "", vec![]),
        ] {
            assert_eq!(lines(name, unit, payload, pids), expected, "{name} {unit}");
        }
    }
}
