//! How a process ended.

use super::Signal;

/// How a process ended, as wait(2) tells it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExitStatus {
    /// It called exit(2) with this code.
    Exited(u8),
    /// This signal ended it.
    Signaled(Signal),
}

impl ExitStatus {
    /// The code a shell and Podman report: the exit code, or 128 plus the signal's number.
    pub fn shell_code(self) -> u8 {
        match self {
            ExitStatus::Exited(code) => code,
            ExitStatus::Signaled(signal) => 128 + signal.number(),
        }
    }
}

/// How the run of a container ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// The payload ran and ended so.
    Payload(ExitStatus),
    /// The payload never ran: the exit code (125, 126 or 127) and the reason.
    Unstarted {
        /// 125, 126 or 127.
        code: u8,
        /// One line, without secrets.
        reason: String,
    },
    /// The monitor was killed, and with it whatever ran: 137. Written by whoever removes the container.
    MonitorKilled {
        /// One line.
        reason: String,
    },
}

/// Whether somebody had asked for the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopKind {
    /// Nobody: the payload ended by itself or was killed.
    None,
    /// An ordered stop; the payload ended within its time.
    Ordered,
    /// An ordered stop; the payload had to be killed after the timeout.
    TimedOut,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_count_from_128() {
        assert_eq!(ExitStatus::Exited(7).shell_code(), 7);
        assert_eq!(ExitStatus::Signaled(Signal::KILL).shell_code(), 137);
        assert_eq!(ExitStatus::Signaled(Signal::TERM).shell_code(), 143);
    }
}
