//! The leak oracle: what is on a machine now, was not when the test began, and belongs to nothing that runs or is kept.
//!
//! A running container may have processes, mounts, cgroups and files; a stopped one that is kept has its records, its
//! name link, its unit file and its exit file. Everything else is a leak.

mod files;
mod machine;

use std::collections::BTreeSet;
use std::fmt;
use std::thread;
use std::time::Duration;

use super::Guest;
use machine::Machine;

/// What was left behind.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// A mount in the host's mount namespace or in any other.
    Mount,
    /// A cgroup of no loaded unit, or of a unit that does not run.
    Cgroup,
    /// A container that runc or crun still know.
    RuntimeState,
    /// A network namespace: its name, or a process or mount that holds it.
    NetworkNamespace,
    /// A network interface, such as the host's end of a veth pair.
    Link,
    /// A unix socket in the run directory.
    Socket,
    /// A process outside a running unit.
    Process,
    /// A failed unit.
    FailedUnit,
    /// A file that was to be renamed or removed.
    TemporaryFile,
    /// A file of a run that has ended.
    RunFile,
    /// A name that leads to no container.
    NameLink,
    /// A container that no name leads to, or without definition.
    Container,
    /// A unit file of no container.
    UnitFile,
    /// What systemd told journald of the unit of no container.
    LogFields,
}

/// One thing that was left behind.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Leak {
    /// What it is.
    pub(crate) kind: Kind,
    /// Which one.
    pub(crate) what: String,
}

impl fmt::Display for Leak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// What there was on a machine at first.
#[derive(Debug)]
pub(crate) struct Oracle {
    before: Machine,
    known: BTreeSet<Leak>,
}

impl Oracle {
    /// Remembers what there is, leaks included: those are not this test's.
    #[track_caller]
    pub(crate) fn baseline(lab: &impl Guest) -> Self {
        let before = Machine::observe(lab);
        let known = leaks(&before, &before);
        Self { before, known }
    }

    /// What is left behind now, sorted.
    #[track_caller]
    pub(crate) fn check(&self, lab: &impl Guest) -> Vec<Leak> {
        let found = leaks(&self.before, &Machine::observe(lab));
        found.difference(&self.known).cloned().collect()
    }

    /// What stays behind: systemd clears some things a moment after a unit has ended.
    #[track_caller]
    pub(crate) fn settle(&self, lab: &impl Guest) -> Vec<Leak> {
        let mut leaks = self.check(lab);
        for _ in 0..10 {
            if leaks.is_empty() {
                break;
            }
            thread::sleep(Duration::from_millis(100));
            leaks = self.check(lab);
        }
        leaks
    }

    /// Asserts that nothing stays behind.
    #[track_caller]
    pub(crate) fn assert_clean(&self, lab: &impl Guest) {
        let leaks = self.settle(lab);
        assert!(
            leaks.is_empty(),
            "left behind on {}:\n{}",
            lab.name(),
            list(&leaks)
        );
    }
}

/// One line each.
pub(crate) fn list(leaks: &[Leak]) -> String {
    leaks.iter().map(|leak| format!("{leak}\n")).collect()
}

fn leaks(before: &Machine, now: &Machine) -> BTreeSet<Leak> {
    let live = now.live_containers();
    let mut leaks = now.leaks_since(before, &live);
    leaks.extend(files::leaks(&now.files, &live));
    leaks
}
