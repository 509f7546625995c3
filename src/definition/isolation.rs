//! What keeps a payload apart from the host and from other containers.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use oci_spec::runtime::Capability;
use serde::{Deserialize, Serialize};

use super::{DefinitionError, Device, DeviceRule, Network, Options, UserOptions};

/// Where a namespace of the container comes from (namespaces(7)).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Namespace {
    /// A new one.
    #[default]
    Private,
    /// A new one that other containers may join; of the IPC namespace only.
    Shareable,
    /// A new one without /dev/shm; of the IPC namespace only.
    WithoutShm,
    /// The host's.
    Host,
    /// One that exists: absolute path of its file.
    Path(String),
    /// That of another container: its name, or its id once this one is on record.
    Container(String),
}

impl Namespace {
    /// Whether the container has it for itself, so that what it changes there is its own.
    pub fn is_new(&self) -> bool {
        match self {
            Self::Private | Self::Shareable | Self::WithoutShm => true,
            Self::Host | Self::Path(_) | Self::Container(_) => false,
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Private => out.write_str("private"),
            Self::Shareable => out.write_str("shareable"),
            Self::WithoutShm => out.write_str("none"),
            Self::Host => out.write_str("host"),
            Self::Path(path) => write!(out, "ns:{path}"),
            Self::Container(owner) => write!(out, "container:{owner}"),
        }
    }
}

/// The mode of a namespace as users write it; the reason of a refusal is text.
impl FromStr for Namespace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("ns", path)) if path.starts_with('/') && !path.contains('\0') => {
                Ok(Self::Path(path.to_owned()))
            }
            Some(("ns", _)) => Err("the path behind ns: is not absolute".to_owned()),
            Some(("container", owner)) => {
                if owner.is_empty() || owner.chars().any(char::is_control) {
                    return Err("the name behind container: is none".to_owned());
                }
                Ok(Self::Container(owner.to_owned()))
            }
            _ => match text {
                "private" => Ok(Self::Private),
                "host" => Ok(Self::Host),
                "shareable" => Ok(Self::Shareable),
                "none" => Ok(Self::WithoutShm),
                _ => Err("not private, host or ns:PATH".to_owned()),
            },
        }
    }
}

/// Capabilities that a user adds or drops (capabilities(7)).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapabilityWish {
    /// All that there are.
    pub all: bool,
    /// By name.
    pub named: Vec<Capability>,
}

/// What decides which seccomp profile a container gets if the user names none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeccompPolicy {
    /// The host's default profile.
    #[default]
    Default,
    /// The profile in a label of the image, if it has one.
    Image,
}

/// The filter of system calls (seccomp(2)).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seccomp {
    /// None.
    Unconfined,
    /// A profile: absolute path of a file of the host.
    File(String),
}

/// Namespaces, capabilities, labels.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IsolationOptions {
    /// The PID namespace; none: what the host's configuration says.
    pub pid: Option<Namespace>,
    /// The IPC namespace.
    pub ipc: Option<Namespace>,
    /// The UTS namespace.
    pub uts: Option<Namespace>,
    /// The cgroup namespace.
    pub cgroup: Option<Namespace>,
    /// The user namespace.
    pub user: UserOptions,
    /// Everything is allowed and every device is there.
    pub privileged: bool,
    /// Capabilities beyond the default set.
    pub cap_add: CapabilityWish,
    /// Capabilities taken from the default set.
    pub cap_drop: CapabilityWish,
    /// Set-id programs and file capabilities give nothing (`no_new_privs`, prctl(2)).
    pub no_new_privileges: bool,
    /// The filter of system calls; none: what [`Self::seccomp_policy`] says, and nothing for a privileged container.
    pub seccomp: Option<Seccomp>,
    /// Where the default filter comes from.
    pub seccomp_policy: SeccompPolicy,
    /// The AppArmor profile, or `unconfined`; none: the default one, and nothing for a privileged container.
    pub apparmor: Option<String>,
    /// Changes to the labels of SELinux, as given: what they must look like, only a host with SELinux cares.
    pub label: Vec<String>,
    /// Paths hidden beyond the default ones.
    pub mask: Vec<String>,
    /// Patterns of default paths that are not hidden or made read-only, each a list with `:`; or `ALL`.
    pub unmask: Vec<String>,
    /// Options of the mount at /proc (proc(5)).
    pub proc_options: Vec<String>,
    /// Devices of the host, in the user's order.
    pub devices: Vec<Device>,
    /// Devices that the cgroup allows, by number.
    pub device_rules: Vec<DeviceRule>,
    /// Kernel parameters of the container's own namespaces, by name (sysctl(8)).
    pub sysctls: BTreeMap<String, String>,
}

