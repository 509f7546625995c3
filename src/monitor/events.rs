//! Signals and ended children as events of the state machine.

use std::fs;
use std::time::Duration;

use nix::libc;

use super::engine::{Monitor, Payload, Worker};
use super::launch::{self, Said};
use super::mirror::Pids;
use super::proxy::Proxy;
use crate::api::ExitCode;
use crate::api::event::EventKind;
use crate::host::{reason, runtime};
use crate::lifecycle::{Event, StopTimeout};
use crate::sys::process::{How, Pidfd, reap};
use crate::types::{ExitStatus, Signal};

/// Children whose owner is not known yet; more are not remembered.
const MAX_UNKNOWN: usize = 64;

impl Monitor {
    /// TERM is systemd's stop, ABRT its watchdog. All others came to the whole unit, payload included (`systemctl
    /// kill`), or to us by mistake: the payload has its own, and we end only as it does.
    pub(super) fn collect_signals(&mut self) {
        while let Ok(Some(info)) = self.context.signals.read() {
            match info.signo {
                libc::SIGCHLD => {}
                libc::SIGIO => self.noticed = true,
                libc::SIGTERM | libc::SIGABRT => {
                    self.machine.expired |= info.signo == libc::SIGABRT;
                    let timeout = self.requested_timeout();
                    self.events.push_back(Event::StopRequested(timeout));
                }
                _ => {}
            }
        }
        while let Ok(Some(ended)) = reap() {
            self.child_ended(ended.pid, ended.how);
        }
    }

    /// `unitbox stop -t` leaves its timeout in a file, which is used once.
    pub(super) fn requested_timeout(&self) -> Option<StopTimeout> {
        let path = self.context.layout.stop_request(&self.context.id);
        let text = fs::read_to_string(&path).ok()?;
        let _ = fs::remove_file(&path);
        match text.trim().parse::<i64>().ok()? {
            seconds @ 0.. => Some(StopTimeout::After(Duration::from_secs(
                seconds.unsigned_abs(),
            ))),
            _ => Some(StopTimeout::Never),
        }
    }

    /// Hands limits of the unit that have changed to the payload, once there is one. An update of its number of
    /// processes is told by a file, as the unit's number says more than that.
    pub(super) fn mirror_limits(&mut self) {
        if self.payload.is_none() {
            return;
        }
        let asked = fs::read_to_string(self.context.layout.pids_request(&self.context.id)).ok();
        let asked = asked.and_then(|text| Pids::parse(&text));
        let own = self.launch.as_ref().and_then(|launch| launch.pids);
        self.limits.apply(&self.context.cgroup, asked.or(own));
    }

    fn child_ended(&mut self, pid: i32, how: How) {
        let worker = self.worker.as_ref();
        if worker.is_some_and(|worker| worker.child().pid == pid) {
            let event = match self.worker.take().expect("it was just looked at") {
                Worker::Prepare {
                    report, is_runtime, ..
                } => self.prepare_ended(report, is_runtime, how),
                Worker::Wait(_) => match how {
                    How::Exited(0) => Event::StartRequested,
                    How::Exited(_) | How::Signaled { .. } => Event::WaitKilled,
                },
                Worker::Start(_) => match how {
                    How::Exited(0) => Event::Started,
                    How::Exited(_) => {
                        let (code, text) = self.runtime_reason();
                        Event::PrepareFailed(code, text)
                    }
                    How::Signaled { .. } => Event::PrepareKilled,
                },
                Worker::Cleanup(_) => match how {
                    How::Exited(_) => Event::CleanedUp,
                    How::Signaled { .. } => Event::CleanupKilled,
                },
            };
            self.events.push_back(event);
        } else if self
            .looking
            .as_ref()
            .is_some_and(|looking| looking.child.pid == pid)
        {
            let event = self.probe_ended(how);
            self.events.push_back(event);
        } else if self
            .payload
            .as_ref()
            .is_some_and(|payload| payload.pid == pid)
        {
            let event = self.payload_ended(how);
            self.events.push_back(event);
        } else if self.payload.is_none() && self.unknown.len() < MAX_UNKNOWN {
            self.unknown.push((pid, how));
        }
    }

    /// The worker's report has ended: it has become the runtime, or it dies. A process that dies closes its files before
    /// it can be waited for, but has lost its program by then (proc_pid_exe(5)).
    pub(super) fn note_exec(&mut self) {
        if let Some(Worker::Prepare {
            child, is_runtime, ..
        }) = &mut self.worker
        {
            let program = |pid: &str| fs::read_link(format!("/proc/{pid}/exe"));
            *is_runtime = match (program(&child.pid.to_string()), program("self")) {
                (Ok(theirs), Ok(ours)) => theirs != ours,
                (Err(_), _) | (_, Err(_)) => false,
            };
        }
    }

