//! Paths below a directory that somebody else controls, by descriptor: openat2(2).
//!
//! A container can swap any directory of its root for a symlink at any moment, so that a path that
//! was checked says nothing. Here the kernel resolves each path inside the root, and all that
//! follows works on the descriptor.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::mem::{MaybeUninit, size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use nix::libc::{self, c_int};

use super::{c_path, check, invalid, owned, retry};

/// `O_PATH | O_DIRECTORY`: a directory to work in, without reading it.
const DIR: c_int = libc::O_PATH | libc::O_DIRECTORY;

/// The kernel gives up on `..` while something is renamed (`EAGAIN`, openat2(2)); so many tries are
/// enough unless someone renames on purpose.
const TRIES: usize = 128;

fn openat2(
    dir: BorrowedFd<'_>,
    path: &Path,
    flags: c_int,
    mode: u32,
    resolve: u64,
) -> io::Result<OwnedFd> {
    let path = c_path(path)?;
    // SAFETY: all-zero is a valid open_how, and stays so when the kernel's grows.
    let mut how: libc::open_how = unsafe { zeroed() };
    how.flags = (flags | libc::O_CLOEXEC) as u64;
    how.mode = if flags & (libc::O_CREAT | libc::O_TMPFILE) == 0 {
        0
    } else {
        mode.into()
    };
    how.resolve = resolve;
    let mut tries = TRIES;
    loop {
        let (fd, size) = (dir.as_raw_fd(), size_of::<libc::open_how>());
        // SAFETY: the path ends with NUL, `how` is `size` bytes long; a new descriptor comes out.
        let result = retry(|| unsafe {
            owned(libc::syscall(
                libc::SYS_openat2,
                fd,
                path.as_ptr(),
                &how,
                size,
            ))
        });
        match result {
            Err(err) if err.raw_os_error() == Some(libc::EAGAIN) && tries > 0 => tries -= 1,
            other => return other,
        }
    }
}

/// A directory as the root of the paths in it.
#[derive(Debug)]
pub struct Root {
    dir: OwnedFd,
}

/// A directory made by [`Root::make_dirs`].
#[derive(Debug)]
pub struct MadeDir {
    /// Where, relative to the root.
    pub path: PathBuf,
    /// It (`O_PATH`), for [`chown`].
    pub fd: OwnedFd,
}

/// What [`Root::make_dirs`] found and made.
#[derive(Debug)]
pub struct MadeDirs {
    /// The directory asked for (`O_PATH`).
    pub dir: OwnedFd,
    /// Those that were not there before, outermost first.
    pub created: Vec<MadeDir>,
}

