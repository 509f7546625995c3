//! What the user asked for: the definition of a container, and the one table of options that fills it.
//!
//! A definition is immutable JSON, written once. It holds intent only: nothing that was observed, nothing that the host
//! decides. The command line, unit files and help texts are made from [`options()`], so that they cannot disagree.

mod changes;
mod dependencies;
mod devices;
mod etc;
mod files;
mod health;
mod isolation;
mod limits;
mod log;
pub mod mount;
mod options;
mod process;
mod pull;
pub mod unit_file;
mod userns;
pub mod volume;

use serde::{Deserialize, Serialize};

pub use changes::Changes;
pub use devices::{Device, DeviceRule};
pub use etc::{EtcOptions, HostEntry, check_tz};
pub use files::{FileOptions, ImageVolumes, Secret, SecretUse};
pub use health::{HealthCommand, HealthLog, HealthOptions};
pub use isolation::{
    CapabilityWish, IsolationOptions, Namespace, Seccomp, SeccompPolicy, parse_capability,
    parse_sysctl,
};
pub use limits::{Cgroups, DeviceLimit, LimitOptions};
pub use log::{LogDriver, LogOptions};
pub use options::{Arity, OptionSpec, options, refusal};
pub use process::{
    ConfFiles, Personality, ProcessOptions, Resource, SystemdMode, Ulimit, Umask, parse_ulimit,
};
pub use pull::PullOptions;
pub use userns::{IdRange, UserNamespace, UserOptions};

use crate::types::{
    ContainerId, ContainerName, NotifyMode, Restart, RestartPolicy, Restarts, Signal, UnitName,
};

/// Version of the JSON that this program writes; it reads this one and the one before.
pub const VERSION: u32 = 1;

/// What the user asked for.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Definition {
    /// Format version ([`VERSION`]).
    pub version: u32,
    /// The container's id.
    pub id: ContainerId,
    /// The container's name.
    pub name: ContainerName,
    /// When it was made, microseconds since the epoch.
    pub created: u64,
    /// Where its root filesystem comes from.
    pub source: Source,
    /// Command and arguments of the user; empty: the image's.
    pub command: Vec<String>,
    /// Everything set by options.
    pub options: Options,
    /// Where it comes from, if that is a unit file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed: Option<Deployed>,
}

/// The unit file of a container, and what was made of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Deployed {
    /// Its unit, which the generator makes.
    pub unit: UnitName,
    /// Path of the file.
    pub source: String,
    /// Digest of the file, its drop-ins, those that it refers to, and the image.
    pub digest: String,
}

/// Where a root filesystem comes from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// An image of the local store.
    Image {
        /// The name as the store resolved it.
        name: String,
        /// The image's id: hex digest of its configuration.
        id: String,
    },
    /// A directory of the host, used in place (`--rootfs`).
    Rootfs {
        /// Absolute path.
        path: String,
    },
}

/// How the container's network namespace comes to be.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Network {
    /// A namespace of its own with a loopback device only.
    #[default]
    None,
    /// The host's.
    Host,
    /// One that exists: absolute path of its file.
    Path(String),
    /// That of another container: its name, or its id once this one is on record.
    Container(String),
}

impl std::fmt::Display for Network {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => out.write_str("none"),
            Self::Host => out.write_str("host"),
            Self::Path(path) => write!(out, "ns:{path}"),
            Self::Container(owner) => write!(out, "container:{owner}"),
        }
    }
}

/// Everything that options set; the default is what a user gets who sets none.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Name wished for; none: one is made up.
    pub name: Option<ContainerName>,
    /// Remove the container when its run ends.
    pub remove: bool,
    /// Keep the payload's standard input open for clients.
    pub interactive: bool,
    /// Give the payload a terminal.
    pub tty: bool,
    /// The user's environment, in order; a later value of a name wins.
    pub env: Vec<(String, String)>,
    /// Entry point instead of the image's; an empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// `USER[:GROUP]`, by number or name.
    pub user: Option<String>,
    /// Working directory, absolute.
    pub workdir: Option<String>,
    /// Host name; none: the first 12 digits of the id.
    pub hostname: Option<String>,
    /// Labels, by key.
    pub labels: std::collections::BTreeMap<String, String>,
    /// OCI annotations, by key.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// Mode of the network.
    pub network: Network,
    /// Runtime wished for: a name or an absolute path.
    pub runtime: Option<String>,
    /// Signal of an ordered stop; none: the image's, or SIGTERM.
    pub stop_signal: Option<Signal>,
    /// Seconds between that signal and SIGKILL; none: 10.
    pub stop_timeout: Option<u32>,
    /// Seconds after which the container is stopped.
    pub timeout: Option<u32>,
    /// When it is started again after its end; none: never.
    pub restart: Option<RestartPolicy>,
    /// Who tells systemd that it is ready; none: the monitor.
    pub notify: Option<NotifyMode>,
    /// Containers that must run before it: names, or ids once it is on record.
    pub requires: Vec<String>,
    /// Its image goes after its run, unless others use it.
    pub remove_image: bool,
    /// systemd-machined has it in its list.
    pub register: bool,
    /// File for the payload's process id.
    pub pidfile: Option<String>,
    /// File for the monitor's process id.
    pub conmon_pidfile: Option<String>,
    /// Directories of OCI hooks instead of the host's.
    pub hooks_dirs: Vec<String>,
    /// Memory limit of the unit, bytes.
    pub memory: Option<u64>,
    /// Where the output goes.
    pub log_driver: LogDriver,
    /// Options of the log driver.
    pub log: LogOptions,
    /// What else is said of the process.
    pub process: ProcessOptions,
    /// Files of /etc that are made for each run.
    pub etc: EtcOptions,
    /// Mounts, devices, secrets.
    pub files: FileOptions,
    /// Namespaces, capabilities, labels.
    pub isolation: IsolationOptions,
    /// How its health is looked at.
    pub health: HealthOptions,
    /// Limits other than memory.
    pub limits: LimitOptions,
    /// Files of containers.conf(5).
    pub conf: ConfFiles,
    /// How its image is fetched.
    #[serde(skip)]
    pub pull: PullOptions,
}

