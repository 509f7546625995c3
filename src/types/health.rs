//! How the health of a container is looked at, in numbers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// What is done with a container that is unhealthy (podman-run(1), `--health-on-failure`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnFailure {
    /// Nothing.
    #[default]
    None,
    /// SIGKILL for its first process; its restart policy decides what follows.
    Kill,
    /// It is stopped and started again, whatever its restart policy is.
    Restart,
    /// It is stopped and stays so, whatever its restart policy is.
    Stop,
}

impl OnFailure {
    /// Podman's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kill => "kill",
            Self::Restart => "restart",
            Self::Stop => "stop",
        }
    }
}

impl fmt::Display for OnFailure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for OnFailure {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let all = [Self::None, Self::Kill, Self::Restart, Self::Stop];
        let found = all.into_iter().find(|action| action.as_str() == text);
        found.ok_or("supported actions are none,kill,restart,stop")
    }
}

stored_as_text!(OnFailure);

/// What is known of a container's health.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HealthStatus {
    /// It has not been healthy yet, nor failed often enough.
    Starting,
    /// The last check that counts went well, or too few have failed since.
    Healthy,
    /// Checks have failed so many times in a row.
    Unhealthy,
}

impl HealthStatus {
    /// Podman's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl fmt::Display for HealthStatus {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// When one command is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rhythm {
    /// From the end of one to the begin of the next; none: only when somebody asks for it.
    pub interval: Option<Duration>,
    /// After so long it is killed and has failed.
    pub timeout: Duration,
}

/// What decides that a container has started.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StartupPolicy {
    /// Of its command.
    pub rhythm: Rhythm,
    /// Failures until the container is started again; 0: any number.
    pub retries: u32,
    /// Successes in a row that it takes.
    pub successes: u32,
}

/// What is made of the checks of a container.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HealthPolicy {
    /// Of its command.
    pub rhythm: Rhythm,
    /// Failures in a row until it is unhealthy.
    pub retries: u32,
    /// After the start, in which failures do not count.
    pub start_period: Duration,
    /// Another command that goes first.
    pub startup: Option<StartupPolicy>,
    /// What is done when it is unhealthy.
    pub on_failure: OnFailure,
}

/// As one line of numbers, microseconds: the rhythm (interval 0: none), retries, start period, on-failure, and of the
/// startup command rhythm, retries and successes.
impl fmt::Display for HealthPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rhythm = |out: &mut fmt::Formatter<'_>, of: Rhythm| {
            let interval = of.interval.unwrap_or_default().as_micros();
            write!(out, "{interval} {}", of.timeout.as_micros())
        };
        rhythm(out, self.rhythm)?;
        let period = self.start_period.as_micros();
        write!(out, " {} {period} {}", self.retries, self.on_failure)?;
        if let Some(startup) = &self.startup {
            out.write_str(" ")?;
            rhythm(out, startup.rhythm)?;
            write!(out, " {} {}", startup.retries, startup.successes)?;
        }
        Ok(())
    }
}

impl HealthPolicy {
    /// How long it may take at most until it is known whether a container is healthy.
    pub fn decides_within(&self) -> Duration {
        let all = |of: Rhythm, tries: u32| {
            let one = of.interval.unwrap_or_default().saturating_add(of.timeout);
            one.saturating_mul(tries.saturating_add(1))
        };
        let first = self.startup.map(|startup| {
            all(
                startup.rhythm,
                startup.retries.saturating_add(startup.successes),
            )
        });
        let first = first.unwrap_or_default().saturating_add(self.start_period);
        first.saturating_add(all(self.rhythm, self.retries))
    }

    /// Reads what `Display` has written.
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let mut policy = Self {
            rhythm: Rhythm::parse(&mut words)?,
            retries: words.next()?.parse().ok()?,
            start_period: micros(words.next()?)?,
            on_failure: words.next()?.parse().ok()?,
            startup: None,
        };
        let mut words = words.peekable();
        if words.peek().is_some() {
            policy.startup = Some(StartupPolicy {
                rhythm: Rhythm::parse(&mut words)?,
                retries: words.next()?.parse().ok()?,
                successes: words.next()?.parse().ok()?,
            });
        }
        words.next().is_none().then_some(policy)
    }
}

impl Rhythm {
    fn parse<'t>(words: &mut impl Iterator<Item = &'t str>) -> Option<Self> {
        let interval = micros(words.next()?)?;
        Some(Self {
            interval: (!interval.is_zero()).then_some(interval),
            timeout: micros(words.next()?)?,
        })
    }
}

fn micros(text: &str) -> Option<Duration> {
    text.parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let rhythm = |interval: Option<u64>, timeout| Rhythm {
            interval: interval.map(Duration::from_millis),
            timeout: Duration::from_secs(timeout),
        };
        let mut policy = HealthPolicy {
            rhythm: rhythm(None, 30),
            retries: 3,
            start_period: Duration::from_secs(60),
            startup: None,
            on_failure: OnFailure::Restart,
        };
        assert_eq!(HealthPolicy::parse(&policy.to_string()), Some(policy));
        policy.startup = Some(StartupPolicy {
            rhythm: rhythm(Some(500), 4),
            retries: 5,
            successes: 6,
        });
        let text = policy.to_string();
        assert_eq!(HealthPolicy::parse(&text), Some(policy));
        assert_eq!(HealthPolicy::parse(&format!("{text} 1")), None);
        assert_eq!(HealthPolicy::parse(&text[..text.len() - 2]), None);
    }
}
