//! What is known of a container's health, as the run directory has it and Podman shows it.

use std::fs;

use serde::{Deserialize, Serialize};

use crate::api::Layout;
use crate::types::{ContainerId, HealthStatus};

/// The exit code of a check that was killed at its timeout, as Podman writes it.
pub const TIMED_OUT: i32 = -1;

/// One check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Check {
    /// When it began (RFC 3339).
    pub start: String,
    /// When it ended.
    pub end: String,
    /// Its exit code, or [`TIMED_OUT`].
    pub exit_code: i32,
    /// What it has printed, cut.
    pub output: String,
}

/// The whole.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Record {
    /// Podman's word; empty before the first start.
    pub status: String,
    /// Failures in a row that count.
    pub failing_streak: u32,
    /// The last checks, the latest last.
    pub log: Option<Vec<Check>>,
}

impl Record {
    /// Before the first check.
    pub fn new(status: HealthStatus) -> Self {
        Self {
            status: status.to_string(),
            ..Self::default()
        }
    }

    /// Its JSON.
    pub fn render(&self) -> String {
        serde_json::to_string(self).expect("a record has only string keys")
    }

    /// Adds a check; of all no more than `count` stay, unless that is 0.
    pub fn add(&mut self, check: Check, count: u32) {
        let log = self.log.get_or_insert_default();
        log.push(check);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        if count != 0 && log.len() > count {
            log.drain(..log.len() - count);
        }
    }

    /// The latest check.
    pub fn latest(&self) -> Option<&Check> {
        self.log.as_ref()?.last()
    }
}

/// What the files of the run that is, or was last, tell; none without a check, or before the first start of a boot.
pub fn read(layout: &Layout, id: &ContainerId) -> Option<Record> {
    let text = fs::read(layout.health_file(id)).ok()?;
    serde_json::from_slice(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podmans_shape_and_a_log_that_ends() {
        let mut record = Record::new(HealthStatus::Starting);
        let empty = r#"{"Status":"starting","FailingStreak":0,"Log":null}"#;
        assert_eq!(record.render(), empty);
        let check = |code| Check {
            start: "s".to_owned(),
            end: "e".to_owned(),
            exit_code: code,
            output: "a\n".to_owned(),
        };
        for code in 1..=4 {
            record.add(check(code), 2);
        }
        let full = r#"{"Status":"starting","FailingStreak":0,"Log":[{"Start":"s","End":"e","ExitCode":3,"Output":"a\n"},{"Start":"s","End":"e","ExitCode":4,"Output":"a\n"}]}"#;
        assert_eq!(record.render(), full);
        assert_eq!(record.latest(), Some(&check(4)));
        record.add(check(5), 0);
        assert_eq!(record.log.as_ref().map(Vec::len), Some(3));
        let read: Record = serde_json::from_str(&record.render()).unwrap();
        assert_eq!(read, record);
    }
}