impl IsolationOptions {
    /// Checks what single options cannot see.
    ///
    /// # Errors
    /// Options that exclude each other.
    pub(super) fn check(&self, options: &Options) -> Result<(), DefinitionError> {
        if self.cap_add.all && self.cap_drop.all {
            return Err(DefinitionError::Conflict("--cap-add=ALL", "--cap-drop=ALL"));
        }
        let both = |cap: &&Capability| self.cap_drop.named.contains(*cap);
        if let Some(cap) = self.cap_add.named.iter().find(both)
            && !self.cap_drop.all
        {
            return Err(DefinitionError::AddedAndDropped(*cap));
        }
        if self.user.mode.is_some() && self.user.has_mapping() {
            let mapping = "--uidmap, --gidmap, --subuidname or --subgidname";
            return Err(DefinitionError::Conflict("--userns", mapping));
        }
        if let Some((a, b)) = self.user.overlap() {
            return Err(DefinitionError::Overlap(a, b));
        }
        let shared = |mode: &Option<Namespace>| mode.as_ref().is_some_and(|mode| !mode.is_new());
        if options.hostname.is_some() && shared(&self.uts) {
            return Err(DefinitionError::Conflict(
                "--hostname",
                "--uts of somebody else",
            ));
        }
        let is_host = |mode: &Option<Namespace>| *mode == Some(Namespace::Host);
        for (key, value) in &self.sysctls {
            let namespace = match key.as_str() {
                "kernel.domainname" | "kernel.hostname" if is_host(&self.uts) => "UTS",
                key if key.starts_with("net.") && options.network == Network::Host => "network",
                key if !key.starts_with("net.") && is_host(&self.ipc) => "IPC",
                _ => continue,
            };
            let sysctl = format!("{key}={value}");
            return Err(DefinitionError::HostSysctl { sysctl, namespace });
        }
        Ok(())
    }
}

/// A capability by its name, with or without `CAP_`; the reason of a refusal is text.
///
/// # Errors
/// There is none of this name.
pub fn parse_capability(text: &str) -> Result<Capability, String> {
    let upper = text.trim().to_ascii_uppercase();
    let known = Capability::from_str(upper.strip_prefix("CAP_").unwrap_or(&upper));
    known.map_err(|_| format!("no capability is called {text:?}"))
}

/// Parameters of namespaces that are not of a family with a prefix (sysctl(8), ipc_namespaces(7)).
const SYSCTLS: &[&str] = &[
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
    "kernel.sem",
    "kernel.shm_rmid_forced",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
];

/// `NAME=VALUE` of a kernel parameter. Only what belongs to a namespace of the container: the runtime writes it as root
/// into the host's /proc/sys (CVE-2022-0811).
///
/// # Errors
/// It is not that; the reason is text.
pub fn parse_sysctl(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not NAME=VALUE")?;
    let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '@');
    if key.contains("..") || key.ends_with('.') || !key.chars().all(word) {
        return Err("not the name of a kernel parameter".to_owned());
    }
    let family = key.starts_with("net.") || key.starts_with("fs.mqueue.");
    if !family && !SYSCTLS.contains(&key) {
        return Err("not a parameter of a namespace of the container's own".to_owned());
    }
    if value.trim() != value || value.chars().any(char::is_control) {
        return Err("white space around the value, or control characters in it".to_owned());
    }
    if value.contains('=') {
        return Err("a value with = in it".to_owned());
    }
    Ok((key.to_owned(), value.to_owned()))
}