impl Root {
    /// Opens a directory of the host by path, following symlinks as usual.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Root> {
        let path = c_path(path)?;
        // SAFETY: the path ends with NUL; a new descriptor comes out.
        let dir = retry(|| unsafe { owned(libc::open(path.as_ptr(), DIR | libc::O_CLOEXEC)) })?;
        Ok(Root { dir })
    }

    /// Takes a directory that is open already.
    pub fn from_fd(dir: OwnedFd) -> Root {
        Root { dir }
    }

    /// The directory itself (`O_PATH`, unless it came from [`Root::from_fd`]).
    pub fn into_fd(self) -> OwnedFd {
        self.dir
    }

    /// Opens a path as a process chrooted here would: `/`, `..` and symlinks stay inside, /proc
    /// magic links are refused (`RESOLVE_IN_ROOT`). `flags` as in open(2), `mode` for files it
    /// creates. Give `O_NONBLOCK` where a FIFO may lie in wait.
    pub fn open_in(&self, path: impl AsRef<Path>, flags: c_int, mode: u32) -> io::Result<OwnedFd> {
        let resolve = libc::RESOLVE_IN_ROOT | libc::RESOLVE_NO_MAGICLINKS;
        openat2(self.dir.as_fd(), path.as_ref(), flags, mode, resolve)
    }

    /// Opens a path and refuses any that leaves the directory, were it only on the way
    /// (`RESOLVE_BENEATH`): `EXDEV`.
    pub fn open_beneath(
        &self,
        path: impl AsRef<Path>,
        flags: c_int,
        mode: u32,
    ) -> io::Result<OwnedFd> {
        let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
        openat2(self.dir.as_fd(), path.as_ref(), flags, mode, resolve)
    }

    /// Opens a directory in the root as a root of its own.
    pub fn dir_in(&self, path: impl AsRef<Path>) -> io::Result<Root> {
        Ok(Root {
            dir: self.open_in(path, DIR, 0)?,
        })
    }

    /// Makes a directory and its parents, with this mode whatever the umask. What exists is
    /// resolved inside the root, symlinks included; below that nothing is followed, and `..` is
    /// `EINVAL`. A symlink to nothing on the way is `ENOTDIR`.
    pub fn make_dirs(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<MadeDirs> {
        let names: Vec<&OsStr> = path.as_ref().components().filter_map(name).collect();
        let (mut dir, have) = self.longest_existing(&names)?;
        if names[have..].contains(&OsStr::new("..")) {
            return Err(invalid());
        }
        let mut created = Vec::new();
        for at in have..names.len() {
            let (next, new) = make_dir(dir.as_fd(), Path::new(names[at]), mode)?;
            if new {
                created.push(MadeDir {
                    path: names[..=at].iter().collect(),
                    fd: next.try_clone()?,
                });
            }
            dir = next;
        }
        Ok(MadeDirs { dir, created })
    }

    fn longest_existing(&self, names: &[&OsStr]) -> io::Result<(OwnedFd, usize)> {
        for have in (1..=names.len()).rev() {
            let path: PathBuf = names[..have].iter().collect();
            match self.open_in(path, DIR, 0) {
                Ok(dir) => return Ok((dir, have)),
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => return Err(err),
            }
        }
        Ok((self.open_in(".", DIR, 0)?, 0))
    }

    /// The target of a symlink in the root; the parents are resolved inside. `EINVAL` if it is
    /// none.
    pub fn read_link(&self, path: impl AsRef<Path>) -> io::Result<PathBuf> {
        let link = self.open_in(path, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
        let (fd, mut text) = (link.as_raw_fd(), vec![0u8; libc::PATH_MAX as usize]);
        // SAFETY: the empty path means the link itself; pointer and length describe `text`.
        let read =
            unsafe { libc::readlinkat(fd, c"".as_ptr(), text.as_mut_ptr().cast(), text.len()) };
        match check(read as i64) {
            // The kernel's word for "not a symlink" with an empty path.
            Err(err) if err.kind() == io::ErrorKind::NotFound => Err(invalid()),
            Err(err) => Err(err),
            Ok(len) => {
                text.truncate(len as usize);
                Ok(OsString::from_vec(text).into())
            }
        }
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }
}

fn name(component: Component<'_>) -> Option<&OsStr> {
    match component {
        Component::Normal(_) | Component::ParentDir => Some(component.as_os_str()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    }
}

/// Makes one directory in another, or opens the one there; whether it is new.
fn make_dir(parent: BorrowedFd<'_>, name: &Path, mode: u32) -> io::Result<(OwnedFd, bool)> {
    let (fd, c_name) = (parent.as_raw_fd(), c_path(name)?);
    // SAFETY: the name ends with NUL.
    let new = match check(unsafe { libc::mkdirat(fd, c_name.as_ptr(), mode) }) {
        Ok(_) => true,
        Err(err) if err.kind() == io::ErrorKind::AlreadyExists => false,
        Err(err) => return Err(err),
    };
    let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_SYMLINKS;
    let dir = openat2(parent, name, DIR | libc::O_NOFOLLOW, 0, resolve).map_err(|err| match err
        .raw_os_error()
    {
        Some(libc::ELOOP) => io::Error::from_raw_os_error(libc::ENOTDIR),
        _ => err,
    })?;
    if new {
        chmod(dir.as_fd(), mode)?;
    }
    Ok((dir, new))
}

/// Changes the mode of what is open, `O_PATH` included (chmod(2) through /proc/self/fd).
pub fn chmod(fd: impl AsFd, mode: u32) -> io::Result<()> {
    let path = proc_path(fd.as_fd())?;
    // SAFETY: the path ends with NUL.
    check(unsafe { libc::chmod(path.as_ptr(), mode) }).map(drop)
}

fn proc_path(fd: BorrowedFd<'_>) -> io::Result<CString> {
    Ok(CString::new(format!("/proc/self/fd/{}", fd.as_raw_fd()))?)
}

/// Changes the owner of what is open, `O_PATH` and symlinks included (fchownat(2)).
pub fn chown(fd: impl AsFd, uid: u32, gid: u32) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: the empty path means the descriptor itself.
    check(unsafe { libc::fchownat(fd, c"".as_ptr(), uid, gid, libc::AT_EMPTY_PATH) }).map(drop)
}

/// What fstat(2) says of a descriptor, `O_PATH` included.
pub fn stat(fd: impl AsFd) -> io::Result<libc::stat> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat fills the whole struct when it succeeds, and only then it is read.
    unsafe {
        check(libc::fstat(fd.as_fd().as_raw_fd(), stat.as_mut_ptr()))?;
        Ok(stat.assume_init())
    }
}

