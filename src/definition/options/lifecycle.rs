//! Start and stop.

use super::OptionSpec;
use super::parse::{Done, clean, number, shown, shown_one, switch};
use crate::definition::Options;
use crate::types::{NotifyMode, RestartError};

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::one(
        "conmon-pidfile",
        "FILE",
        "Write the process id of the container's monitor to this file at each start",
        |options, value| path(&mut options.conmon_pidfile, value),
        |options| shown_one(options.conmon_pidfile.as_ref()),
    ),
    OptionSpec::one(
        "pidfile",
        "FILE",
        "Write the process id of the container's first process to this file at each start",
        |options, value| path(&mut options.pidfile, value),
        |options| shown_one(options.pidfile.as_ref()),
    ),
    OptionSpec::switch(
        "register",
        "Have systemd-machined list it while it runs (machinectl)",
        |options, value| switch(&mut options.register, value),
        |options| shown(options.register),
    )
    .key("Register"),
    OptionSpec::many(
        "requires",
        "CONTAINER",
        "Containers that must run before this one (Requires=), by commas",
        |options, value| {
            for name in value.split(',') {
                if name.is_empty() {
                    return Err("a name is empty".to_owned());
                }
                options.requires.push(clean(name)?);
            }
            Ok(())
        },
        |options| options.requires.clone(),
    ),
    OptionSpec::one(
        "restart",
        "POLICY",
        "When to start it again after its end: no, on-failure[:RETRIES], always or unless-stopped",
        |options, value| {
            let policy = || {
                value
                    .parse()
                    .map_err(|error: RestartError| error.to_string())
            };
            options.restart = (!value.is_empty()).then(policy).transpose()?;
            Ok(())
        },
        |options| shown_one(options.restart.as_ref()),
    ),
    OptionSpec::one(
        "runtime",
        "runc|crun|PATH",
        "OCI runtime: runc by default, crun if only that is there",
        runtime,
        |options| shown_one(options.runtime.as_ref()),
    ),
    OptionSpec::one(
        "sdnotify",
        "container|conmon|healthy|ignore",
        "Who tells systemd that it is ready: the container itself, the monitor (conmon), or its health",
        |options, value| {
            let mode = value.parse().map_err(str::to_owned)?;
            options.notify = Some(mode).filter(|mode| *mode != NotifyMode::default());
            Ok(())
        },
        |options| shown_one(options.notify.as_ref()),
    ),
    OptionSpec::one(
        "stop-signal",
        "SIGNAL",
        "Signal of an ordered stop",
        stop_signal,
        |options| shown_one(options.stop_signal.as_ref()),
    )
    .key("StopSignal"),
    OptionSpec::one(
        "stop-timeout",
        "SECONDS",
        "Seconds between the stop signal and SIGKILL (10)",
        stop_timeout,
        |options| shown_one(options.stop_timeout.as_ref()),
    )
    .key("StopTimeout"),
    OptionSpec::one(
        "timeout",
        "SECONDS",
        "Seconds after which the container is stopped (RuntimeMaxSec=)",
        |options, value| {
            let seconds: u32 = number(value, "not a number of seconds")?;
            options.timeout = Some(seconds).filter(|seconds| *seconds != 0);
            Ok(())
        },
        |options| shown_one(options.timeout.as_ref()),
    ),
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("conmon-pidfile", "/run/monitor.pid"),
    ("pidfile", "/run/payload.pid"),
    ("register", "true"),
    ("requires", "db,cache"),
    ("restart", "no"),
    ("restart", "on-failure:3"),
    ("restart", "unless-stopped"),
    ("runtime", "/usr/bin/crun"),
    ("sdnotify", "container"),
    ("sdnotify", "healthy"),
    ("stop-signal", "QUIT"),
    ("stop-signal", "RTMIN+3"),
    ("stop-timeout", "0"),
    ("timeout", "60"),
];

fn runtime(options: &mut Options, value: &str) -> Done {
    let value = clean(value)?;
    if value.is_empty() || (value.contains('/') && !value.starts_with('/')) {
        return Err("not a name or an absolute path".to_owned());
    }
    options.runtime = Some(value);
    Ok(())
}

fn path(file: &mut Option<String>, value: &str) -> Done {
    let value = clean(value)?;
    *file = Some(value).filter(|value| !value.is_empty());
    Ok(())
}

fn stop_signal(options: &mut Options, value: &str) -> Done {
    options.stop_signal = Some(value.parse().map_err(|_| "unknown signal".to_owned())?);
    Ok(())
}

fn stop_timeout(options: &mut Options, value: &str) -> Done {
    options.stop_timeout = Some(number(value, "not a number of seconds")?);
    Ok(())
}
