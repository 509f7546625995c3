//! A run that another program goes on with: what the one before knew of it, and what may change meanwhile.

use std::time::Duration;

use super::{Effect, Health, Policy, Probe, Run, State};
use crate::types::{HealthPolicy, HealthStatus, Restarts};

impl Run {
    /// What a successor must know, as one line of words; none unless the payload runs and nothing else goes on.
    /// Microseconds of CLOCK_BOOTTIME: by what it is restarted, and how often it was, whether systemd knows that it is ready, what was done because it was
    /// unhealthy, when its watchdog hears of us; then what is known of its health, if it is looked at.
    pub fn render(&self) -> Option<String> {
        if self.state != State::Running {
            return None;
        }
        let mut text = format!(
            "{} {} {} {} {}",
            self.restart,
            self.restarts,
            self.announced,
            self.unhealthy,
            time(self.ping_at)
        );
        if let Some(health) = &self.health {
            text.push(' ');
            text.push_str(&health.render());
        }
        Some(text)
    }

    /// A run that goes on, as [`Run::render`] has it.
    pub fn resume(text: &str, policy: Policy) -> Option<Self> {
        let mut words = text.split(' ');
        let mut run = Self::begin().0;
        run.state = State::Running;
        run.policy = policy;
        run.restart = words.next()?.parse().ok()?;
        run.restarts = words.next()?.parse().ok()?;
        run.announced = words.next()?.parse().ok()?;
        run.unhealthy = words.next()?.parse().ok()?;
        run.ping_at = parse_time(words.next()?)?;
        let mut words = words.peekable();
        if words.peek().is_some() {
            run.health = Some(Health::parse(policy.health?, &mut words)?);
        }
        match words.next() {
            None => Some(run),
            Some(_) => None,
        }
    }

    /// Takes over what may change while the payload runs.
    pub fn change(
        &mut self,
        policy: Policy,
        restart: Option<Restarts>,
        now: Duration,
    ) -> Vec<Effect> {
        self.restart = restart.unwrap_or(self.restart);
        let before = self.policy.health;
        self.policy = Policy {
            // Who says that it is ready was settled at its start.
            notify: self.policy.notify,
            ..policy
        };
        if self.policy.health == before {
            return vec![];
        }
        let mut effects = Vec::new();
        match (&mut self.health, self.policy.health) {
            (Some(health), Some(policy)) => health.change(policy, now),
            (health, policy) => {
                if health.as_ref().is_some_and(Health::is_probed) {
                    effects.push(Effect::AbortProbe);
                }
                *health = policy.map(|policy| Health::begin(policy, now));
            }
        }
        effects.push(Effect::TellHealth(false));
        effects
    }
}

impl Health {
    fn render(&self) -> String {
        let startup = self.startup.map_or_else(
            || "-".to_owned(),
            |(passed, failed)| format!("{passed}/{failed}"),
        );
        let running = match self.running {
            None => "- -".to_owned(),
            Some((Probe::Startup, begun)) => format!("startup {}", time(Some(begun))),
            Some((Probe::Regular, begun)) => format!("regular {}", time(Some(begun))),
        };
        format!(
            "{} {} {} {startup} {} {running} {}",
            self.status,
            self.streak,
            time(Some(self.began)),
            time(self.next),
            self.asked
        )
    }

    fn parse<'t>(policy: HealthPolicy, words: &mut impl Iterator<Item = &'t str>) -> Option<Self> {
        let all = [
            HealthStatus::Starting,
            HealthStatus::Healthy,
            HealthStatus::Unhealthy,
        ];
        let status = words.next()?;
        Some(Self {
            policy,
            status: all.into_iter().find(|known| known.as_str() == status)?,
            streak: words.next()?.parse().ok()?,
            began: parse_time(words.next()?)??,
            startup: match words.next()? {
                "-" => None,
                both => {
                    let (passed, failed) = both.split_once('/')?;
                    Some((passed.parse().ok()?, failed.parse().ok()?))
                }
            },
            next: parse_time(words.next()?)?,
            running: match (words.next()?, parse_time(words.next()?)?) {
                ("-", None) => None,
                ("startup", Some(begun)) => Some((Probe::Startup, begun)),
                ("regular", Some(begun)) => Some((Probe::Regular, begun)),
                _ => return None,
            },
            asked: words.next()?.parse().ok()?,
        })
    }

    /// The status stays what it is until a check says something else; the next one comes at once.
    fn change(&mut self, policy: HealthPolicy, now: Duration) {
        self.policy = policy;
        // A container that has passed its startup command does not go back.
        self.startup = self.startup.filter(|_| policy.startup.is_some());
        self.next = self.rhythm(self.probe()).interval.map(|_| now);
    }
}

