//! What preparing and cleaning up do to the host, one method per effect, so that a fake can number them and stop after
//! each.

use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc;
use nix::mount::MntFlags;

use super::filter::{self, Filter};
pub use super::inside::{Inside, PrivateFile};
use super::pins::{self, Pin};
use super::runtime::Command;
use super::{cgroup, gone_is_good, idmapped, inside};
use crate::image::{self, overlay::Writable};
use crate::store;
use crate::store::copy_tree::{Shift, copy_shifted};
use crate::store::copy_up::{FirstUse, copy_up};
use crate::sys::exec::Exec;
use crate::sys::mount::Attr;
use crate::sys::move_data::{Moved, pipe, read};
use crate::sys::paths::{self, Root};
use crate::sys::poll::{Interest, Poller};
use crate::sys::process::{Child, How};
use crate::sys::time::boottime;
use crate::sys::userns::as_owner;

/// Whether a file must be on the disk before the call returns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Durability {
    /// The page cache will do.
    Cached,
    /// fsync(2) of file and directory.
    Synced,
}

/// An overlay to be mounted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Overlay {
    /// Lower directories, the topmost first.
    pub lower: Vec<PathBuf>,
    /// The writable layer.
    pub upper: PathBuf,
    /// Its work directory.
    pub work: PathBuf,
    /// Where it is mounted.
    pub target: PathBuf,
    /// An empty directory, for an image without layers.
    pub empty: PathBuf,
    /// Other owners than on disk.
    pub idmap: Option<IdMap>,
    /// The label of SELinux that all of it has.
    pub context: Option<String>,
    /// What is written need not survive a crash, as it goes with the run: nothing is synchronised.
    pub volatile: bool,
}

/// The ids that files have in a mount, by those on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IdMap {
    /// Text of uid_map (user_namespaces(7)).
    pub uids: String,
    /// Text of gid_map.
    pub gids: String,
    /// User and group of the host that stand behind root.
    pub root: (u32, u32),
    /// A directory for mounts that are only needed while the overlay is made.
    pub staging: PathBuf,
}

/// How a bind mount shows other owners than are on disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MappedBind {
    /// Text of uid_map (user_namespaces(7)): from on disk to as mounted.
    pub uids: String,
    /// Text of gid_map.
    pub gids: String,
    /// Whether mounts below the source come along, as they are.
    pub recursive: bool,
}

