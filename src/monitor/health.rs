//! The health of the payload: workers that look at it, and who is told.

use std::fs;
use std::time::Duration;

use super::engine::Monitor;
use super::{notify, worker};
use crate::api::event::EventKind;
use crate::host::cgroup;
use crate::lifecycle::{Event, Probe, ProbeEnd};
use crate::sys::process::{Child, How};
use crate::sys::time::{Stamp, boottime, realtime};
use crate::types::HealthStatus;

/// A stamp of the time as far as seconds.
const SECONDS: usize = "2026-01-01 00:00:00".len();

/// A worker that looks at the health.
#[derive(Debug)]
pub(super) struct Looking {
    pub(super) child: Child,
    pub(super) since: Duration,
}

impl Monitor {
    /// Forks the worker, unless the payload is frozen: then there is nothing to look at.
    pub(super) fn probe(&mut self, probe: Probe) {
        let unknown = Event::ProbeEnded(ProbeEnd::Unknown);
        let launch = self.launch.as_ref();
        let payload = self.payload.as_ref();
        let (Some(health), Some(probes), Some(payload)) = (
            &self.machine.health,
            launch.and_then(|launch| launch.probes.as_ref()),
            payload.and_then(|payload| payload.pidfd.as_ref()),
        ) else {
            return self.events.push_back(unknown);
        };
        if self.context.cgroup.is_frozen() {
            self.answer();
            return self.events.push_back(unknown);
        }
        match worker::fork_probe(&self.context, (probes, payload), health, probe) {
            Ok(child) => {
                let since = boottime();
                self.looking = Some(Looking { child, since });
            }
            Err(error) => {
                eprintln!("<4>fork the worker of a health check: {error}; it does not count");
                self.answer();
                self.events.push_back(unknown);
            }
        }
    }

    /// The worker has ended. One that was killed could not clean up.
    pub(super) fn probe_ended(&mut self, how: How) -> Event {
        let end = match how {
            How::Exited(0) => ProbeEnd::Passed,
            How::Exited(1) => ProbeEnd::Failed,
            How::Exited(_) | How::Signaled { .. } => {
                self.kill_probe();
                ProbeEnd::Unknown
            }
        };
        self.took = self
            .looking
            .take()
            .map(|looking| boottime() - looking.since);
        self.answer();
        Event::ProbeEnded(end)
    }

    /// Whoever waits for a look finds it done.
    fn answer(&self) {
        // Mostly nobody has asked.
        let _ = fs::remove_file(self.context.layout.probe_request(&self.context.id));
    }

    fn kill_probe(&self) {
        let killed = cgroup::kill(&self.context.cgroup.probe_path());
        if let Err(error) = killed {
            eprintln!("<4>kill a health check: {error}; continuing");
        }
    }

    /// The payload is to be left alone.
    pub(super) fn abort_probe(&mut self) {
        if let Some(looking) = self.looking.take() {
            // One that has just ended is what was wanted.
            let _ = looking.child.pidfd.send_signal(nix::libc::SIGKILL);
            self.kill_probe();
            self.answer();
        }
    }

    /// Tells systemd what is known, and others if that is another status.
    pub(super) fn tell_health(&self, changed: bool) {
        let Some(health) = &self.machine.health else {
            return notify::status("running");
        };
        let (most, streak) = (health.policy.retries, health.streak);
        let text = match (health.status, self.took) {
            (HealthStatus::Starting, _) if streak > 0 => {
                Some(format!("running, starting ({streak} failed in a row)"))
            }
            (HealthStatus::Starting, _) => Some("running, starting".to_owned()),
            (HealthStatus::Healthy, took) => {
                let left = most.saturating_sub(streak);
                let took = took.unwrap_or_default().as_millis();
                Some(format!("running, healthy ({left}/{most}), {took} ms"))
            }
            // It is still what it was when that was told.
            (HealthStatus::Unhealthy, _) => changed.then(|| self.unhealthy()),
        };
        if let Some(text) = text {
            notify::status(&text);
        }
        // Whoever watches this run looks again; what is known was written before.
        self.write_payload_file(false);
        if changed {
            let status = health.status.as_str();
            self.tell_with(EventKind::HealthStatus, None, Some(status));
        }
    }

    /// Since when, and why.
    fn unhealthy(&self) -> String {
        let since = Stamp::local(realtime()).to_string().replace('T', " ");
        let since = since.get(..SECONDS).unwrap_or(&since);
        let said = fs::read_to_string(self.context.layout.health_said(&self.context.id));
        match said.as_deref().unwrap_or_default() {
            "" => format!("unhealthy since {since}"),
            said => format!("unhealthy since {since}: {said}"),
        }
    }

    /// systemd ends this run as one that has failed its watchdog (sd_notify(3), `WATCHDOG=trigger`), and begins another.
    pub(super) fn ask_for_restart(&self) {
        eprintln!("<5>the payload is unhealthy: asking systemd to restart it");
        if let Err(error) = notify::trigger_watchdog() {
            eprintln!("<4>restart the payload: {error}; it goes on");
        }
    }
}
