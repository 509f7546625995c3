//! `init`: a container that is made and waits for its start.

use std::time::Duration;

use super::{EXTEND_MARGIN, Effect, Event, KILL_AGAIN, Run, State, WORKER_TRIES};
use crate::types::{ExitCode, ExitStatus, StopKind};

/// What systemd is asked for while a start may take as long as it likes: a century.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

impl Run {
    /// The runtime has made the container and not started it.
    pub(super) fn hold(&mut self) -> Vec<Effect> {
        self.state = State::Held { attempt: 1 };
        vec![Effect::Extend(FOREVER), Effect::Hold]
    }

    pub(super) fn held(&mut self, attempt: u8, event: Event, now: Duration) -> Vec<Effect> {
        match event {
            Event::StartRequested => {
                self.state = State::Releasing { ended: None };
                vec![Effect::AbortWorker, Effect::Release]
            }
            Event::WaitKilled if attempt < WORKER_TRIES => {
                self.state = State::Held {
                    attempt: attempt + 1,
                };
                vec![Effect::Hold]
            }
            Event::WaitKilled => {
                let reason = format!("the worker that waits was killed {WORKER_TRIES} times");
                let mut effects = vec![Effect::KillPayload];
                effects.extend(self.never_ran(ExitCode::Error.number(), reason));
                effects
            }
            // What waits hears no signal but SIGKILL.
            Event::StopRequested(_) => {
                self.stop = StopKind::TimedOut;
                self.state = State::Killing {
                    again_at: now + KILL_AGAIN,
                };
                vec![
                    Effect::AbortWorker,
                    Effect::Extend(KILL_AGAIN + EXTEND_MARGIN),
                    Effect::KillPayload,
                ]
            }
            Event::PayloadEnded(status) => {
                let mut effects = vec![Effect::AbortWorker];
                effects.extend(self.payload_ended(status));
                effects
            }
            Event::Made | Event::Started | Event::PrepareFailed(..) | Event::PrepareKilled => {
                vec![]
            }
            Event::Recorded | Event::CleanedUp | Event::CleanupKilled => vec![],
            Event::ProbeRequested | Event::ProbeEnded(_) => vec![],
            Event::Drained | Event::Tick => vec![],
        }
    }

    pub(super) fn releasing(
        &mut self,
        ended: Option<ExitStatus>,
        event: Event,
        now: Duration,
    ) -> Vec<Effect> {
        match event {
            Event::Started => {
                let mut effects = self.started(now);
                effects.extend(
                    ended
                        .into_iter()
                        .flat_map(|status| self.payload_ended(status)),
                );
                effects
            }
            Event::PrepareFailed(code, reason) => {
                let mut effects = vec![Effect::KillPayload];
                effects.extend(self.never_ran(code, reason));
                effects
            }
            Event::PrepareKilled => {
                let mut effects = vec![Effect::KillPayload];
                let reason = "the runtime was killed".to_owned();
                effects.extend(self.never_ran(ExitCode::Error.number(), reason));
                effects
            }
            Event::StopRequested(_) => self.abort(),
            // It may have ended before the runtime says that it has started it.
            Event::PayloadEnded(status) => {
                self.state = State::Releasing {
                    ended: Some(status),
                };
                vec![]
            }
            Event::Made | Event::StartRequested | Event::WaitKilled => vec![],
            Event::Recorded | Event::CleanedUp | Event::CleanupKilled => vec![],
            Event::ProbeRequested | Event::ProbeEnded(_) => vec![],
            Event::Drained | Event::Tick => vec![],
        }
    }
}
