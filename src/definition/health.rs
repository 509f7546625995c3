//! How the container's health is looked at.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::DefinitionError;
use crate::types::OnFailure;

/// What is run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthCommand {
    /// Nothing, whatever the image says.
    None,
    /// A program with its arguments.
    Program(Vec<String>),
    /// A line for `sh -c`.
    Shell(String),
}

impl HealthCommand {
    /// Program and arguments.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::None => Vec::new(),
            Self::Program(words) => words.clone(),
            Self::Shell(line) => vec!["sh".to_owned(), "-c".to_owned(), line.clone()],
        }
    }

    /// As images and `inspect` write it.
    pub fn test(&self) -> Vec<String> {
        match self {
            Self::None => vec!["NONE".to_owned()],
            Self::Program(words) => {
                let words = words.iter().cloned();
                std::iter::once("CMD".to_owned()).chain(words).collect()
            }
            Self::Shell(line) => vec!["CMD-SHELL".to_owned(), line.clone()],
        }
    }

    /// Reads what an image says; none for an empty list.
    pub fn of_test(test: &[String]) -> Option<Self> {
        let (first, rest) = test.split_first()?;
        Some(match first.as_str() {
            "NONE" => Self::None,
            "CMD" => Self::Program(rest.to_vec()),
            "CMD-SHELL" => Self::Shell(rest.join(" ")),
            _ => Self::Program(test.to_vec()),
        })
    }
}

/// Where the log of the checks is kept, besides the run directory.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthLog {
    /// Nowhere.
    #[default]
    Local,
    /// The journal.
    Journal,
    /// A file in this directory.
    Directory(String),
}

/// Everything said about health; what is not said is the image's, or the default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthOptions {
    /// What is run.
    pub command: Option<HealthCommand>,
    /// There is to be none (`--no-healthcheck`).
    pub disabled: bool,
    /// From the end of one check to the next; zero: only when somebody asks for it.
    pub interval: Option<Duration>,
    /// After so long a check is killed and has failed.
    pub timeout: Option<Duration>,
    /// Failures in a row until it is unhealthy.
    pub retries: Option<u32>,
    /// After the start, in which failures do not count.
    pub start_period: Option<Duration>,
    /// What is done then.
    pub on_failure: OnFailure,
    /// What is run first, until it succeeds.
    pub startup_command: Option<HealthCommand>,
    /// From the end of one such check to the next; zero: only when somebody asks for it.
    pub startup_interval: Option<Duration>,
    /// After so long it is killed and has failed.
    pub startup_timeout: Option<Duration>,
    /// Failures until the container is started again; 0: any number.
    pub startup_retries: Option<u32>,
    /// Successes that it takes.
    pub startup_success: Option<u32>,
    /// Where the log is kept.
    pub log: HealthLog,
    /// Checks in the log; 0: all.
    pub max_log_count: Option<u32>,
    /// Characters of the output of each; 0: all.
    pub max_log_size: Option<u64>,
}

impl HealthOptions {
    /// Checks in the log; 0: all.
    pub fn max_log_count(&self) -> u32 {
        self.max_log_count.unwrap_or(5)
    }

    /// Characters of the output of each; 0: all.
    pub fn max_log_size(&self) -> u64 {
        self.max_log_size.unwrap_or(500)
    }

    /// Whether it may be what starts the container again.
    pub fn restarts(&self) -> bool {
        let startup = self.startup_command.is_some() && self.startup_retries.unwrap_or(0) > 0;
        self.on_failure == OnFailure::Restart || startup
    }

    /// Checks what single options cannot see.
    ///
    /// # Errors
    /// Options that exclude each other.
    pub(super) fn check(&self, remove: bool) -> Result<(), DefinitionError> {
        if remove && self.restarts() {
            return Err(DefinitionError::Conflict(
                "--rm",
                "a restart by health checks",
            ));
        }
        match self.disabled && self.command.is_some() {
            true => Err(DefinitionError::Conflict(
                "--no-healthcheck",
                "--health-cmd",
            )),
            false => Ok(()),
        }
    }
}
