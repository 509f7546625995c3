//! Mounts as descriptors: the mount API of Linux 5.2 and later, and the few classic calls that are
//! still needed.
//!
//! A mount is made detached, changed, and attached to a directory by descriptor: nothing is looked
//! up by path in a tree that a container can change, and what fails before the last step leaves
//! nothing (dropping the descriptor unmounts it).

use std::io;
use std::mem::size_of;
use std::ops::BitOr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr;

use nix::libc;

use super::{c_path, check, owned};

// From the kernel's include/uapi/linux/mount.h and fcntl.h; libc has none of them for Linux.
const OPEN_TREE_CLONE: u32 = 1;
const OPEN_TREE_CLOEXEC: u32 = libc::O_CLOEXEC as u32;
const AT_RECURSIVE: u32 = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: u32 = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: u32 = 0x40;
const FSOPEN_CLOEXEC: u32 = 1;
const FSMOUNT_CLOEXEC: u32 = 1;
const FSCONFIG_SET_FLAG: u32 = 0;
const FSCONFIG_SET_STRING: u32 = 1;
const FSCONFIG_CMD_CREATE: u32 = 6;
const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
const MOUNT_ATTR_ATIME: u64 = 0x70;

/// Attributes of a mount (mount_setattr(2)); join them with `|`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attr(u64);

impl Attr {
    /// None.
    pub const NONE: Attr = Attr(0);
    /// Nothing can be written through this mount.
    pub const RDONLY: Attr = Attr(0x1);
    /// Set-id bits and file capabilities do nothing.
    pub const NOSUID: Attr = Attr(0x2);
    /// Device nodes cannot be opened.
    pub const NODEV: Attr = Attr(0x4);
    /// Programs cannot be executed.
    pub const NOEXEC: Attr = Attr(0x8);
    /// Access times are not updated.
    pub const NOATIME: Attr = Attr(0x10);
    /// Symlinks are not followed (Linux 5.14).
    pub const NOSYMFOLLOW: Attr = Attr(0x0020_0000);
}

impl BitOr for Attr {
    type Output = Attr;
    fn bitor(self, other: Attr) -> Attr {
        Attr(self.0 | other.0)
    }
}

/// How mounts and unmounts spread to and from other namespaces (mount_namespaces(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Neither way.
    Private,
    /// From there to here.
    Slave,
    /// Both ways.
    Shared,
    /// Neither way, and it cannot be bind-mounted.
    Unbindable,
}

impl Propagation {
    fn bits(self) -> u64 {
        let flag = match self {
            Propagation::Private => libc::MS_PRIVATE,
            Propagation::Slave => libc::MS_SLAVE,
            Propagation::Shared => libc::MS_SHARED,
            Propagation::Unbindable => libc::MS_UNBINDABLE,
        };
        u64::from(flag as u32)
    }
}

/// A change of a mount: attributes set and cleared, propagation, id mapping.
#[derive(Clone, Copy, Debug, Default)]
pub struct Change<'fd> {
    /// Attributes to set.
    pub set: Attr,
    /// Attributes to clear.
    pub clear: Attr,
    /// The new propagation.
    pub propagation: Option<Propagation>,
    /// The user namespace whose mapping is put between disk and mount; detached mounts only.
    pub idmap: Option<BorrowedFd<'fd>>,
    /// The mounts below too.
    pub recursive: bool,
}

/// struct mount_attr of include/uapi/linux/mount.h.
#[repr(C)]
struct MountAttr {
    attr_set: u64,
    attr_clr: u64,
    propagation: u64,
    userns_fd: u64,
}

