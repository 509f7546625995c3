//! What the state machine asks for, done.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use super::client::Ends;
use super::console::Console;
use super::engine::{Monitor, Worker};
use super::journal;
use super::k8s_file::K8sFile;
use super::launch::Launch;
use super::notify;
use super::output::{self, Sink, Stream};
use super::streams::INFO;
use super::worker;
use crate::api::event::{self, EventKind};
use crate::api::journal::STDERR;
use crate::api::{Ended, ExitCode, ExitRecord, Payload, StopKind};
use crate::definition::LogDriver;
use crate::host;
use crate::host::failpoint::{self, Who};
use crate::host::world::{Durability, Host, World};
use crate::lifecycle::{Effect, Event, Finish, State};
use crate::sys::process::{die_like, exit_now, is_before_exec, is_deaf_to, start_ticks};
use crate::sys::time::{boottime, realtime};
use crate::types::{ExitStatus, NO_RESTART, Signal};

/// What is at work takes at least this much of the processors from one look to the next, microseconds.
const AT_WORK: u64 = 10_000;

/// How long a start may take after a step of what it waits for.
const PROGRESS_TIME: Duration = Duration::from_secs(30);

/// How long a journald that has not read the last lines may hold up the end of a run.
const JOURNAL_TIME: Duration = Duration::from_secs(1);

/// When a payload that is about to begin its program is looked at again.
const EARLY: Duration = Duration::from_millis(2);
/// Soon, and ever later, a payload that was deaf to a signal is looked at again.
const DEAF: Duration = Duration::from_millis(50);
const DEAF_MOST: Duration = Duration::from_secs(1);

/// A signal that the payload was deaf to when it was sent, or that came too early to be sent.
#[derive(Debug)]
pub(super) struct Unheard {
    signal: Signal,
    /// When it is looked at again, and how long that is since the last time.
    pub(super) look_at: Duration,
    wait: Duration,
}

