//! How the container's health is looked at.

use std::time::Duration;

use super::OptionSpec;
use super::parse::{Done, absolute, no_nul, number, shown, shown_one, switch};
use crate::definition::{HealthCommand, HealthLog};
use crate::types::parse_duration;

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::one(
        "health-cmd",
        "COMMAND",
        "Command that tells whether it is healthy: a line for sh, JSON list, CMD WORDS or none",
        |options, value| command(&mut options.health.command, value),
        |options| shown_command(options.health.command.as_ref()),
    )
    .key("HealthCmd"),
    OptionSpec::one(
        "health-interval",
        "TIME",
        "Time between two health checks (30s); disable: none by itself",
        |options, value| interval(&mut options.health.interval, value),
        |options| shown_time(options.health.interval),
    )
    .key("HealthInterval"),
    OptionSpec::one(
        "health-log-destination",
        "local|events_logger|DIR",
        "Where the log of health checks goes besides the run directory (local)",
        |options, value| {
            options.health.log = match value {
                "local" => HealthLog::Local,
                "events_logger" => HealthLog::Journal,
                directory => HealthLog::Directory(absolute(directory)?),
            };
            Ok(())
        },
        |options| match &options.health.log {
            HealthLog::Local => Vec::new(),
            HealthLog::Journal => vec!["events_logger".to_owned()],
            HealthLog::Directory(directory) => vec![directory.clone()],
        },
    )
    .key("HealthLogDestination"),
    OptionSpec::one(
        "health-max-log-count",
        "NUMBER",
        "Health checks in the log (5); 0: all",
        |options, value| count(&mut options.health.max_log_count, value),
        |options| shown_one(options.health.max_log_count.as_ref()),
    )
    .key("HealthMaxLogCount"),
    OptionSpec::one(
        "health-max-log-size",
        "NUMBER",
        "Characters of each health check's output in the log (500); 0: all, up to a mebibyte",
        |options, value| {
            options.health.max_log_size = Some(number(value, "not a number")?);
            Ok(())
        },
        |options| shown_one(options.health.max_log_size.as_ref()),
    )
    .key("HealthMaxLogSize"),
    OptionSpec::one(
        "health-on-failure",
        "none|kill|restart|stop",
        "What is done when it is unhealthy",
        |options, value| {
            options.health.on_failure = value.parse()?;
            Ok(())
        },
        |options| match options.health.on_failure {
            crate::types::OnFailure::None => Vec::new(),
            action => vec![action.to_string()],
        },
    )
    .key("HealthOnFailure"),
    OptionSpec::one(
        "health-retries",
        "NUMBER",
        "Failed health checks in a row that make it unhealthy (3)",
        |options, value| {
            count(&mut options.health.retries, value)?;
            match options.health.retries {
                Some(0) => Err("must be greater than 0".to_owned()),
                _ => Ok(()),
            }
        },
        |options| shown_one(options.health.retries.as_ref()),
    )
    .key("HealthRetries"),
    OptionSpec::one(
        "health-start-period",
        "TIME",
        "Time after the start in which failed health checks do not count (0s)",
        |options, value| {
            options.health.start_period = Some(time(value)?);
            Ok(())
        },
        |options| shown_time(options.health.start_period),
    )
    .key("HealthStartPeriod"),
    OptionSpec::one(
        "health-startup-cmd",
        "COMMAND",
        "Command that must succeed before health checks begin, written like that of --health-cmd",
        |options, value| command(&mut options.health.startup_command, value),
        |options| shown_command(options.health.startup_command.as_ref()),
    )
    .key("HealthStartupCmd"),
    OptionSpec::one(
        "health-startup-interval",
        "TIME",
        "Time between two startup checks (30s); disable: none by itself",
        |options, value| interval(&mut options.health.startup_interval, value),
        |options| shown_time(options.health.startup_interval),
    )
    .key("HealthStartupInterval"),
    OptionSpec::one(
        "health-startup-retries",
        "NUMBER",
        "Failed startup checks in a row after which it is started again (0: never)",
        |options, value| count(&mut options.health.startup_retries, value),
        |options| shown_one(options.health.startup_retries.as_ref()),
    )
    .key("HealthStartupRetries"),
    OptionSpec::one(
        "health-startup-success",
        "NUMBER",
        "Startup checks in a row that must succeed (1)",
        |options, value| count(&mut options.health.startup_success, value),
        |options| shown_one(options.health.startup_success.as_ref()),
    )
    .key("HealthStartupSuccess"),
    OptionSpec::one(
        "health-startup-timeout",
        "TIME",
        "Time after which a startup check is killed and has failed (30s)",
        |options, value| timeout(&mut options.health.startup_timeout, value),
        |options| shown_time(options.health.startup_timeout),
    )
    .key("HealthStartupTimeout"),
    OptionSpec::one(
        "health-timeout",
        "TIME",
        "Time after which a health check is killed and has failed (30s)",
        |options, value| timeout(&mut options.health.timeout, value),
        |options| shown_time(options.health.timeout),
    )
    .key("HealthTimeout"),
    OptionSpec::switch(
        "no-healthcheck",
        "No health checks, whatever the image says",
        |options, value| switch(&mut options.health.disabled, value),
        |options| shown(options.health.disabled),
    ),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("health-cmd", "test -e /ready || exit 1"),
    ("health-cmd", r#"["CMD","true","x y"]"#),
    ("health-cmd", "none"),
    ("health-interval", "1m30s"),
    ("health-interval", "disable"),
    ("health-log-destination", "events_logger"),
    ("health-log-destination", "/var/log"),
    ("health-max-log-count", "0"),
    ("health-max-log-size", "10"),
    ("health-on-failure", "restart"),
    ("health-retries", "5"),
    ("health-start-period", "2s"),
    ("health-startup-cmd", "CMD true"),
    ("health-startup-interval", "500ms"),
    ("health-startup-retries", "2"),
    ("health-startup-success", "3"),
    ("health-startup-timeout", "1s"),
    ("health-timeout", "1.5s"),
    ("no-healthcheck", "true"),
];