/// What is wrong with an option's value: one line that names option, value and reason.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("invalid value {value:?} for {option}: {reason}")]
pub struct OptionError {
    /// The flag or key.
    pub option: String,
    /// The value, shortened.
    pub value: String,
    /// What it should have been.
    pub reason: String,
}

/// What is wrong with a definition as a whole.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DefinitionError {
    /// Made by another version of unitbox.
    #[error("definition has version {0}, this program reads up to {VERSION}")]
    Version(u32),
    /// Neither command, entry point nor image default.
    #[error("no command or entrypoint given, and the image has none")]
    NoCommand,
    /// An option that is to be changed.
    #[error(transparent)]
    Option(#[from] OptionError),
    /// An option of what the container is.
    #[error("--{0} cannot be changed once the container is made: remove it and make a new one")]
    Unchangeable(&'static str),
    /// No check, and how it is to be done.
    #[error("cannot specify both --no-healthcheck and other HealthCheck flags")]
    CheckAndNone,
    /// How a check is to be done, and there is none.
    #[error("{0} command is not set")]
    NoCheck(&'static str),
    /// Two options that exclude each other.
    #[error("{0} and {1} cannot be used together")]
    Conflict(&'static str, &'static str),
    /// A key of containers.conf(5).
    #[error("{file}: invalid value {value:?} for {key}: {reason}")]
    Conf {
        /// The file that has it last.
        file: String,
        /// The key.
        key: &'static str,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of containers.conf(5) that is malformed: its path, and what is wrong with which line.
    #[error("{0}: {1}")]
    ConfText(String, String),
    /// The host has no address that a container could use.
    #[error("--add-host: this host has no address for host-gateway")]
    NoHostAddress,
    /// A capability that is both added and dropped.
    #[error("capability {0} cannot be added and dropped")]
    AddedAndDropped(oci_spec::runtime::Capability),
    /// Two ranges of a mapping that hold the same id.
    #[error("the mappings {0} and {1} have ids in common")]
    Overlap(IdRange, IdRange),
    /// A kernel parameter that would change the host.
    #[error("--sysctl {sysctl} cannot be set with the host's {namespace} namespace")]
    HostSysctl {
        /// Name and value.
        sysctl: String,
        /// Which namespace.
        namespace: &'static str,
    },
    /// An option that means nothing without another.
    #[error("{0} needs {1}")]
    Needs(&'static str, &'static str),
    /// Memory and swap together are less than memory alone.
    #[error("--memory-swap counts memory too and cannot be less than --memory")]
    SwapBelowMemory,
    /// Two mounts at one place.
    #[error("{0}: duplicate mount destination")]
    DuplicateMount(String),
    /// A mount that cannot be made.
    #[error("mount: {0}")]
    Mount(String),
    /// What stands behind the path of `--rootfs`.
    #[error("--rootfs: option {0:?} is not supported, only O is")]
    RootfsOption(String),
    /// A volume of the image that cannot be made.
    #[error("volume {volume:?} of the image: {reason}")]
    ImageVolume {
        /// As the image has it.
        volume: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Something is to be done with an unhealthy container, and nothing tells whether it is.
    #[error("cannot set on-failure action to {0} without a health check")]
    ActionWithoutCheck(crate::types::OnFailure),
    /// A startup check alone.
    #[error("cannot set a startup healthcheck when there is no regular healthcheck")]
    StartupWithoutCheck,
    /// A readiness that nothing would bring about.
    #[error("invalid argument: sdnotify policy \"healthy\" requires a healthcheck to be set")]
    HealthyWithoutCheck,
}

impl DefinitionError {
    /// A key of containers.conf(5) whose value is refused.
    pub fn conf(file: &str, key: &'static str, value: &str, reason: impl Into<String>) -> Self {
        Self::Conf {
            file: file.to_owned(),
            key,
            value: value.chars().take(120).collect(),
            reason: reason.into(),
        }
    }

    /// A file of containers.conf(5) that is malformed.
    pub fn conf_text(file: &str, reason: &str) -> Self {
        Self::ConfText(file.to_owned(), reason.to_owned())
    }
}

impl Options {
    /// When it is started again after its end.
    pub fn restart(&self) -> RestartPolicy {
        self.restart.unwrap_or_default()
    }

    /// Seconds between the stop signal and SIGKILL.
    pub fn stop_timeout_or_default(&self) -> u32 {
        self.stop_timeout.unwrap_or(10)
    }

    /// Checks what single options cannot see.
    ///
    /// # Errors
    /// Two options that exclude each other.
    pub fn check(&self) -> Result<(), DefinitionError> {
        let file_driver = self.log_driver == LogDriver::K8sFile;
        if self.log.path.is_some() && !file_driver {
            return Err(DefinitionError::Conflict(
                "--log-opt path",
                "this --log-driver",
            ));
        }
        if self.log.max_size.is_some() && !file_driver {
            return Err(DefinitionError::Conflict(
                "--log-opt max-size",
                "this --log-driver",
            ));
        }
        if self.interactive && self.log_driver == LogDriver::Passthrough {
            return Err(DefinitionError::Conflict(
                "--interactive",
                "--log-driver=passthrough",
            ));
        }
        if self.tty && self.log_driver == LogDriver::Passthrough {
            return Err(DefinitionError::Conflict(
                "--tty",
                "--log-driver=passthrough",
            ));
        }
        if self.remove && self.restart() != RestartPolicy::No {
            return Err(DefinitionError::Conflict("--rm", "--restart"));
        }
        self.limits.check(self.memory)?;
        self.health.check(self.remove)?;
        self.files.check()?;
        self.process.check(self)?;
        self.etc.check(self)?;
        self.isolation.check(self)
    }
}

impl Definition {
    /// Reads the JSON of a definition.
    ///
    /// # Errors
    /// Not JSON, not a definition, or of a newer version.
    pub fn from_json(text: &[u8]) -> Result<Self, serde_json::Error> {
        use serde::de::Error;
        let definition: Self = serde_json::from_slice(text)?;
        if definition.version == 0 || definition.version > VERSION {
            return Err(serde_json::Error::custom(DefinitionError::Version(
                definition.version,
            )));
        }
        Ok(definition)
    }

    /// The JSON of the definition.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec_pretty(self).expect("a definition has only string keys")
    }

    /// By what it is started again, if its unit's `Restart=` is this; none: it is as it was made.
    pub fn restarts(&self, unit: Option<Restart>) -> Restarts {
        let policy = self.options.restart();
        let made = policy.in_unit(self.options.health.restarts());
        match unit.filter(|unit| *unit != made) {
            Some(unit) => Restarts::Unit(unit),
            None => Restarts::Policy(policy),
        }
    }

    /// The unit that runs it.
    pub fn unit(&self) -> UnitName {
        match &self.deployed {
            Some(deployed) => deployed.unit.clone(),
            None => UnitName::of(&self.name),
        }
    }

    /// The image's name, or the path of the root filesystem.
    pub fn source_name(&self) -> &str {
        match &self.source {
            Source::Image { name, .. } => name,
            Source::Rootfs { path } => path,
        }
    }
}

#[cfg(test)]
impl Definition {
    /// A container `web` without options, for tests.
    pub(crate) fn sample() -> Self {
        Self {
            version: VERSION,
            id: ContainerId::from_random([7; 32]),
            name: "web".parse().expect("it is a name"),
            created: 1,
            source: Source::Rootfs {
                path: "/".to_owned(),
            },
            command: Vec::new(),
            options: Options::default(),
            deployed: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Definition {
        Definition {
            version: VERSION,
            id: ContainerId::from_random([1; 32]),
            name: "web".parse().unwrap(),
            created: 5,
            source: Source::Rootfs {
                path: "/r".to_owned(),
            },
            command: vec!["sh".to_owned()],
            options: Options::default(),
            deployed: None,
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut definition = definition();
        definition
            .options
            .env
            .push(("A".to_owned(), "b\nc".to_owned()));
        definition.options.stop_signal = Some(Signal::HUP);
        let read = Definition::from_json(&definition.to_json()).unwrap();
        assert_eq!(read, definition);
    }

    #[test]
    fn a_newer_version_is_refused_by_number() {
        let mut definition = definition();
        definition.version = VERSION + 1;
        let error = Definition::from_json(&definition.to_json()).unwrap_err();
        assert!(error.to_string().contains("version 2"), "{error}");
    }

    #[test]
    fn options_that_exclude_each_other_are_named() {
        let mut options = Options::default();
        options.log.max_size = Some(1);
        let text = options.check().unwrap_err().to_string();
        assert_eq!(
            text,
            "--log-opt max-size and this --log-driver cannot be used together"
        );
    }
}
