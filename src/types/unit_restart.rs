//! When systemd starts a unit again, whoever has told it to.

use std::fmt;
use std::str::FromStr;

use super::{RestartPolicy, Signal};

/// `Restart=` of a unit (systemd.service(5)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// Never.
    No,
    /// After clean ends.
    OnSuccess,
    /// After all others.
    OnFailure,
    /// After all that are neither clean nor an exit code.
    OnAbnormal,
    /// When its watchdog has run out.
    OnWatchdog,
    /// After a signal that is not clean.
    OnAbort,
    /// Whenever it ends.
    Always,
}

/// How systemd takes the end of a unit (systemd.service(5), the table of `Restart=`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Exit code 0, or one of the signals that ask to end.
    Clean,
    /// Another exit code.
    Code,
    /// Another signal.
    Signal,
    /// It had no memory left.
    Memory,
    /// Its watchdog has run out.
    Watchdog,
}

impl Cause {
    /// Of a main process that was killed.
    pub fn of_signal(signal: Signal) -> Self {
        let clean = [Signal::HUP, Signal::INT, Signal::PIPE, Signal::TERM];
        match clean.contains(&signal) {
            true => Self::Clean,
            false => Self::Signal,
        }
    }
}

impl Restart {
    const ALL: [Self; 7] = [
        Self::No,
        Self::OnSuccess,
        Self::OnFailure,
        Self::OnAbnormal,
        Self::OnWatchdog,
        Self::OnAbort,
        Self::Always,
    ];

    /// systemd's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnSuccess => "on-success",
            Self::OnFailure => "on-failure",
            Self::OnAbnormal => "on-abnormal",
            Self::OnWatchdog => "on-watchdog",
            Self::OnAbort => "on-abort",
            Self::Always => "always",
        }
    }

    /// Whether a unit that has ended so is started again.
    pub fn follows(self, cause: Cause) -> bool {
        match self {
            Self::No => false,
            Self::OnSuccess => cause == Cause::Clean,
            Self::OnFailure => cause != Cause::Clean,
            Self::OnAbnormal => !matches!(cause, Cause::Clean | Cause::Code),
            Self::OnWatchdog => cause == Cause::Watchdog,
            Self::OnAbort => cause == Cause::Signal,
            Self::Always => true,
        }
    }
}

impl fmt::Display for Restart {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl FromStr for Restart {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or("no value of Restart=")
    }
}

/// By what a container is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restarts {
    /// Its own policy, for which the unit was made.
    Policy(RestartPolicy),
    /// What somebody has written into the unit's file or a drop-in.
    Unit(Restart),
}

impl Restarts {
    /// What holds, now that the unit's own `Restart=` is known.
    pub fn with(self, unit: Restart) -> Self {
        match self {
            Self::Policy(policy) if [false, true].map(|by| policy.in_unit(by)).contains(&unit) => {
                self
            }
            Self::Policy(_) | Self::Unit(_) => Self::Unit(unit),
        }
    }

    /// Its name, without the number of retries.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy(policy) => policy.name(),
            Self::Unit(restart) => restart.as_str(),
        }
    }

    /// Most restarts in a row; 0: as many as it takes.
    pub fn retries(self) -> u32 {
        match self {
            Self::Policy(policy) => policy.retries(),
            Self::Unit(_) => 0,
        }
    }

    /// Whether any end is followed by another run.
    pub fn are_possible(self) -> bool {
        match self {
            Self::Policy(policy) => policy != RestartPolicy::No,
            Self::Unit(restart) => restart != Restart::No,
        }
    }
}

/// As it was asked for.
impl fmt::Display for Restarts {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(policy) => write!(out, "--restart={policy}"),
            Self::Unit(restart) => write!(out, "Restart={restart}"),
        }
    }
}

impl FromStr for Restarts {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let policy = text.strip_prefix("--restart=");
        let policy = policy
            .and_then(|policy| policy.parse().ok())
            .map(Self::Policy);
        let unit = || text.strip_prefix("Restart=")?.parse().ok().map(Self::Unit);
        policy.or_else(unit).ok_or("no way to be started again")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of systemd.service(5), "Exit causes and the effect of the Restart= settings"; no memory is as a timeout.
    #[test]
    fn restarts_are_systemds() {
        use Cause::{Clean, Code, Memory, Signal, Watchdog};
        let causes = [Clean, Code, Signal, Memory, Watchdog];
        for (text, expected) in [
            ("no", "....."),
            ("always", "+++++"),
            ("on-success", "+...."),
            ("on-failure", ".++++"),
            ("on-abnormal", "..+++"),
            ("on-abort", "..+.."),
            ("on-watchdog", "....+"),
        ] {
            let restart: Restart = text.parse().unwrap();
            assert_eq!(restart.to_string(), text);
            let mark = |cause| if restart.follows(cause) { '+' } else { '.' };
            let seen: String = causes.into_iter().map(mark).collect();
            assert_eq!(seen, expected, "{text}");
        }
        assert!("sometimes".parse::<Restart>().is_err());
    }

    #[test]
    fn what_a_unit_says_goes_before_a_policy_that_it_was_not_made_for() {
        let policy = |text: &str| Restarts::Policy(text.parse().unwrap());
        for (made, unit, holds) in [
            ("no", Restart::No, "--restart=no"),
            // By health checks.
            ("no", Restart::OnWatchdog, "--restart=no"),
            ("no", Restart::Always, "Restart=always"),
            ("on-failure:3", Restart::OnFailure, "--restart=on-failure:3"),
            ("on-failure:3", Restart::Always, "Restart=always"),
            (
                "unless-stopped",
                Restart::Always,
                "--restart=unless-stopped",
            ),
            ("always", Restart::No, "Restart=no"),
        ] {
            let restarts = policy(made).with(unit);
            assert_eq!(restarts.to_string(), holds);
            assert_eq!(holds.parse(), Ok(restarts));
        }
    }
}
