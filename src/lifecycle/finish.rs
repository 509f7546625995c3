//! How the monitor itself ends: exactly as the payload did, but for ordered stops that went as ordered.

use super::Run;
use crate::types::{Ended, ExitStatus, Signal, StopKind};

/// The monitor's own end, which is what systemd sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    /// exit(2) with this code.
    Exit(u8),
    /// Die of this signal, without a core dump.
    Signal(Signal),
}

impl Run {
    /// An ordered stop is a success if the payload ended by the stop signal, by 128 plus its number as shells do, or by
    /// our SIGKILL after the timeout. Any other end stays what it is, so that Restart=, SuccessExitStatus= and
    /// `systemctl status` (systemd.service(5)) see the payload's own.
    pub fn finish(&self) -> Finish {
        let status = match &self.ended {
            Some(Ended::Payload(status)) => *status,
            Some(Ended::Unstarted { .. }) if self.stop != StopKind::None => return Finish::Exit(0),
            Some(Ended::Unstarted { code, .. }) => return Finish::Exit(*code),
            Some(Ended::MonitorKilled { .. }) | None => return Finish::Exit(0),
        };
        let as_ordered = match self.stop {
            StopKind::None => false,
            StopKind::Ordered => self.ended_by_stop_signal(status),
            StopKind::TimedOut => {
                status.shell_code() == ExitStatus::Signaled(Signal::KILL).shell_code()
                    || self.ended_by_stop_signal(status)
            }
        };
        match status {
            _ if as_ordered => Finish::Exit(0),
            ExitStatus::Exited(code) => Finish::Exit(code),
            ExitStatus::Signaled(signal) => Finish::Signal(signal),
        }
    }

    fn ended_by_stop_signal(&self, status: ExitStatus) -> bool {
        status.shell_code() == ExitStatus::Signaled(self.policy.stop_signal).shell_code()
    }
}
