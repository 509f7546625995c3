//! The health of a running payload, as pure as the run itself: when a probe is due, and what its end means.

use std::time::Duration;

use super::{Effect, Run};
use crate::types::{HealthPolicy, HealthStatus, OnFailure, Rhythm, Signal};

/// Which command is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Probe {
    /// The one that decides whether the container has started.
    Startup,
    /// The one that decides whether it is healthy.
    Regular,
}

/// How a probe has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProbeEnd {
    /// Well.
    Passed,
    /// With another code than 0, or not in time.
    Failed,
    /// Nobody knows: the payload was frozen or went away, or the worker was killed. It does not count.
    Unknown,
}

/// What follows from the end of a probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Verdict {
    /// The health has changed.
    pub changed: bool,
    /// What is to be done with the container.
    pub action: OnFailure,
}

/// What is known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Health {
    /// What was asked for.
    pub policy: HealthPolicy,
    /// What is known of the container.
    pub status: HealthStatus,
    /// Failures in a row that count.
    pub streak: u32,
    pub(super) began: Duration,
    /// Successes and failures of the startup command in a row; none once it has passed.
    pub(super) startup: Option<(u32, u32)>,
    /// When the next probe is due by itself.
    pub(super) next: Option<Duration>,
    /// The probe that runs, and when it was begun.
    pub(super) running: Option<(Probe, Duration)>,
    /// Somebody waits for a probe that begins now or later.
    pub(super) asked: bool,
}

impl Health {
    /// Of a payload that has just been started: the first probe is due at once, unless only others ask for any.
    pub fn begin(policy: HealthPolicy, now: Duration) -> Self {
        let mut health = Self {
            policy,
            status: HealthStatus::Starting,
            streak: 0,
            began: now,
            startup: policy.startup.map(|_| (0, 0)),
            next: None,
            running: None,
            asked: false,
        };
        health.next = health.rhythm(health.probe()).interval.map(|_| now);
        health
    }

    /// The command that is next.
    pub(super) fn probe(&self) -> Probe {
        match self.startup {
            Some(_) => Probe::Startup,
            None => Probe::Regular,
        }
    }

    /// When a command is run.
    pub fn rhythm(&self, probe: Probe) -> Rhythm {
        match (probe, &self.policy.startup) {
            (Probe::Startup, Some(startup)) => startup.rhythm,
            (Probe::Startup, None) | (Probe::Regular, _) => self.policy.rhythm,
        }
    }

    /// When a probe is due; none while one runs.
    pub fn deadline(&self) -> Option<Duration> {
        match self.running {
            Some(_) => None,
            None if self.asked => Some(Duration::ZERO),
            None => self.next,
        }
    }

    /// Whether a probe runs.
    pub fn is_probed(&self) -> bool {
        self.running.is_some()
    }

    /// Somebody wants a probe now.
    pub fn ask(&mut self) {
        self.asked = true;
    }

    /// The probe that is due, which runs from here on.
    pub fn start(&mut self, now: Duration) -> Option<Probe> {
        if self.deadline().is_none_or(|at| now < at) {
            return None;
        }
        let probe = self.probe();
        self.asked = false;
        self.running = Some((probe, now));
        Some(probe)
    }

    fn again(&mut self, now: Duration) {
        let interval = self.rhythm(self.probe()).interval;
        self.next = interval.map(|interval| now.saturating_add(interval));
    }

    /// The probe that runs has ended.
    pub fn ended(&mut self, end: ProbeEnd, now: Duration) -> Verdict {
        let Some((probe, begun)) = self.running.take() else {
            return Verdict::default();
        };
        let before = self.status;
        let action = match probe {
            Probe::Startup => self.startup_ended(end),
            Probe::Regular => self.regular_ended(end, begun),
        };
        self.again(now);
        Verdict {
            changed: self.status != before,
            action,
        }
    }

