//! Setters of the option table: text in, a field of [`Options`] out, the reason of a refusal as text.

use super::{LogDriver, Network, Options};
use crate::types::parse_size;

type Done = Result<(), String>;

fn switch(field: &mut bool, value: &str) -> Done {
    *field = match value {
        "true" | "1" => true,
        "false" | "0" => false,
        _ => return Err("not true or false".to_owned()),
    };
    Ok(())
}

/// Values that end up in files of lines, in C strings or in tables: no control characters.
fn clean(value: &str) -> Result<String, String> {
    if value.chars().any(char::is_control) {
        return Err("control characters are not allowed".to_owned());
    }
    Ok(value.to_owned())
}

fn no_nul(value: &str) -> Result<String, String> {
    if value.contains('\0') {
        Err("NUL is not allowed".to_owned())
    } else {
        Ok(value.to_owned())
    }
}

fn absolute(value: &str) -> Result<String, String> {
    if value.starts_with('/') {
        clean(value)
    } else {
        Err("not an absolute path".to_owned())
    }
}

fn key_value(value: &str) -> Result<(String, String), String> {
    let (key, value) = value.split_once('=').unwrap_or((value, ""));
    if key.is_empty() {
        return Err("the key is empty".to_owned());
    }
    Ok((clean(key)?, no_nul(value)?))
}

pub(super) fn name(options: &mut Options, value: &str) -> Done {
    options.name = Some(
        value
            .parse()
            .map_err(|error: crate::types::NameError| error.to_string())?,
    );
    Ok(())
}

pub(super) fn remove(options: &mut Options, value: &str) -> Done {
    switch(&mut options.remove, value)
}

pub(super) fn interactive(options: &mut Options, value: &str) -> Done {
    switch(&mut options.interactive, value)
}

pub(super) fn env(options: &mut Options, value: &str) -> Done {
    let (name, value) = value.split_once('=').ok_or("not NAME=VALUE")?;
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    options.env.push((no_nul(name)?, no_nul(value)?));
    Ok(())
}

pub(super) fn entrypoint(options: &mut Options, value: &str) -> Done {
    no_nul(value)?;
    let list = if value.is_empty() {
        Vec::new()
    } else if value.starts_with('[') {
        serde_json::from_str(value).map_err(|error| format!("not a JSON list of words: {error}"))?
    } else {
        vec![value.to_owned()]
    };
    options.entrypoint = Some(list);
    Ok(())
}

pub(super) fn user(options: &mut Options, value: &str) -> Done {
    let mut parts = value.split(':');
    let (user, group) = (parts.next().unwrap_or(""), parts.next());
    if parts.next().is_some() {
        return Err("more than one colon".to_owned());
    }
    for part in std::iter::once(user).chain(group) {
        let numeric = part.starts_with('-') || part.bytes().all(|b| b.is_ascii_digit());
        if !part.is_empty() && numeric && !part.parse::<u32>().is_ok_and(|id| id != u32::MAX) {
            return Err("a number must be within 0 to 4294967294".to_owned());
        }
    }
    options.user = Some(clean(value)?);
    Ok(())
}

pub(super) fn workdir(options: &mut Options, value: &str) -> Done {
    options.workdir = Some(absolute(value)?);
    Ok(())
}

pub(super) fn hostname(options: &mut Options, value: &str) -> Done {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    if value.is_empty() || value.len() > 64 || !value.bytes().all(good) {
        return Err("1 to 64 letters, digits, dots, dashes or underscores are needed".to_owned());
    }
    options.hostname = Some(value.to_owned());
    Ok(())
}

pub(super) fn label(options: &mut Options, value: &str) -> Done {
    let (key, value) = key_value(value)?;
    options.labels.insert(key, value);
    Ok(())
}

pub(super) fn annotation(options: &mut Options, value: &str) -> Done {
    let (key, value) = key_value(value)?;
    // The runtimes act on these: they would change the unit or the isolation behind our back.
    if key.starts_with("org.systemd.property.") || key.starts_with("run.oci.") {
        return Err("annotations that steer the runtime are not allowed".to_owned());
    }
    options.annotations.insert(key, value);
    Ok(())
}

pub(super) fn network(options: &mut Options, value: &str) -> Done {
    options.network = match value {
        "none" => Network::None,
        "host" => Network::Host,
        _ => return Err("this version knows the modes none and host only".to_owned()),
    };
    Ok(())
}

pub(super) fn runtime(options: &mut Options, value: &str) -> Done {
    let value = clean(value)?;
    if value.is_empty() || (value.contains('/') && !value.starts_with('/')) {
        return Err("not a name or an absolute path".to_owned());
    }
    options.runtime = Some(value);
    Ok(())
}

pub(super) fn stop_signal(options: &mut Options, value: &str) -> Done {
    options.stop_signal = Some(value.parse().map_err(|_| "unknown signal".to_owned())?);
    Ok(())
}

pub(super) fn stop_timeout(options: &mut Options, value: &str) -> Done {
    options.stop_timeout = Some(
        value
            .parse()
            .map_err(|_| "not a number of seconds".to_owned())?,
    );
    Ok(())
}

pub(super) fn memory(options: &mut Options, value: &str) -> Done {
    let bytes = parse_size(value).map_err(|error| error.to_string())?;
    options.memory = (bytes != 0).then_some(bytes);
    Ok(())
}

pub(super) fn log_driver(options: &mut Options, value: &str) -> Done {
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

pub(super) fn log_opt(options: &mut Options, value: &str) -> Done {
    let (key, value) = value.split_once('=').ok_or("not KEY=VALUE")?;
    let log = &mut options.log;
    match key {
        "path" => log.path = Some(absolute(value)?),
        "max-size" => log.max_size = Some(parse_size(value).map_err(|error| error.to_string())?),
        "tag" => log.tag = Some(clean(value)?),
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
