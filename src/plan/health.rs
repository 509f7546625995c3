//! The health check that a container gets: the user's wishes over those of the image.

use std::time::Duration;

use crate::definition::{DefinitionError, HealthCommand, HealthOptions, Options};
use crate::types::{HealthPolicy, NotifyMode, OnFailure, Rhythm, StartupPolicy};

/// Between two checks, and for one, where nobody says how long.
const USUAL: Duration = Duration::from_secs(30);
/// Failures in a row where nobody says how many.
const RETRIES: u32 = 3;

/// Commands, and when they are run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthPlan {
    /// What tells whether it is healthy.
    pub command: HealthCommand,
    /// What goes first.
    pub startup: Option<HealthCommand>,
    /// When, and what is made of it.
    pub policy: HealthPolicy,
}

/// The check of a container; none if there is to be none.
///
/// # Errors
/// There is none, and something is asked for that needs one.
pub fn of(options: &Options, image: &HealthOptions) -> Result<Option<HealthPlan>, DefinitionError> {
    let found = plan(&options.health, image)?;
    if found.is_none() && options.notify == Some(NotifyMode::Healthy) {
        return Err(DefinitionError::HealthyWithoutCheck);
    }
    Ok(found)
}

/// The check; none if there is to be none.
///
/// # Errors
/// There is none, and something is asked for that needs one.
pub fn plan(
    own: &HealthOptions,
    image: &HealthOptions,
) -> Result<Option<HealthPlan>, DefinitionError> {
    let is_command = |command: &&HealthCommand| **command != HealthCommand::None;
    let command = own.command.as_ref().or(image.command.as_ref());
    let command = command.filter(|command| !own.disabled && is_command(command));
    let startup = own.startup_command.as_ref().filter(is_command);
    let Some(command) = command else {
        return match (own.on_failure, startup) {
            (OnFailure::None, None) => Ok(None),
            (OnFailure::None, Some(_)) => Err(DefinitionError::StartupWithoutCheck),
            (action, _) => Err(DefinitionError::ActionWithoutCheck(action)),
        };
    };
    // As in Podman, the image's times are for its own command.
    let none = HealthOptions::default();
    let image = own.command.as_ref().map_or(image, |_| &none);
    let startup_policy = startup.map(|_| StartupPolicy {
        rhythm: rhythm(own.startup_interval, own.startup_timeout),
        retries: own.startup_retries.unwrap_or(0),
        successes: own.startup_success.unwrap_or(1).max(1),
    });
    Ok(Some(HealthPlan {
        command: command.clone(),
        startup: startup.cloned(),
        policy: HealthPolicy {
            rhythm: rhythm(
                own.interval.or(image.interval),
                own.timeout.or(image.timeout),
            ),
            retries: own.retries.or(image.retries).unwrap_or(RETRIES),
            start_period: own.start_period.or(image.start_period).unwrap_or_default(),
            startup: startup_policy,
            on_failure: own.on_failure,
        },
    }))
}

fn rhythm(interval: Option<Duration>, timeout: Option<Duration>) -> Rhythm {
    let interval = interval.unwrap_or(USUAL);
    Rhythm {
        interval: (!interval.is_zero()).then_some(interval),
        timeout: timeout.unwrap_or(USUAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> HealthOptions {
        HealthOptions {
            command: Some(HealthCommand::Shell("image".to_owned())),
            interval: Some(Duration::from_secs(7)),
            ..HealthOptions::default()
        }
    }

    #[test]
    fn wishes_go_over_those_of_the_image() {
        let own = HealthOptions {
            retries: Some(9),
            ..HealthOptions::default()
        };
        let found = plan(&own, &image()).unwrap().unwrap();
        assert_eq!(found.command.test(), ["CMD-SHELL", "image"]);
        let seconds = |policy: HealthPolicy| {
            let interval = policy.rhythm.interval.map(|time| time.as_secs());
            (interval, policy.rhythm.timeout.as_secs(), policy.retries)
        };
        assert_eq!(seconds(found.policy), (Some(7), 30, 9));
        let own = HealthOptions {
            command: Some(HealthCommand::Shell("own".to_owned())),
            interval: Some(Duration::ZERO),
            startup_command: Some(HealthCommand::Shell("first".to_owned())),
            startup_success: Some(0),
            ..HealthOptions::default()
        };
        let found = plan(&own, &image()).unwrap().unwrap();
        assert_eq!(found.command.words(), ["sh", "-c", "own"]);
        assert_eq!(seconds(found.policy), (None, 30, 3));
        let own = HealthOptions {
            interval: None,
            ..own
        };
        let found = plan(&own, &image()).unwrap().unwrap();
        assert_eq!(seconds(found.policy), (Some(30), 30, 3));
        assert_eq!(found.policy.startup.unwrap().successes, 1);
    }

    #[test]
    fn none_is_none_and_can_have_no_consequence() {
        let none = HealthOptions::default();
        assert_eq!(plan(&none, &none), Ok(None));
        let disabled = HealthOptions {
            disabled: true,
            ..HealthOptions::default()
        };
        assert_eq!(plan(&disabled, &image()), Ok(None));
        let off = HealthOptions {
            command: Some(HealthCommand::None),
            ..HealthOptions::default()
        };
        assert_eq!(plan(&off, &image()), Ok(None));
        let action = HealthOptions {
            on_failure: OnFailure::Kill,
            ..disabled.clone()
        };
        let error = plan(&action, &image()).unwrap_err().to_string();
        assert_eq!(
            error,
            "cannot set on-failure action to kill without a health check"
        );
        let startup = HealthOptions {
            startup_command: Some(HealthCommand::Shell("x".to_owned())),
            ..none.clone()
        };
        assert_eq!(
            plan(&startup, &none),
            Err(DefinitionError::StartupWithoutCheck)
        );
    }
}
