//! What the prepare worker tells the main process: lines on a socket that closes when the worker becomes the runtime.
//! With them come the socket that the runtime sends the container's terminal to, if it is to have one, and the one on which
//! the payload says that it is ready, if it is to do so.
//!
//! A record that lacks its last line means that the worker was killed.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use super::mirror::Pids;
use crate::definition::{HealthLog, LogDriver, Options};
use crate::lifecycle::{Policy, StopTimeout};
use crate::sys::socket;
use crate::types::{HealthPolicy, Restart, Restarts, Signal};

/// What the main process keeps of a definition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Launch {
    pub(super) policy: Policy,
    /// The container is made and not started.
    pub(super) held: bool,
    pub(super) interactive: bool,
    /// The payload has a terminal.
    pub(super) tty: bool,
    pub(super) driver: LogDriver,
    pub(super) stderr_priority: u8,
    /// File and size limit in bytes of the k8s-file driver.
    pub(super) log_file: Option<PathBuf>,
    pub(super) log_max: Option<u64>,
    /// A file of the user's for the payload's process id.
    pub(super) pid_file: Option<PathBuf>,
    /// Files of the unit's cgroup that say something else than the definition.
    pub(super) overridden: Vec<String>,
    /// The payload's number of processes behind that of the unit.
    pub(super) pids: Option<Pids>,
    /// The container's labels as its events have them.
    pub(super) labels: String,
    /// How probes are run and logged, if there are any.
    pub(super) probes: Option<Probes>,
    /// By what it is started again now, if that may have changed since the start.
    pub(super) restart: Option<Restarts>,
}

/// What the workers of probes need.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Probes {
    /// Path of the runtime.
    pub(super) runtime: PathBuf,
    /// Most entries in the log, and characters of output in each; 0: all.
    pub(super) count: u32,
    pub(super) size: u64,
    /// The journal gets them too.
    pub(super) journal: bool,
    /// A file in this directory gets them too.
    pub(super) directory: Option<PathBuf>,
}

/// What the worker said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// The bundle is ready; the worker became the runtime.
    Ready(Box<Launch>),
    /// It cannot be made: exit code and reason.
    Failed(u8, String),
    /// Nothing whole.
    Cut,
}

const END: &str = "END\n";

impl Launch {
    pub(super) fn render(&self) -> String {
        let StopTimeout::After(timeout) = self.policy.stop_timeout else {
            unreachable!("a definition's timeout is a number of seconds");
        };
        let driver = match self.driver {
            LogDriver::Journald => "journald",
            LogDriver::Passthrough => "passthrough",
            LogDriver::K8sFile => "k8s-file",
            LogDriver::None => "none",
        };
        let mut text = format!(
            "STOP_SIGNAL={}\nSTOP_TIMEOUT={}\nNOTIFY={}\nHELD={}\nINTERACTIVE={}\nTTY={}\nDRIVER={driver}\nSTDERR_PRIORITY={}\n",
            self.policy.stop_signal.number(),
            timeout.as_secs(),
            self.policy.notify,
            self.held,
            self.interactive,
            self.tty,
            self.stderr_priority,
        );
        if let Some(file) = &self.log_file {
            text.push_str(&format!("LOG_FILE={}\n", file.display()));
        }
        if let Some(max) = self.log_max {
            text.push_str(&format!("LOG_MAX={max}\n"));
        }
        if let Some(file) = &self.pid_file {
            text.push_str(&format!("PID_FILE={}\n", file.display()));
        }
        if !self.overridden.is_empty() {
            text.push_str(&format!("OVERRIDDEN={}\n", self.overridden.join(" ")));
        }
        if let Some(Pids { unit, payload }) = self.pids {
            text.push_str(&format!("PIDS={unit} {payload}\n"));
        }
        if !self.labels.is_empty() {
            text.push_str(&format!("LABELS={}\n", self.labels));
        }
        if let Some(health) = &self.policy.health {
            text.push_str(&format!("HEALTH={health}\n"));
        }
        if let Some(probes) = &self.probes {
            text.push_str(&probes.render());
        }
        if let Some(restart) = self.restart {
            text.push_str(&format!("RESTART={restart}\n"));
        }
        text + END
    }
}

impl Probes {
    /// Those of a container.
    pub(super) fn of(options: &Options, runtime: PathBuf) -> Self {
        let options = &options.health;
        Self {
            runtime,
            count: options.max_log_count(),
            size: options.max_log_size(),
            journal: options.log == HealthLog::Journal,
            directory: match &options.log {
                HealthLog::Directory(path) => Some(PathBuf::from(path)),
                HealthLog::Local | HealthLog::Journal => None,
            },
        }
    }

    fn render(&self) -> String {
        let mut text = format!(
            "PROBE_RUNTIME={}\nPROBE_LOG={} {} {}\n",
            self.runtime.display(),
            self.count,
            self.size,
            self.journal
        );
        if let Some(directory) = &self.directory {
            text.push_str(&format!("PROBE_DIRECTORY={}\n", directory.display()));
        }
        text
    }

    fn parse<'t>(field: impl Fn(&str) -> Option<&'t str>) -> Option<Self> {
        let mut words = field("PROBE_LOG")?.split(' ');
        Some(Self {
            runtime: field("PROBE_RUNTIME")?.into(),
            count: words.next()?.parse().ok()?,
            size: words.next()?.parse().ok()?,
            journal: words.next()? == "true",
            directory: field("PROBE_DIRECTORY").map(PathBuf::from),
        })
    }
}

