//! System calls as typed functions: the only module with `unsafe`.
//!
//! Every function does one thing the kernel does and returns `io::Result`; file descriptors are
//! owned, always close-on-exec, and closed by their owner. Nothing here knows what a container is,
//! and nothing imports the crate.
#![allow(unsafe_code)]
#![warn(clippy::undocumented_unsafe_blocks)]

pub mod dnotify;
pub mod enter;
pub mod exec;
pub mod glob;
pub mod id;
pub mod mount;
pub mod mountinfo;
pub mod move_data;
pub mod overlay;
pub mod paths;
pub mod poll;
pub mod process;
pub mod signals;
pub mod socket;
pub mod terminal;
pub mod time;
pub mod userns;
pub mod worker;
pub mod xattr;

use std::ffi::CString;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Turns the -1 of a system call into the errno it left behind.
fn check(ret: impl Into<i64>) -> io::Result<i64> {
    match ret.into() {
        -1 => Err(io::Error::last_os_error()),
        value => Ok(value),
    }
}

/// Takes ownership of the descriptor a system call returned, or gives its errno.
///
/// # Safety
/// `ret` must be -1 or a descriptor that nothing else owns.
unsafe fn owned(ret: impl Into<i64>) -> io::Result<OwnedFd> {
    let fd = RawFd::try_from(check(ret)?).expect("the kernel's descriptors are ints");
    // SAFETY: the caller promises that the descriptor is new and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Repeats a call for as long as a signal interrupts it.
fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// The path as the kernel wants it; a NUL inside is `InvalidInput`.
fn c_path(path: impl AsRef<Path>) -> io::Result<CString> {
    Ok(CString::new(path.as_ref().as_os_str().as_bytes())?)
}

/// `EINVAL`, for arguments that the kernel would misread rather than refuse.
fn invalid() -> io::Error {
    io::Error::from_raw_os_error(nix::libc::EINVAL)
}
