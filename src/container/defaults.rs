//! What containers.conf(5) gives to the options of a container that is made: from then on it is part of the definition.

use super::ContainerError;
use crate::definition::mount::Mount;
use crate::definition::{DefinitionError, LogDriver, Options};
use crate::host::runtime::{Runtime, RuntimeError};
use crate::plan::conf::Conf;

/// The options before the user has a say. `given` tells what flags the user has set: what they replace is not even looked
/// at.
///
/// # Errors
/// A value that would be used cannot be.
pub fn before(conf: &Conf, given: impl Fn(&str) -> bool) -> Result<Options, DefinitionError> {
    let mut options = Options::default();
    let (containers, engine) = (&conf.containers, &conf.engine);
    // A private network is what a container gets without a word.
    let network = containers.netns.clone().filter(|mode| mode != "private");
    for (key, flag, value) in [
        ("log_driver", "log-driver", containers.log_driver.clone()),
        ("netns", "network", network),
        ("pids_limit", "pids-limit", text(containers.pids_limit)),
        ("read_only", "read-only", text(containers.read_only)),
        ("shm_size", "shm-size", containers.shm_size.clone()),
        ("runtime", "runtime", engine.runtime.clone()),
        ("stop_timeout", "stop-timeout", text(engine.stop_timeout)),
    ] {
        let value = value.filter(|value| !value.is_empty() && !given(flag));
        if let Some(value) = value {
            conf.apply(&mut options, (key, flag), &value)?;
        }
    }
    match &options.runtime {
        Some(name) if program(conf, name).is_err() => {
            Err(conf.refuse("runtime", name, "no such program"))
        }
        _ => Ok(options),
    }
}

fn text(value: Option<impl ToString>) -> Option<String> {
    value.map(|value| value.to_string())
}

/// What depends on the options that the user has set.
///
/// # Errors
/// A value cannot be used, or there is no program of the runtime.
pub fn after(conf: &Conf, options: &mut Options) -> Result<(), ContainerError> {
    let containers = &conf.containers;
    if options.log_driver == LogDriver::K8sFile && options.log.max_size.is_none() {
        let size = containers.log_size_max.unwrap_or(-1);
        options.log.max_size = u64::try_from(size).ok();
    }
    if options.log.tag.is_none() {
        options.log.tag = containers.log_tag.clone().filter(|tag| !tag.is_empty());
    }
    let mut wished = Options::default();
    for volume in containers.volumes.values() {
        conf.apply(&mut wished, ("volumes", "volume"), volume)?;
    }
    for mount in containers.mounts.values() {
        conf.apply(&mut wished, ("mounts", "mount"), mount)?;
    }
    for mount in wished.files.mounts {
        // The same flag of the user wins; anything else there is a duplicate, which is refused later.
        let same = |own: &Mount| own.flag == mount.flag && own.target == mount.target;
        if !options.files.mounts.iter().any(same) {
            options.files.mounts.push(mount);
        }
    }
    if let Some(name) = &options.runtime {
        options.runtime = Some(program(conf, name)?);
    }
    Ok(())
}