/// Effects on the host.
pub trait World {
    /// Makes a directory with this mode; there already is good.
    ///
    /// # Errors
    /// As mkdir(2).
    fn make_dir(&mut self, path: &Path, mode: u32) -> io::Result<()>;
    /// Makes a symlink; there already is good.
    ///
    /// # Errors
    /// As symlink(2).
    fn link(&mut self, target: &Path, path: &Path) -> io::Result<()>;
    /// Writes a whole file with this mode: temporary name, then rename.
    ///
    /// # Errors
    /// As open(2), write(2), rename(2).
    fn write_file(
        &mut self,
        path: &Path,
        contents: &str,
        mode: u32,
        durability: Durability,
    ) -> io::Result<()>;
    /// Copies a file of the host, with this mode: temporary name, then rename.
    ///
    /// # Errors
    /// As open(2), read(2), write(2), rename(2).
    fn copy_file(&mut self, from: &Path, to: &Path, mode: u32) -> io::Result<()>;
    /// Adds text to a regular file below a root that a container controls, on a line of its own.
    ///
    /// # Errors
    /// As openat2(2), write(2); it is no regular file.
    fn append_in(&mut self, root: &Path, file: &Path, text: &str) -> io::Result<()>;
    /// Mounts an overlay.
    ///
    /// # Errors
    /// As mount(2).
    fn mount_overlay(&mut self, overlay: &Overlay) -> io::Result<()>;
    /// Changes owner (user, group) and mode of a file or directory; a link is not followed.
    ///
    /// # Errors
    /// As open(2), fchownat(2), chmod(2).
    fn hand_over(&mut self, path: &Path, owner: (u32, u32), mode: u32) -> io::Result<()>;
    /// Detaches what is mounted at a path; nothing there is good.
    ///
    /// # Errors
    /// As umount2(2).
    fn unmount(&mut self, path: &Path) -> io::Result<()>;
    /// Removes a file; none there is good.
    ///
    /// # Errors
    /// As unlink(2).
    fn remove_file(&mut self, path: &Path) -> io::Result<()>;
    /// Removes a tree; none there is good.
    ///
    /// # Errors
    /// As unlink(2), rmdir(2).
    fn remove_tree(&mut self, path: &Path) -> io::Result<()>;
    /// Runs a runtime's verb to its end.
    ///
    /// # Errors
    /// It could not be run, failed, or took longer than its time.
    fn run_runtime(&mut self, command: &Command, time: Duration) -> io::Result<()>;
    /// Kills every process of a cgroup but this one and its parent, if this one is in it; none there is good.
    ///
    /// # Errors
    /// They cannot be listed, or do not die.
    fn kill_strays(&mut self, group: &Path) -> io::Result<()>;
    /// Kills every process of a cgroup; none there is good.
    ///
    /// # Errors
    /// As write(2) to `cgroup.kill`.
    fn kill_cgroup(&mut self, path: &Path) -> io::Result<()>;
    /// Removes a cgroup whose processes are dead or dying, and those below it; none there is good.
    ///
    /// # Errors
    /// As rmdir(2); EBUSY if its processes do not die in time.
    fn remove_cgroup(&mut self, path: &Path) -> io::Result<()>;
    /// Runs a program that text is sent through.
    ///
    /// # Errors
    /// It cannot be run, fails, takes longer than its time, or writes too much.
    fn run_filter(&mut self, filter: &Filter, input: &str) -> io::Result<String>;
    /// Pins something of a process in a directory ([`pins::pin`]).
    ///
    /// # Errors
    /// The process is gone, or as mount(2).
    fn pin(&mut self, pid: i32, what: Pin, directory: &Path) -> io::Result<()>;
    /// Removes a directory of pins; none there is good.
    ///
    /// # Errors
    /// As umount2(2), unlink(2).
    fn unpin(&mut self, directory: &Path) -> io::Result<()>;
    /// Gives a file or directory another name in the same file system; none there is good.
    ///
    /// # Errors
    /// As rename(2).
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes a mount point or working directory where it is missing inside a root, by descriptors; what has to be made on
    /// the way belongs to `maker`.
    ///
    /// # Errors
    /// As openat2(2), mkdirat(2), fchownat(2).
    fn make_inside(
        &mut self,
        root: &Path,
        path: &Path,
        what: Inside,
        maker: (u32, u32),
    ) -> io::Result<()>;
    /// Binds what is at a path inside a root on a new file or directory, by descriptors.
    ///
    /// # Errors
    /// As openat2(2), move_mount(2).
    fn bind_inside(&mut self, root: &Path, path: &Path, target: &Path) -> io::Result<()>;
    /// Binds what is at a path on a new file or directory, with other owners than on disk.
    ///
    /// # Errors
    /// As mount_setattr(2); `Unsupported` if the kernel or the file system maps no ids.
    fn bind_mapped(&mut self, source: &Path, target: &Path, bind: &MappedBind) -> io::Result<()>;
    /// Copies a tree into a new directory, with other owners.
    ///
    /// # Errors
    /// A file operation that failed; what was copied so far stays.
    fn copy_shifted(&mut self, from: &Path, to: &Path, shift: &Shift) -> io::Result<()>;
    /// Mounts a new tmpfs that only root may enter, with these files; its directories belong to this user and group, and it
    /// has a label of SELinux.
    ///
    /// # Errors
    /// As fsmount(2), openat2(2), write(2).
    fn mount_private(
        &mut self,
        target: &Path,
        files: &[PrivateFile],
        owner: (u32, u32),
        context: Option<&str>,
    ) -> io::Result<()>;
    /// Mounts a new tmpfs for shared memory (shm_overview(7)) of this many bytes; 0 is no limit.
    ///
    /// # Errors
    /// As fsmount(2), fchownat(2).
    fn mount_shm(
        &mut self,
        target: &Path,
        size: u64,
        owner: (u32, u32),
        context: Option<&str>,
    ) -> io::Result<()>;
    /// Fills a new, empty volume with what a root has at a path.
    ///
    /// # Errors
    /// A file operation that failed; the next call goes on.
    fn copy_up(
        &mut self,
        volume: &Path,
        root: &Path,
        target: &Path,
        first: &FirstUse,
    ) -> io::Result<()>;
    /// Gives a tree to a user and group.
    ///
    /// # Errors
    /// As openat2(2), fchownat(2).
    fn chown_tree(&mut self, path: &Path, uid: u32, gid: u32) -> io::Result<()>;
    /// Gives a file or tree a label of SELinux; what cannot have one is left as it is.
    ///
    /// # Errors
    /// As openat2(2), setxattr(2).
    fn relabel(&mut self, path: &Path, label: &str) -> io::Result<()>;
}

/// The host itself.
#[derive(Debug, Default)]
pub struct Host;

