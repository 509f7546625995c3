//! What is said of the payload's first process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DefinitionError, Options};

/// Files of containers.conf(5) that the user chose instead of the system's, or on top of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConfFiles {
    /// The only one to be read (CONTAINERS_CONF), absolute.
    pub only: Option<String>,
    /// One more, read last (CONTAINERS_CONF_OVERRIDE), absolute.
    pub on_top: Option<String>,
}

/// The process, besides command, user, environment and working directory.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessOptions {
    /// Files of assignments; read when the container is made, and then part of its environment.
    pub env_files: Vec<String>,
    /// Files of labels; read when the container is made, and then part of its labels.
    pub label_files: Vec<String>,
    /// Take the whole environment of the caller.
    pub env_host: Option<bool>,
    /// Take the caller's proxy variables; none: yes.
    pub http_proxy: Option<bool>,
    /// What was taken of the caller's environment when the container was made.
    pub host_env: Vec<(String, String)>,
    /// Assignments whose values refer to the image's environment.
    pub env_merge: Vec<(String, String)>,
    /// Variables of the image and of our own to leave out.
    pub unset_env: Vec<String>,
    /// Leave all of them out.
    pub unset_env_all: bool,
    /// Mask of file modes.
    pub umask: Option<Umask>,
    /// Limits of the process by name (`nofile`).
    pub ulimits: BTreeMap<Resource, Ulimit>,
    /// No limits of the user or of containers.conf(5).
    pub ulimit_host: bool,
    /// Score of the OOM killer, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// Ask the runtime to switch the OOM killer off.
    pub oom_kill_disable: bool,
    /// More groups, by number or by name in the container.
    pub groups: Vec<String>,
    /// Keep the groups of the monitor instead.
    pub keep_groups: bool,
    /// Make entries for users that the container does not know; none: yes.
    pub passwd: Option<bool>,
    /// Template of such an entry in /etc/passwd.
    pub passwd_entry: Option<String>,
    /// Template of such an entry in /etc/group.
    pub group_entry: Option<String>,
    /// Users of the host to make known in the container.
    pub host_users: Vec<String>,
    /// Run an init as the first process.
    pub init: Option<bool>,
    /// Path of that init on the host, absolute.
    pub init_path: Option<String>,
    /// Prepare the container for systemd inside.
    pub systemd: SystemdMode,
    /// Execution domain (personality(2)).
    pub personality: Option<Personality>,
}

/// When a container is prepared for systemd inside.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SystemdMode {
    /// If its command is an init.
    #[default]
    Auto,
    /// Never.
    Never,
    /// Whatever it runs.
    Always,
}

/// An execution domain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Personality {
    /// The native one.
    #[serde(rename = "LINUX")]
    Linux,
    /// uname(2) says i686.
    #[serde(rename = "LINUX32")]
    Linux32,
}

impl Personality {
    /// The name that the OCI runtime specification gives it.
    pub fn name(self) -> &'static str {
        match self {
            Personality::Linux => "LINUX",
            Personality::Linux32 => "LINUX32",
        }
    }
}

/// A mask of file modes: one to four octal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Umask(pub u32);

impl std::str::FromStr for Umask {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = (1..=4).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
        let mask = digits.then(|| u32::from_str_radix(text, 8).ok()).flatten();
        mask.map(Umask)
            .ok_or_else(|| "one to four octal digits are needed".to_owned())
    }
}

/// A limit of getrlimit(2): soft and hard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ulimit {
    /// What holds.
    pub soft: u64,
    /// To what the process may raise it.
    pub hard: u64,
}

/// What is limited: the word after `RLIMIT_` in getrlimit(2), in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Resource(String);

const RESOURCES: &[&str] = &[
    "as",
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

impl Resource {
    /// Open files.
    pub const NOFILE: &str = "nofile";
    /// Processes of a user.
    pub const NPROC: &str = "nproc";

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Resource {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let lower = name.to_ascii_lowercase();
        let short = lower.strip_prefix("rlimit_").unwrap_or(&lower);
        match RESOURCES.contains(&short) {
            true => Ok(Self(short.to_owned())),
            false => Err(format!("no limit is called {name:?}")),
        }
    }
}

impl From<Resource> for String {
    fn from(resource: Resource) -> Self {
        resource.0
    }
}

/// Reads `NAME=SOFT[:HARD]`; -1 is no limit.
///
/// # Errors
/// What is wrong with it.
pub fn parse_ulimit(text: &str) -> Result<(Resource, Ulimit), String> {
    let (name, values) = text.split_once('=').ok_or("not NAME=SOFT[:HARD]")?;
    let resource = Resource::try_from(name.to_owned())?;
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(u64::MAX),
        _ => text
            .parse()
            .map_err(|_| format!("{text:?} is not a number, -1 or unlimited")),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft > hard {
        return Err("the soft limit is above the hard one".to_owned());
    }
    Ok((resource, Ulimit { soft, hard }))
}

impl ProcessOptions {
    /// Checks what single options cannot see.
    ///
    /// # Errors
    /// Two options that exclude each other.
    pub(super) fn check(&self, options: &Options) -> Result<(), DefinitionError> {
        let conflict = |one, other| Err(DefinitionError::Conflict(one, other));
        if self.keep_groups && !self.groups.is_empty() {
            return conflict("--group-add=keep-groups", "another --group-add");
        }
        if self.init == Some(true) {
            if self.systemd == SystemdMode::Always {
                return conflict("--init", "--systemd=always");
            }
            let pid = options.isolation.pid.as_ref();
            if pid.is_some_and(|pid| *pid != super::Namespace::Private) {
                return conflict("--init", "this --pid");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_podman_does() {
        let of = |text: &str| parse_ulimit(text).map(|(name, limit)| (name.0, limit));
        let limit = |soft, hard| Ulimit { soft, hard };
        assert_eq!(of("nofile=5").unwrap(), ("nofile".to_owned(), limit(5, 5)));
        assert_eq!(of("RLIMIT_CORE=0:-1").unwrap().1, limit(0, u64::MAX));
        for bad in [
            "nofile",
            "bogus=1",
            "nofile=2:1",
            "nofile=x",
            "nofile=-2",
            "nofile=",
        ] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_umask_is_octal() {
        assert_eq!("077".parse(), Ok(Umask(0o77)));
        assert_eq!("0".parse(), Ok(Umask(0)));
        for bad in ["", "9", "00777", "+7", "7x"] {
            assert!(bad.parse::<Umask>().is_err(), "{bad}");
        }
    }
}
