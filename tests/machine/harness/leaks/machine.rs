//! Units, processes, mounts, cgroups, namespaces and sockets.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{self, File};
use super::{Kind, Leak};
use crate::harness::Guest;

const SCRIPT: &str = include_str!("../leaks.sh");
/// Commands of the test itself live here; it belongs to no unit.
const EXEC: &str = "/lab.exec";

/// What is on a machine.
#[derive(Debug, Default)]
pub(super) struct Machine {
    /// Name to active state.
    units: BTreeMap<String, String>,
    processes: Vec<Process>,
    /// Mount namespace to its mounts, and a process in it.
    mounts: BTreeMap<String, (String, Vec<Mount>)>,
    cgroups: BTreeSet<String>,
    runtime: BTreeSet<String>,
    netns: BTreeSet<String>,
    links: BTreeSet<String>,
    sockets: BTreeSet<String>,
    pub(super) files: Vec<File>,
}

#[derive(Debug)]
struct Process {
    pid: String,
    cgroup: String,
    mount_namespace: String,
    network_namespace: String,
    comm: String,
    args: String,
    last_arg: String,
}

/// One line of proc_pid_mountinfo(5).
#[derive(Debug)]
struct Mount {
    line: String,
    /// Target, type, source and root: what makes two of them the same, in whatever namespace.
    key: String,
    is_nsfs: bool,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let (root, target) = (left.get(3)?, left.get(4)?);
        let (kind, source) = (right.first()?, right.get(1)?);
        Some(Self {
            line: line.to_owned(),
            key: format!("{target} ({kind} {source}, root {root})"),
            is_nsfs: *kind == "nsfs",
        })
    }
}

impl Machine {
    #[track_caller]
    pub(super) fn observe(lab: &impl Guest) -> Self {
        let mut machine = Self::default();
        let text = lab.sh(SCRIPT).ok();
        for line in text.lines() {
            let fields: Vec<&str> = line.split('\t').collect();
            machine.take(&fields);
        }
        assert!(
            machine.units.contains_key("init.scope"),
            "no facts:\n{text}"
        );
        machine
    }

    fn take(&mut self, fields: &[&str]) {
        let text = |index: usize| fields.get(index).copied().unwrap_or_default().to_owned();
        match text(0).as_str() {
            "unit" => drop(self.units.insert(text(1), text(2))),
            "process" => self.processes.push(Process {
                pid: text(1),
                cgroup: text(2),
                mount_namespace: text(3),
                network_namespace: text(4),
                comm: text(5),
                args: text(6),
                last_arg: text(7),
            }),
            "mount" => {
                let entry = self.mounts.entry(text(1));
                let (_, mounts) = entry.or_insert_with(|| (text(2), Vec::new()));
                mounts.extend(Mount::parse(&text(3)));
            }
            "cgroup" => self.cgroups.extend([text(1)]),
            "runtime" => self.runtime.extend([text(1)]),
            "netns" => self.netns.extend([text(1)]),
            "link" => self.links.extend([text(1)]),
            "socket" => self.sockets.extend([text(1)]),
            "file" => self.files.push(File {
                kind: text(1),
                path: text(2),
                target: text(3),
            }),
            other => panic!("unknown fact {other}"),
        }
    }

    /// Ids of the containers whose monitor runs in a running unit.
    pub(super) fn live_containers(&self) -> BTreeSet<String> {
        let monitors = self.processes.iter().filter(|process| {
            process.comm == "unitbox-monitor" && self.owner(&process.cgroup) == Owner::Running
        });
        let id = |name: &str| {
            let link = format!("{}{name}", files::NAMES);
            let file = self.files.iter().find(|file| file.path == link)?;
            file.target.rsplit('/').next().map(str::to_owned)
        };
        monitors
            .filter_map(|process| id(&process.last_arg))
            .collect()
    }

    pub(super) fn leaks_since(&self, before: &Self, live: &BTreeSet<String>) -> BTreeSet<Leak> {
        let mut leaks = BTreeSet::new();
        let mut add = |kind, what: String| {
            leaks.insert(Leak { kind, what });
        };
        let dead = |text: &str| !files::ids(text).iter().all(|id| live.contains(id));
        for (unit, active) in &self.units {
            if active == "failed" {
                add(Kind::FailedUnit, unit.clone());
            }
        }
        for group in self.cgroups.difference(&before.cgroups) {
            let path = group.trim_start_matches("/sys/fs/cgroup");
            if !matches!(self.owner(path), Owner::Running | Owner::Test) {
                add(Kind::Cgroup, group.clone());
            }
        }
        for state in self.runtime.difference(&before.runtime) {
            // crun's cache of compiled filters.
            if !state.ends_with("/.cache") {
                add(Kind::RuntimeState, state.clone());
            }
        }
        for name in self.netns.difference(&before.netns) {
            add(Kind::NetworkNamespace, name.clone());
        }
        for link in self.links.difference(&before.links) {
            add(Kind::Link, link.clone());
        }
        for socket in self
            .sockets
            .difference(&before.sockets)
            .filter(|path| dead(path))
        {
            add(Kind::Socket, socket.clone());
        }
        leaks.extend(self.process_leaks(before));
        leaks.extend(self.mount_leaks(before, live));
        leaks
    }

