//! When systemd is told that a container is ready.

use std::fmt;
use std::str::FromStr;

/// Who tells systemd that a container is ready (podman-run(1), `--sdnotify`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NotifyMode {
    /// The monitor, as soon as the payload runs.
    #[default]
    Conmon,
    /// The payload, on a socket of its own (sd_notify(3)).
    Container,
    /// The monitor, when the health check has passed for the first time.
    Healthy,
    /// Nobody but the monitor, as if nothing had been asked for: without it no start would end.
    Ignore,
}

impl NotifyMode {
    /// Podman's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Conmon => "conmon",
            Self::Container => "container",
            Self::Healthy => "healthy",
            Self::Ignore => "ignore",
        }
    }
}

impl fmt::Display for NotifyMode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for NotifyMode {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::Container, Self::Conmon, Self::Ignore, Self::Healthy];
        let found = all.into_iter().find(|mode| mode.as_str() == text);
        found.ok_or("must be container, conmon, ignore or healthy")
    }
}

stored_as_text!(NotifyMode);
