//! One run of a container as a pure state machine.
//!
//! `step(state, event, now)` says what the monitor does; it owns all meaning and no file descriptor. The table of every
//! state and every event is in `tests.rs`. Times are CLOCK_BOOTTIME, so that a changed clock or a suspend moves nothing.

mod effect;
mod finish;
mod graph;
mod health;
mod held;
mod kept;
mod ready;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::types::{
    Ended, ExitCode, ExitStatus, HealthPolicy, NotifyMode, OnFailure, RestartPolicy, Restarts,
    Signal, StopKind,
};

pub use effect::Effect;
pub use finish::Finish;
pub use graph::{GraphError, order};
pub use health::{Health, Probe, ProbeEnd, Verdict};

/// Longest time that the last output may take to reach the journal once the payload is gone.
pub const DRAIN_TIME: Duration = Duration::from_secs(5);
/// Longest time for one try of the cleanup worker.
pub const CLEANUP_TIME: Duration = Duration::from_secs(30);
/// How often a worker of ours that was killed is started again.
pub const WORKER_TRIES: u8 = 3;
/// How often a payload that does not die of SIGKILL is killed again.
const KILL_AGAIN: Duration = Duration::from_secs(2);
/// While a stop waits for ever, systemd is told so this often (EXTEND_TIMEOUT_USEC, sd_notify(3)).
const EXTEND_EVERY: Duration = Duration::from_secs(30);
/// While a start is being prepared, it is looked at this often whether that is at work.
const START_EXTEND_EVERY: Duration = Duration::from_secs(2);
/// What an extension adds to the time needed, for the end of the run after it.
const EXTEND_MARGIN: Duration = Duration::from_secs(20);

/// Where a run is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    /// The prepare worker builds the bundle and becomes `runc run --detach`.
    Preparing {
        /// Tries so far, from 1.
        attempt: u8,
    },
    /// A start is being given up because a stop came.
    Aborting,
    /// The container is made and waits for its start.
    Held {
        /// Tries of the worker that waits so far, from 1.
        attempt: u8,
    },
    /// The runtime starts what waited.
    Releasing {
        /// How the payload has ended already, if it has.
        ended: Option<ExitStatus>,
    },
    /// The payload runs.
    Running,
    /// The stop signal was sent.
    Stopping {
        /// When SIGKILL follows; never, if none.
        kill_at: Option<Duration>,
        /// When systemd is told again that this takes time.
        extend_at: Option<Duration>,
    },
    /// SIGKILL was sent.
    Killing {
        /// When it is sent again.
        again_at: Duration,
    },
    /// The payload is gone and the exit file is being written.
    Exiting,
    /// The cleanup worker runs and the last output drains.
    Cleaning {
        /// Tries of the worker so far, from 1; 0 when it is done.
        attempt: u8,
        /// When this try of the worker is given up.
        give_up_at: Duration,
        /// When the last output is given up; none once it is out.
        drain_until: Option<Duration>,
    },
    /// Nothing is left to do.
    Ended,
}

/// What the monitor tells the state machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The runtime has started the payload; if that has already ended, [`Event::PayloadEnded`] follows at once.
    Started,
    /// The runtime has made the container and not started it; [`Event::StartRequested`] will.
    Made,
    /// Somebody wants to have it started.
    StartRequested,
    /// The worker that waits for that has ended without it.
    WaitKilled,
    /// The payload could not be started: exit code and reason.
    PrepareFailed(u8, String),
    /// Our worker was killed before it was done.
    PrepareKilled,
    /// systemd asks for a stop; the timeout replaces the container's own.
    StopRequested(Option<StopTimeout>),
    /// The payload's first process was reaped.
    PayloadEnded(ExitStatus),
    /// The exit file is there (or cannot be written).
    Recorded,
    /// The cleanup worker is done, whatever it could not clean.
    CleanedUp,
    /// The cleanup worker was killed.
    CleanupKilled,
    /// All output has been moved.
    Drained,
    /// Somebody wants the health to be looked at now.
    ProbeRequested,
    /// The probe that ran has ended.
    ProbeEnded(ProbeEnd),
    /// A deadline of the state may have passed.
    Tick,
}

/// How long an ordered stop waits before SIGKILL.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopTimeout {
    /// So long; zero kills at once.
    After(Duration),
    /// For ever.
    Never,
}

/// What does not change during a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Policy {
    /// Signal of an ordered stop.
    pub stop_signal: Signal,
    /// How long that stop waits before SIGKILL.
    pub stop_timeout: StopTimeout,
    /// How its health is looked at, if it is.
    pub health: Option<HealthPolicy>,
    /// Who says that it is ready.
    pub notify: NotifyMode,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            stop_signal: Signal::TERM,
            stop_timeout: StopTimeout::After(Duration::from_secs(10)),
            health: None,
            notify: NotifyMode::Conmon,
        }
    }
}