    fn process_leaks(&self, before: &Self) -> BTreeSet<Leak> {
        let known: BTreeSet<&str> = before.processes.iter().map(|p| p.pid.as_str()).collect();
        let namespaces = |machine: &Self| -> BTreeSet<String> {
            let all = machine.processes.iter();
            all.map(|process| process.network_namespace.clone())
                .collect()
        };
        let known_spaces = namespaces(before);
        let mut leaks = BTreeSet::new();
        for process in &self.processes {
            let Process {
                pid, comm, args, ..
            } = process;
            let stray = match self.owner(&process.cgroup) {
                Owner::Running => false,
                Owner::Test => {
                    let comm = process.comm.as_str();
                    comm.starts_with("unitbox") || comm.starts_with("runc") || comm == "crun"
                }
                Owner::Nobody => true,
            };
            if stray && !known.contains(pid.as_str()) {
                let what = format!("{pid} {comm} [{args}] in {}", process.cgroup);
                leaks.insert(Leak {
                    kind: Kind::Process,
                    what,
                });
            }
            let space = &process.network_namespace;
            if self.owner(&process.cgroup) != Owner::Running && !known_spaces.contains(space) {
                let what = format!("{space} of process {pid} {comm}");
                leaks.insert(Leak {
                    kind: Kind::NetworkNamespace,
                    what,
                });
            }
        }
        leaks
    }

    /// In the host's namespace every new mount counts, in those of running units what is of a container that does not
    /// run, in any other all that the host has not.
    fn mount_leaks(&self, before: &Self, live: &BTreeSet<String>) -> BTreeSet<Leak> {
        let host = self.host_namespace();
        let of_host = before.mounts.get(before.host_namespace());
        let at_first: BTreeSet<&str> = of_host
            .iter()
            .flat_map(|(_, mounts)| mounts.iter().map(|mount| mount.key.as_str()))
            .collect();
        let mut leaks = BTreeSet::new();
        for (namespace, (pid, mounts)) in &self.mounts {
            let runs = namespace != host && self.namespace_runs(namespace);
            for mount in mounts
                .iter()
                .filter(|mount| !at_first.contains(mount.key.as_str()))
            {
                let ids = files::ids(&mount.line);
                let of_dead = !ids.iter().all(|id| live.contains(id));
                let nameless = !mount.is_nsfs && ids.is_empty() && mount.key.contains("/unitbox/");
                // A unit's own credentials are on the host as long as it runs.
                let of_systemd = mount.key.starts_with("/run/credentials/");
                if of_systemd || runs && !of_dead && !nameless {
                    continue;
                }
                let place = if namespace == host {
                    "host"
                } else {
                    namespace.as_str()
                };
                let what = format!(
                    "{} in the mount namespace {place} of process {pid}",
                    mount.key
                );
                if mount.is_nsfs {
                    leaks.insert(Leak {
                        kind: Kind::NetworkNamespace,
                        what: what.clone(),
                    });
                }
                leaks.insert(Leak {
                    kind: Kind::Mount,
                    what,
                });
            }
        }
        leaks
    }

    fn host_namespace(&self) -> &str {
        let first = self.processes.iter().find(|process| process.pid == "1");
        first.map_or("", |process| process.mount_namespace.as_str())
    }

    fn namespace_runs(&self, namespace: &str) -> bool {
        self.processes.iter().any(|process| {
            process.mount_namespace == namespace && self.owner(&process.cgroup) == Owner::Running
        })
    }

    fn owner(&self, cgroup: &str) -> Owner {
        if cgroup == EXEC || cgroup.starts_with("/lab.exec/") || cgroup.ends_with(" (deleted)") {
            return Owner::Test;
        }
        let is_unit = |part: &&str| part.contains('.') && self.units.contains_key(*part);
        let Some(unit) = cgroup.rsplit('/').find(is_unit) else {
            return Owner::Nobody;
        };
        // What is below a slice directly belongs to the slice only if it is a unit of its own.
        let last = cgroup.rsplit('/').next().unwrap_or_default();
        let stray = unit.ends_with(".slice") && unit != last;
        let state = self.units.get(unit).map(String::as_str);
        match state {
            Some("active" | "activating" | "deactivating" | "reloading") if !stray => {
                Owner::Running
            }
            _ => Owner::Nobody,
        }
    }
}

/// To whom a cgroup belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Owner {
    /// A unit that runs.
    Running,
    /// This test's own commands.
    Test,
    /// A unit that does not run, or none.
    Nobody,
}