/// The program of a runtime by one of the names of the configuration; other names stay as they are.
fn program(conf: &Conf, name: &str) -> Result<String, RuntimeError> {
    match conf.engine.runtimes.get(name) {
        Some(paths) => {
            Runtime::first_of(paths).ok_or_else(|| RuntimeError::Unlisted(name.to_owned()))
        }
        None => Runtime::find(Some(name)).map(|_| name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Network, options};

    fn conf(text: &str) -> Conf {
        Conf::parse(text, "/etc/x.conf").unwrap()
    }

    /// What comes of a configuration and of flags.
    fn made(text: &str, flags: &[(&str, &str)]) -> Result<Options, String> {
        let conf = conf(text);
        let given = |flag: &str| flags.iter().any(|(own, _)| *own == flag);
        let mut made = before(&conf, given).map_err(|error| error.to_string())?;
        for (flag, value) in flags {
            let spec = options().find(|spec| spec.flag == *flag).unwrap();
            spec.apply(&mut made, value).unwrap();
        }
        after(&conf, &mut made).map_err(|error| error.to_string())?;
        Ok(made)
    }

    const ALL: &str = "[containers]\nlog_driver='k8s-file'\nlog_size_max=10000\nlog_tag='t'\n\
        mounts=['type=tmpfs,dst=/m']\nvolumes=['/a:/b']\nnetns='host'\npids_limit=7\nread_only=true\nshm_size='1m'\n\
        [engine]\nruntime='sh'\nstop_timeout=3\n[engine.runtimes]\nsh=['/no/such', '/bin/sh']\n";

    #[test]
    fn a_container_without_options_gets_what_the_files_say() {
        let made = made(ALL, &[]).unwrap();
        assert_eq!(made.log_driver, LogDriver::K8sFile);
        assert_eq!(
            (made.log.max_size, made.log.tag),
            (Some(10_000), Some("t".to_owned()))
        );
        assert_eq!(made.network, Network::Host);
        assert_eq!(made.limits.pids_limit, Some(7));
        assert!(made.files.read_only);
        assert_eq!(made.files.shm_size, Some(1 << 20));
        assert_eq!(made.stop_timeout, Some(3));
        assert_eq!(made.runtime.as_deref(), Some("/bin/sh"));
        let targets: Vec<&str> = made
            .files
            .mounts
            .iter()
            .map(|mount| mount.target.as_str())
            .collect();
        assert_eq!(targets, ["/b", "/m"]);
    }

    #[test]
    fn a_volume_of_the_user_wins_at_its_place() {
        // As with Podman, where another mount does not.
        let targets = |flags: &[(&str, &str)]| {
            let made = made("[containers]\nvolumes=['/a:/b']", flags).unwrap();
            (made.files.mounts.len(), made.check().is_ok())
        };
        assert_eq!(targets(&[("volume", "/c:/b")]), (1, true));
        assert_eq!(targets(&[("volume", "/c:/d")]), (2, true));
        assert_eq!(targets(&[("tmpfs", "/b")]), (2, false));
    }

    #[test]
    fn options_win() {
        let made = made(
            ALL,
            &[
                ("log-driver", "journald"),
                ("log-opt", "tag=own"),
                ("network", "none"),
                ("pids-limit", "9"),
                ("read-only", "false"),
                ("shm-size", "2m"),
                ("stop-timeout", "4"),
                ("runtime", "/bin/true"),
                ("volume", "/c:/d"),
                ("mount", "type=tmpfs,dst=/m,ro"),
            ],
        )
        .unwrap();
        assert_eq!(made.log_driver, LogDriver::Journald);
        assert_eq!(
            (made.log.max_size, made.log.tag.as_deref()),
            (None, Some("own"))
        );
        assert_eq!(made.network, Network::None);
        assert_eq!(made.limits.pids_limit, Some(9));
        assert!(!made.files.read_only);
        assert_eq!(made.files.shm_size, Some(2 << 20));
        assert_eq!(made.stop_timeout, Some(4));
        assert_eq!(made.runtime.as_deref(), Some("/bin/true"));
        let mounts: Vec<_> = made
            .files
            .mounts
            .iter()
            .map(|mount| (mount.target.as_str(), mount.has("ro")))
            .collect();
        assert_eq!(mounts, [("/d", false), ("/m", true), ("/b", false)]);
    }

    #[test]
    fn what_is_not_used_is_not_refused() {
        let bridge = "[containers]\nnetns='bridge'\n";
        let error = made(bridge, &[]).unwrap_err();
        assert!(
            error.starts_with("/etc/x.conf: invalid value \"bridge\" for netns: "),
            "{error}"
        );
        assert!(made(bridge, &[("network", "host")]).is_ok());
        assert_eq!(
            made("[containers]\nnetns='private'\n", &[]),
            Ok(Options::default())
        );
        let lists = "[engine]\nruntime='odd'\n[engine.runtimes]\nodd=['/no/such']\n";
        let error = made(lists, &[]).unwrap_err();
        let expected = "/etc/x.conf: invalid value \"odd\" for runtime: no such program";
        assert_eq!(error, expected);
        assert!(made(lists, &[("runtime", "/bin/sh")]).is_ok());
        let error = made(lists, &[("runtime", "odd")]).unwrap_err();
        assert!(error.starts_with("runtime odd: "), "{error}");
        assert_eq!(made("", &[]), Ok(Options::default()));
    }
}