/// A run: its state and what must be remembered across states.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Where it is.
    pub state: State,
    /// Stop signal and timeout; known once the prepare worker has told them.
    pub policy: Policy,
    /// Whether a stop was ordered, and whether it needed SIGKILL.
    pub stop: StopKind,
    /// What systemd does when it ends.
    pub restart: Restarts,
    /// Restarts by that since the last start by anybody else.
    pub restarts: u32,
    /// A user's `kill` has ended the payload.
    pub killed_by_user: bool,
    /// The health of the payload while it runs.
    pub health: Option<Health>,
    /// What was done because it was unhealthy.
    pub unhealthy: OnFailure,
    /// systemd knows that it is ready.
    pub announced: bool,
    /// After how long its watchdog must hear of us again (WatchdogSec=), if at all.
    pub watchdog: Option<Duration>,
    /// When it does.
    ping_at: Option<Duration>,
    /// That time was over: the stop is systemd's, which restarts behind it.
    pub expired: bool,
    /// The kernel's OOM killer has hit the payload.
    pub oom: bool,
    /// How the payload ended, once it has.
    pub ended: Option<Ended>,
    /// When a start that is being prepared is extended; none until it is known when it began.
    extend_at: Option<Duration>,
}

impl Run {
    /// A new run and its first effects.
    pub fn begin() -> (Self, Vec<Effect>) {
        let run = Self {
            state: State::Preparing { attempt: 1 },
            policy: Policy::default(),
            stop: StopKind::None,
            restart: Restarts::Policy(RestartPolicy::No),
            restarts: 0,
            killed_by_user: false,
            health: None,
            unhealthy: OnFailure::None,
            announced: false,
            watchdog: None,
            ping_at: None,
            expired: false,
            oom: false,
            ended: None,
            extend_at: None,
        };
        (run, vec![Effect::Prepare])
    }

    /// When the next [`Event::Tick`] is due.
    pub fn deadline(&self) -> Option<Duration> {
        self.own_deadline().into_iter().chain(self.ping_due()).min()
    }

    fn own_deadline(&self) -> Option<Duration> {
        match &self.state {
            State::Stopping { kill_at, extend_at } => {
                kill_at.iter().chain(extend_at).min().copied()
            }
            State::Killing { again_at } => Some(*again_at),
            State::Cleaning {
                attempt,
                give_up_at,
                drain_until,
            } => {
                let worker = (*attempt > 0).then_some(give_up_at);
                worker.into_iter().chain(drain_until).min().copied()
            }
            State::Preparing { .. } => Some(self.extend_at.unwrap_or_default()),
            State::Aborting
            | State::Held { .. }
            | State::Releasing { .. }
            | State::Exiting
            | State::Ended => None,
            State::Running => self.probe_due(),
        }
    }

    /// Takes an event at a time and says what is to be done.
    pub fn step(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        let ran = self.state == State::Running;
        let mut effects = match event {
            Event::Tick => self.ping(now),
            _ => vec![],
        };
        effects.extend(self.dispatch(event, now));
        match (ran, self.state == State::Running) {
            (false, true) => {
                self.health = self.policy.health.map(|policy| Health::begin(policy, now));
            }
            // What is being stopped, or has ended, is not looked at any more.
            (true, false) if self.health.as_ref().is_some_and(Health::is_probed) => {
                effects.insert(0, Effect::AbortProbe);
            }
            _ => {}
        }
        effects
    }

    fn dispatch(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        match self.state.clone() {
            State::Preparing { attempt } => self.preparing(attempt, event, now),
            State::Aborting => self.aborting(event),
            State::Held { attempt } => self.held(attempt, event, now),
            State::Releasing { ended } => self.releasing(ended, event, now),
            State::Running => self.running(event, now),
            State::Stopping { kill_at, extend_at } => self.stopping(kill_at, extend_at, event, now),
            State::Killing { again_at } => self.killing(again_at, event, now),
            State::Exiting => self.exiting(event, now),
            State::Cleaning { .. } => self.cleaning(event, now),
            State::Ended => Vec::new(),
        }
    }