/// The magic number of the file system (fstatfs(2)): [`CGROUP2_MAGIC`], [`OVERLAY_MAGIC`] ...
pub fn filesystem(fd: impl AsFd) -> io::Result<u32> {
    let mut info = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: fstatfs fills the whole struct when it succeeds, and only then it is read.
    let info = unsafe {
        check(libc::fstatfs(fd.as_fd().as_raw_fd(), info.as_mut_ptr()))?;
        info.assume_init()
    };
    Ok(info.f_type as u32)
}

/// The unified cgroup hierarchy.
pub const CGROUP2_MAGIC: u32 = libc::CGROUP2_SUPER_MAGIC as u32;
/// overlayfs.
pub const OVERLAY_MAGIC: u32 = libc::OVERLAYFS_SUPER_MAGIC as u32;
/// tmpfs.
pub const TMPFS_MAGIC: u32 = libc::TMPFS_MAGIC as u32;

/// Renames inside two directories and fails with `EEXIST` if the new name is taken (renameat2(2)).
pub fn rename_noreplace(
    from_dir: impl AsFd,
    from: impl AsRef<Path>,
    to_dir: impl AsFd,
    to: impl AsRef<Path>,
) -> io::Result<()> {
    let (from_dir, to_dir) = (from_dir.as_fd().as_raw_fd(), to_dir.as_fd().as_raw_fd());
    let (from, to) = (c_path(from)?, c_path(to)?);
    let (from, to) = (from.as_ptr(), to.as_ptr());
    // SAFETY: both paths end with NUL and live until the end of the call (the CStrings are bound
    // above).
    check(unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            from_dir,
            from,
            to_dir,
            to,
            libc::RENAME_NOREPLACE,
        )
    })
    .map(drop)
}

/// Makes what happened to the names in a directory durable (fsync(2)); `O_PATH` descriptors are
/// opened again.
pub fn sync_dir(dir: impl AsFd) -> io::Result<()> {
    let readable = openat2(
        dir.as_fd(),
        Path::new("."),
        libc::O_RDONLY | libc::O_DIRECTORY,
        0,
        0,
    )?;
    // SAFETY: integers only.
    retry(|| check(unsafe { libc::fsync(readable.as_raw_fd()) })).map(drop)
}

/// Whether a lock is shared or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Many at a time.
    Shared,
    /// One.
    Exclusive,
}

/// Locks an open file until its last duplicate is closed, those of forked children included
/// (flock(2)). With `wait` off it returns false if someone else has it.
pub fn lock_file(fd: impl AsFd, lock: Lock, wait: bool) -> io::Result<bool> {
    let kind = match lock {
        Lock::Shared => libc::LOCK_SH,
        Lock::Exclusive => libc::LOCK_EX,
    };
    let flags = if wait { kind } else { kind | libc::LOCK_NB };
    // SAFETY: integers only.
    match retry(|| check(unsafe { libc::flock(fd.as_fd().as_raw_fd(), flags) })) {
        Ok(_) => Ok(true),
        Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(err) => Err(err),
    }
}

/// Gives a lock back before the file is closed.
pub fn unlock_file(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::flock(fd.as_fd().as_raw_fd(), libc::LOCK_UN) }).map(drop)
}

#[cfg(test)]
#[path = "paths_tests.rs"]
pub(super) mod tests;
