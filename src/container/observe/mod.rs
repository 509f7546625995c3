//! The state of a container, derived from what systemd, the cgroup and the files of its runs say; never stored.

mod bulk;
mod derive;
mod gather;

use crate::api::{Ended, ExitRecord};
use crate::types::{ExitStatus, Restart};

pub use bulk::Bulk;
pub use derive::derive;
pub use gather::{CgroupEvents, Facts, boot_id, gather, observe, observe_files, payload_of};

/// The state of a container, in Podman's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It never ran, or its payload could not be started; also while a start is being prepared.
    Created,
    /// The runtime has made it, and it waits for its start.
    Initialized,
    /// The payload runs.
    Running,
    /// The payload's cgroup is frozen, whoever did it.
    Paused,
    /// An ordered stop is under way.
    Stopping,
    /// The last run has ended.
    Exited,
    /// Its records are being removed.
    Removing,
    /// systemd says something this program does not know.
    Unknown,
}

impl State {
    /// The word of `ps` and `inspect`.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Created => "created",
            State::Initialized => "initialized",
            State::Running => "running",
            State::Paused => "paused",
            State::Stopping => "stopping",
            State::Exited => "exited",
            State::Removing => "removing",
            State::Unknown => "unknown",
        }
    }

    /// Whether there is a payload that a signal can reach.
    pub fn has_payload(self) -> bool {
        match self {
            State::Running | State::Paused | State::Stopping => true,
            State::Initialized
            | State::Created
            | State::Exited
            | State::Removing
            | State::Unknown => false,
        }
    }

    /// Whether `ps` lists it without `--all`.
    pub fn is_listed(self) -> bool {
        match self {
            State::Running | State::Paused | State::Stopping => true,
            State::Initialized
            | State::Created
            | State::Exited
            | State::Removing
            | State::Unknown => false,
        }
    }

    /// Whether it can be removed without force.
    pub fn can_remove(self) -> bool {
        match self {
            State::Created | State::Initialized | State::Exited | State::Removing => true,
            State::Running | State::Paused | State::Stopping | State::Unknown => false,
        }
    }
}

/// Why nobody knows how a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// It ran in another boot, and no end was written.
    PowerCut,
    /// It ran in this boot; its exit record is gone, and systemd has forgotten the unit.
    NoRecord,
}

/// How the last run ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Exit {
    /// As the monitor wrote it.
    Recorded(ExitRecord),
    /// As systemd tells it: the monitor ends as the payload did, but could not write (a full disk).
    Told {
        /// The end.
        status: ExitStatus,
        /// Start of the run, microseconds since the epoch.
        started: u64,
        /// End of the run, microseconds since the epoch.
        finished: u64,
    },
    /// The monitor did not live to tell: systemd killed what was left.
    MonitorKilled {
        /// What systemd calls it (`signal`, `timeout`, `oom-kill` ...).
        result: String,
        /// Start of the run, microseconds since the epoch.
        started: u64,
        /// End of the run, microseconds since the epoch.
        finished: u64,
    },
    /// Nobody knows.
    Unknown {
        /// Why not.
        lost: Lost,
        /// Start of the run, microseconds since the epoch.
        started: u64,
    },
}

impl Exit {
    /// The code that `wait` and `inspect` report; none if nobody knows.
    pub fn code(&self) -> Option<u8> {
        match self {
            Exit::Recorded(record) => Some(record.shell_code()),
            Exit::Told { status, .. } => Some(status.shell_code()),
            Exit::MonitorKilled { .. } => Some(137),
            Exit::Unknown { .. } => None,
        }
    }

    /// The code as text.
    pub fn code_text(&self) -> String {
        match self {
            Exit::Unknown { lost, .. } => match lost {
                Lost::PowerCut => "unknown (power cut)".to_owned(),
                Lost::NoRecord => "unknown (no exit record)".to_owned(),
            },
            _ => self.code().map(|code| code.to_string()).unwrap_or_default(),
        }
    }

    /// What went wrong beyond the code: one line, empty if nothing did.
    pub fn reason(&self) -> String {
        match self {
            Exit::Recorded(record) => match &record.ended {
                Ended::Unstarted { reason, .. } | Ended::MonitorKilled { reason } => reason.clone(),
                Ended::Payload(_) => String::new(),
            },
            Exit::Told { .. } => String::new(),
            Exit::MonitorKilled { result, .. } if result == "signal" => "monitor killed".to_owned(),
            Exit::MonitorKilled { result, .. } => format!("monitor killed ({result})"),
            Exit::Unknown { .. } => self.code_text(),
        }
    }

    /// Start of the payload, microseconds since the epoch; 0 if it never ran.
    pub fn started(&self) -> u64 {
        match self {
            Exit::Recorded(record) => record.started,
            Exit::Told { started, .. }
            | Exit::MonitorKilled { started, .. }
            | Exit::Unknown { started, .. } => *started,
        }
    }

    /// End of the run, microseconds since the epoch; 0 if nobody knows.
    pub fn finished(&self) -> u64 {
        match self {
            Exit::Recorded(record) => record.finished,
            Exit::Told { finished, .. } | Exit::MonitorKilled { finished, .. } => *finished,
            Exit::Unknown { .. } => 0,
        }
    }

    /// Restarts by policy before the run; none: no record tells.
    pub fn restarts(&self) -> Option<u32> {
        match self {
            Exit::Recorded(record) => Some(record.restarts),
            Exit::Told { .. } | Exit::MonitorKilled { .. } | Exit::Unknown { .. } => None,
        }
    }

    /// Whether the kernel's OOM killer hit the container.
    pub fn oom(&self) -> bool {
        match self {
            Exit::Recorded(record) => record.oom,
            Exit::MonitorKilled { result, .. } => result == "oom-kill",
            Exit::Told { .. } | Exit::Unknown { .. } => false,
        }
    }
}

/// What was observed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Observation {
    /// The state.
    pub state: State,
    /// How the last run ended, if one has; also for a start that failed.
    pub exit: Option<Exit>,
    /// PID of the payload's init while there is one.
    pub pid: Option<i32>,
    /// Start of the running payload, microseconds since the epoch; 0: none runs.
    pub started: u64,
    /// systemd's invocation id of the current or last run; empty: unknown.
    pub nonce: String,
    /// Main process of the unit (the monitor); 0: none.
    pub monitor: u32,
    /// Automatic restarts since the last start.
    pub restarts: u32,
    /// When systemd restarts it; none: it was not asked, or has no unit.
    pub restart: Option<Restart>,
    /// What is known of the health in this run, or was in the last one; none without a check.
    pub health: Option<HealthSeen>,
}

/// What is known of a container's health.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthSeen {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// Failures in a row that count.
    pub streak: u32,
}

impl Observation {
    /// Whether it stays so until the files of a run change. Else systemd has to be asked again: a start is being
    /// prepared, or something lives that no file tells of.
    pub fn is_settled(&self) -> bool {
        match self.state {
            State::Created | State::Exited => self.monitor == 0,
            State::Initialized | State::Running | State::Paused | State::Stopping => false,
            State::Removing | State::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests;
