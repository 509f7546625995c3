//! The exit file: the single truth about how a run ended.
//!
//! `/run/unitbox/<id>/exit` is written once per run by the monitor (temporary file, fsync, rename). Its text is one
//! `KEY=value` a line, so that the resident monitor needs no parser of a richer format. Version 1.

use crate::types::{ContainerId, ContainerName, Ended, ExitStatus, Signal, StopKind};

/// The contents of an exit file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ExitRecord {
    /// Whose run it was.
    pub id: ContainerId,
    /// The name it had then.
    pub name: ContainerName,
    /// systemd's invocation id of the run: a stale file of an earlier run carries another one.
    pub nonce: String,
    /// How it ended.
    pub ended: Ended,
    /// Whether the kernel's OOM killer hit the payload's cgroup in this run.
    pub oom: bool,
    /// Whether the end was ordered.
    pub stop: StopKind,
    /// Restarts by policy since the last start by anybody else.
    pub restarts: u32,
    /// Start of the payload, microseconds since the epoch; 0 if it never ran.
    pub started: u64,
    /// End of the run, microseconds since the epoch.
    pub finished: u64,
}

/// Why a text is no exit record.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// A version that this program does not know.
    #[error("exit record has version {0:?}, this program reads version 1")]
    Version(String),
    /// A missing or malformed field.
    #[error("exit record: {0} is missing or malformed")]
    Field(&'static str),
}

impl ExitRecord {
    /// The code that `wait`, `inspect` and a foreground `run` report.
    pub fn shell_code(&self) -> u8 {
        match &self.ended {
            Ended::Payload(status) => status.shell_code(),
            Ended::Unstarted { code, .. } => *code,
            Ended::MonitorKilled { .. } => 137,
        }
    }

    /// The text of the exit file.
    pub fn render(&self) -> String {
        let (kind, number, reason) = match &self.ended {
            Ended::Payload(ExitStatus::Exited(code)) => ("exited", *code, ""),
            Ended::Payload(ExitStatus::Signaled(signal)) => ("signaled", signal.number(), ""),
            Ended::Unstarted { code, reason } => ("unstarted", *code, reason.as_str()),
            Ended::MonitorKilled { reason } => ("monitor-killed", 0, reason.as_str()),
        };
        let reason: String = reason
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let stop = match self.stop {
            StopKind::None => "none",
            StopKind::Ordered => "ordered",
            StopKind::TimedOut => "timed-out",
        };
        format!(
            "VERSION=1\nID={}\nNAME={}\nNONCE={}\nENDED={kind}\nSTATUS={number}\nREASON={reason}\nOOM={}\n\
             STOP={stop}\nRESTARTS={}\nSTARTED_USEC={}\nFINISHED_USEC={}\n",
            self.id, self.name, self.nonce, self.oom, self.restarts, self.started, self.finished
        )
    }

    /// Reads the text of an exit file; unknown keys are ignored.
    ///
    /// # Errors
    /// Another version, or a field that is missing or malformed.
    pub fn parse(text: &str) -> Result<Self, RecordError> {
        let field = |key: &'static str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
                .ok_or(RecordError::Field(key))
        };
        let number = |key: &'static str| -> Result<u64, RecordError> {
            field(key)?.parse().map_err(|_| RecordError::Field(key))
        };
        let version = field("VERSION")?;
        if version != "1" {
            return Err(RecordError::Version(version.to_owned()));
        }
        let status = u8::try_from(number("STATUS")?).map_err(|_| RecordError::Field("STATUS"))?;
        let ended = match field("ENDED")? {
            "exited" => Ended::Payload(ExitStatus::Exited(status)),
            "signaled" => Ended::Payload(ExitStatus::Signaled(
                Signal::from_number(i64::from(status)).map_err(|_| RecordError::Field("STATUS"))?,
            )),
            "unstarted" => Ended::Unstarted {
                code: status,
                reason: field("REASON")?.to_owned(),
            },
            "monitor-killed" => Ended::MonitorKilled {
                reason: field("REASON")?.to_owned(),
            },
            _ => return Err(RecordError::Field("ENDED")),
        };
        Ok(Self {
            id: field("ID")?.parse().map_err(|_| RecordError::Field("ID"))?,
            name: field("NAME")?
                .parse()
                .map_err(|_| RecordError::Field("NAME"))?,
            nonce: field("NONCE")?.to_owned(),
            ended,
            oom: field("OOM")?
                .parse()
                .map_err(|_| RecordError::Field("OOM"))?,
            stop: match field("STOP")? {
                "none" => StopKind::None,
                "ordered" => StopKind::Ordered,
                "timed-out" => StopKind::TimedOut,
                _ => return Err(RecordError::Field("STOP")),
            },
            // Older records have none.
            restarts: field("RESTARTS")
                .map_or(Some(0), |text| text.parse().ok())
                .ok_or(RecordError::Field("RESTARTS"))?,
            started: number("STARTED_USEC")?,
            finished: number("FINISHED_USEC")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(ended: Ended) -> ExitRecord {
        ExitRecord {
            id: ContainerId::from_random([7; 32]),
            name: "web".parse().unwrap(),
            nonce: "0123456789abcdef0123456789abcdef".to_owned(),
            ended,
            oom: true,
            stop: StopKind::TimedOut,
            restarts: 4,
            started: 1,
            finished: 2,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        for ended in [
            Ended::Payload(ExitStatus::Exited(0)),
            Ended::Payload(ExitStatus::Exited(255)),
            Ended::Payload(ExitStatus::Signaled(Signal::KILL)),
            Ended::Unstarted {
                code: 127,
                reason: "a = b".to_owned(),
            },
            Ended::MonitorKilled {
                reason: "monitor killed".to_owned(),
            },
        ] {
            let record = record(ended);
            assert_eq!(ExitRecord::parse(&record.render()), Ok(record));
        }
    }

    #[test]
    fn a_reason_cannot_add_fields() {
        let reason = "x\nSTATUS=0".to_owned();
        let parsed = ExitRecord::parse(&record(Ended::Unstarted { code: 126, reason }).render());
        assert_eq!(parsed.map(|r| r.shell_code()), Ok(126));
    }

    #[test]
    fn every_cut_is_an_error_or_whole() {
        let text = record(Ended::Payload(ExitStatus::Exited(7))).render();
        let last_field = text.rfind('=').unwrap();
        for cut in 0..last_field {
            assert!(ExitRecord::parse(&text[..cut]).is_err(), "cut at {cut}");
        }
        assert!(ExitRecord::parse(&text.replace("VERSION=1", "VERSION=2")).is_err());
    }
}