/// Changes a mount, given by any descriptor of its root (mount_setattr(2), Linux 5.12; idmap with
/// file systems that allow it). `EINVAL` if the descriptor is not the root of a mount.
pub fn mount_setattr(mount: impl AsFd, change: &Change<'_>) -> io::Result<()> {
    // The access-time modes are one field: to set one, all its bits are cleared first.
    let atime = if change.set.0 & MOUNT_ATTR_ATIME == 0 {
        0
    } else {
        MOUNT_ATTR_ATIME
    };
    let idmap = change.idmap.map_or(0, |_| MOUNT_ATTR_IDMAP);
    let attr = MountAttr {
        attr_set: change.set.0 | idmap,
        attr_clr: change.clear.0 | atime,
        propagation: change.propagation.map_or(0, Propagation::bits),
        userns_fd: change.idmap.map_or(0, |fd| fd.as_raw_fd() as u64),
    };
    let flags = libc::AT_EMPTY_PATH as u32 | if change.recursive { AT_RECURSIVE } else { 0 };
    let (fd, path, size) = (
        mount.as_fd().as_raw_fd(),
        c"".as_ptr(),
        size_of::<MountAttr>(),
    );
    // SAFETY: the path ends with NUL and `attr` is `size` bytes long; the kernel only reads both.
    check(unsafe { libc::syscall(libc::SYS_mount_setattr, fd, path, flags, &attr, size) }).map(drop)
}

/// A mount that is in no tree yet; dropped, it is gone.
#[derive(Debug)]
pub struct DetachedMount {
    fd: OwnedFd,
}

impl DetachedMount {
    /// Changes it before anyone can see it.
    pub fn change(&self, change: &Change<'_>) -> io::Result<()> {
        mount_setattr(&self.fd, change)
    }

    /// Mounts it on what the descriptor refers to: a directory for a directory, a file for a file
    /// (move_mount(2)). The returned descriptor is its root, for paths in it and [`unmount_fd`].
    pub fn attach(self, target: impl AsFd) -> io::Result<OwnedFd> {
        let (from, to, none) = (
            self.fd.as_raw_fd(),
            target.as_fd().as_raw_fd(),
            c"".as_ptr(),
        );
        let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
        // SAFETY: the paths end with NUL; descriptors and flags are integers.
        check(unsafe { libc::syscall(libc::SYS_move_mount, from, none, to, none, flags) })?;
        Ok(self.fd)
    }
}

impl AsFd for DetachedMount {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A detached copy of the tree at what the descriptor refers to: a bind mount in the making
/// (open_tree(2)).
pub fn open_tree_clone(at: impl AsFd, recursive: bool) -> io::Result<DetachedMount> {
    let empty = libc::AT_EMPTY_PATH as u32;
    let deep = if recursive { AT_RECURSIVE } else { 0 };
    let flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | empty | deep;
    let (fd, path) = (at.as_fd().as_raw_fd(), c"".as_ptr());
    // SAFETY: the path ends with NUL; a new descriptor comes out.
    let fd = unsafe { owned(libc::syscall(libc::SYS_open_tree, fd, path, flags))? };
    Ok(DetachedMount { fd })
}

/// Binds `source` on `target` in one go; both are descriptors (`O_PATH` does).
pub fn bind_mount(source: impl AsFd, target: impl AsFd, recursive: bool) -> io::Result<OwnedFd> {
    open_tree_clone(source, recursive)?.attach(target)
}

/// A file system being configured (fsopen(2)).
#[derive(Debug)]
pub struct FsContext {
    fd: OwnedFd,
}

impl FsContext {
    /// Starts with a type: `overlay`, `tmpfs`, `proc`, `mqueue`. `ENODEV` if the kernel does not
    /// know it.
    pub fn open(fs_type: &str) -> io::Result<FsContext> {
        let name = c_path(fs_type)?;
        // SAFETY: the name ends with NUL; a new descriptor comes out.
        let fd = unsafe {
            owned(libc::syscall(
                libc::SYS_fsopen,
                name.as_ptr(),
                FSOPEN_CLOEXEC,
            ))?
        };
        Ok(FsContext { fd })
    }

    /// Sets `key=value`; values of 256 bytes and more are `EINVAL` (fsconfig(2)).
    pub fn set(&self, key: &str, value: impl AsRef<Path>) -> io::Result<()> {
        let (key, value) = (c_path(key)?, c_path(value)?);
        self.config(FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr())
    }