    fn preparing(&mut self, attempt: u8, event: Event, now: Duration) -> Vec<Effect> {
        match event {
            Event::Started => self.started(now),
            Event::Made => self.hold(),
            Event::StartRequested | Event::WaitKilled => vec![],
            // A runtime that fails late leaves a payload.
            Event::PrepareFailed(code, reason) => {
                let mut effects = vec![Effect::KillPayload];
                effects.extend(self.never_ran(code, reason));
                effects
            }
            Event::PrepareKilled if attempt < WORKER_TRIES => {
                self.state = State::Preparing {
                    attempt: attempt + 1,
                };
                vec![Effect::Prepare]
            }
            Event::PrepareKilled => {
                let reason = format!("the prepare worker was killed {WORKER_TRIES} times");
                self.never_ran(ExitCode::Error.number(), reason)
            }
            Event::StopRequested(_) => self.abort(),
            // The payload died before the runtime said that it runs: its own report follows.
            Event::PayloadEnded(_) => vec![],
            Event::Tick => self.extend_start(now),
            Event::ProbeRequested | Event::ProbeEnded(_) => vec![],
            Event::Recorded | Event::CleanedUp | Event::CleanupKilled | Event::Drained => vec![],
        }
    }

    /// What is mounted and copied takes its time, which systemd's (TimeoutStartSec=) does not know.
    fn extend_start(&mut self, now: Duration) -> Vec<Effect> {
        let is_due = self.extend_at.is_some_and(|at| now >= at);
        if is_due || self.extend_at.is_none() {
            self.extend_at = Some(now.saturating_add(START_EXTEND_EVERY));
        }
        let time = START_EXTEND_EVERY + EXTEND_MARGIN;
        is_due
            .then_some(Effect::ExtendStart(time))
            .into_iter()
            .collect()
    }

    /// Gives a start up. The worker's end is awaited so that nothing of it runs beside the cleanup.
    fn abort(&mut self) -> Vec<Effect> {
        self.stop = StopKind::Ordered;
        self.state = State::Aborting;
        vec![Effect::AbortWorker, Effect::KillPayload]
    }

    fn aborting(&mut self, event: Event) -> Vec<Effect> {
        match event {
            Event::Made | Event::Started | Event::PrepareFailed(..) | Event::PrepareKilled => {
                let mut effects = vec![Effect::KillPayload];
                let reason = "stopped before it had started".to_owned();
                effects.extend(self.never_ran(ExitCode::Error.number(), reason));
                effects
            }
            Event::StartRequested | Event::WaitKilled => vec![],
            Event::StopRequested(_) | Event::PayloadEnded(_) | Event::Recorded => vec![],
            Event::ProbeRequested | Event::ProbeEnded(_) => vec![],
            Event::CleanedUp | Event::CleanupKilled | Event::Drained | Event::Tick => vec![],
        }
    }

    fn running(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        match event {
            Event::StopRequested(timeout) => self.begin_stop(timeout, now),
            Event::PayloadEnded(status) => self.payload_ended(status),
            Event::Made | Event::StartRequested | Event::WaitKilled => vec![],
            Event::Started | Event::PrepareFailed(..) | Event::PrepareKilled => vec![],
            Event::ProbeRequested => {
                self.health.iter_mut().for_each(Health::ask);
                self.probe(now)
            }
            Event::Tick => self.probe(now),
            Event::ProbeEnded(end) => self.probed(end, now),
            Event::Recorded => vec![],
            Event::CleanedUp | Event::CleanupKilled | Event::Drained => vec![],
        }
    }

    fn begin_stop(&mut self, timeout: Option<StopTimeout>, now: Duration) -> Vec<Effect> {
        self.stop = StopKind::Ordered;
        let signal = Effect::Signal(self.policy.stop_signal);
        match timeout.unwrap_or(self.policy.stop_timeout) {
            StopTimeout::After(Duration::ZERO) => self.kill(now),
            StopTimeout::After(time) => {
                let kill_at = now.saturating_add(time);
                self.state = State::Stopping {
                    kill_at: Some(kill_at),
                    extend_at: None,
                };
                let extend = Effect::Extend(time.saturating_add(EXTEND_MARGIN));
                vec![extend, Effect::Stopping(Some(time)), signal, Effect::Thaw]
            }
            StopTimeout::Never => {
                let extend_at = Some(now + EXTEND_EVERY);
                self.state = State::Stopping {
                    kill_at: None,
                    extend_at,
                };
                let extend = Effect::Extend(EXTEND_EVERY + EXTEND_MARGIN);
                vec![extend, Effect::Stopping(None), signal, Effect::Thaw]
            }
        }
    }