/// A line for the shell unless it says otherwise: `none`, `CMD` or `CMD-SHELL` and words, or a list in JSON that may begin
/// so. An empty text is the image's command.
fn command(into: &mut Option<HealthCommand>, value: &str) -> Done {
    let value = no_nul(value)?;
    if value.is_empty() {
        *into = None;
        return Ok(());
    }
    let list: Option<Vec<String>> = serde_json::from_str(&value).ok();
    let upper = |word: &str| word.to_ascii_uppercase();
    let command = match list {
        Some(words) => of_list(words),
        None => {
            let (first, rest) = value.split_once(' ').unwrap_or((&value, ""));
            match upper(first).as_str() {
                "NONE" => HealthCommand::None,
                "CMD" => {
                    HealthCommand::Program(rest.split_whitespace().map(str::to_owned).collect())
                }
                "CMD-SHELL" => HealthCommand::Shell(rest.to_owned()),
                _ => HealthCommand::Shell(value.clone()),
            }
        }
    };
    match command.words().last() {
        None if command != HealthCommand::None => Err("there is no command".to_owned()),
        Some(last) if last.is_empty() && matches!(command, HealthCommand::Shell(_)) => {
            Err("there is no command".to_owned())
        }
        _ => {
            *into = Some(command);
            Ok(())
        }
    }
}

/// A list of one word is a line for the shell.
fn of_list(words: Vec<String>) -> HealthCommand {
    let first = words.first().map(|word| word.to_ascii_uppercase());
    match (first.as_deref(), words.as_slice()) {
        (Some("NONE"), _) => HealthCommand::None,
        (Some("CMD"), [_, rest @ ..]) => HealthCommand::Program(rest.to_vec()),
        (Some("CMD-SHELL"), [_, rest @ ..]) => HealthCommand::Shell(rest.join(" ")),
        (_, [line]) => HealthCommand::Shell(line.clone()),
        _ => HealthCommand::Program(words),
    }
}

fn shown_command(command: Option<&HealthCommand>) -> Vec<String> {
    let json = |test: Vec<String>| serde_json::to_string(&test).expect("a list of strings is JSON");
    command
        .map(|command| json(command.test()))
        .into_iter()
        .collect()
}

fn time(value: &str) -> Result<Duration, String> {
    parse_duration(value).map_err(|error| error.to_string())
}

fn interval(into: &mut Option<Duration>, value: &str) -> Done {
    *into = Some(match value {
        "disable" => Duration::ZERO,
        value => time(value)?,
    });
    Ok(())
}

fn timeout(into: &mut Option<Duration>, value: &str) -> Done {
    let timeout = time(value)?;
    if timeout.is_zero() {
        return Err("must be longer than nothing".to_owned());
    }
    *into = Some(timeout);
    Ok(())
}

fn count(into: &mut Option<u32>, value: &str) -> Done {
    *into = Some(number(value, "not a number")?);
    Ok(())
}

fn shown_time(time: Option<Duration>) -> Vec<String> {
    let text = |time: Duration| format!("{}us", time.as_micros());
    time.map(text).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_written_in_many_ways() {
        for (text, test) in [
            ("true a b", &["CMD-SHELL", "true a b"][..]),
            ("none", &["NONE"]),
            ("NONE", &["NONE"]),
            (r#"["NONE"]"#, &["NONE"]),
            (r#"["CMD","true","x y"]"#, &["CMD", "true", "x y"]),
            (r#"["CMD-SHELL","exit 3"]"#, &["CMD-SHELL", "exit 3"]),
            (r#"["true","x"]"#, &["CMD", "true", "x"]),
            (r#"["true x"]"#, &["CMD-SHELL", "true x"]),
            ("CMD true x", &["CMD", "true", "x"]),
            ("CMD-SHELL true x || y", &["CMD-SHELL", "true x || y"]),
            (r#"["CMD""#, &["CMD-SHELL", r#"["CMD""#]),
        ] {
            let mut found = None;
            command(&mut found, text).unwrap();
            let found = found.unwrap();
            assert_eq!(found.test(), test, "{text}");
            assert_eq!(HealthCommand::of_test(&found.test()), Some(found));
        }
        for text in ["[]", "CMD", r#"["CMD"]"#, "CMD-SHELL", r#"[""]"#] {
            assert!(command(&mut None, text).is_err(), "{text}");
        }
        let mut found = Some(HealthCommand::None);
        command(&mut found, "").unwrap();
        assert_eq!(found, None);
    }
}
