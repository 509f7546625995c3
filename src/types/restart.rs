//! When a container that has ended is started again.

use std::fmt;
use std::str::FromStr;

use super::Restart;

/// The variable that tells the monitor the policy, or for a container of a unit file `Restart=`: it cannot read
/// definitions, and has to know it even where no worker could tell.
pub const RESTART_VARIABLE: &str = "UNITBOX_RESTART";

/// With this code the monitor ends a run that systemd shall not follow with another (RestartPreventExitStatus=,
/// systemd.service(5)), though Restart= would: the exit file has the payload's own. A payload that ends with it by itself
/// and is to be restarted is told to systemd as one less.
pub const NO_RESTART: u8 = 199;

/// The restart policy of a container (podman-run(1), `--restart`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// Whenever it ends with another code than 0, so many times in a row at most; none: for ever.
    OnFailure(Option<u32>),
    /// Whenever it ends, and at boot.
    Always,
    /// Whenever it ends, and at boot unless a user had stopped it.
    UnlessStopped,
}

/// Why a text is no restart policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RestartError {
    /// No such policy.
    #[error("not no, always, unless-stopped or on-failure[:RETRIES]")]
    Name,
    /// A number of retries behind a policy that counts none.
    #[error("retries can be given with on-failure only")]
    Retries,
    /// Retries that are no number.
    #[error("the retries are not a number")]
    Number,
}

impl RestartPolicy {
    /// The policy's name, without the number of retries.
    pub fn name(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::OnFailure(_) => "on-failure",
            Self::Always => "always",
            Self::UnlessStopped => "unless-stopped",
        }
    }

    /// Most restarts in a row; 0: as many as it takes.
    pub fn retries(self) -> u32 {
        match self {
            Self::OnFailure(retries) => retries.unwrap_or(0),
            Self::No | Self::Always | Self::UnlessStopped => 0,
        }
    }

    /// `Restart=` of a unit that is made for it; with health checks that restart whatever the policy is, if `by_health`.
    pub fn in_unit(self, by_health: bool) -> Restart {
        match self {
            // The monitor ends a run that is to be followed by another for its health's sake like this.
            Self::No if by_health => Restart::OnWatchdog,
            Self::No => Restart::No,
            Self::OnFailure(_) => Restart::OnFailure,
            Self::Always | Self::UnlessStopped => Restart::Always,
        }
    }

    /// Whether a boot starts the container.
    pub fn starts_at_boot(self) -> bool {
        match self {
            Self::Always | Self::UnlessStopped => true,
            Self::No | Self::OnFailure(_) => false,
        }
    }
}

impl fmt::Display for RestartPolicy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())?;
        match self.retries() {
            0 => Ok(()),
            retries => write!(out, ":{retries}"),
        }
    }
}

impl FromStr for RestartPolicy {
    type Err = RestartError;

    fn from_str(text: &str) -> Result<Self, RestartError> {
        let (name, retries) = match text.split_once(':') {
            Some((name, retries)) => (name, Some(retries)),
            None => (text, None),
        };
        let policy = match name {
            "no" | "never" => Self::No,
            "always" => Self::Always,
            "unless-stopped" => Self::UnlessStopped,
            "on-failure" => {
                let number = |text: &str| text.parse::<u32>().map_err(|_| RestartError::Number);
                let retries = retries.map(number).transpose()?;
                return Ok(Self::OnFailure(retries.filter(|retries| *retries != 0)));
            }
            _ => return Err(RestartError::Name),
        };
        match retries {
            Some(_) => Err(RestartError::Retries),
            None => Ok(policy),
        }
    }
}

stored_as_text!(RestartPolicy);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read() {
        for text in [
            "no",
            "always",
            "unless-stopped",
            "on-failure",
            "on-failure:3",
        ] {
            let policy: RestartPolicy = text.parse().unwrap();
            assert_eq!(policy.to_string(), text);
        }
        assert_eq!("never".parse(), Ok(RestartPolicy::No));
        assert_eq!("on-failure:0".parse(), Ok(RestartPolicy::OnFailure(None)));
    }

    #[test]
    fn nonsense_is_refused() {
        for (text, error) in [
            ("", RestartError::Name),
            ("sometimes", RestartError::Name),
            ("Always", RestartError::Name),
            ("always:3", RestartError::Retries),
            ("no:", RestartError::Retries),
            ("on-failure:", RestartError::Number),
            ("on-failure:-1", RestartError::Number),
            ("on-failure:1:2", RestartError::Number),
        ] {
            assert_eq!(text.parse::<RestartPolicy>(), Err(error), "{text}");
        }
    }
}
