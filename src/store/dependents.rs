//! Who depends on a container: links in its directory, one for each, so that nobody has to read every definition.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::{StoreError, ensure_private};
use crate::api::Layout;
use crate::types::ContainerId;

/// Notes that `who` depends on a container whose lock the caller holds until `who` is on record.
///
/// # Errors
/// The link cannot be made.
pub fn add_dependent(
    layout: &Layout,
    on: &ContainerId,
    who: &ContainerId,
) -> Result<(), StoreError> {
    let directory = layout.dependents(on);
    ensure_private(&directory)?;
    let link = directory.join(who.as_str());
    let target = PathBuf::from("../..").join(who.as_str());
    match symlink(target, &link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(StoreError::io("make link", &link)(error))
        }
        _ => Ok(()),
    }
}

/// Forgets that `who` depends on a container; best effort, as a link that leads nowhere counts for nothing.
pub fn remove_dependent(layout: &Layout, on: &ContainerId, who: &ContainerId) {
    let _ = fs::remove_file(layout.dependents(on).join(who.as_str()));
}

/// The containers that depend on this one, those that are gone left out.
pub fn dependents(layout: &Layout, on: &ContainerId) -> Vec<ContainerId> {
    let entries = fs::read_dir(layout.dependents(on))
        .into_iter()
        .flatten()
        .flatten();
    let mut all: Vec<ContainerId> = entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| layout.container(id).is_dir())
        .collect();
    all.sort_unstable();
    all
}
