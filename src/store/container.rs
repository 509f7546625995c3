//! The directory of a container: made whole, read with care, removed whole.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::directory::sync_names;
use super::{
    ContainerLock, StoreError, ensure_private, lock, names, read_bounded, remove_tree, try_lock,
    write_atomic,
};
use crate::api::{LOG_FIELDS, Layout};
use crate::definition::Definition;
use crate::types::{ContainerId, ContainerName};

/// Longest definition, bytes; an environment is at most 2 MiB (execve(2)).
const MAX_DEFINITION: u64 = 16 << 20;
/// Directories of containers that are being made or removed begin so.
pub(super) const MAKING: &str = ".new-";
pub(super) const REMOVING: &str = ".old-";

/// One entry of [`list`].
#[derive(Debug)]
pub enum Listed {
    /// A container that can be read.
    Good(Box<Definition>),
    /// One that cannot: it is shown, and can be removed.
    Broken {
        /// Its id.
        id: ContainerId,
        /// Why.
        error: StoreError,
    },
}

/// Writes a new container down and returns its lock, held since before anyone could see it.
///
/// # Errors
/// [`StoreError::NameTaken`], or a file operation that failed; nothing is left then.
pub fn create(layout: &Layout, definition: &Definition) -> Result<ContainerLock, StoreError> {
    for directory in [layout.state(), layout.containers(), layout.names()] {
        ensure_private(&directory)?;
    }
    let guard = lock(layout, &definition.id)?;
    let made = make(layout, definition);
    if made.is_err() {
        let hidden = hidden(layout, MAKING, &definition.id);
        // Best effort: the first error is the one to tell, and the next sweep takes what is left.
        let _ = remove_tree(&hidden);
        if !layout.container(&definition.id).exists() {
            let _ = names::release(layout, &definition.name, &definition.id);
        }
        guard.retire();
    }
    made.map(|()| guard)
}

fn make(layout: &Layout, definition: &Definition) -> Result<(), StoreError> {
    let hidden = hidden(layout, MAKING, &definition.id);
    ensure_private(&hidden)?;
    let file = hidden.join("definition.json");
    write_atomic(&file, &definition.to_json(), 0o600)?;
    sync_names(&hidden)?;
    names::claim(layout, &definition.name, &definition.id)?;
    let path = layout.container(&definition.id);
    fs::rename(&hidden, &path).map_err(StoreError::io("make container", &path))?;
    // One sync for both directories would do on ext4; POSIX promises each on its own only.
    sync_names(&layout.names())?;
    sync_names(&layout.containers())
}

fn hidden(layout: &Layout, prefix: &str, id: &ContainerId) -> PathBuf {
    layout.containers().join(format!("{prefix}{id}"))
}

/// Where the directory of a container is while it is being removed; what a crash leaves there [`sweep`] takes.
pub fn removing(layout: &Layout, id: &ContainerId) -> PathBuf {
    hidden(layout, REMOVING, id)
}

/// Reads the definition of a container.
///
/// # Errors
/// [`StoreError::NoSuchContainer`] or [`StoreError::Broken`].
pub fn load(layout: &Layout, id: &ContainerId) -> Result<Definition, StoreError> {
    let broken = |source| StoreError::Broken {
        id: id.clone(),
        source,
    };
    let text = match read_bounded(&layout.definition(id), MAX_DEFINITION) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if layout.container(id).is_dir() {
                return Err(broken(error.into()));
            }
            return Err(StoreError::NoSuchContainer(id.to_string()));
        }
        Err(error) => return Err(broken(error.into())),
    };
    let definition = Definition::from_json(&text).map_err(|error| broken(error.into()))?;
    if definition.id != *id {
        let text = format!("it belongs to container {}", definition.id);
        return Err(broken(text.into()));
    }
    Ok(definition)
}

/// Writes a definition with a new name down, under the container's lock. The new name is taken before the old one is
/// given back: after a crash in between both lead to it.
///
/// # Errors
/// [`StoreError::NameTaken`], or a file operation that failed.
pub fn rename(
    layout: &Layout,
    _lock: &ContainerLock,
    new: &Definition,
    old: &ContainerName,
) -> Result<(), StoreError> {
    names::claim(layout, &new.name, &new.id)?;
    if let Err(error) = write_atomic(&layout.definition(&new.id), &new.to_json(), 0o600) {
        // The first error is the one to tell.
        let _ = names::release(layout, &new.name, &new.id);
        return Err(error);
    }
    names::release(layout, old, &new.id)?;
    sync_names(&layout.names())
}

