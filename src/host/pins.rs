//! Namespaces that outlive their processes: bound to files of the run directory, in the mount namespace of the host.
//!
//! Units have mount namespaces of their own, which get what is mounted in the host's (mount_namespaces(7), slave
//! mounts), but not the other way round: so a child goes there and mounts.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;
use nix::sched::{CloneFlags, setns};

use super::gone_is_good;
use crate::sys::mount::{bind_mount, open_tree_clone, unmount};
use crate::sys::paths::filesystem;
use crate::sys::process::How;
use crate::sys::worker::fork_worker;

/// `f_type` of a namespace's file (statfs(2), NSFS_MAGIC), and of a tmpfs (TMPFS_MAGIC).
const NSFS: u32 = 0x6e73_6673;
const TMPFS: u32 = 0x0102_1994;

/// What of a process can be pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pin {
    /// The network namespace.
    Network,
    /// The IPC namespace.
    Ipc,
    /// The UTS namespace.
    Uts,
    /// The file system at /dev/shm, which belongs to the IPC namespace by what people expect.
    Shm,
}

impl Pin {
    /// Its file in the directory of pins, as proc_pid_ns(5) names namespaces.
    pub fn name(self) -> &'static str {
        match self {
            Self::Network => "net",
            Self::Ipc => "ipc",
            Self::Uts => "uts",
            Self::Shm => "shm",
        }
    }

    /// Whether something is pinned in this directory.
    pub fn is_in(self, directory: &Path) -> bool {
        let magic = if self == Self::Shm { TMPFS } else { NSFS };
        // A tmpfs of the run directory itself has another device than the one that is mounted there.
        let mounted = |path: &Path| {
            let own = fs::metadata(path).ok()?.dev();
            Some(self != Self::Shm || own != fs::metadata(directory).ok()?.dev())
        };
        let path = directory.join(self.name());
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH | libc::O_NOFOLLOW)
            .open(&path);
        file.and_then(filesystem).is_ok_and(|found| found == magic) && mounted(&path) == Some(true)
    }
}

/// Pins what a process has in a directory, which is made; the caller makes sure that nobody else does so meanwhile.
///
/// # Errors
/// The process is gone, or as mount(2).
pub fn pin(pid: i32, what: Pin, directory: &Path) -> io::Result<()> {
    let open = |path: String| File::open(path).map(OwnedFd::from);
    let source = match what {
        Pin::Shm => open(format!("/proc/{pid}/ns/mnt"))?,
        _ => OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(format!("/proc/{pid}/ns/{}", what.name()))?
            .into(),
    };
    in_host_mounts(|host| {
        let shm = match what {
            Pin::Shm => {
                // A mount can be copied in its own namespace only.
                setns(&source, CloneFlags::CLONE_NEWNS)?;
                let found = OpenOptions::new()
                    .read(true)
                    .custom_flags(libc::O_PATH | libc::O_NOFOLLOW | libc::O_DIRECTORY)
                    .open("/dev/shm")?;
                if filesystem(&found)? != TMPFS {
                    return Err(io::Error::other("/dev/shm of the container is no tmpfs"));
                }
                let copy = open_tree_clone(&found, false)?;
                setns(host, CloneFlags::CLONE_NEWNS)?;
                Some(copy)
            }
            _ => None,
        };
        make_dir(directory)?;
        let path = directory.join(what.name());
        let target: OwnedFd = match what {
            Pin::Shm => {
                make_dir(&path)?;
                File::open(&path)?.into()
            }
            _ => OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?
                .into(),
        };
        match shm {
            Some(copy) => copy.attach(&target).map(drop),
            None => bind_mount(&source, &target, false).map(drop),
        }
    })
}

/// Removes a directory of pins with all in it; none there is good.
///
/// # Errors
/// As umount2(2), unlink(2).
pub fn unpin(directory: &Path) -> io::Result<()> {
    in_host_mounts(|_| {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            let path = entry?.path();
            while unmount(&path, true).is_ok() {}
        }
        gone_is_good(fs::remove_dir_all(directory))
    })
}

fn make_dir(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Does something in the mount namespace of the host, in a child.
fn in_host_mounts(work: impl FnOnce(&OwnedFd) -> io::Result<()>) -> io::Result<()> {
    let host: OwnedFd = File::open("/proc/1/ns/mnt")?.into();
    let child = fork_worker(|| {
        let done = setns(host.as_fd(), CloneFlags::CLONE_NEWNS)
            .map_err(io::Error::from)
            .and_then(|()| work(&host));
        match done {
            Ok(()) => 0,
            // An exit code holds what the kernel says; other errors are our own.
            Err(error) => error
                .raw_os_error()
                .filter(|errno| (1..=200).contains(errno))
                .unwrap_or(201),
        }
    })?;
    match child.wait()? {
        How::Exited(0) => Ok(()),
        How::Exited(code @ 1..=200) => Err(io::Error::from_raw_os_error(code)),
        How::Exited(_) => Err(io::Error::other("it is not what it should be")),
        How::Signaled { signal, .. } => Err(io::Error::other(format!(
            "the child was killed by signal {signal}"
        ))),
    }
}
