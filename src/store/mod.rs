//! Records on disk: one directory per container, one link per name. The filesystem is the database.
//!
//! `containers/<id>` appears whole or not at all, and so it goes: it is made and taken apart under a hidden name. The
//! link `names/<name>` is made while the creator holds the container's lock; a link to nothing whose container nobody
//! has locked is what a crash left behind, and counts as free. Damage to one container never hides another.

pub mod check;
mod container;
pub mod copy_tree;
pub mod copy_up;
mod dependents;
mod directory;
mod lock;
mod lookup;
mod names;
pub mod secrets;
pub mod volumes;

use std::io;
use std::path::{Path, PathBuf};

use crate::types::{ContainerId, ContainerName};

pub use container::{Listed, create, list, load, remove, removing, rename, sweep};
pub use dependents::{add_dependent, dependents, remove_dependent};
pub(crate) use directory::empty_and_remove;
pub use directory::{ensure_private, read_bounded, remove_tree, write_atomic};
pub use lock::{ContainerLock, forget_lock, lock, try_lock};
pub use lookup::{lookup, name_of, unique_prefix};

/// What can go wrong with the records.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The name belongs to another container.
    #[error(
        "the container name \"{name}\" is already in use by {holder}; remove that container first to use the name again"
    )]
    NameTaken {
        /// The name.
        name: ContainerName,
        /// Who has it.
        holder: ContainerId,
    },
    /// Nothing of that name or id.
    #[error("no container with name or ID \"{0}\" found: no such container")]
    NoSuchContainer(String),
    /// The prefix of more than one id.
    #[error("more than one result for container name or ID \"{0}\": give more digits of the ID")]
    Ambiguous(String),
    /// The definition cannot be read; the container can still be removed.
    #[error("container {id}: read definition")]
    Broken {
        /// Whose.
        id: ContainerId,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing of that name.
    #[error("no {kind} with name{} \"{name}\"{}: no such {kind}", or_id(kind).0, or_id(kind).1)]
    NoSuchObject {
        /// `volume` or `secret`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// The name is taken.
    #[error("{kind} with name {name} already exists: {kind} {}", taken(kind))]
    ObjectExists {
        /// `volume` or `secret`.
        kind: &'static str,
        /// The name.
        name: String,
    },
    /// A file operation failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

/// Podman's words: a secret has an id too, a volume is looked for.
fn or_id(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "secret" => (" or id", ""),
        _ => ("", " found"),
    }
}

/// Podman's words again.
fn taken(kind: &str) -> &'static str {
    match kind {
        "secret" => "name in use",
        _ => "already exists",
    }
}

impl StoreError {
    /// Names action and object of a failed file operation.
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io {
            action,
            path,
            source,
        }
    }

    /// Whether the container asked for is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NoSuchContainer(_) | Self::NoSuchObject { .. })
    }
}

#[cfg(test)]
mod tests;
