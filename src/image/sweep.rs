//! Removal of trees that somebody else shaped: any depth, any name, two descriptors.

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::sys::paths::rename_noreplace;

/// Removes a directory and all below it; one that is not there is fine. Symlinks are removed, not
/// followed.
///
/// Directories are lifted to the top before they are emptied, so that depth costs neither stack
/// nor descriptors: a hostile layer may be thousands of directories deep.
pub(super) fn remove_tree(path: &Path) -> io::Result<()> {
    let top = match open_dir(AT_FDCWD, path) {
        Ok(top) => top,
        Err(Errno::ENOENT) => return Ok(()),
        Err(err) => return Err(err.into()),
    };
    let mut lifted = 0u64;
    loop {
        let names = names(&top)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            if !remove_file(&top, &name)? {
                empty(&top, &name, &mut lifted)?;
                unlinkat(&top, name.as_c_str(), UnlinkatFlags::RemoveDir)?;
            }
        }
    }
    Ok(unlinkat(AT_FDCWD, path, UnlinkatFlags::RemoveDir)?)
}

/// Empties one directory of `top`; what is a directory in it becomes one of `top`.
fn empty(top: &OwnedFd, name: &CString, lifted: &mut u64) -> io::Result<()> {
    let dir = open_dir(top, name.as_c_str())?;
    for child in names(&dir)? {
        if remove_file(&dir, &child)? {
            continue;
        }
        loop {
            *lifted += 1;
            let from = Path::new(OsStr::from_bytes(child.to_bytes()));
            match rename_noreplace(&dir, from, top, format!("lifted-{lifted}")) {
                Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
                other => break other?,
            }
        }
    }
    Ok(())
}

/// False if it is a directory.
fn remove_file(dir: &OwnedFd, name: &CString) -> io::Result<bool> {
    match unlinkat(dir, name.as_c_str(), UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(true),
        Err(Errno::EISDIR) => Ok(false),
        Err(err) => Err(err.into()),
    }
}

fn open_dir<P: ?Sized + nix::NixPath>(at: impl AsFd, path: &P) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    openat(at, path, flags, Mode::empty())
}

fn names(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut list = Dir::from_fd(open_dir(dir, ".")?)?;
    let mut names = Vec::new();
    for entry in list.iter() {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}
