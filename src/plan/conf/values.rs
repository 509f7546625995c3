//! The values of containers.conf(5): those that are the values of options must be good ones.

use super::Conf;
use crate::definition::{DefinitionError, Options, options, parse_capability, parse_ulimit};
use crate::types::fits_journal;

/// conmon(8)'s buffer, bytes: Podman takes no smaller limit of a log.
const SMALLEST_LOG: i64 = 8192;

/// Gives an option the value of a key.
///
/// # Errors
/// The option does not take it; the reason.
pub(super) fn apply(options: &mut Options, flag: &str, value: &str) -> Result<(), String> {
    let spec = self::options().find(|spec| spec.flag == flag);
    let spec = spec.expect("callers name flags of the table");
    spec.apply(options, value).map_err(|error| error.reason)
}

/// Checks one file.
///
/// # Errors
/// Key, value and reason of what nobody could use; modes of networks are left to who uses them.
pub(super) fn check(conf: &Conf, file: &str) -> Result<(), DefinitionError> {
    let refuse = |key, value: &str, reason| DefinitionError::conf(file, key, value, reason);
    let containers = &conf.containers;
    for (key, flag, value) in [
        ("cgroupns", "cgroupns", &containers.cgroupns),
        ("ipcns", "ipc", &containers.ipcns),
        ("log_driver", "log-driver", &containers.log_driver),
        ("pidns", "pid", &containers.pidns),
        ("shm_size", "shm-size", &containers.shm_size),
        ("tz", "tz", &containers.tz),
        ("umask", "umask", &containers.umask),
        ("userns", "userns", &containers.userns),
        ("utsns", "uts", &containers.utsns),
        ("runtime", "runtime", &conf.engine.runtime),
    ] {
        // An empty value is none, as in Podman.
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            apply(&mut Options::default(), flag, value)
                .map_err(|reason| refuse(key, value, reason))?;
        }
    }
    for (key, flag, list) in [
        ("default_sysctls", "sysctl", &containers.default_sysctls),
        ("devices", "device", &containers.devices),
        ("mounts", "mount", &containers.mounts),
        ("volumes", "volume", &containers.volumes),
    ] {
        for value in list.values() {
            apply(&mut Options::default(), flag, value)
                .map_err(|reason| refuse(key, value, reason))?;
        }
    }
    for value in containers.default_capabilities.values() {
        parse_capability(value)
            .map_err(|reason| refuse("default_capabilities", value, reason.to_string()))?;
    }
    for value in containers.default_ulimits.values() {
        parse_ulimit(value).map_err(|reason| refuse("default_ulimits", value, reason))?;
    }
    if let Some(score) = containers.oom_score_adj.map(|score| score.to_string()) {
        apply(&mut Options::default(), "oom-score-adj", &score)
            .map_err(|reason| refuse("oom_score_adj", &score, reason))?;
    }
    check_log(conf).map_err(|(key, value, reason)| refuse(key, &value, reason.to_owned()))
}

fn check_log(conf: &Conf) -> Result<(), (&'static str, String, &'static str)> {
    let containers = &conf.containers;
    if let Some(size @ 0..SMALLEST_LOG) = containers.log_size_max {
        let reason = "it must be negative, or at least 8192";
        return Err(("log_size_max", size.to_string(), reason));
    }
    match &containers.log_tag {
        Some(tag) if !tag.chars().all(fits_journal) => Err((
            "log_tag",
            tag.clone(),
            "control characters and noncharacters are not allowed",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_value_is_named_with_its_key() {
        for (text, key) in [
            ("log_driver='syslog'", "log_driver"),
            ("log_size_max=0", "log_size_max"),
            ("log_size_max=8191", "log_size_max"),
            ("log_tag=\"a\\nb\"", "log_tag"),
            ("mounts=['type=floppy,dst=/a']", "mounts"),
            ("volumes=['a:b:c:d']", "volumes"),
            ("devices=['']", "devices"),
            ("shm_size='much'", "shm_size"),
            ("pidns='mine'", "pidns"),
            ("ipcns='mine'", "ipcns"),
            ("utsns='mine'", "utsns"),
            ("cgroupns='mine'", "cgroupns"),
            ("userns='mine'", "userns"),
            ("umask='9'", "umask"),
            ("tz='../x'", "tz"),
            ("default_capabilities=['FLY']", "default_capabilities"),
            (
                "default_sysctls=['kernel.core_pattern=x']",
                "default_sysctls",
            ),
            ("default_ulimits=['nofile']", "default_ulimits"),
            ("oom_score_adj=1001", "oom_score_adj"),
            ("[engine]\nruntime='./runc'", "runtime"),
        ] {
            let text = format!("[containers]\n{text}\n");
            let error = Conf::parse(&text, "/etc/x.conf").unwrap_err().to_string();
            let begin = "/etc/x.conf: invalid value ";
            assert!(
                error.starts_with(begin) && error.contains(&format!(" for {key}: ")),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn good_and_empty_values_pass() {
        let text = "[containers]\nlog_driver='k8s-file'\nlog_size_max=-1\npidns=''\ntz='local'\nshm_size='10m'\n\
            netns='bridge'\nvolumes=['/a:/b:ro']\nmounts=['type=tmpfs,dst=/t']\n[engine]\nruntime='crun'\n";
        Conf::parse(text, "x").unwrap();
    }
}