fn time(at: Option<Duration>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| at.as_micros().to_string())
}

fn parse_time(text: &str) -> Option<Option<Duration>> {
    match text {
        "-" => Some(None),
        text => text.parse().ok().map(Duration::from_micros).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Event, ProbeEnd};
    use super::*;
    use crate::types::{NotifyMode, OnFailure, RestartPolicy, Rhythm, StartupPolicy};

    const NOW: Duration = Duration::from_secs(100);
    const SECOND: Duration = Duration::from_secs(1);

    fn checked() -> HealthPolicy {
        HealthPolicy {
            rhythm: Rhythm {
                interval: Some(SECOND),
                timeout: SECOND,
            },
            retries: 2,
            start_period: Duration::ZERO,
            startup: Some(StartupPolicy {
                rhythm: Rhythm {
                    interval: Some(SECOND),
                    timeout: SECOND,
                },
                retries: 9,
                successes: 1,
            }),
            on_failure: OnFailure::Kill,
        }
    }

    fn run(health: Option<HealthPolicy>) -> Run {
        let mut run = Run::begin().0;
        run.policy.health = health;
        run.watchdog = Some(SECOND);
        run.restart = Restarts::Policy(RestartPolicy::OnFailure(Some(7)));
        run.restarts = 3;
        run.step(Event::Started, NOW);
        run
    }

    fn again(run: &Run) -> Option<Run> {
        let mut again = Run::resume(&run.render()?, run.policy)?;
        // That comes from the environment.
        again.watchdog = run.watchdog;
        Some(again)
    }

    #[test]
    fn a_successor_knows_the_same() {
        let plain = run(None);
        assert_eq!(again(&plain).as_ref(), Some(&plain));
        let mut looked_at = run(Some(checked()));
        assert_eq!(again(&looked_at).as_ref(), Some(&looked_at));
        for end in [
            ProbeEnd::Failed,
            ProbeEnd::Passed,
            ProbeEnd::Failed,
            ProbeEnd::Failed,
        ] {
            looked_at.step(Event::ProbeRequested, NOW);
            assert_eq!(again(&looked_at).as_ref(), Some(&looked_at), "probed");
            looked_at.step(Event::ProbeEnded(end), NOW);
            assert_eq!(again(&looked_at).as_ref(), Some(&looked_at), "{end:?}");
        }
        let text = looked_at.render().unwrap();
        for bad in [
            format!("{text} x"),
            text.replacen(' ', "  ", 1),
            String::new(),
        ] {
            assert_eq!(Run::resume(&bad, looked_at.policy), None, "{bad:?}");
        }
        looked_at.step(Event::StopRequested(None), NOW);
        assert_eq!(looked_at.render(), None);
    }

    #[test]
    fn what_changes_takes_effect_at_once() {
        let mut run = run(Some(checked()));
        run.step(Event::Tick, NOW);
        run.step(Event::ProbeEnded(ProbeEnd::Passed), NOW);
        let policy = |health| Policy {
            health,
            notify: NotifyMode::Container,
            ..Policy::default()
        };
        let told = vec![Effect::TellHealth(false)];
        // The same again is no change.
        assert_eq!(run.change(policy(Some(checked())), None, NOW), []);
        assert_eq!(run.policy.notify, NotifyMode::Conmon);
        let slow = HealthPolicy {
            retries: 7,
            ..checked()
        };
        let always = Restarts::Policy(RestartPolicy::Always);
        assert_eq!(run.change(policy(Some(slow)), Some(always), NOW), told);
        assert_eq!(run.restart, always);
        let health = run.health.clone().unwrap();
        assert_eq!(
            (health.status, health.policy),
            (HealthStatus::Healthy, slow)
        );
        assert_eq!(run.deadline(), Some(NOW), "the next check is due");
        run.step(Event::Tick, NOW);
        let aborted = vec![Effect::AbortProbe, Effect::TellHealth(false)];
        assert_eq!(run.change(policy(None), None, NOW), aborted);
        assert_eq!((run.health.as_ref(), run.restart), (None, always));
        assert_eq!(run.change(policy(Some(slow)), None, NOW), told);
        assert_eq!(run.health.unwrap().status, HealthStatus::Starting);
    }
}
