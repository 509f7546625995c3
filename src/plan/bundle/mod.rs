//! The OCI bundle of a run: config.json (OCI runtime specification 1.0) and the files in /etc that are ours.

mod etc;
mod files;
mod isolation;
mod limits;
mod process;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use oci_spec::runtime::{Linux, Root, Spec};

use crate::definition::{Definition, DefinitionError};
use crate::types::Signal;

pub use etc::EtcFacts;
pub use files::FileFacts;
pub use isolation::IsolationFacts;
pub use limits::LimitFacts;
pub use process::{ProcessFacts, UserFacts};

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
    /// Limits.
    pub limits: LimitFacts,
}

/// A planned bundle.
#[derive(Clone, PartialEq, Debug)]
pub struct Bundle {
    /// config.json.
    pub spec: Spec,
    /// Files that config.json mounts, with their contents.
    pub etc: Vec<(PathBuf, String)>,
    /// Limits that were left out because their controller is missing.
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
        .set_readonly(Some(false));
    let mut linux = Linux::default();
    linux.set_cgroups_path(Some(PathBuf::from(&facts.cgroup)));
    isolation::plan(definition, facts, &mut linux);
    limits::plan(definition, &facts.limits, &mut linux, &mut warnings);
    let mut mounts = files::plan(definition, &facts.files);
    let etc = etc::plan(definition, &facts.etc);
    mounts.extend(etc.mounts);
    let mut spec = Spec::default();
    spec.set_root(Some(root))
        .set_process(Some(process::plan(definition, facts)?))
        .set_hostname(Some(hostname(definition)))
        .set_mounts(Some(mounts))
        .set_linux(Some(linux))
        .set_annotations(Some(
            definition.options.annotations.clone().into_iter().collect(),
        ));
    Ok(Bundle {
        spec,
        etc: etc.files,
        warnings,
    })
}

/// The container's host name: with the host's UTS namespace it would be the host's own.
fn hostname(definition: &Definition) -> String {
    let wished = definition.options.hostname.clone();
    wished.unwrap_or_else(|| definition.id.short().to_owned())
}