    /// A container whose startup command fails too often is started again, whatever is done with unhealthy ones.
    fn startup_ended(&mut self, end: ProbeEnd) -> OnFailure {
        let (Some(policy), Some((passed, failed))) = (&self.policy.startup, &mut self.startup)
        else {
            return OnFailure::None;
        };
        match end {
            ProbeEnd::Passed => {
                (*passed, *failed) = (*passed + 1, 0);
                if *passed >= policy.successes {
                    self.startup = None;
                    self.status = HealthStatus::Healthy;
                }
            }
            ProbeEnd::Failed => {
                (*passed, *failed) = (0, *failed + 1);
                if policy.retries != 0 && *failed >= policy.retries {
                    *failed = 0;
                    return OnFailure::Restart;
                }
            }
            ProbeEnd::Unknown => {}
        }
        OnFailure::None
    }

    fn regular_ended(&mut self, end: ProbeEnd, begun: Duration) -> OnFailure {
        match end {
            ProbeEnd::Passed => {
                self.status = HealthStatus::Healthy;
                self.streak = 0;
                OnFailure::None
            }
            ProbeEnd::Failed if begun < self.began.saturating_add(self.policy.start_period) => {
                OnFailure::None
            }
            ProbeEnd::Failed => {
                self.streak = self.streak.saturating_add(1);
                if self.streak < self.policy.retries {
                    return OnFailure::None;
                }
                self.status = HealthStatus::Unhealthy;
                self.policy.on_failure
            }
            ProbeEnd::Unknown => OnFailure::None,
        }
    }
}

impl Run {
    /// To restart it takes systemd a moment, in which nothing that is found counts.
    fn checked(&mut self) -> Option<&mut Health> {
        let restarts = self.unhealthy == OnFailure::Restart;
        self.health.as_mut().filter(|_| !restarts)
    }

    /// When a probe is due.
    pub(super) fn probe_due(&self) -> Option<Duration> {
        let health = self.health.as_ref();
        health
            .filter(|_| self.unhealthy != OnFailure::Restart)
            .and_then(Health::deadline)
    }

    /// The probe that is due, if one is.
    pub(super) fn probe(&mut self, now: Duration) -> Vec<Effect> {
        let due = self.checked().and_then(|health| health.start(now));
        due.map(Effect::Probe).into_iter().collect()
    }

