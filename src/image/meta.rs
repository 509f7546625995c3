//! Owner, mode, times and extended attributes of what is unpacked.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;

use nix::fcntl::AT_FDCWD;
use nix::libc::{S_IFDIR, S_IFLNK, S_IFMT};
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;

use crate::sys::paths::{chmod, chown, stat};
use crate::sys::xattr::{get_xattr, list_xattrs, set_xattr};

use super::tar_stream::Entry;

/// The attribute of a directory that hides the lower ones (kernel, overlayfs.rst).
pub(crate) const OPAQUE: &str = "trusted.overlay.opaque";

/// Attributes of what is not whole in its layer: the rest of it is in those below, elsewhere (overlayfs.rst).
pub(crate) const ELSEWHERE: [&str; 2] = ["trusted.overlay.redirect", "trusted.overlay.metacopy"];

/// Metadata to give to a file.
#[derive(Clone, Debug)]
pub(crate) struct Meta {
    mode: u32,
    uid: u32,
    gid: u32,
    mtime: Option<(i64, i64)>,
    xattrs: Vec<(OsString, Vec<u8>)>,
}

impl Meta {
    /// What an archive says.
    pub(crate) fn of_entry(entry: &Entry) -> Meta {
        let mut xattrs = entry.xattrs.clone();
        xattrs.retain(|(name, _)| belongs_to_images(name));
        Meta {
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            mtime: Some(entry.mtime),
            xattrs,
        }
    }

    /// What an unpacked file has.
    pub(crate) fn of_file(fd: impl AsFd) -> io::Result<Meta> {
        let stat = stat(&fd)?;
        let mut xattrs = Vec::new();
        for name in list_xattrs(&fd)? {
            if !belongs_to_images(&name) {
                continue;
            }
            if let Some(value) = get_xattr(&fd, &name)? {
                xattrs.push((name, value));
            }
        }
        Ok(Meta {
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: Some((stat.st_mtime, stat.st_mtime_nsec)),
            xattrs,
        })
    }

    /// A directory that an archive needs and does not describe.
    pub(crate) fn implied_directory() -> Meta {
        Meta {
            mode: 0o755,
            uid: 0,
            gid: 0,
            mtime: None,
            xattrs: Vec::new(),
        }
    }

    /// Gives it to what is open (`O_PATH` is enough, symlinks too). The order matters: chown clears
    /// setuid bits and security.capability, and all of them touch no mtime, which comes last.
    pub(crate) fn apply(&self, fd: impl AsFd) -> io::Result<()> {
        chown(&fd, self.uid, self.gid)?;
        if stat(&fd)?.st_mode & S_IFMT != S_IFLNK {
            chmod(&fd, self.mode)?;
        }
        for (name, value) in &self.xattrs {
            set_xattr(&fd, name, value).map_err(|err| {
                io::Error::new(err.kind(), format!("set attribute {name:?}: {err}"))
            })?;
        }
        let Some((seconds, nanos)) = self.mtime else {
            return Ok(());
        };
        let time = TimeSpec::new(seconds, nanos);
        // The kernel jumps to the object itself, so that a symlink is not followed.
        let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
        utimensat(
            AT_FDCWD,
            path.as_str(),
            &time,
            &time,
            UtimensatFlags::FollowSymlink,
        )?;
        Ok(())
    }
}

/// Attributes of overlayfs would let a layer redirect lookups in the layers below it; labels of
/// SELinux are the host's.
pub(crate) fn belongs_to_images(name: &OsStr) -> bool {
    let name = name.as_bytes();
    !name.starts_with(b"trusted.overlay.")
        && !name.starts_with(b"user.overlay.")
        && name != b"security.selinux"
}

/// Whether this is overlayfs' mark of a deleted file: a character device 0:0.
pub(crate) fn is_whiteout(fd: impl AsFd) -> io::Result<bool> {
    let stat = stat(fd)?;
    Ok(stat.st_mode & S_IFMT == nix::libc::S_IFCHR && stat.st_rdev == 0)
}

/// Whether it is a directory.
pub(crate) fn is_dir(fd: impl AsFd) -> io::Result<bool> {
    Ok(stat(fd)?.st_mode & S_IFMT == S_IFDIR)
}
