//! How the monitor itself ends: exactly as the payload did, but for ordered stops that went as ordered.

use super::Run;
use crate::types::{
    Cause, Ended, ExitStatus, NO_RESTART, OnFailure, RestartPolicy, Restarts, Signal, StopKind,
};

/// The monitor's own end, which is what systemd sees.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Finish {
    /// exit(2) with this code.
    Exit(u8),
    /// Die of this signal, without a core dump.
    Signal(Signal),
}

impl Run {
    /// The payload's end, unless systemd would start the container again and must not: then one that it takes as such.
    pub fn finish(&self) -> Finish {
        let own = self.own_finish();
        if self.unhealthy == OnFailure::Restart {
            // To systemd this run has failed its watchdog; only this code would keep it from beginning another.
            return match own {
                Finish::Exit(NO_RESTART) => Finish::Exit(NO_RESTART - 1),
                _ => own,
            };
        }
        if !self.is_restarted_after(own) {
            own
        } else if self.ends_for_good() {
            Finish::Exit(NO_RESTART)
        } else if own == Finish::Exit(NO_RESTART) {
            Finish::Exit(NO_RESTART - 1)
        } else {
            own
        }
    }

    /// What Restart= makes of an end (systemd.service(5)), with the signals that are clean to it but forced by the unit.
    /// Behind a stop nothing is restarted; but one that systemd orders because of OOMPolicy= or WatchdogSec= is none to it.
    fn is_restarted_after(&self, end: Finish) -> bool {
        let own_stop = self.unhealthy == OnFailure::Stop;
        if self.stop != StopKind::None && !self.oom && !self.expired && !own_stop {
            return false;
        }
        let cause = self.cause(end);
        match self.restart {
            Restarts::Unit(restart) => restart.follows(cause),
            Restarts::Policy(RestartPolicy::OnFailure(_)) => {
                cause != Cause::Clean || end != Finish::Exit(0)
            }
            Restarts::Policy(policy) => policy.in_unit(false).follows(cause),
        }
    }

    fn cause(&self, end: Finish) -> Cause {
        match end {
            _ if self.expired => Cause::Watchdog,
            _ if self.oom => Cause::Memory,
            Finish::Exit(0) => Cause::Clean,
            Finish::Exit(_) => Cause::Code,
            Finish::Signal(signal) => Cause::of_signal(signal),
        }
    }

    /// A user ended it; it was stopped because it was unhealthy; or by its own policy: it could not even be started by a
    /// user, or was restarted often enough. A unit that says Restart= itself is limited by systemd.
    fn ends_for_good(&self) -> bool {
        let never_ran = matches!(self.ended, Some(Ended::Unstarted { .. }));
        let by_policy = matches!(self.restart, Restarts::Policy(_));
        let retries = self.restart.retries();
        self.killed_by_user
            || self.unhealthy == OnFailure::Stop
            || (by_policy && never_ran && self.restarts == 0)
            || (retries != 0 && self.restarts >= retries)
    }

    /// An ordered stop is a success if the payload ended by the stop signal, by 128 plus its number as shells do, or by
    /// our SIGKILL after the timeout. Any other end stays what it is, so that Restart=, SuccessExitStatus= and
    /// `systemctl status` (systemd.service(5)) see the payload's own.
    fn own_finish(&self) -> Finish {
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