    fn prepare_ended(&mut self, report: std::os::fd::OwnedFd, is_runtime: bool, how: How) -> Event {
        let (text, sockets) = launch::hear(&report);
        self.machine.restarts = launch::restarts(&text);
        if let Some(unit) = launch::restart(&text) {
            self.machine.restart = self.machine.restart.with(unit);
        }
        match (launch::parse(&text), how) {
            (Said::Ready(launch), How::Exited(0)) => {
                self.machine.policy = launch.policy;
                let mut sockets = sockets.into_iter();
                let listener = launch.tty.then(|| sockets.next()).flatten();
                self.open_streams(&launch, listener);
                self.proxy = sockets
                    .next()
                    .map(|socket| Proxy::of(socket, &self.context.cgroup));
                self.limits.differs(&launch.overridden);
                let made = match launch.held {
                    true => Event::Made,
                    false => Event::Started,
                };
                self.launch = Some(*launch);
                let event = self.find_payload(made);
                self.mirror_limits();
                event
            }
            // One that was killed as soon as it had become the runtime is known by what it made.
            (Said::Ready(_), How::Signaled { signal, .. })
                if is_runtime || self.context.cgroup.payload_path().exists() =>
            {
                Event::PrepareFailed(ExitCode::Error.number(), killed(signal))
            }
            (Said::Ready(_) | Said::Cut, How::Signaled { .. }) => Event::PrepareKilled,
            (Said::Ready(_), How::Exited(_)) => {
                let (code, text) = self.runtime_reason();
                Event::PrepareFailed(code, text)
            }
            (Said::Failed(code, reason), _) => Event::PrepareFailed(code, reason),
            (Said::Cut, How::Exited(code)) => {
                let text = format!("the prepare worker ended with code {code}");
                Event::PrepareFailed(ExitCode::Error.number(), text)
            }
        }
    }

    fn find_payload(&mut self, made: Event) -> Event {
        let path = self.context.run_dir().join("pid");
        let pid = fs::read_to_string(&path)
            .ok()
            .and_then(|text| text.trim().parse::<i32>().ok());
        let Some(pid) = pid else {
            let text = format!("read {}: no process id", path.display());
            return Event::PrepareFailed(ExitCode::Error.number(), text);
        };
        let early = self
            .unknown
            .iter()
            .find(|(other, _)| *other == pid)
            .map(|(_, how)| *how);
        self.unknown = Vec::new();
        // It is our child (we are its subreaper), so that the number is its own until we reap it, and no longer.
        let pidfd = early.is_none().then(|| Pidfd::open(pid).ok()).flatten();
        self.payload = Some(Payload {
            pid,
            pidfd,
            started: 0,
        });
        self.write_pid_file(pid);
        self.tell(EventKind::Init, None);
        if let Some(how) = early {
            self.events.push_back(made);
            return self.payload_ended(how);
        }
        made
    }

    fn payload_ended(&mut self, how: How) -> Event {
        // Its last words; of what it has left behind nothing is heard.
        if let Some(mut proxy) = self.proxy.take() {
            proxy.pass(self.payload.as_ref().map(|payload| payload.pid));
        }
        let status = status(how);
        self.machine.killed_by_user |= self.killed_by_user(status);
        Event::PayloadEnded(status)
    }

    /// Whether a user's `kill` is why the payload ended: it ended by that signal, or soon after one that asks to end.
    fn killed_by_user(&self, status: ExitStatus) -> bool {
        let path = self.context.layout.kill_request(&self.context.id);
        let text = fs::read_to_string(&path).unwrap_or_default();
        let number = text.trim().parse().ok();
        let Some(signal) = number.and_then(|number| Signal::from_number(number).ok()) else {
            return false;
        };
        if status.shell_code() == ExitStatus::Signaled(signal).shell_code() {
            return true;
        }
        let policy = self.machine.policy;
        let asks = [
            Signal::KILL,
            Signal::TERM,
            Signal::INT,
            Signal::QUIT,
            policy.stop_signal,
        ];
        let patience = match policy.stop_timeout {
            StopTimeout::After(time) => time,
            StopTimeout::Never => Duration::MAX,
        };
        let sent = fs::metadata(&path).and_then(|found| found.modified()).ok();
        // A clock that was put back makes it recent.
        let age = sent.map(|sent| sent.elapsed().unwrap_or_default());
        asks.contains(&signal) && age.is_some_and(|age| age <= patience)
    }

    fn runtime_reason(&self) -> (u8, String) {
        reason::of_log(&runtime::log_file(&self.context.layout, &self.context.id))
    }
}

fn killed(signal: i32) -> String {
    let name = Signal::from_number(i64::from(signal));
    let name = name.map_or_else(|_| signal.to_string(), |signal| signal.to_string());
    format!("the runtime was killed by {name}")
}

fn status(how: How) -> ExitStatus {
    match how {
        How::Exited(code) => ExitStatus::Exited(code as u8),
        How::Signaled { signal, .. } => {
            // The kernel ends processes by signals 1 to 64 only.
            ExitStatus::Signaled(Signal::from_number(i64::from(signal)).unwrap_or(Signal::KILL))
        }
    }
}
