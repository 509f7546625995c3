//! The OCI bundle of a run: config.json (OCI runtime specification 1.0) and the files in /etc that are ours.

mod annotations;
mod cdi;
mod devices;
mod env;
mod etc;
mod files;
mod hooks;
mod isolation;
mod joined;
mod limits;
mod mounts;
mod pattern;
mod process;
#[cfg(test)]
mod process_tests;
mod resolv;
mod seccomp;
mod security;
mod systemd;
#[cfg(test)]
mod tests;
mod userns;

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::runtime::{Hook, Linux, Process, Root, Spec};

use crate::definition::{Definition, DefinitionError, HealthOptions, Namespace, Network};
use crate::plan::conf::Conf;
use crate::types::Signal;

pub use annotations::rfc3339;
pub use cdi::{CdiFile, Edits};
pub use devices::DeviceNode;
pub use env::{NOTIFY_DIRECTORY, of_image};
pub use etc::EtcFacts;
pub use files::{FileFacts, GivenFile, mapped_shm};
pub use hooks::{HookFacts, command_of};
pub use isolation::{IsolationFacts, is_nested, is_privileged};
pub use joined::{JoinedFacts, NamespaceKind, NamespaceSource};
pub use limits::LimitFacts;
pub use mounts::{Forbids, MountFacts};
use process::args;
pub use process::{ProcessFacts, UserFacts, workdir};
pub use resolv::is_stub;
pub use seccomp::{Profile as SeccompProfile, SeccompError};
pub use userns::{Mapping, map_file};

/// What an image says about how it wants to be run (OCI image configuration).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ImageDefaults {
    /// Entry point.
    pub entrypoint: Vec<String>,
    /// Command, or arguments of the entry point.
    pub command: Vec<String>,
    /// `NAME=value` assignments.
    pub env: Vec<String>,
    /// `USER[:GROUP]`; empty: root.
    pub user: String,
    /// Working directory; empty: `/`.
    pub workdir: String,
    /// Signal of an ordered stop.
    pub stop_signal: Option<Signal>,
    /// Labels, by key.
    pub labels: BTreeMap<String, String>,
    /// Its health check.
    pub health: HealthOptions,
}

/// What the plan must know of the host and of the container's root, by area.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct BundleFacts {
    /// The image's wishes; empty for `--rootfs`.
    pub image: ImageDefaults,
    /// Absolute path of the root directory.
    pub rootfs: PathBuf,
    /// The payload's cgroup, from the root of the hierarchy.
    pub cgroup: String,
    /// User and process.
    pub process: ProcessFacts,
    /// Mounts and files.
    pub files: FileFacts,
    /// The files of /etc.
    pub etc: EtcFacts,
    /// Namespaces and everything else that keeps apart.
    pub isolation: IsolationFacts,
    /// Namespaces that are not made for this run.
    pub joined: JoinedFacts,
    /// Limits.
    pub limits: LimitFacts,
    /// OCI hooks.
    pub hooks: HookFacts,
    /// What containers.conf(5) says.
    pub conf: Conf,
}

/// A planned bundle.
#[derive(Clone, PartialEq, Debug)]
pub struct Bundle {
    /// config.json.
    pub spec: Spec,
    /// Files that config.json mounts, with their contents.
    pub etc: Vec<(PathBuf, String)>,
    /// Files of the host to be copied for config.json: from and to.
    pub copies: Vec<(PathBuf, PathBuf)>,
    /// Signal of an ordered stop.
    pub stop_signal: Signal,
    /// Programs that config.json goes through before it is used.
    pub filters: Vec<Hook>,
    /// What was left out because the host lacks it, one line each.
    pub warnings: Vec<String>,
}

