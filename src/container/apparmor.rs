//! Which AppArmor profile a container runs under (apparmor(7)).

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::prepare::PrepareError;
use crate::definition::{Definition, IsolationOptions};
use crate::host::filter::Filter;
use crate::host::world::World;
use crate::plan::bundle::is_privileged;
use crate::plan::conf::Conf;

/// `Y` if the kernel runs AppArmor.
const ENABLED: &str = "/sys/module/apparmor/parameters/enabled";
/// The profiles that the kernel has, one a line: name and mode.
const LOADED: &str = "/sys/kernel/security/apparmor/profiles";
/// No profile.
const UNCONFINED: &str = "unconfined";
/// Ours, and its file below the root directory.
const DEFAULT: &str = "unitbox-default";
const FILE: &str = "etc/apparmor.d/unitbox-default";
const PARSERS: [&str; 2] = ["/usr/sbin/apparmor_parser", "/sbin/apparmor_parser"];
/// Longest time to compile and load it.
const LOAD_TIME: Duration = Duration::from_secs(60);

/// The profile for config.json; none where the kernel has no AppArmor, or a privileged container names none.
pub fn profile<'a>(definition: &'a Definition, conf: &'a Conf) -> Option<&'a str> {
    let privileged = is_privileged(definition, conf);
    let wanted = || wanted(&definition.options.isolation, conf, privileged);
    is_enabled().then(wanted).flatten()
}

fn wanted<'a>(
    isolation: &'a IsolationOptions,
    conf: &'a Conf,
    privileged: bool,
) -> Option<&'a str> {
    let own = isolation.apparmor.as_deref();
    if own.is_some() || privileged {
        return own;
    }
    let conf = conf.containers.apparmor_profile.as_deref();
    Some(conf.filter(|name| !name.is_empty()).unwrap_or(DEFAULT))
}

fn is_enabled() -> bool {
    fs::read_to_string(ENABLED).is_ok_and(|text| text.starts_with('Y'))
}

/// Refuses a profile that the kernel has not.
///
/// # Errors
/// There is no AppArmor, or the profile is not loaded.
pub(super) fn check(isolation: &IsolationOptions) -> Result<(), PrepareError> {
    match isolation.apparmor.as_deref() {
        None | Some(UNCONFINED) => Ok(()),
        Some(name) if !is_enabled() => Err(refused(name, "AppArmor is not enabled on this system")),
        Some(DEFAULT) => Ok(()),
        Some(name) => match is_loaded(name)? {
            true => Ok(()),
            false => Err(refused(name, "it is not loaded")),
        },
    }
}

/// The profile for config.json, loaded if it is our default.
///
/// # Errors
/// A profile that the user or containers.conf(5) names is not loaded, or ours cannot be.
pub(super) fn prepare(
    definition: &Definition,
    conf: &Conf,
    root: &Path,
    world: &mut dyn World,
) -> Result<Option<String>, PrepareError> {
    let own = definition.options.isolation.apparmor.as_deref();
    if !is_enabled() {
        return match own {
            None | Some(UNCONFINED) => Ok(None),
            Some(name) => Err(refused(name, "AppArmor is not enabled on this system")),
        };
    }
    let privileged = is_privileged(definition, conf);
    let Some(name) = wanted(&definition.options.isolation, conf, privileged) else {
        return Ok(None);
    };
    if name == UNCONFINED || is_loaded(name)? {
        return Ok(Some(name.to_owned()));
    }
    if name != DEFAULT {
        return Err(refused(name, "it is not loaded"));
    }
    let file = root.join(FILE);
    let parser = PARSERS.into_iter().find(|path| Path::new(path).exists());
    match parser {
        Some(parser) if file.exists() => load(parser, &file, world)?,
        // As on a kernel without AppArmor; who asks for the profile by name gets it or no container.
        _ if own.is_none() => {
            let file = file.display();
            tracing::warn!(
                "apparmor_parser or {file} is missing: the container runs without a profile"
            );
            return Ok(None);
        }
        _ => return Err(refused(name, "it is not loaded, and cannot be")),
    }
    Ok(Some(name.to_owned()))
}

fn load(parser: &str, file: &Path, world: &mut dyn World) -> Result<(), PrepareError> {
    let failed = |source| PrepareError::Effect {
        what: "load AppArmor profile",
        path: file.to_owned(),
        source,
    };
    let text = fs::read_to_string(file).map_err(failed)?;
    let filter = Filter {
        program: parser.into(),
        // From standard input; its cache is the boot's.
        args: ["apparmor_parser", "-K", "-r"].map(str::to_owned).into(),
        env: Vec::new(),
        time: LOAD_TIME,
    };
    world.run_filter(&filter, &text).map(drop).map_err(failed)
}

fn is_loaded(name: &str) -> Result<bool, PrepareError> {
    let failed = |source| PrepareError::Effect {
        what: "read",
        path: LOADED.into(),
        source,
    };
    let text = fs::read_to_string(LOADED).map_err(failed)?;
    Ok(has(&text, name))
}

fn has(profiles: &str, name: &str) -> bool {
    let mut names = profiles.lines().filter_map(|line| line.rsplit_once(" ("));
    names.any(|(own, _)| own == name)
}

fn refused(name: &str, reason: &'static str) -> PrepareError {
    PrepareError::AppArmor {
        profile: name.to_owned(),
        source: io::Error::other(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_is_loaded_by_its_whole_name() {
        let text = "docker (x) (complain)\nunitbox-default (enforce)\n/usr/bin/man (enforce)\n";
        for name in ["unitbox-default", "docker (x)", "/usr/bin/man"] {
            assert!(has(text, name), "{name}");
        }
        for name in ["unitbox", "default", "docker", "(enforce)", ""] {
            assert!(!has(text, name), "{name}");
        }
    }

    #[test]
    fn the_container_wins_over_the_configuration_and_that_over_us() {
        let mut own = IsolationOptions::default();
        let mut conf = Conf::default();
        assert_eq!(wanted(&own, &conf, false), Some(DEFAULT));
        conf.containers.apparmor_profile = Some("theirs".to_owned());
        assert_eq!(wanted(&own, &conf, false), Some("theirs"));
        assert_eq!(wanted(&own, &conf, true), None);
        own.apparmor = Some("own".to_owned());
        assert_eq!(wanted(&own, &conf, true), Some("own"));
    }
}
