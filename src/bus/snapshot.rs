//! The properties of a container at one moment. No environment, no command line, no path of the host.

use std::collections::HashMap;

use zbus::zvariant::Value;

use crate::api::Ended;
use crate::container::observe::{Exit, Observation};
use crate::definition::{Definition, Source};
use crate::types::{ExitStatus, UnitName};

/// ExitCode while no run has ended, or when nobody knows how one did: no exit code is as large.
pub(super) const NO_CODE: u32 = 256;

/// What the object of a container shows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Snapshot {
    pub(super) name: String,
    pub(super) id: String,
    pub(super) unit: Option<UnitName>,
    pub(super) state: String,
    pub(super) pid: u32,
    pub(super) exit_code: u32,
    pub(super) exit_signal: u32,
    pub(super) oom_killed: bool,
    pub(super) started: u64,
    pub(super) finished: u64,
    pub(super) image: String,
    pub(super) health: String,
    pub(super) streak: u32,
    pub(super) restarts: u32,
}

impl Snapshot {
    pub(super) fn of(definition: &Definition, seen: &Observation) -> Self {
        let mut snapshot = Self {
            name: definition.name.to_string(),
            id: definition.id.to_string(),
            unit: Some(definition.unit()),
            state: seen.state.as_str().to_owned(),
            pid: seen
                .pid
                .and_then(|pid| u32::try_from(pid).ok())
                .unwrap_or(0),
            restarts: seen.restarts,
            image: match &definition.source {
                Source::Image { name, .. } => name.clone(),
                Source::Rootfs { .. } => String::new(),
            },
            ..Self::default()
        };
        if let Some(health) = &seen.health {
            snapshot.health.clone_from(&health.status);
            snapshot.streak = health.streak;
        }
        snapshot.set_exit(seen.exit.as_ref());
        if seen.started != 0 {
            snapshot.started = seen.started;
        }
        snapshot
    }

    /// Takes over how the last run ended.
    pub(super) fn set_exit(&mut self, exit: Option<&Exit>) {
        self.exit_code = exit.and_then(Exit::code).map_or(NO_CODE, u32::from);
        self.exit_signal = exit.map_or(0, signal);
        self.oom_killed = exit.is_some_and(Exit::oom);
        self.started = exit.map_or(0, Exit::started);
        self.finished = exit.map_or(0, Exit::finished);
    }

    /// Whether a payload lives.
    pub(super) fn is_alive(&self) -> bool {
        matches!(self.state.as_str(), "running" | "paused" | "stopping")
    }

    /// How a run has ended of which nobody was told yet: code, signal, and whether memory was wanting.
    pub(super) fn end_since(&self, before: &Self) -> Option<(u32, u32, bool)> {
        if self.finished != before.finished && self.finished != 0 {
            return Some((self.exit_code, self.exit_signal, self.oom_killed));
        }
        // Another run goes on, and the one before left no record: its monitor was killed.
        let lost = before.is_alive() && self.is_alive() && self.started > before.started;
        (lost && before.started != 0).then_some((NO_CODE, 0, false))
    }

    /// The properties that differ, by name.
    pub(super) fn changes(&self, before: &Self) -> HashMap<&'static str, Value<'_>> {
        let mut changes = HashMap::new();
        let mut text = |key, new: &'_ String, old: &String| {
            if new != old {
                changes.insert(key, Value::from(new.clone()));
            }
        };
        text("Name", &self.name, &before.name);
        text("State", &self.state, &before.state);
        text("Image", &self.image, &before.image);
        text("Health", &self.health, &before.health);
        let numbers = [
            ("HealthFailingStreak", self.streak, before.streak),
            ("RestartCount", self.restarts, before.restarts),
            ("Pid", self.pid, before.pid),
            ("ExitCode", self.exit_code, before.exit_code),
            ("ExitSignal", self.exit_signal, before.exit_signal),
        ];
        for (key, new, _) in numbers.into_iter().filter(|(_, new, old)| new != old) {
            changes.insert(key, Value::from(new));
        }
        let times = [
            ("StartedAt", self.started, before.started),
            ("FinishedAt", self.finished, before.finished),
        ];
        for (key, new, _) in times.into_iter().filter(|(_, new, old)| new != old) {
            changes.insert(key, Value::from(new));
        }
        if let Some(unit) = self.unit.as_ref().filter(|_| self.unit != before.unit) {
            changes.insert("Unit", Value::from(unit.to_string()));
        }
        if self.oom_killed != before.oom_killed {
            changes.insert("OomKilled", Value::from(self.oom_killed));
        }
        changes
    }
}

fn signal(exit: &Exit) -> u32 {
    let status = match exit {
        Exit::Recorded(record) => match &record.ended {
            Ended::Payload(status) => Some(*status),
            Ended::Unstarted { .. } | Ended::MonitorKilled { .. } => None,
        },
        Exit::Told { status, .. } => Some(*status),
        Exit::MonitorKilled { .. } | Exit::Unknown { .. } => None,
    };
    match status {
        Some(ExitStatus::Signaled(signal)) => u32::from(signal.number()),
        Some(ExitStatus::Exited(_)) | None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_changed_is_told() {
        let before = Snapshot {
            state: "running".to_owned(),
            pid: 5,
            exit_code: NO_CODE,
            ..Snapshot::default()
        };
        let mut after = before.clone();
        assert!(after.changes(&before).is_empty());
        after.state = "exited".to_owned();
        after.exit_code = 0;
        after.restarts = 2;
        let changes = after.changes(&before);
        let mut keys: Vec<_> = changes.keys().copied().collect();
        keys.sort_unstable();
        assert_eq!(keys, ["ExitCode", "RestartCount", "State"]);
    }

    #[test]
    fn each_end_is_told_once() {
        let run = |state: &str, started, finished| Snapshot {
            state: state.to_owned(),
            exit_code: 7,
            started,
            finished,
            ..Snapshot::default()
        };
        let told = Some((7, 0, false));
        let lost = Some((NO_CODE, 0, false));
        for (before, after, expected) in [
            (run("created", 0, 0), run("running", 5, 0), None),
            (run("running", 5, 0), run("stopping", 5, 0), None),
            (run("running", 5, 0), run("exited", 5, 6), told),
            (run("exited", 5, 6), run("created", 5, 6), None),
            (run("exited", 5, 6), run("running", 7, 6), None),
            // The end was overtaken by the next start.
            (run("running", 5, 0), run("running", 7, 6), told),
            (run("running", 5, 0), run("paused", 7, 0), lost),
            (run("running", 5, 4), run("exited", 5, 0), None),
        ] {
            let text = format!("{before:?} {after:?}");
            assert_eq!(after.end_since(&before), expected, "{text}");
        }
    }
}