    fn stopping(
        &mut self,
        kill_at: Option<Duration>,
        extend_at: Option<Duration>,
        event: Event,
        now: Duration,
    ) -> Vec<Effect> {
        match event {
            Event::Tick if kill_at.is_some_and(|at| now >= at) => self.kill(now),
            Event::Tick if extend_at.is_some_and(|at| now >= at) => {
                self.state = State::Stopping {
                    kill_at,
                    extend_at: Some(now + EXTEND_EVERY),
                };
                vec![Effect::Extend(EXTEND_EVERY + EXTEND_MARGIN)]
            }
            // A second order can shorten the wait (`stop -t 0` after `stop -t -1`), not send the signal again.
            Event::StopRequested(Some(StopTimeout::After(time))) => {
                if time.is_zero() {
                    return self.kill(now);
                }
                let kill_at = Some(now.saturating_add(time));
                self.state = State::Stopping {
                    kill_at,
                    extend_at: None,
                };
                vec![Effect::Extend(time.saturating_add(EXTEND_MARGIN))]
            }
            Event::PayloadEnded(status) => self.payload_ended(status),
            Event::StopRequested(_) | Event::Tick => vec![],
            Event::Made | Event::StartRequested | Event::WaitKilled => vec![],
            Event::Started | Event::PrepareFailed(..) | Event::PrepareKilled => vec![],
            Event::ProbeRequested | Event::ProbeEnded(_) => vec![],
            Event::Recorded => vec![],
            Event::CleanedUp | Event::CleanupKilled | Event::Drained => vec![],
        }
    }

    fn kill(&mut self, now: Duration) -> Vec<Effect> {
        self.stop = StopKind::TimedOut;
        self.state = State::Killing {
            again_at: now + KILL_AGAIN,
        };
        vec![
            Effect::Extend(KILL_AGAIN + EXTEND_MARGIN),
            Effect::KillPayload,
        ]
    }

    fn killing(&mut self, again_at: Duration, event: Event, now: Duration) -> Vec<Effect> {
        match event {
            Event::Tick if now >= again_at => {
                self.state = State::Killing {
                    again_at: now + KILL_AGAIN,
                };
                vec![Effect::KillPayload]
            }
            Event::PayloadEnded(status) => self.payload_ended(status),
            Event::StopRequested(_) | Event::Tick => vec![],
            Event::Made | Event::StartRequested | Event::WaitKilled => vec![],
            Event::Started | Event::PrepareFailed(..) | Event::PrepareKilled => vec![],
            Event::ProbeRequested | Event::ProbeEnded(_) => vec![],
            Event::Recorded => vec![],
            Event::CleanedUp | Event::CleanupKilled | Event::Drained => vec![],
        }
    }

    fn payload_ended(&mut self, status: ExitStatus) -> Vec<Effect> {
        self.ended = Some(Ended::Payload(status));
        self.state = State::Exiting;
        vec![Effect::WriteRecord]
    }

    fn never_ran(&mut self, code: u8, reason: String) -> Vec<Effect> {
        self.ended = Some(Ended::Unstarted { code, reason });
        self.state = State::Exiting;
        vec![Effect::WriteRecord]
    }

    fn exiting(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        match event {
            Event::Recorded => {
                self.state = State::Cleaning {
                    attempt: 1,
                    give_up_at: now + CLEANUP_TIME,
                    drain_until: Some(now + DRAIN_TIME),
                };
                vec![Effect::Cleanup, Effect::Drain]
            }
            // A stop that comes when the payload has ended by itself changes nothing about how it ended.
            Event::StopRequested(_) => vec![],
            Event::Made | Event::StartRequested | Event::WaitKilled => vec![],
            Event::Started | Event::PrepareFailed(..) | Event::PrepareKilled => vec![],
            Event::PayloadEnded(_) | Event::ProbeRequested | Event::ProbeEnded(_) => vec![],
            Event::CleanedUp | Event::CleanupKilled | Event::Drained | Event::Tick => vec![],
        }
    }

    fn cleaning(&mut self, event: Event, now: Duration) -> Vec<Effect> {
        let State::Cleaning {
            attempt,
            give_up_at,
            drain_until,
        } = &mut self.state
        else {
            return vec![];
        };
        match event {
            Event::CleanedUp => *attempt = 0,
            Event::CleanupKilled if *attempt >= WORKER_TRIES => *attempt = 0,
            Event::CleanupKilled if *attempt > 0 => {
                *attempt += 1;
                *give_up_at = now + CLEANUP_TIME;
                return vec![Effect::Cleanup];
            }
            Event::Drained => *drain_until = None,
            Event::Tick => {
                if drain_until.is_some_and(|at| now >= at) {
                    *drain_until = None;
                }
                if *attempt > 0 && now >= *give_up_at {
                    *give_up_at = now + CLEANUP_TIME;
                    return vec![Effect::AbortWorker];
                }
            }
            Event::StopRequested(_) | Event::PayloadEnded(_) | Event::Recorded => return vec![],
            Event::Made | Event::StartRequested | Event::WaitKilled => return vec![],
            Event::Started | Event::PrepareFailed(..) | Event::PrepareKilled => return vec![],
            Event::CleanupKilled | Event::ProbeRequested | Event::ProbeEnded(_) => return vec![],
        }
        if *attempt > 0 || drain_until.is_some() {
            return vec![];
        }
        self.state = State::Ended;
        vec![Effect::Finish(self.finish())]
    }
}
