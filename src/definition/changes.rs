//! What `update` changes in the options of a container that is there.

use super::{DefinitionError, HealthCommand, HealthOptions, OptionSpec, Options};

/// Flags of what can be changed; everything else belongs to what the container is.
const CHANGEABLE: &[&str] = &[
    "blkio-weight",
    "blkio-weight-device",
    "cpu-period",
    "cpu-quota",
    "cpu-shares",
    "cpus",
    "cpuset-cpus",
    "cpuset-mems",
    "device-read-bps",
    "device-read-iops",
    "device-write-bps",
    "device-write-iops",
    "health-cmd",
    "health-interval",
    "health-log-destination",
    "health-max-log-count",
    "health-max-log-size",
    "health-on-failure",
    "health-retries",
    "health-start-period",
    "health-startup-cmd",
    "health-startup-interval",
    "health-startup-retries",
    "health-startup-success",
    "health-startup-timeout",
    "health-timeout",
    "memory",
    "memory-reservation",
    "memory-swap",
    "memory-swappiness",
    "no-healthcheck",
    "pids-limit",
    "restart",
];

/// What checks run.
const COMMANDS: [&str; 2] = ["health-cmd", "health-startup-cmd"];

/// What means nothing without a health check.
const OF_CHECK: [&str; 4] = [
    "health-interval",
    "health-retries",
    "health-start-period",
    "health-timeout",
];

/// What means nothing without a startup check.
const OF_STARTUP: [&str; 4] = [
    "health-startup-interval",
    "health-startup-retries",
    "health-startup-success",
    "health-startup-timeout",
];

/// Options, each with the values that it is given.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    given: Vec<(&'static OptionSpec, Vec<String>)>,
}

impl Changes {
    /// Whether an option can be changed once the container is made.
    pub fn can_have(spec: &OptionSpec) -> bool {
        CHANGEABLE.contains(&spec.flag)
    }

    /// Adds an option with its values.
    ///
    /// # Errors
    /// It cannot be changed.
    pub fn add(
        &mut self,
        spec: &'static OptionSpec,
        values: impl IntoIterator<Item = String>,
    ) -> Result<(), DefinitionError> {
        if !Self::can_have(spec) {
            return Err(DefinitionError::Unchangeable(spec.flag));
        }
        self.given.push((spec, values.into_iter().collect()));
        Ok(())
    }

    /// Whether anything of the checks of health changes.
    pub fn touch_health(&self) -> bool {
        let mut flags = self.given.iter().map(|(spec, _)| spec.flag);
        flags.any(|flag| flag.starts_with("health-") || flag == "no-healthcheck")
    }

    /// Puts the values into the options. `image`: what the container's image says of health.
    ///
    /// # Errors
    /// A value is refused, or does not go with the others or with what stays.
    pub fn apply(
        &self,
        options: &mut Options,
        image: &HealthOptions,
    ) -> Result<(), DefinitionError> {
        // The two ways to say how much processor time replace each other.
        if self.say("cpus") {
            (options.limits.cpu_quota, options.limits.cpu_period) = (None, None);
        } else if self.say("cpu-quota") || self.say("cpu-period") {
            options.limits.cpus = None;
        }
        self.make_way(&mut options.health, image)?;
        for (spec, values) in &self.given {
            for value in values {
                spec.apply(options, value)?;
            }
        }
        options.check()
    }

    fn say(&self, flag: &str) -> bool {
        self.given.iter().any(|(spec, _)| spec.flag == flag)
    }

    fn say_any(&self, flags: &[&str]) -> bool {
        flags.iter().any(|flag| self.say(flag))
    }

    /// What a flag alone says; nothing where it is not given, or wrong.
    fn alone(&self, flag: &str) -> HealthOptions {
        let mut options = Options::default();
        let given = self.given.iter().find(|(spec, _)| spec.flag == flag);
        if let Some((spec, value)) = given.and_then(|(spec, values)| Some((spec, values.last()?))) {
            // It is applied again, and its error is told then.
            let _ = spec.apply(&mut options, value);
        }
        options.health
    }

    /// Takes away what new options replace besides their own, as Podman does.
    fn make_way(
        &self,
        health: &mut HealthOptions,
        image: &HealthOptions,
    ) -> Result<(), DefinitionError> {
        if self.alone("no-healthcheck").disabled {
            if self.say_any(&COMMANDS) || self.say_any(&OF_CHECK) || self.say_any(&OF_STARTUP) {
                return Err(DefinitionError::CheckAndNone);
            }
            keep_log(health);
            return Ok(());
        }
        if self.alone("health-cmd").command == Some(HealthCommand::None) {
            keep_log(health);
        }
        let has_check = health.disabled || health.command.is_some() || image.command.is_some();
        if self.say("health-cmd") {
            health.disabled = false;
            if health.command.is_none() {
                // The image's times are for its own command, until another takes its place here.
                health.interval = health.interval.or(image.interval);
                health.timeout = health.timeout.or(image.timeout);
                health.start_period = health.start_period.or(image.start_period);
                health.retries = health.retries.or(image.retries);
            }
        } else if self.say_any(&OF_CHECK) && !has_check {
            return Err(DefinitionError::NoCheck("healthcheck"));
        }
        let has_startup = self.say("health-startup-cmd") || health.startup_command.is_some();
        match self.say_any(&OF_STARTUP) && !has_startup {
            true => Err(DefinitionError::NoCheck("startup healthcheck")),
            false => Ok(()),
        }
    }
}