impl Monitor {
    pub(super) fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Prepare => self.prepare(),
                Effect::Hold => self.hold(),
                Effect::Release => self.release(),
                Effect::Ready => self.started(true),
                Effect::Started => self.started(false),
                Effect::Announce => notify::announce(),
                Effect::Ping => notify::ping(),
                Effect::Stopping(left) => self.say_stopping(left),
                Effect::Extend(time) => notify::extend(time),
                Effect::ExtendStart(time) => self.extend_start(time),
                Effect::Signal(signal) => self.signal(signal),
                Effect::Thaw => warn("thaw the payload", self.context.cgroup.thaw_payload()),
                Effect::KillPayload => self.kill_payload(),
                Effect::AbortWorker => self.abort_worker(),
                Effect::Probe(probe) => self.probe(probe),
                Effect::TellHealth(changed) => self.tell_health(changed),
                Effect::AbortProbe => self.abort_probe(),
                Effect::AskForRestart => self.ask_for_restart(),
                Effect::WriteRecord => self.write_record(),
                Effect::Cleanup => self.clean_up(),
                Effect::Drain => self.drain(),
                Effect::Finish(finish) => self.finish(finish),
            }
            failpoint::hit(Who::Main);
        }
    }

    fn prepare(&mut self) {
        let Some(ends) = &self.ends else { return };
        let first = worker::Attachment {
            is_there: self.first.is_some(),
            size: self.first.as_ref().and_then(|ends| ends.size),
            kept: &self.kept,
        };
        match worker::fork_prepare(&self.context, ends, first, &self.limits) {
            Ok((child, report)) => {
                self.worker = Some(Worker::Prepare {
                    child,
                    report,
                    is_runtime: false,
                });
            }
            Err(error) => {
                let text = format!("fork the prepare worker: {error}");
                self.events
                    .push_back(Event::PrepareFailed(ExitCode::Error.number(), text));
            }
        }
    }

    /// The log driver is known now; the container's ends of the pipes are the runtime's from here on. With a terminal one
    /// of them stays ours.
    pub(super) fn open_streams(&mut self, launch: &Launch, listener: Option<OwnedFd>) {
        let Some(ends) = self.ends.take() else { return };
        self.kept.clear();
        let Some((stdout, stderr)) = self.sources.take() else {
            return;
        };
        if launch.driver == LogDriver::K8sFile {
            let path = launch.log_file.as_deref().unwrap_or(Path::new("/dev/null"));
            match K8sFile::open(path, launch.log_max) {
                Ok(file) => self.log_file = Some(file),
                Err(error) => eprintln!(
                    "<3>open log {}: {error}; its lines are lost",
                    path.display()
                ),
            }
        }
        let sink = |priority| match launch.driver {
            LogDriver::Journald => {
                let identifier = self.context.name.as_str().to_owned();
                let unit = self.context.cgroup.name().to_owned();
                let stream = journal::connect(&unit, &identifier, priority).ok();
                Sink::Journal {
                    stream,
                    unit,
                    identifier,
                    priority,
                }
            }
            LogDriver::K8sFile => Sink::File,
            LogDriver::Passthrough | LogDriver::None => Sink::null(),
        };
        self.streams
            .push(Stream::new(output::STDOUT, stdout, sink(INFO)));
        if launch.tty {
            let path = self.context.layout.console_socket(&self.context.id);
            let missing = || io::Error::other("the runtime was given no socket");
            let received = listener.ok_or_else(missing);
            match received.and_then(|from| Console::receive(&from, &path, ends.stdout)) {
                Ok(console) => self.console = Some(console),
                Err(error) => eprintln!("<3>terminal of the payload: {error}; its output is lost"),
            }
        } else {
            let sink = sink(launch.stderr_priority | STDERR);
            self.streams.push(Stream::new(output::STDERR, stderr, sink));
        }
        self.stdin = self
            .stdin
            .take()
            .filter(|_| launch.interactive && !launch.tty);
        if let Some(ends) = self.first.take() {
            self.attach(0, ends);
        }
    }

    /// Gives a client the output from here on, and the input.
    pub(super) fn attach(&mut self, number: u32, ends: Ends) {
        let Some(client) = self.clients.iter().find(|client| client.number == number) else {
            return;
        };
        for (stream, pipe) in self.streams.iter_mut().zip([ends.stdout, ends.stderr]) {
            stream.tap(number, pipe, number == 0);
        }
        if let Some(console) = &self.console {
            let given = client.give_terminal(console.master());
            warn("hand the terminal to the client", given);
        }
        if let Some(stdin) = &self.stdin {
            let given = client.give_stdin(stdin.as_fd());
            warn("hand standard input to the client", given);
        }
        // The first one is told of with the start.
        if number != 0 {
            self.tell(EventKind::Attach, None);
        }
    }

    /// The container is made: whoever asked for that is told, and who starts it is waited for.
    fn hold(&mut self) {
        self.write_payload_file(false);
        notify::status("initialized");
        let is_first = matches!(self.machine.state, State::Held { attempt: 1 });
        match worker::fork_wait(&self.context, is_first) {
            Ok(child) => self.worker = Some(Worker::Wait(child)),
            Err(error) => {
                eprintln!("<4>fork the worker that waits: {error}; trying again");
                self.events.push_back(Event::WaitKilled);
            }
        }
    }

    /// Starts what waited; a client that wants to see all of it has come by now.
    fn release(&mut self) {
        if self.first.is_none() && self.clients.iter().all(|client| client.number != 0) {
            self.attach_client();
            if let Some(ends) = self.first.take() {
                self.attach(0, ends);
            }
        }
        match worker::fork_start(&self.context) {
            Ok(child) => self.worker = Some(Worker::Start(child)),
            Err(error) => {
                let text = format!("fork the runtime: {error}");
                self.events
                    .push_back(Event::PrepareFailed(ExitCode::Error.number(), text));
            }
        }
    }

    fn started(&mut self, ready: bool) {
        let Some(payload) = &mut self.payload else {
            return;
        };
        payload.started = now();
        self.write_payload_file(false);
        let status = match self.machine.policy.health {
            Some(_) => "running, starting",
            None => "running",
        };
        match ready {
            true => notify::ready(status),
            false => notify::status(status),
        }
        self.tell(EventKind::Start, None);
        if self.clients.iter().any(|client| client.number == 0) {
            self.tell(EventKind::Attach, None);
        }
    }

    /// Tells the journal what happens; whose it is journald adds (LogExtraFields=).
    pub(super) fn tell(&self, kind: EventKind, exit_code: Option<i32>) {
        self.tell_with(kind, exit_code, None);
    }

    pub(super) fn tell_with(&self, kind: EventKind, exit_code: Option<i32>, health: Option<&str>) {
        host::journal::tell(&event::Event {
            kind,
            name: self.context.name.as_str(),
            of: Some((self.context.id.as_str(), "")),
            labels: self.launch.as_ref().map_or("", |launch| &launch.labels),
            exit_code,
            health,
        });
    }

    /// Tells whoever watches that the payload runs, or was told to stop.
    pub(super) fn write_payload_file(&self, stopping: bool) {
        let Some(payload) = &self.payload else { return };
        let file = Payload {
            pid: payload.pid,
            start_ticks: start_ticks(payload.pid).unwrap_or(0),
            nonce: self.context.nonce.clone(),
            started: payload.started,
            cgroup: self.context.cgroup.payload_path(),
            restarts: self.machine.restarts,
            stopping,
        };
        let path = self.context.layout.payload_file(&self.context.id);
        warn(
            "write the payload file",
            Host.write_file(&path, &file.render(), 0o600, Durability::Cached),
        );
    }

    /// A start that hangs is ended by systemd in its time; one that copies gets more.
    fn extend_start(&mut self, time: Duration) {
        let spent = self.context.cgroup.spent();
        // The first look has nothing to compare with.
        if self.spent != 0 && spent.saturating_sub(self.spent) >= AT_WORK {
            if !self.say_progress() {
                notify::status("starting: the container is still being prepared");
            }
            notify::extend(time);
        }
        self.spent = spent;
    }

    /// What the client that settles is at, which lets the start take longer; whether it has said something.
    pub(super) fn say_progress(&self) -> bool {
        if !matches!(self.machine.state, State::Preparing { .. }) {
            return false;
        }
        let path = self.context.layout.progress(&self.context.id);
        let Ok(text) = fs::read_to_string(path) else {
            return false;
        };
        notify::status(&format!("starting: {text}"));
        notify::extend(PROGRESS_TIME);
        true
    }

    fn say_stopping(&mut self, left: Option<Duration>) {
        let signal = self.machine.policy.stop_signal;
        let text = match left {
            Some(left) => format!("stopping: {signal} sent, {} s left", left.as_secs()),
            None => format!("stopping: {signal} sent, waiting for the payload"),
        };
        notify::stopping(&text);
        if self
            .payload
            .as_ref()
            .is_some_and(|payload| payload.started != 0)
        {
            self.write_payload_file(true);
        }
    }

    fn signal(&mut self, signal: Signal) {
        let Some(payload) = &self.payload else { return };
        let number = i32::from(signal.number());
        let asks = signal != Signal::KILL;
        let is_early = asks && is_before_exec(payload.pid).unwrap_or(false);
        let is_deaf = asks && is_deaf_to(payload.pid, number).unwrap_or(false);
        let wait = if is_early { EARLY } else { DEAF };
        self.unheard = (is_early || is_deaf).then(|| Unheard {
            signal,
            look_at: boottime() + wait,
            wait,
        });
        if is_early {
            // The runtime's own code would end by it, with a code of its own.
            return;
        }
        if let Some(pidfd) = &payload.pidfd {
            match pidfd.send_signal(number) {
                // It has just ended.
                Err(error) if error.raw_os_error() == Some(nix::libc::ESRCH) => {}
                result => warn("signal the payload", result),
            }
        }
    }

    /// A payload that was told to stop before it had its handlers has not heard that. It hears it as soon as it can.
    pub(super) fn signal_again(&mut self) {
        let (Some(unheard), Some(payload)) = (&mut self.unheard, &self.payload) else {
            return;
        };
        let now = boottime();
        if now < unheard.look_at {
            return;
        }
        let is_deaf = match is_before_exec(payload.pid) {
            Ok(false) => is_deaf_to(payload.pid, i32::from(unheard.signal.number())),
            other => other,
        };
        match is_deaf {
            Ok(true) => {
                unheard.wait = DEAF_MOST.min(unheard.wait * 2);
                unheard.look_at = now + unheard.wait;
            }
            Ok(false) => {
                let signal = unheard.signal;
                self.signal(signal);
            }
            // It is gone.
            Err(_) => self.unheard = None,
        }
    }

    fn kill_payload(&mut self) {
        let payload = self.payload.as_ref();
        let ran = payload.is_some_and(|payload| payload.started != 0);
        if self.machine.stop == StopKind::TimedOut && ran {
            eprintln!("<4>the payload did not end in time after the stop signal: killing it");
        }
        warn(
            "kill the payload's cgroup",
            self.context.cgroup.kill_payload(),
        );
        self.signal(Signal::KILL);
    }

    fn abort_worker(&mut self) {
        if let Some(worker) = &self.worker {
            let killed = worker.child().pidfd.send_signal(nix::libc::SIGKILL);
            warn("kill the worker", killed);
        }
        if matches!(self.worker, Some(Worker::Wait(_))) {
            // Its end means nothing any more.
            self.worker = None;
        }
    }

    fn write_record(&mut self) {
        let Some(record) = self.record() else { return };
        self.machine.oom = record.oom;
        if let Ended::Unstarted { reason, .. } = &record.ended {
            self.streams.iter_mut().for_each(Stream::discard);
            eprintln!("<3>{reason}");
        }
        let path = self.context.layout.exit_file(&self.context.id);
        if let Err(error) = Host.write_file(&path, &record.render(), 0o600, Durability::Synced) {
            // Our own end still tells systemd how the payload ended.
            eprintln!(
                "<3>write {}: {error}; the exit code stands in the unit only",
                path.display()
            );
            self.events.push_back(Event::Recorded);
        }
        if let Ended::Payload(status) = record.ended {
            self.tell(EventKind::Died, Some(status.shell_code().into()));
        }
    }

    /// Tells whoever wanted it in a file of his which process the payload is.
    pub(super) fn write_pid_file(&self, pid: i32) {
        let launch = self.launch.as_ref();
        if let Some(path) = launch.and_then(|launch| launch.pid_file.as_deref()) {
            let written = Host.write_file(path, &pid.to_string(), 0o644, Durability::Cached);
            warn("write the file of --pidfile", written);
        }
    }

    fn record(&self) -> Option<ExitRecord> {
        let mut ended = self.machine.ended.clone()?;
        let oom = self.context.cgroup.oom_killed();
        // systemd orders a stop then (OOMPolicy=), which says nothing of why.
        if let (Ended::Unstarted { reason, .. }, true) = (&mut ended, oom) {
            reason.push_str(" (out of memory)");
        }
        Some(ExitRecord {
            id: self.context.id.clone(),
            name: self.context.name.clone(),
            nonce: self.context.nonce.clone(),
            ended,
            oom,
            stop: self.machine.stop,
            restarts: self.machine.restarts,
            started: self.payload.as_ref().map_or(0, |payload| payload.started),
            finished: now(),
        })
    }

    fn clean_up(&mut self) {
        match worker::fork_cleanup(&self.context) {
            Ok(child) => self.worker = Some(Worker::Cleanup(child)),
            Err(error) => {
                eprintln!("<4>fork the cleanup worker: {error}; the next start cleans up");
                self.events.push_back(Event::CleanedUp);
            }
        }
    }

    fn drain(&mut self) {
        self.ends = None;
        self.stdin = None;
        self.draining = true;
        if let Some(console) = &mut self.console {
            console.last_call();
        }
        self.streams.iter_mut().for_each(Stream::last_call);
    }

    /// journald looks up whose lines these are when it reads the first one, in our cgroup: it may be late, and must find us
    /// alive.
    fn await_journal(&self) {
        let until = boottime() + JOURNAL_TIME;
        while self.streams.iter().any(Stream::is_unread) && boottime() < until {
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// A container that has removed itself leaves nothing, also of what systemd leaves.
    fn forget_log_fields(&self) {
        let layout = &self.context.layout;
        let Ok(unit) = self.context.cgroup.name().parse() else {
            return;
        };
        if !layout.container(&self.context.id).exists() {
            // The next container that is made sweeps.
            let _ = fs::remove_file(layout.log_fields(&unit));
        }
    }

    /// Ends the process: exactly as the payload did, but for ordered stops.
    fn finish(&mut self, finish: Finish) {
        let text = match self.machine.ended.as_ref() {
            Some(Ended::Payload(ExitStatus::Exited(code))) => format!("exited with code {code}"),
            Some(Ended::Payload(ExitStatus::Signaled(signal))) => format!("killed by {signal}"),
            Some(Ended::Unstarted { reason, .. }) => format!("not started: {reason}"),
            Some(Ended::MonitorKilled { .. }) | None => String::new(),
        };
        notify::status(&text);
        if finish == Finish::Exit(NO_RESTART) && self.machine.restart.are_possible() {
            eprintln!(
                "<5>{text}; not restarted ({}, {} restarts)",
                self.machine.restart, self.machine.restarts
            );
        }
        if let (false, Some(record)) = (self.clients.is_empty(), self.record()) {
            self.streams.iter_mut().for_each(Stream::drop_clients);
            let record = record.render();
            self.clients
                .iter()
                .for_each(|client| client.tell_exit(&record));
        }
        self.await_journal();
        self.forget_log_fields();
        match finish {
            Finish::Exit(code) => exit_now(i32::from(code)),
            Finish::Signal(signal) => die_like(i32::from(signal.number())),
        }
    }
}

fn warn(what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        eprintln!("<4>{what}: {error}; continuing");
    }
}

fn now() -> u64 {
    u64::try_from(realtime().as_micros()).unwrap_or(u64::MAX)
}
