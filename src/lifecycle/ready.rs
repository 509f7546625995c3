//! When systemd is told that a container is ready, and that it goes on well.

use std::time::Duration;

use super::{Effect, Run, State};
use crate::types::{HealthStatus, NotifyMode};

impl Run {
    /// The payload runs.
    pub(super) fn started(&mut self, now: Duration) -> Vec<Effect> {
        self.state = State::Running;
        match self.policy.notify {
            NotifyMode::Conmon | NotifyMode::Ignore => {
                self.begin_pings(now);
                vec![Effect::Ready]
            }
            // What the watchdog hears comes from the payload, too.
            NotifyMode::Container => vec![Effect::Started],
            NotifyMode::Healthy => {
                let extend = self.policy.health.map(|health| health.decides_within());
                let extend = extend.map(Effect::Extend);
                [Effect::Started].into_iter().chain(extend).collect()
            }
        }
    }

    /// The payload is healthy: for the first time, that may be what its start waits for.
    pub(super) fn became_healthy(&mut self, now: Duration) -> Option<Effect> {
        if self.policy.notify != NotifyMode::Healthy || self.announced {
            return None;
        }
        self.announced = true;
        self.begin_pings(now);
        Some(Effect::Announce)
    }

    fn begin_pings(&mut self, now: Duration) {
        self.ping_at = self.watchdog.map(|time| now.saturating_add(time));
    }

    /// When systemd's watchdog must hear of us. As long as the payload is unhealthy it shall run out.
    pub(super) fn ping_due(&self) -> Option<Duration> {
        let health = self.health.as_ref();
        let unhealthy = health.is_some_and(|health| health.status == HealthStatus::Unhealthy);
        match self.state {
            State::Ended => None,
            State::Running if unhealthy => None,
            _ => self.ping_at,
        }
    }

    pub(super) fn ping(&mut self, now: Duration) -> Vec<Effect> {
        if self.ping_due().is_none_or(|at| now < at) {
            return vec![];
        }
        self.begin_pings(now);
        vec![Effect::Ping]
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, Health, ProbeEnd};
    use super::*;
    use crate::types::{HealthPolicy, OnFailure, Rhythm};

    const NOW: Duration = Duration::from_secs(100);
    const SECOND: Duration = Duration::from_secs(1);

    fn run(notify: NotifyMode) -> Run {
        let mut run = Run::begin().0;
        run.policy.notify = notify;
        run.watchdog = Some(SECOND);
        run.policy.health = Some(HealthPolicy {
            rhythm: Rhythm {
                interval: Some(SECOND),
                timeout: SECOND,
            },
            retries: 1,
            start_period: Duration::ZERO,
            startup: None,
            on_failure: OnFailure::None,
        });
        run
    }

    #[test]
    fn who_is_ready_when() {
        let started = |notify| run(notify).step(Event::Started, NOW);
        assert_eq!(started(NotifyMode::Conmon), [Effect::Ready]);
        assert_eq!(started(NotifyMode::Ignore), [Effect::Ready]);
        assert_eq!(started(NotifyMode::Container), [Effect::Started]);
        let extend = Effect::Extend(4 * SECOND);
        assert_eq!(started(NotifyMode::Healthy), [Effect::Started, extend]);
    }

    fn probed(run: &mut Run, end: ProbeEnd, now: Duration) -> Vec<Effect> {
        run.health.iter_mut().for_each(Health::ask);
        run.step(Event::ProbeRequested, now);
        run.step(Event::ProbeEnded(end), now)
    }

    #[test]
    fn the_first_good_health_is_told_once() {
        let mut run = run(NotifyMode::Healthy);
        run.step(Event::Started, NOW);
        let told = Effect::TellHealth(true);
        for (end, expected) in [
            (ProbeEnd::Failed, vec![told.clone()]),
            (ProbeEnd::Passed, vec![told.clone(), Effect::Announce]),
            (ProbeEnd::Failed, vec![told.clone()]),
            (ProbeEnd::Passed, vec![told]),
        ] {
            assert_eq!(probed(&mut run, end, NOW), expected);
        }
    }

    #[test]
    fn the_watchdog_hears_of_good_health_only() {
        let mut run = run(NotifyMode::Conmon);
        assert_eq!(run.ping_due(), None);
        run.step(Event::Started, NOW);
        let pings = |run: &mut Run, now| run.step(Event::Tick, now).contains(&Effect::Ping);
        assert!(!pings(&mut run, NOW));
        assert_eq!(run.ping_due(), Some(NOW + SECOND));
        assert!(pings(&mut run, NOW + SECOND));
        // One that comes late is followed by the next one in its time.
        assert!(pings(&mut run, NOW + 9 * SECOND));
        assert!(!pings(&mut run, NOW + 9 * SECOND));
        probed(&mut run, ProbeEnd::Failed, NOW + 9 * SECOND);
        assert_eq!(run.ping_due(), None);
        probed(&mut run, ProbeEnd::Passed, NOW + 20 * SECOND);
        assert!(pings(&mut run, NOW + 20 * SECOND));
        // Also while what has ended is cleaned up.
        run.state = State::Exiting;
        assert!(pings(&mut run, NOW + 30 * SECOND));
        run.state = State::Ended;
        assert!(!pings(&mut run, NOW + 60 * SECOND));
        let mut silent = self::run(NotifyMode::Container);
        silent.step(Event::Started, NOW);
        assert!(!pings(&mut silent, NOW + 60 * SECOND));
    }
}