/// The ids of all containers, sorted.
pub(super) fn ids(layout: &Layout) -> Result<Vec<ContainerId>, StoreError> {
    let path = layout.containers();
    let mut ids: Vec<ContainerId> = entries(&path)?
        .filter_map(|name| name.parse().ok())
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

fn entries(path: &Path) -> Result<impl Iterator<Item = String> + use<>, StoreError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => Some(entries),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(StoreError::io("list", path)(error)),
    };
    Ok(entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok()))
}

/// All containers, oldest first, those that cannot be read last.
///
/// # Errors
/// The directory of all containers cannot be read.
pub fn list(layout: &Layout) -> Result<Vec<Listed>, StoreError> {
    let mut listed: Vec<Listed> = ids(layout)?
        .into_iter()
        .filter_map(|id| match load(layout, &id) {
            Ok(definition) => Some(Listed::Good(Box::new(definition))),
            // It went between the two looks.
            Err(StoreError::NoSuchContainer(_)) => None,
            Err(error) => Some(Listed::Broken { id, error }),
        })
        .collect();
    listed.sort_by_key(|entry| match entry {
        Listed::Good(definition) => definition.created,
        Listed::Broken { .. } => u64::MAX,
    });
    Ok(listed)
}

/// Removes the records of a container, its writable layer included; what is gone already is fine.
///
/// # Errors
/// A file operation that failed. The container is gone from every list all the same, unless the very first step
/// failed; the next sweep takes the rest.
pub fn remove(layout: &Layout, lock: &ContainerLock, id: &ContainerId) -> Result<(), StoreError> {
    let definition = load(layout, id);
    let (path, hidden) = (layout.container(id), hidden(layout, REMOVING, id));
    match fs::rename(&path, &hidden) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(StoreError::io("remove container", &path)(error));
        }
        _ => {}
    }
    let released = match &definition {
        Ok(definition) => names::release(layout, &definition.name, id),
        Err(_) => names::all_of(layout, id)
            .iter()
            .try_for_each(|name| names::release(layout, name, id)),
    };
    let removed = remove_tree(&hidden);
    lock.retire();
    released.and(removed)
}

/// Removes what systemd has left of the units of containers that are gone: each would take a page of memory for ever.
fn sweep_log_fields(layout: &Layout) -> Result<(), StoreError> {
    let directory = layout.unit_state();
    for file in entries(&directory)? {
        let Some(unit) = file.strip_prefix(LOG_FIELDS) else {
            continue;
        };
        let name = unit.strip_prefix("unitbox-");
        let name = name.and_then(|name| name.strip_suffix(".service"));
        let Some(Ok(name)) = name.map(str::parse::<ContainerName>) else {
            continue;
        };
        // An invocation is there as long as the unit is not inactive.
        let is_up = || fs::symlink_metadata(directory.join(format!("invocation:{unit}"))).is_ok();
        if fs::symlink_metadata(layout.name(&name)).is_err() && !is_up() {
            remove_tree(&directory.join(&file))?;
        }
    }
    Ok(())
}

/// Removes what crashes in [`create`] and [`remove`] left behind: hidden directories, names that lead nowhere.
///
/// # Errors
/// The first file operation that failed; it goes on with the rest.
pub fn sweep(layout: &Layout) -> Result<(), StoreError> {
    let path = layout.containers();
    let mut result = Ok(());
    for name in entries(&path)? {
        let stripped = name.strip_prefix(MAKING).or(name.strip_prefix(REMOVING));
        let Some(Ok(id)) = stripped.map(str::parse::<ContainerId>) else {
            continue;
        };
        // A lock that is held: somebody is at it.
        if let Some(_lock) = try_lock(layout, &id)? {
            result = result.and(remove_tree(&path.join(&name)));
        }
    }
    for (name, id) in names::all(layout) {
        if layout.container(&id).is_dir() {
            continue;
        }
        // Its maker takes the lock before the name: once we have it, he is done or dead.
        if let Some(_lock) = try_lock(layout, &id)?
            && !layout.container(&id).is_dir()
        {
            result = result.and(names::release(layout, &name, &id));
        }
    }
    result.and(sweep_log_fields(layout))
}
