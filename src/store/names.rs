//! The links from name to container; to make one is the uniqueness check.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::{StoreError, try_lock};
use crate::api::Layout;
use crate::sys::paths::{Lock, lock_file};
use crate::types::{ContainerId, ContainerName};

/// The container a name's link points to, be it there or not.
pub(super) fn target(layout: &Layout, name: &ContainerName) -> Option<ContainerId> {
    let target = fs::read_link(layout.name(name)).ok()?;
    target.file_name()?.to_str()?.parse().ok()
}

/// Makes the link of a name for a container whose lock the caller holds.
pub(super) fn claim(
    layout: &Layout,
    name: &ContainerName,
    id: &ContainerId,
) -> Result<(), StoreError> {
    let link = layout.name(name);
    let make = || symlink(PathBuf::from("../containers").join(id.as_str()), &link);
    match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => return other.map_err(StoreError::io("make link", &link)),
    }
    // Who replaces a dead link does so alone, so that no one takes a live one for it.
    let names = layout.names();
    let directory = fs::File::open(&names).map_err(StoreError::io("open", &names))?;
    lock_file(&directory, Lock::Exclusive, true).map_err(StoreError::io("lock", &names))?;
    if let Some(holder) = live_holder(layout, name)? {
        let name = name.clone();
        return Err(StoreError::NameTaken { name, holder });
    }
    tracing::info!(%name, "replacing the link of a container that is gone");
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StoreError::io("remove dead link", &link)(error));
        }
        _ => {}
    }
    match make() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let holder = target(layout, name).unwrap_or_else(|| id.clone());
            let name = name.clone();
            Err(StoreError::NameTaken { name, holder })
        }
        other => other.map_err(StoreError::io("make link", &link)),
    }
}

/// Who holds a name: a container that is there, or one that somebody is making or removing right now.
fn live_holder(layout: &Layout, name: &ContainerName) -> Result<Option<ContainerId>, StoreError> {
    let Some(id) = target(layout, name) else {
        return Ok(None);
    };
    if layout.container(&id).is_dir() {
        return Ok(Some(id));
    }
    match try_lock(layout, &id)? {
        None => Ok(Some(id)),
        Some(lock) => {
            // Between the two looks its maker may have finished.
            let there = layout.container(&id).is_dir();
            if !there {
                lock.retire();
            }
            Ok(there.then_some(id))
        }
    }
}

/// Removes the link of a name if it is this container's.
pub(super) fn release(
    layout: &Layout,
    name: &ContainerName,
    id: &ContainerId,
) -> Result<(), StoreError> {
    if target(layout, name).as_ref() != Some(id) {
        return Ok(());
    }
    let link = layout.name(name);
    match fs::remove_file(&link) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove link", &link)(error))
        }
        _ => Ok(()),
    }
}

/// All names that point to a container, for one whose definition cannot be read.
pub(super) fn all_of(layout: &Layout, id: &ContainerId) -> Vec<ContainerName> {
    let all = all(layout).into_iter();
    all.filter(|(_, target)| target == id)
        .map(|(name, _)| name)
        .collect()
}

/// All names and where they lead.
pub(super) fn all(layout: &Layout) -> Vec<(ContainerName, ContainerId)> {
    let entries = fs::read_dir(layout.names()).into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let name: ContainerName = entry.file_name().to_str()?.parse().ok()?;
            let id = target(layout, &name)?;
            Some((name, id))
        })
        .collect()
}