/// Plans the bundle of a container.
///
/// # Errors
/// There is no command at all.
pub fn plan(definition: &Definition, facts: &BundleFacts) -> Result<Bundle, DefinitionError> {
    let mut warnings = Vec::new();
    let mut root = Root::default();
    root.set_path(facts.rootfs.clone())
        .set_readonly(Some(definition.options.files.read_only));
    let mut linux = Linux::default();
    linux.set_cgroups_path(Some(PathBuf::from(&facts.cgroup)));
    isolation::plan(definition, facts, &mut linux);
    userns::plan(facts, &mut linux);
    seccomp::plan(definition, facts, &mut linux, &mut warnings);
    limits::plan(definition, &facts.limits, &mut linux, &mut warnings);
    devices::plan(definition, facts, &mut linux, &mut warnings);
    let mut mounts = files::plan(definition, facts);
    let systemd = systemd::is_wanted(definition, facts);
    if systemd {
        let modes = isolation::Namespaces::of(definition, &facts.conf);
        let own_cgroups = modes.cgroup != Namespace::Host;
        systemd::add_mounts(definition, own_cgroups, &mut mounts);
    }
    mounts.extend(process::init_mount(facts, systemd));
    userns::adapt(definition, facts, &mut mounts);
    mounts.extend(devices::binds(facts));
    let mut etc = etc::plan(definition, facts)?;
    let wishes = &definition.options.files;
    mounts::into_chroots(wishes, &mut etc.mounts);
    mounts::close(wishes, &mut etc.mounts);
    mounts.extend(etc.mounts);
    joined::share_shm(&mut mounts, &facts.joined, facts.files.shm.as_deref());
    mounts::sort(&mut mounts);
    mounts::root_propagation(definition, &mut linux);
    let mut process = process::plan(definition, facts, systemd, &mut linux, &mut warnings)?;
    add_secrets(&mut process, &facts.files.secret_env);
    let stop_signal = stop_signal(definition, &facts.image, systemd);
    let mut spec = Spec::default();
    spec.set_root(Some(root))
        .set_process(Some(process))
        .set_hostname(own_hostname(definition, facts))
        .set_mounts(Some(mounts))
        .set_linux(Some(linux))
        .set_annotations(Some(annotations::plan(definition, facts, stop_signal)));
    cdi::apply(&facts.isolation.cdi, facts.limits.device_rules, &mut spec);
    let filters = hooks::plan(definition, &facts.hooks, &mut spec, &mut warnings);
    Ok(Bundle {
        spec,
        filters,
        etc: etc.files,
        copies: etc.copies,
        stop_signal,
        warnings,
    })
}

/// Secrets win over every other variable of their name.
fn add_secrets(process: &mut Process, secrets: &[(String, String)]) {
    let mut env = process.env().clone().unwrap_or_default();
    for (name, value) in secrets {
        env.retain(|own| own.split_once('=').is_none_or(|(other, _)| other != name));
        env.push(format!("{name}={value}"));
    }
    process.set_env(Some(env));
}

/// The name that the payload finds in its UTS namespace.
fn hostname(definition: &Definition, facts: &BundleFacts) -> String {
    let own = own_hostname(definition, facts);
    own.or_else(|| facts.joined.hostname.clone())
        .unwrap_or_else(|| facts.isolation.hostname.clone())
}

/// The name to set; none where the UTS namespace is not the container's own.
fn own_hostname(definition: &Definition, facts: &BundleFacts) -> Option<String> {
    if !isolation::Namespaces::of(definition, &facts.conf)
        .uts
        .is_new()
    {
        return None;
    }
    let options = &definition.options;
    let by_name = facts.conf.containers.container_name_as_hostname == Some(true);
    Some(match &options.hostname {
        Some(name) => name.clone(),
        // Who is at the host's addresses is known by the host's name.
        None if options.network == Network::Host => facts.isolation.hostname.clone(),
        None if by_name => {
            let name = definition.name.as_str().chars();
            name.filter(|c| c.is_ascii_alphanumeric() || *c == '-')
                .take(64)
                .collect()
        }
        None => definition.id.short().to_owned(),
    })
}

/// The user's, the image's, or what the first process expects.
fn stop_signal(definition: &Definition, image: &ImageDefaults, systemd: bool) -> Signal {
    let wished = definition.options.stop_signal.or(image.stop_signal);
    let usual = match systemd {
        true => Signal::from_number(SIGRTMIN + 3).unwrap_or(Signal::TERM),
        false => Signal::TERM,
    };
    wished.unwrap_or(usual)
}

/// The first real-time signal of the C library (signal(7)).
const SIGRTMIN: i64 = 34;