/// What is left without a check.
fn keep_log(health: &mut HealthOptions) {
    *health = HealthOptions {
        log: health.log.clone(),
        max_log_count: health.max_log_count,
        max_log_size: health.max_log_size,
        ..HealthOptions::default()
    };
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::definition::{HealthLog, options};
    use crate::types::{OnFailure, RestartPolicy};

    /// What comes of options and changes.
    fn changed(before: &Options, flags: &[(&str, &str)]) -> Result<Options, String> {
        with_image(before, flags, &HealthOptions::default())
    }

    fn with_image(
        before: &Options,
        flags: &[(&str, &str)],
        image: &HealthOptions,
    ) -> Result<Options, String> {
        let mut after = before.clone();
        let mut changes = Changes::default();
        for (flag, value) in flags {
            let spec = options().find(|spec| spec.flag == *flag).unwrap();
            let added = changes.add(spec, [(*value).to_owned()]);
            added.map_err(|error| error.to_string())?;
        }
        let applied = changes.apply(&mut after, image);
        applied.map_err(|error| error.to_string())?;
        Ok(after)
    }

    fn shell(line: &str) -> Option<HealthCommand> {
        Some(HealthCommand::Shell(line.to_owned()))
    }

    fn checked() -> Options {
        let mut options = Options::default();
        options.health.command = shell("old");
        options.health.interval = Some(Duration::from_secs(7));
        options.health.on_failure = OnFailure::Kill;
        options.health.startup_command = shell("first");
        options.health.log = HealthLog::Journal;
        options
    }

    #[test]
    fn what_can_be_changed_is_an_option() {
        for flag in CHANGEABLE.iter().chain(&OF_CHECK).chain(&OF_STARTUP) {
            assert!(options().any(|spec| spec.flag == *flag), "{flag}");
            assert!(CHANGEABLE.contains(flag), "{flag}");
        }
        let error = changed(&Options::default(), &[("env", "A=b")]).unwrap_err();
        assert!(error.starts_with("--env cannot be changed"), "{error}");
    }

    #[test]
    fn a_new_command_keeps_the_times_of_the_old_one() {
        let after = changed(&checked(), &[("health-cmd", "new")]).unwrap();
        assert_eq!(after.health.command, shell("new"));
        assert_eq!(after.health.interval, Some(Duration::from_secs(7)));
        assert_eq!(after.health.on_failure, OnFailure::Kill);
        // Also where that is the image's.
        let image = checked().health;
        let flags = [("health-cmd", "new"), ("health-retries", "9")];
        let after = with_image(&Options::default(), &flags, &image).unwrap();
        assert_eq!(after.health.interval, Some(Duration::from_secs(7)));
        assert_eq!(after.health.retries, Some(9));
    }

    #[test]
    fn no_check_takes_everything_of_it_away_but_the_log() {
        let after = changed(&checked(), &[("no-healthcheck", "true")]).unwrap();
        let expected = HealthOptions {
            disabled: true,
            log: HealthLog::Journal,
            ..HealthOptions::default()
        };
        assert_eq!(after.health, expected);
        let none = changed(&checked(), &[("health-cmd", "none")]).unwrap();
        let expected = HealthOptions {
            disabled: false,
            command: Some(HealthCommand::None),
            ..expected
        };
        assert_eq!(none.health, expected);
        let again = changed(&after, &[("health-cmd", "new")]).unwrap();
        assert!(!again.health.disabled);
        assert_eq!(again.health.command, shell("new"));
        let log = [("no-healthcheck", "true"), ("health-max-log-count", "2")];
        let after = changed(&checked(), &log).unwrap();
        assert_eq!(after.health.max_log_count, Some(2));
        let both = [("no-healthcheck", "true"), ("health-retries", "2")];
        let error = changed(&checked(), &both).unwrap_err();
        assert_eq!(
            error,
            "cannot specify both --no-healthcheck and other HealthCheck flags"
        );
        let nothing = changed(&checked(), &[("no-healthcheck", "false")]);
        assert_eq!(nothing, Ok(checked()));
    }

    #[test]
    fn what_a_check_needs_is_missed() {
        let none = Options::default();
        for (flag, value) in [("health-interval", "1s"), ("health-retries", "2")] {
            let error = changed(&none, &[(flag, value)]).unwrap_err();
            assert_eq!(error, "healthcheck command is not set");
            assert!(with_image(&none, &[(flag, value)], &checked().health).is_ok());
            assert!(changed(&none, &[(flag, value), ("health-cmd", "x")]).is_ok());
        }
        let success = [("health-startup-success", "2")];
        let error = changed(&none, &success).unwrap_err();
        assert_eq!(error, "startup healthcheck command is not set");
        assert!(changed(&checked(), &success).is_ok());
    }

    #[test]
    fn the_policy_is_replaced_unless_it_removes_itself() {
        let flags = [("restart", "on-failure:3")];
        let after = changed(&Options::default(), &flags).unwrap();
        assert_eq!(after.restart, Some(RestartPolicy::OnFailure(Some(3))));
        let after = changed(&after, &[("restart", "no")]).unwrap();
        assert_eq!(after.restart(), RestartPolicy::No);
        assert!(changed(&after, &[("restart", "sometimes")]).is_err());
        let gone = Options {
            remove: true,
            ..Options::default()
        };
        let error = changed(&gone, &flags).unwrap_err();
        assert_eq!(error, "--rm and --restart cannot be used together");
    }
}