    /// Sets a key without value: `ro`, `userxattr`.
    pub fn set_flag(&self, key: &str) -> io::Result<()> {
        let key = c_path(key)?;
        self.config(FSCONFIG_SET_FLAG, key.as_ptr(), ptr::null())
    }

    /// Makes the file system and a detached mount of it (fsmount(2)).
    pub fn mount(self, attr: Attr) -> io::Result<DetachedMount> {
        self.config(FSCONFIG_CMD_CREATE, ptr::null(), ptr::null())?;
        let attr = attr.0 as u32;
        // SAFETY: integers in, a new descriptor out.
        let fd = unsafe {
            owned(libc::syscall(
                libc::SYS_fsmount,
                self.fd.as_raw_fd(),
                FSMOUNT_CLOEXEC,
                attr,
            ))?
        };
        Ok(DetachedMount { fd })
    }

    fn config(
        &self,
        command: u32,
        key: *const libc::c_char,
        value: *const libc::c_char,
    ) -> io::Result<()> {
        // SAFETY: private, and called with NULL or strings that end with NUL and outlive the call.
        check(unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.fd.as_raw_fd(),
                command,
                key,
                value,
                0,
            )
        })
        .map(drop)
    }
}

/// A new tmpfs with these options: `size`, `mode`, `nr_inodes`, `uid`, `gid` (tmpfs(5)).
pub fn tmpfs(options: &[(&str, &str)], attr: Attr) -> io::Result<DetachedMount> {
    let context = FsContext::open("tmpfs")?;
    for (key, value) in options {
        context.set(key, value)?;
    }
    context.set("source", "tmpfs")?;
    context.mount(attr)
}

/// mount(2), the classic call. `data` is less than a page.
pub(super) fn mount_classic(fs_type: &str, target: &Path, data: &Path) -> io::Result<()> {
    let (fs_type, target, data) = (c_path(fs_type)?, c_path(target)?, c_path(data)?);
    let (kind, flags) = (fs_type.as_ptr(), 0);
    // SAFETY: every string ends with NUL and outlives the call.
    check(unsafe { libc::mount(kind, target.as_ptr(), kind, flags, data.as_ptr().cast()) })
        .map(drop)
}

/// Cuts a mount point and all below off from other namespaces, so that nothing spreads (mount(2),
/// `MS_PRIVATE`).
pub fn make_private(path: impl AsRef<Path>) -> io::Result<()> {
    let path = c_path(path)?;
    let flags = libc::MS_PRIVATE | libc::MS_REC;
    // SAFETY: the path ends with NUL; the other strings are not read for this change.
    let ret = unsafe { libc::mount(ptr::null(), path.as_ptr(), ptr::null(), flags, ptr::null()) };
    check(ret).map(drop)
}

/// Unmounts by path, without following a symlink at its end (umount2(2)). `detach` takes a busy one
/// out of the tree now, with what is mounted below, and ends it when the last user goes; without it
/// that is `EBUSY`. `EINVAL`: no mount point.
pub fn unmount(path: impl AsRef<Path>, detach: bool) -> io::Result<()> {
    let path = c_path(path)?;
    let flags = libc::UMOUNT_NOFOLLOW | if detach { libc::MNT_DETACH } else { 0 };
    // SAFETY: the path ends with NUL.
    check(unsafe { libc::umount2(path.as_ptr(), flags) }).map(drop)
}

/// Unmounts the mount whose root is open here, out of the tree at once: the descriptor itself keeps
/// it busy.
pub fn unmount_fd(root: impl AsFd) -> io::Result<()> {
    let path = c_path(format!("/proc/self/fd/{}", root.as_fd().as_raw_fd()))?;
    // SAFETY: the path ends with NUL; the magic link has to be followed.
    check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) }).map(drop)
}

#[cfg(test)]
#[path = "mount_tests.rs"]
mod tests;
