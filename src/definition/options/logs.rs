//! Where the output goes.

use super::OptionSpec;
use super::parse::{Done, absolute};
use crate::definition::{LogDriver, Options};
use crate::types::{fits_journal, parse_size};

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::one(
        "log-driver",
        "DRIVER",
        "Where output goes: journald, passthrough, k8s-file, json-file or none",
        log_driver,
        |options| match options.log_driver {
            LogDriver::Journald => Vec::new(),
            driver => vec![driver.name().to_owned()],
        },
    )
    .key("LogDriver"),
    OptionSpec::many(
        "log-opt",
        "KEY=VALUE",
        "Log option: path, max-size, tag, stderr-priority",
        log_opt,
        shown_log_opt,
    )
    .key("LogOpt"),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("log-driver", "journald"),
    ("log-driver", "json-file"),
    ("log-opt", "path=/var/log/x"),
    ("log-opt", "max-size=10m"),
    ("log-opt", "tag=a b"),
    ("log-opt", "stderr-priority=err"),
];

fn log_driver(options: &mut Options, value: &str) -> Done {
    options.log_driver = match value {
        "journald" => LogDriver::Journald,
        "passthrough" => LogDriver::Passthrough,
        "k8s-file" | "json-file" => LogDriver::K8sFile,
        "none" => LogDriver::None,
        _ => {
            return Err(
                "known drivers are journald, passthrough, k8s-file, json-file, none".to_owned(),
            );
        }
    };
    Ok(())
}

fn log_opt(options: &mut Options, value: &str) -> Done {
    let (key, value) = value.split_once('=').ok_or("not KEY=VALUE")?;
    let log = &mut options.log;
    match key {
        "path" => log.path = Some(absolute(value)?),
        "max-size" => log.max_size = Some(parse_size(value).map_err(|error| error.to_string())?),
        "tag" if value.chars().all(fits_journal) => log.tag = Some(value.to_owned()),
        "tag" => return Err("control characters and noncharacters are not allowed".to_owned()),
        "stderr-priority" => {
            let names = [
                "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
            ];
            let by_name = names
                .iter()
                .position(|name| *name == value)
                .map(|at| at as u8);
            let number = by_name.or_else(|| value.parse().ok()).filter(|n| *n <= 7);
            log.stderr_priority = Some(number.ok_or("not 0 to 7 or emerg to debug")?);
        }
        _ => return Err("known keys are path, max-size, tag, stderr-priority".to_owned()),
    }
    Ok(())
}

fn shown_log_opt(options: &Options) -> Vec<String> {
    let log = &options.log;
    let all = [
        log.path.as_ref().map(|path| format!("path={path}")),
        log.max_size.map(|size| format!("max-size={size}")),
        log.tag.as_ref().map(|tag| format!("tag={tag}")),
        log.stderr_priority
            .map(|priority| format!("stderr-priority={priority}")),
    ];
    all.into_iter().flatten().collect()
}