    /// A probe has ended: what is known now, and what is done about it.
    pub(super) fn probed(&mut self, end: ProbeEnd, now: Duration) -> Vec<Effect> {
        let Some(health) = self.checked() else {
            return vec![];
        };
        let before = health.streak;
        let verdict = health.ended(end, now);
        let status = health.status;
        let mut effects = Vec::new();
        if verdict.changed || health.streak != before {
            effects.push(Effect::TellHealth(verdict.changed));
        }
        if verdict.changed && status == HealthStatus::Healthy {
            effects.extend(self.became_healthy(now));
        }
        match verdict.action {
            OnFailure::None => return effects,
            OnFailure::Kill => effects.push(Effect::Signal(Signal::KILL)),
            OnFailure::Restart => effects.push(Effect::AskForRestart),
            OnFailure::Stop => effects.extend(self.begin_stop(None, now)),
        }
        self.unhealthy = verdict.action;
        effects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::StartupPolicy;
    use HealthStatus::{Healthy, Starting, Unhealthy};
    use ProbeEnd::{Failed, Passed, Unknown};

    fn at(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn policy() -> HealthPolicy {
        HealthPolicy {
            rhythm: Rhythm {
                interval: Some(at(5)),
                timeout: at(2),
            },
            retries: 2,
            start_period: Duration::ZERO,
            startup: None,
            on_failure: OnFailure::Kill,
        }
    }

    /// Runs probes that end so, one after another, each in a second; the status, streak and action after each.
    fn run(health: &mut Health, ends: &[ProbeEnd]) -> Vec<(HealthStatus, u32, OnFailure)> {
        let mut seen = Vec::new();
        for end in ends {
            let due = health.deadline().expect("a probe is due");
            assert!(due.is_zero() || health.start(due - at(1)).is_none());
            health.start(due).expect("it is due now");
            assert_eq!(health.deadline(), None, "none beside it");
            let verdict = health.ended(*end, due + at(1));
            let interval = health.rhythm(health.probe()).interval;
            assert_eq!(health.deadline(), interval.map(|time| due + at(1) + time));
            seen.push((health.status, health.streak, verdict.action));
        }
        seen
    }

    #[test]
    fn failures_in_a_row_make_it_unhealthy() {
        let (none, kill) = (OnFailure::None, OnFailure::Kill);
        let mut health = Health::begin(policy(), at(100));
        assert_eq!(health.deadline(), Some(at(100)));
        let seen = run(
            &mut health,
            &[
                Failed, Unknown, Passed, Failed, Passed, Failed, Failed, Failed, Passed,
            ],
        );
        let expected = [
            (Starting, 1, none),
            (Starting, 1, none),
            (Healthy, 0, none),
            (Healthy, 1, none),
            (Healthy, 0, none),
            (Healthy, 1, none),
            (Unhealthy, 2, kill),
            (Unhealthy, 3, kill),
            (Healthy, 0, none),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_change_is_told_once() {
        let mut health = Health::begin(policy(), at(0));
        let mut changes = Vec::new();
        for end in [Failed, Failed, Failed, Passed, Passed] {
            health.start(at(1000));
            health.ask();
            health.start(at(1000));
            changes.push(health.ended(end, at(1000)).changed);
            health.next = Some(at(1000));
        }
        assert_eq!(changes, [false, true, false, true, false]);
    }

    #[test]
    fn failures_in_the_start_period_do_not_count() {
        let mut health = Health::begin(
            HealthPolicy {
                start_period: at(10),
                retries: 1,
                ..policy()
            },
            at(100),
        );
        // At 100, 106, 112.
        let seen = run(&mut health, &[Failed, Failed, Failed]);
        let expected = [
            (Starting, 0, OnFailure::None),
            (Starting, 0, OnFailure::None),
            (Unhealthy, 1, OnFailure::Kill),
        ];
        assert_eq!(seen, expected);
    }

    #[test]
    fn the_startup_command_goes_first() {
        let startup = StartupPolicy {
            rhythm: Rhythm {
                interval: Some(at(1)),
                timeout: at(1),
            },
            retries: 2,
            successes: 2,
        };
        let mut health = Health::begin(
            HealthPolicy {
                startup: Some(startup),
                ..policy()
            },
            at(0),
        );
        let (none, again) = (OnFailure::None, OnFailure::Restart);
        let seen = run(
            &mut health,
            &[Failed, Passed, Failed, Failed, Passed, Unknown, Passed],
        );
        let expected = [
            (Starting, 0, none),
            (Starting, 0, none),
            (Starting, 0, none),
            (Starting, 0, again),
            (Starting, 0, none),
            (Starting, 0, none),
            (Healthy, 0, none),
        ];
        assert_eq!(seen, expected);
        assert_eq!(health.probe(), Probe::Regular);
        let seen = run(&mut health, &[Failed, Failed]);
        assert_eq!(seen, [(Healthy, 1, none), (Unhealthy, 2, OnFailure::Kill)]);
    }

    #[test]
    fn without_an_interval_only_others_ask() {
        let mut asked = policy();
        asked.rhythm.interval = None;
        let mut health = Health::begin(asked, at(0));
        assert_eq!(health.start(at(1000)), None);
        health.ask();
        assert_eq!(health.start(at(1000)), Some(Probe::Regular));
        // One that comes in between has a probe of its own.
        health.ask();
        assert_eq!(health.start(at(1000)), None);
        health.ended(Passed, at(1001));
        assert_eq!(health.start(at(1001)), Some(Probe::Regular));
        health.ended(Passed, at(1002));
        assert_eq!(health.deadline(), None);
    }
}