/// The record of a worker that gives up.
pub(super) fn render_failure(code: u8, reason: &str) -> String {
    let reason: String = reason
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    format!("FAILED={code}\nREASON={reason}\n{END}")
}

/// Longest record, bytes.
const MAX_RECORD: usize = 64 << 10;

/// Everything that a worker that is gone has said, with the sockets of terminal and payload, if it has made them.
pub(super) fn hear(report: &OwnedFd) -> (String, Vec<OwnedFd>) {
    let (mut text, mut sockets) = (Vec::new(), Vec::new());
    let mut part = [0; 4096];
    while text.len() < MAX_RECORD {
        match socket::recv_with_fds(report, &mut part, 2) {
            Ok(message) if message.bytes > 0 => {
                text.extend_from_slice(&part[..message.bytes]);
                sockets.extend(message.fds);
            }
            // A broken record is a cut one.
            Ok(_) | Err(_) => break,
        }
    }
    (String::from_utf8_lossy(&text).into_owned(), sockets)
}

const RESTARTS: &str = "RESTARTS=";

const UNIT_RESTART: &str = "UNIT_RESTART=";

/// The lines that come first: how often the container was restarted, and what the unit says when it is, if it was asked.
pub(super) fn render_restarts(restarts: u32, unit: Option<Restart>) -> String {
    let unit = unit.map(|unit| format!("{UNIT_RESTART}{unit}\n"));
    format!("{RESTARTS}{restarts}\n{}", unit.unwrap_or_default())
}

/// What the unit says; none without such a line.
pub(super) fn restart(text: &str) -> Option<Restart> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(UNIT_RESTART));
    line.and_then(|word| word.parse().ok())
}

/// What that line says; 0 without one.
pub(super) fn restarts(text: &str) -> u32 {
    let line = text.lines().find_map(|line| line.strip_prefix(RESTARTS));
    line.and_then(|number| number.parse().ok()).unwrap_or(0)
}

pub(super) fn parse(text: &str) -> Said {
    let Some(text) = text.strip_suffix(END) else {
        return Said::Cut;
    };
    let field = |key: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
    };
    if let (Some(code), Some(reason)) = (field("FAILED"), field("REASON")) {
        return Said::Failed(code.parse().unwrap_or(125), reason.to_owned());
    }
    let launch = || {
        let signal = Signal::from_number(field("STOP_SIGNAL")?.parse().ok()?).ok()?;
        let timeout = Duration::from_secs(field("STOP_TIMEOUT")?.parse().ok()?);
        Some(Launch {
            policy: Policy {
                stop_signal: signal,
                stop_timeout: StopTimeout::After(timeout),
                health: field("HEALTH").and_then(HealthPolicy::parse),
                notify: field("NOTIFY")?.parse().ok()?,
            },
            held: field("HELD")? == "true",
            interactive: field("INTERACTIVE")? == "true",
            tty: field("TTY")? == "true",
            driver: match field("DRIVER")? {
                "journald" => LogDriver::Journald,
                "passthrough" => LogDriver::Passthrough,
                "k8s-file" => LogDriver::K8sFile,
                "none" => LogDriver::None,
                _ => return None,
            },
            stderr_priority: field("STDERR_PRIORITY")?.parse().ok()?,
            log_file: field("LOG_FILE").map(PathBuf::from),
            log_max: field("LOG_MAX").and_then(|max| max.parse().ok()),
            pid_file: field("PID_FILE").map(PathBuf::from),
            overridden: field("OVERRIDDEN")
                .map(|names| names.split(' ').map(str::to_owned).collect())
                .unwrap_or_default(),
            pids: field("PIDS").and_then(Pids::parse),
            labels: field("LABELS").unwrap_or_default().to_owned(),
            probes: Probes::parse(field),
            restart: field("RESTART").and_then(|restarts| restarts.parse().ok()),
        })
    };
    launch().map_or(Said::Cut, |launch| Said::Ready(Box::new(launch)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::NotifyMode;

    #[test]
    fn only_a_whole_record_counts() {
        let launch = Launch {
            policy: Policy {
                health: HealthPolicy::parse("0 1 3 5 none 1 2 3 4"),
                notify: NotifyMode::Container,
                ..Policy::default()
            },
            held: true,
            interactive: true,
            tty: true,
            driver: LogDriver::K8sFile,
            stderr_priority: 3,
            log_file: Some("/var/log/x".into()),
            log_max: Some(1 << 20),
            pid_file: Some("/run/a b.pid".into()),
            overridden: vec!["memory.max".to_owned(), "io.max".to_owned()],
            pids: Pids::parse("96 32"),
            labels: r#"{"a":"b"}"#.to_owned(),
            probes: Some(Probes {
                runtime: "/usr/bin/runc".into(),
                count: 5,
                size: 500,
                journal: true,
                directory: Some("/var/log/a b".into()),
            }),
            restart: Some(Restarts::Unit(Restart::OnAbort)),
        };
        assert!(launch.policy.health.is_some());
        let text = launch.render();
        assert_eq!(parse(&text), Said::Ready(Box::new(launch)));
        for cut in 0..text.len() {
            assert_eq!(parse(&text[..cut]), Said::Cut, "cut at {cut}");
        }
        let failed = render_failure(125, "a\nDRIVER=none");
        assert_eq!(
            parse(&failed),
            Said::Failed(125, "a DRIVER=none".to_owned())
        );
    }
}
