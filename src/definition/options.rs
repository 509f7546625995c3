//! The one table of options: flag, key of unit files, arity, help and setter.

use super::{OptionError, Options, set};

/// How many values an option takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Arity {
    /// None: it is on or off (`--flag=false` turns it off).
    Switch,
    /// One; a later one replaces it.
    One,
    /// Any number, each adds to the others.
    Many,
}

/// One option of `create` and `run`.
#[derive(Clone, Copy, Debug)]
pub struct OptionSpec {
    /// The long flag without dashes.
    pub flag: &'static str,
    /// The short flag.
    pub short: Option<char>,
    /// The key in the `[Container]` section of a unit file.
    pub key: Option<&'static str>,
    /// How many values it takes.
    pub arity: Arity,
    /// What the value is called in help texts; empty for switches.
    pub value: &'static str,
    /// One line of help.
    pub help: &'static str,
    /// Puts a value into the options; a switch gets `true` or `false`.
    set: fn(&mut Options, &str) -> Result<(), String>,
}

impl OptionSpec {
    /// Puts a value into the options.
    ///
    /// # Errors
    /// The value is refused: names flag, value and reason.
    pub fn apply(&self, options: &mut Options, value: &str) -> Result<(), OptionError> {
        (self.set)(options, value).map_err(|reason| OptionError {
            option: format!("--{}", self.flag),
            value: value.chars().take(120).collect(),
            reason,
        })
    }
}

macro_rules! option {
    ($flag:literal, $short:expr, $key:expr, $arity:ident, $value:literal, $set:expr, $help:literal) => {
        OptionSpec {
            flag: $flag,
            short: $short,
            key: $key,
            arity: Arity::$arity,
            value: $value,
            help: $help,
            set: $set,
        }
    };
}

/// Every option that a definition can hold, by flag.
pub const OPTIONS: &[OptionSpec] = &[
    option!(
        "annotation",
        None,
        Some("Annotation"),
        Many,
        "KEY=VALUE",
        set::annotation,
        "Add an OCI annotation"
    ),
    option!(
        "entrypoint",
        None,
        Some("Entrypoint"),
        One,
        "COMMAND",
        set::entrypoint,
        "Entry point instead of the image's; a JSON list or one word; empty clears it"
    ),
    option!(
        "env",
        Some('e'),
        Some("Environment"),
        Many,
        "NAME[=VALUE]",
        set::env,
        "Set an environment variable; without a value, take it from the caller"
    ),
    option!(
        "hostname",
        Some('h'),
        Some("HostName"),
        One,
        "NAME",
        set::hostname,
        "Host name inside the container"
    ),
    option!(
        "interactive",
        Some('i'),
        None,
        Switch,
        "",
        set::interactive,
        "Keep standard input open even if not attached"
    ),
    option!(
        "label",
        Some('l'),
        Some("Label"),
        Many,
        "KEY[=VALUE]",
        set::label,
        "Add a label"
    ),
    option!(
        "log-driver",
        None,
        Some("LogDriver"),
        One,
        "DRIVER",
        set::log_driver,
        "Where output goes: journald, passthrough, k8s-file, json-file or none"
    ),
    option!(
        "log-opt",
        None,
        Some("LogOpt"),
        Many,
        "KEY=VALUE",
        set::log_opt,
        "Log option: path, max-size, tag, stderr-priority"
    ),
    option!(
        "memory",
        Some('m'),
        Some("Memory"),
        One,
        "SIZE",
        set::memory,
        "Memory limit of the unit (MemoryMax=): a number with b, k, m, g or t"
    ),
    option!(
        "name",
        None,
        Some("ContainerName"),
        One,
        "NAME",
        set::name,
        "Name of the container and, behind unitbox-, of its unit"
    ),
    option!(
        "network",
        None,
        Some("Network"),
        One,
        "MODE",
        set::network,
        "Network mode: none or host"
    ),
    option!(
        "rm",
        None,
        None,
        Switch,
        "",
        set::remove,
        "Remove the container when its run ends"
    ),
    option!(
        "runtime",
        None,
        None,
        One,
        "runc|crun|PATH",
        set::runtime,
        "OCI runtime: runc by default, crun if only that is there"
    ),
    option!(
        "stop-signal",
        None,
        Some("StopSignal"),
        One,
        "SIGNAL",
        set::stop_signal,
        "Signal of an ordered stop"
    ),
    option!(
        "stop-timeout",
        None,
        Some("StopTimeout"),
        One,
        "SECONDS",
        set::stop_timeout,
        "Seconds between the stop signal and SIGKILL (10)"
    ),
    option!(
        "user",
        Some('u'),
        Some("User"),
        One,
        "USER[:GROUP]",
        set::user,
        "User and group of the payload, by name or number"
    ),
    option!(
        "workdir",
        Some('w'),
        Some("WorkingDir"),
        One,
        "DIR",
        set::workdir,
        "Working directory inside the container"
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(flag: &str, value: &str) -> Result<Options, OptionError> {
        let spec = OPTIONS
            .iter()
            .find(|spec| spec.flag == flag)
            .expect("a known flag");
        let mut options = Options::default();
        spec.apply(&mut options, value).map(|()| options)
    }

    #[test]
    fn the_table_is_sorted_and_unique() {
        assert!(OPTIONS.windows(2).all(|pair| pair[0].flag < pair[1].flag));
        let mut shorts: Vec<char> = OPTIONS.iter().filter_map(|spec| spec.short).collect();
        shorts.sort_unstable();
        assert!(shorts.windows(2).all(|pair| pair[0] != pair[1]));
        assert!(
            OPTIONS
                .iter()
                .all(|spec| (spec.arity == Arity::Switch) == spec.value.is_empty())
        );
    }

    #[test]
    fn a_refusal_names_option_value_and_reason() {
        for (flag, value) in [
            ("network", "bridge"),
            ("stop-timeout", "-1"),
            ("stop-signal", "SIGNOPE"),
            ("memory", "lots"),
            ("workdir", "relative"),
            ("hostname", "a\nb"),
            ("user", "4294967295"),
            ("user", "a:b:c"),
            ("env", "=x"),
            ("env", "A=\0"),
            ("log-opt", "max-file=3"),
            ("log-opt", "path=relative"),
            ("log-opt", "stderr-priority=8"),
            ("log-driver", "syslog"),
            ("runtime", "./runc"),
            ("rm", "maybe"),
            ("name", "-x"),
            ("annotation", "org.systemd.property.ExecStopPost=x"),
            ("annotation", "run.oci.keep_original_groups=1"),
        ] {
            let text = apply(flag, value).expect_err(flag).to_string();
            assert!(text.contains(&format!("--{flag}")), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn values_arrive() {
        assert_eq!(apply("stop-timeout", "0").unwrap().stop_timeout, Some(0));
        assert_eq!(apply("memory", "64m").unwrap().memory, Some(64 << 20));
        assert_eq!(apply("entrypoint", "").unwrap().entrypoint, Some(vec![]));
        let list = Some(vec!["a".to_owned(), "b c".to_owned()]);
        assert_eq!(
            apply("entrypoint", r#"["a","b c"]"#).unwrap().entrypoint,
            list
        );
        assert_eq!(apply("label", "k").unwrap().labels["k"], "");
        assert!(apply("rm", "true").unwrap().remove);
    }
}
