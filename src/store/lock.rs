//! The lock that serialises operations on one container.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::{StoreError, ensure_private};
use crate::api::Layout;
use crate::sys::paths::{Lock, lock_file};
use crate::types::ContainerId;

/// The lock of one container, held until it is dropped (flock(2): a dead holder holds nothing). Its file goes with the
/// container, whoever removed that.
#[derive(Debug)]
pub struct ContainerLock {
    path: PathBuf,
    container: PathBuf,
    file: File,
}

impl ContainerLock {
    /// Removes the lock's file together with its container; whoever waits for it takes a new one.
    pub fn retire(&self) {
        if is_current(&self.path, &self.file) {
            // A file that stays is empty and harmless.
            let _ = fs::remove_file(&self.path);
        }
    }
}

impl Drop for ContainerLock {
    fn drop(&mut self) {
        if !self.container.exists() {
            self.retire();
        }
    }
}

/// Removes the lock file of a container that is gone, unless somebody holds it: then he does that in the end.
///
/// # Errors
/// The lock's file cannot be opened.
pub fn forget_lock(layout: &Layout, id: &ContainerId) -> Result<(), StoreError> {
    match layout.lock(id).exists() {
        true => try_lock(layout, id).map(drop),
        false => Ok(()),
    }
}

/// Waits for the lock of a container.
///
/// # Errors
/// The lock's file cannot be made.
pub fn lock(layout: &Layout, id: &ContainerId) -> Result<ContainerLock, StoreError> {
    acquire(layout, id, true).map(|lock| lock.expect("a lock that is waited for is held"))
}

/// Takes the lock of a container if nobody has it.
///
/// # Errors
/// The lock's file cannot be made.
pub fn try_lock(layout: &Layout, id: &ContainerId) -> Result<Option<ContainerLock>, StoreError> {
    acquire(layout, id, false)
}

fn acquire(
    layout: &Layout,
    id: &ContainerId,
    wait: bool,
) -> Result<Option<ContainerLock>, StoreError> {
    let path = layout.lock(id);
    loop {
        let file = open(&path)?;
        if !lock_file(&file, Lock::Exclusive, wait).map_err(StoreError::io("lock", &path))? {
            return Ok(None);
        }
        // The holder before us may have removed the file with its container.
        if is_current(&path, &file) {
            let container = layout.container(id);
            return Ok(Some(ContainerLock {
                path,
                container,
                file,
            }));
        }
    }
}

fn open(path: &Path) -> Result<File, StoreError> {
    let open = || {
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
    };
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let directory = path.parent().expect("a lock lies in a directory");
            ensure_private(directory.parent().expect("locks lie in the run directory"))?;
            ensure_private(directory)?;
            open().map_err(StoreError::io("open lock", path))
        }
        other => other.map_err(StoreError::io("open lock", path)),
    }
}

fn is_current(path: &Path, file: &File) -> bool {
    match (fs::symlink_metadata(path), file.metadata()) {
        (Ok(there), Ok(ours)) => there.ino() == ours.ino() && there.dev() == ours.dev(),
        _ => false,
    }
}
