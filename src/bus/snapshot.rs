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
        let changes = after.changes(&before);
        let mut keys: Vec<_> = changes.keys().copied().collect();
        keys.sort_unstable();
        assert_eq!(keys, ["ExitCode", "State"]);
    }
}
