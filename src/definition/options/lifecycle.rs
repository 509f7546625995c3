//! Start and stop.

use super::OptionSpec;
use super::parse::{Done, clean, number, shown_one};
use crate::definition::Options;

pub(super) const SPECS: &[OptionSpec] = &[
    OptionSpec::one(
        "runtime",
        "runc|crun|PATH",
        "OCI runtime: runc by default, crun if only that is there",
        runtime,
        |options| shown_one(options.runtime.as_ref()),
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
];

#[cfg(test)]
pub(super) const SAMPLES: &[(&str, &str)] = &[
    ("runtime", "/usr/bin/crun"),
    ("stop-signal", "QUIT"),
    ("stop-signal", "RTMIN+3"),
    ("stop-timeout", "0"),
];

fn runtime(options: &mut Options, value: &str) -> Done {
    let value = clean(value)?;
    if value.is_empty() || (value.contains('/') && !value.starts_with('/')) {
        return Err("not a name or an absolute path".to_owned());
    }
    options.runtime = Some(value);
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
