//! Changes in a directory told by a signal, for where there is no inotify instance to be had: `F_NOTIFY` (fcntl(2)).

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::libc;

use super::{check, retry};

/// linux/fcntl.h; the libc crate has none of them.
const DN_MODIFY: libc::c_int = 0x02;
const DN_CREATE: libc::c_int = 0x04;
const DN_RENAME: libc::c_int = 0x10;
const DN_MULTISHOT: libc::c_int = i32::MIN;

/// What is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// A file came into the directory, or got its name in it.
    Came,
    /// A file in it was written.
    Written,
}

/// Has SIGIO sent to this process for every such change until the descriptor is closed. It says neither what nor
/// where, and stands for any number of changes.
///
/// # Errors
/// Those of open(2) and fcntl(2): `EINVAL` where the kernel has no such thing.
pub fn notify(directory: &Path, change: Change) -> io::Result<OwnedFd> {
    let directory = OwnedFd::from(File::open(directory)?);
    let events = match change {
        Change::Came => DN_CREATE | DN_RENAME,
        Change::Written => DN_MODIFY,
    };
    let events = events | DN_MULTISHOT;
    // SAFETY: F_NOTIFY takes an integer and touches no memory of ours.
    retry(|| check(unsafe { libc::fcntl(directory.as_raw_fd(), libc::F_NOTIFY, events) }))?;
    Ok(directory)
}
