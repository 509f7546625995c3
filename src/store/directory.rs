//! Files and directories: private, whole or absent, gone without a trace.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::StoreError;
use crate::sys::paths::sync_dir;

/// Makes a directory and its parents; the directory itself is 0700 afterwards, whoever made it, or stays 0711.
///
/// # Errors
/// Not a directory, or the usual of mkdir(2) and chmod(2).
pub fn ensure_private(path: &Path) -> Result<(), StoreError> {
    let made = match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().mode(0o700).recursive(true).create(path)
        }
        other => other,
    };
    match made {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(StoreError::io("make directory", path)(error)),
    }
    let found = fs::symlink_metadata(path).map_err(StoreError::io("look at", path))?;
    if !found.is_dir() {
        let error = io::Error::from(io::ErrorKind::NotADirectory);
        return Err(StoreError::io("make directory", path)(error));
    }
    // To go through it, if one knows where to, is what the root of a container with mapped users needs.
    if found.permissions().mode() & 0o066 != 0 {
        tracing::info!(path = %path.display(), "directory was open to others, closing it");
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .map_err(StoreError::io("change mode of", path))?;
    }
    Ok(())
}

/// Writes a file whole or not at all: temporary file beside it, fsync, rename.
///
/// # Errors
/// The usual of open(2), write(2), fsync(2) and rename(2); the temporary file is gone then.
pub fn write_atomic(path: &Path, contents: &[u8], mode: u32) -> Result<(), StoreError> {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(name);
    let written = write_new(&temporary, contents, mode)
        .and_then(|()| fs::rename(&temporary, path))
        .map_err(StoreError::io("write", path));
    if written.is_err() {
        // It may not be there: what counts is the first error.
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write_new(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let open = || {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(path)
    };
    let mut file = match open() {
        // A process that had our PID died here.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_file(path)?;
            open()?
        }
        other => other?,
    };
    file.write_all(contents)?;
    file.sync_all()
}

/// Makes the names in a directory durable.
pub(super) fn sync_names(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(sync_dir)
        .map_err(StoreError::io("sync directory", path))
}

/// How often a directory is emptied that is not empty then.
const TRIES: usize = 16;

/// Reads a regular file of at most `limit` bytes; never waits for a FIFO and follows no link.
///
/// # Errors
/// `InvalidData` if it is no regular file or longer, otherwise the usual of open(2) and read(2).
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags)
        .open(path)?;
    let refuse = |reason| Err(io::Error::new(io::ErrorKind::InvalidData, reason));
    let found = file.metadata()?;
    if !found.is_file() {
        return refuse("not a regular file");
    }
    let mut contents = Vec::with_capacity(found.len().min(limit) as usize);
    file.take(limit + 1).read_to_end(&mut contents)?;
    if contents.len() as u64 > limit {
        return refuse("file is too long");
    }
    Ok(contents)
}

/// Removes a file or a directory with all in it; follows no link; nothing there is fine.
///
/// # Errors
/// The first that was met; what could be removed is gone.
pub fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => empty_and_remove(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a directory with all in it. Others may write into it meanwhile, such as a stop that asks for a timeout; none of
/// them does so for long.
///
/// # Errors
/// As fs::remove_dir_all.
pub(crate) fn empty_and_remove(path: &Path) -> io::Result<()> {
    for _ in 0..TRIES {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
            removed => return removed,
        }
    }
    fs::remove_dir_all(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_others_write_into_is_removed() {
        let base = std::env::temp_dir().join(format!("unitbox-remove-{}", std::process::id()));
        for _ in 0..200 {
            fs::create_dir_all(base.join("run")).unwrap();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for file in 0..TRIES / 2 {
                        let _ = fs::write(base.join(format!("run/{file}")), "10");
                    }
                });
                remove_tree(&base).unwrap();
            });
            assert!(!base.exists());
        }
    }
}