impl World for Host {
    fn make_dir(&mut self, path: &Path, mode: u32) -> io::Result<()> {
        match fs::DirBuilder::new().mode(mode).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::DirBuilder::new()
                .mode(mode)
                .recursive(true)
                .create(path),
            other => other,
        }
    }

    fn link(&mut self, target: &Path, path: &Path) -> io::Result<()> {
        match std::os::unix::fs::symlink(target, path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    }

    fn write_file(
        &mut self,
        path: &Path,
        contents: &str,
        mode: u32,
        durability: Durability,
    ) -> io::Result<()> {
        replace(path, contents.as_bytes(), mode, durability)
    }

    fn copy_file(&mut self, from: &Path, to: &Path, mode: u32) -> io::Result<()> {
        let contents = fs::read(from)?;
        replace(to, &contents, mode, Durability::Cached)
    }

    fn append_in(&mut self, root: &Path, file: &Path, text: &str) -> io::Result<()> {
        let flags = libc::O_RDWR | libc::O_APPEND | libc::O_NONBLOCK | libc::O_NOCTTY;
        let fd = Root::open(root)?.open_in(file, flags, 0)?;
        let stat = paths::stat(&fd)?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(io::Error::other("not a regular file"));
        }
        let file = fs::File::from(fd);
        let mut last = [b'\n'];
        if let Some(at) = u64::try_from(stat.st_size).unwrap_or(0).checked_sub(1) {
            file.read_exact_at(&mut last, at)?;
        }
        let line_end = if last == [b'\n'] { "" } else { "\n" };
        // One write: no reader sees half of it.
        (&file).write_all(format!("{line_end}{text}").as_bytes())
    }

    fn mount_overlay(&mut self, overlay: &Overlay) -> io::Result<()> {
        if let Some(idmap) = &overlay.idmap {
            let staged = idmapped::stage(overlay, idmap).or_else(|error| {
                self.unmount(&idmap.staging)?;
                gone_is_good(fs::remove_dir(&idmap.staging))?;
                Err(error)
            })?;
            // overlayfs makes files of its own as who mounts it, which must be somebody in the layers.
            let (uid, gid) = idmap.root;
            let mounted = as_owner(uid, gid, || self.mount_overlay(&staged));
            // The overlay has clones of them.
            self.unmount(&idmap.staging)?;
            fs::remove_dir(&idmap.staging)?;
            return mounted;
        }
        let target = fs::File::open(&overlay.target)?;
        if overlay.volatile {
            // Says that an earlier run ended by a crash; what it wrote is still good enough for a container that goes
            // with its run (overlayfs documentation, "Volatile mount").
            self.remove_tree(&overlay.work.join("work/incompat"))?;
        }
        let writable = Writable {
            upper: &overlay.upper,
            work: &overlay.work,
            context: overlay.context.as_deref(),
            volatile: overlay.volatile,
        };
        image::overlay::mount(
            &overlay.lower,
            Some(writable),
            &overlay.empty,
            Attr::NONE,
            &target,
        )
        .map(drop)
        .map_err(io::Error::other)
    }

    fn hand_over(&mut self, path: &Path, owner: (u32, u32), mode: u32) -> io::Result<()> {
        let file = Root::open(path.parent().unwrap_or(Path::new("/")))?.open_beneath(
            path.file_name().unwrap_or_default(),
            libc::O_PATH | libc::O_NOFOLLOW,
            0,
        )?;
        paths::chown(&file, owner.0, owner.1)?;
        paths::chmod(&file, mode)
    }

    fn unmount(&mut self, path: &Path) -> io::Result<()> {
        loop {
            match nix::mount::umount2(path, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW) {
                // Something may be mounted on top of something.
                Ok(()) => continue,
                Err(nix::Error::EINVAL | nix::Error::ENOENT) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        gone_is_good(fs::remove_file(path))
    }

    fn remove_tree(&mut self, path: &Path) -> io::Result<()> {
        gone_is_good(store::empty_and_remove(path))
    }

    fn run_runtime(&mut self, command: &Command, time: Duration) -> io::Result<()> {
        let null = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null")?;
        let (mut output, write) = pipe()?;
        let child = Exec::new(&command.program)
            .args(command.args.iter().cloned())
            .envs(Command::ENV)
            .stdin(null.as_fd())
            .stdout(null.as_fd())
            .stderr(write.as_fd())
            .own_group()
            .spawn()
            .map_err(io::Error::other)?;
        drop(write);
        match watch(&child, &mut output, time)? {
            (_, How::Exited(0)) => Ok(()),
            (said, how) => Err(io::Error::other(describe(how, &said))),
        }
    }

    fn kill_strays(&mut self, group: &Path) -> io::Result<()> {
        cgroup::kill_strays(group)
    }

    fn kill_cgroup(&mut self, path: &Path) -> io::Result<()> {
        cgroup::kill(path)
    }

    fn remove_cgroup(&mut self, path: &Path) -> io::Result<()> {
        cgroup::remove(path)
    }

    fn run_filter(&mut self, filter: &Filter, input: &str) -> io::Result<String> {
        filter::run(filter, input)
    }

    fn pin(&mut self, pid: i32, what: Pin, directory: &Path) -> io::Result<()> {
        pins::pin(pid, what, directory)
    }

    fn unpin(&mut self, directory: &Path) -> io::Result<()> {
        pins::unpin(directory)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        gone_is_good(fs::rename(from, to))
    }

    fn make_inside(
        &mut self,
        root: &Path,
        path: &Path,
        what: Inside,
        maker: (u32, u32),
    ) -> io::Result<()> {
        let make = || inside::make(root, path, what);
        match maker {
            (0, 0) => make(),
            (uid, gid) => as_owner(uid, gid, make),
        }
    }

    fn bind_mapped(&mut self, source: &Path, target: &Path, bind: &MappedBind) -> io::Result<()> {
        idmapped::bind(source, target, bind)
    }

    fn copy_shifted(&mut self, from: &Path, to: &Path, shift: &Shift) -> io::Result<()> {
        copy_shifted(from, to, shift)
    }

    fn mount_shm(
        &mut self,
        target: &Path,
        size: u64,
        owner: (u32, u32),
        context: Option<&str>,
    ) -> io::Result<()> {
        inside::mount_shm(target, size, owner, context)
    }

    fn bind_inside(&mut self, root: &Path, path: &Path, target: &Path) -> io::Result<()> {
        inside::bind(root, path, target)
    }

    fn mount_private(
        &mut self,
        target: &Path,
        files: &[PrivateFile],
        owner: (u32, u32),
        context: Option<&str>,
    ) -> io::Result<()> {
        inside::mount_private(target, files, owner, context)
    }

    fn copy_up(
        &mut self,
        volume: &Path,
        root: &Path,
        target: &Path,
        first: &FirstUse,
    ) -> io::Result<()> {
        copy_up(volume, root, target, first)
    }

    fn chown_tree(&mut self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        inside::chown_tree(path, uid, gid)
    }

    fn relabel(&mut self, path: &Path, label: &str) -> io::Result<()> {
        inside::relabel(path, label)
    }
}

/// Waits for a child with a deadline and keeps the first 4 KiB of what it says.
fn watch(child: &Child, output: &mut OwnedFd, time: Duration) -> io::Result<(Vec<u8>, How)> {
    let deadline = boottime() + time;
    let mut kept = Vec::new();
    let mut poller = Poller::new();
    poller.add(0, &child.pidfd, Interest::Read)?;
    poller.add(1, &*output, Interest::Read)?;
    loop {
        poller.wait(Some(deadline.saturating_sub(boottime())))?;
        let mut buffer = [0; 1024];
        let talks = poller.ready().any(|ready| ready.token == 1);
        if talks {
            match read(&*output, &mut buffer)? {
                Moved::Bytes(count) => kept.extend(&buffer[..count.min(4096 - kept.len())]),
                Moved::Eof | Moved::WouldBlock => drop(poller.remove(1)),
            }
        }
        if let Some(how) = child.try_wait()? {
            return Ok((kept, how));
        }
        if boottime() >= deadline {
            child.pidfd.send_signal(libc::SIGKILL)?;
            child.wait()?;
            let text = format!("took longer than {} s, killed", time.as_secs());
            return Err(io::Error::new(io::ErrorKind::TimedOut, text));
        }
    }
}

fn describe(how: How, output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let last = text
        .lines()
        .rev()
        .find(|line| !line.trim().is_empty())
        .unwrap_or("no message");
    match how {
        How::Exited(code) => format!("exit code {code}: {last}"),
        How::Signaled { signal, .. } => format!("killed by signal {signal}"),
    }
}

/// Puts a file in the place of the one there.
fn replace(path: &Path, contents: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let written = write_new(&new, contents, mode, durability).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // The disk may be full: the half-written file must not stay.
        let _ = fs::remove_file(&new);
        return written;
    }
    if durability == Durability::Synced {
        fs::File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    }
    Ok(())
}

fn write_new(path: &Path, contents: &[u8], mode: u32, durability: Durability) -> io::Result<()> {
    // A leftover may be anything, also a link that the payload has no part in: never follow it.
    gone_is_good(fs::remove_file(path))?;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.write_all(contents)?;
    match durability {
        Durability::Synced => file.sync_all(),
        Durability::Cached => Ok(()),
    }
}
