//! Puts entries into a directory of a tree that somebody else may change meanwhile: nothing lands outside.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc::{O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_WRONLY};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use super::{Sink, refused};
use crate::image::meta::{Meta, is_dir};
use crate::image::tar_stream::{Entry, Kind};
use crate::store::copy_tree::Shift;
use crate::sys::paths::{Root, chown, stat};

/// How entries are put.
pub(super) struct How {
    /// Links on the way are followed inside the root, as an archiver in the container would; otherwise one is an error.
    pub(super) follow: bool,
    /// A directory may take the place of something else, and the other way round.
    pub(super) overwrite: bool,
    /// Devices are made; otherwise they are left out.
    pub(super) devices: bool,
    /// All files are given to this user and group.
    pub(super) owner: Option<(u32, u32)>,
    /// Whose files are whose; before the owner.
    pub(super) shift: Shift,
}

/// A directory that takes entries.
pub(super) struct Tree<'a> {
    root: &'a Root,
    /// The directory, in the root.
    below: PathBuf,
    how: How,
    /// Directories get their modes and times in the end: what is made in them would change both.
    directories: Vec<(PathBuf, u64, Meta)>,
}

impl<'a> Tree<'a> {
    pub(super) fn new(root: &'a Root, below: PathBuf, how: How) -> Self {
        Self {
            root,
            below,
            how,
            directories: Vec::new(),
        }
    }

    fn meta(&self, entry: &Entry) -> Meta {
        let mut owned = entry.clone();
        let (uid, gid) = self.how.shift.owner(entry.uid, entry.gid);
        (owned.uid, owned.gid) = self.how.owner.unwrap_or((uid, gid));
        Meta::of_entry(&owned)
    }

    /// A directory below, made if it is missing.
    fn directory(&self, path: &Path) -> io::Result<Root> {
        if self.how.follow {
            let made = self.root.make_dirs(self.below.join(path), 0o755)?;
            for new in &made.created {
                if let Some((uid, gid)) = self.how.owner {
                    chown(&new.fd, uid, gid)?;
                }
            }
            return Ok(Root::from_fd(made.dir));
        }
        let mut dir = self.root.dir_in(&self.below)?;
        for name in path.components() {
            let name = Path::new(name.as_os_str());
            let flags = O_PATH | O_DIRECTORY | O_NOFOLLOW;
            let next = match dir.open_beneath(name, flags, 0) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    mkdirat(&dir, name, Mode::from_bits_truncate(0o755))?;
                    dir.open_beneath(name, flags, 0)
                }
                other => other,
            };
            dir = Root::from_fd(next?);
        }
        Ok(dir)
    }

    /// Makes way for an entry; says whether a directory for a directory is there.
    fn clear(&self, dir: &Root, name: &OsStr, kind: Kind) -> io::Result<bool> {
        let old = match dir.open_beneath(name, O_PATH | O_NOFOLLOW, 0) {
            Ok(old) => old,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let (old, new) = (is_dir(&old)?, kind == Kind::Directory);
        match (old, new) {
            (true, true) => return Ok(true),
            (true, false) | (false, true) if !self.how.overwrite => {
                let text = match old {
                    true => "a directory is there; --overwrite puts something else in its place",
                    false => "it is there and no directory; --overwrite puts one in its place",
                };
                return refused(text);
            }
            (true, false) => remove_directory(dir, name)?,
            (false, _) => unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?,
        }
        Ok(false)
    }

    fn file(
        &self,
        dir: &Root,
        name: &OsStr,
        entry: &Entry,
        content: &mut dyn Read,
    ) -> io::Result<OwnedFd> {
        let flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW;
        let mut file = File::from(dir.open_beneath(name, flags, 0o600)?);
        match &entry.segments {
            None => exactly(content, &mut file, entry.size)?,
            Some(segments) => {
                for &(offset, length) in segments {
                    file.seek(SeekFrom::Start(offset))?;
                    exactly(content, &mut file, length)?;
                }
                file.set_len(entry.size)?;
            }
        }
        Ok(file.into())
    }

    /// Another name of what an earlier entry has made.
    fn link(&self, dir: &Root, name: &OsStr, entry: &Entry) -> io::Result<()> {
        let first = clean(&entry.link)?;
        let (Some(first_name), Some(parent)) = (first.file_name(), first.parent()) else {
            return refused("a link to a directory");
        };
        let old = self
            .directory(parent)?
            .open_beneath(first_name, O_PATH | O_NOFOLLOW, 0)?;
        if is_dir(&old)? {
            return refused("a link to a directory");
        }
        if let Ok(there) = dir.open_beneath(name, O_PATH | O_NOFOLLOW, 0)
            && (stat(&there)?.st_dev, stat(&there)?.st_ino)
                == (stat(&old)?.st_dev, stat(&old)?.st_ino)
        {
            return Ok(());
        }
        self.clear(dir, name, entry.kind)?;
        let from = format!("/proc/self/fd/{}", old.as_fd().as_raw_fd());
        // "Follow" leads from the link in /proc to the object itself, which may be a symlink.
        let flags = AtFlags::AT_SYMLINK_FOLLOW;
        Ok(linkat(AT_FDCWD, from.as_str(), dir, name, flags)?)
    }
}

impl Sink for Tree<'_> {
    fn put(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let path = clean(&entry.path)?;
        let device = matches!(entry.kind, Kind::CharDevice | Kind::BlockDevice);
        if device && !self.how.devices {
            return Ok(());
        }
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            // The directory itself, which is not ours.
            return Ok(());
        };
        let dir = self.directory(parent)?;
        if entry.kind == Kind::HardLink {
            return self.link(&dir, name, entry);
        }
        let there = self.clear(&dir, name, entry.kind)?;
        let made = match entry.kind {
            Kind::File => self.file(&dir, name, entry, content)?,
            Kind::Directory => {
                if !there {
                    mkdirat(&dir, name, Mode::S_IRWXU)?;
                }
                let made = dir.open_beneath(name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0)?;
                let inode = stat(&made)?.st_ino;
                self.directories
                    .push((path.clone(), inode, self.meta(entry)));
                return Ok(());
            }
            Kind::Symlink => {
                symlinkat(entry.link.as_path(), &dir, name)?;
                dir.open_beneath(name, O_PATH | O_NOFOLLOW, 0)?
            }
            _ => {
                let (major, minor) = (entry.device.0.into(), entry.device.1.into());
                let (kind, device) = match entry.kind {
                    Kind::CharDevice => (SFlag::S_IFCHR, makedev(major, minor)),
                    Kind::BlockDevice => (SFlag::S_IFBLK, makedev(major, minor)),
                    _ => (SFlag::S_IFIFO, 0),
                };
                mknodat(&dir, name, kind, Mode::empty(), device)?;
                dir.open_beneath(name, O_PATH | O_NOFOLLOW, 0)?
            }
        };
        self.meta(entry).apply(&made)
    }

    fn keeps_holes(&self) -> bool {
        true
    }

    fn finish(&mut self) -> io::Result<()> {
        for (path, inode, meta) in std::mem::take(&mut self.directories).into_iter().rev() {
            let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
                continue;
            };
            let dir = self.directory(parent)?;
            match dir.open_beneath(name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0) {
                Ok(made) if stat(&made)?.st_ino == inode => meta.apply(&made)?,
                // Something else has taken its place.
                _ => {}
            }
        }
        Ok(())
    }
}

/// Relative and without dots; a leading `/` is that of the directory that takes the entries.
fn clean(path: &Path) -> io::Result<PathBuf> {
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return refused("the path of an entry has '..' in it");
            }
        }
    }
    Ok(cleaned)
}

fn exactly(from: &mut dyn Read, to: &mut File, length: u64) -> io::Result<()> {
    match io::copy(&mut from.take(length), to)? {
        copied if copied == length => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Removes a directory with all below it, by descriptors.
fn remove_directory(parent: &Root, name: &OsStr) -> io::Result<()> {
    let dir = parent.open_beneath(name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0)?;
    let dir = Root::from_fd(dir);
    let readable = dir.open_beneath(".", nix::libc::O_RDONLY | O_DIRECTORY, 0)?;
    let mut names = Vec::new();
    for entry in nix::dir::Dir::from_fd(readable)?.iter() {
        names.push(entry?.file_name().to_owned());
    }
    for name in names {
        if name.as_bytes() == b"." || name.as_bytes() == b".." {
            continue;
        }
        use std::os::unix::ffi::OsStrExt;
        let name = OsStr::from_bytes(name.as_bytes());
        let node = dir.open_beneath(name, O_PATH | O_NOFOLLOW, 0)?;
        match is_dir(&node)? {
            true => remove_directory(&dir, name)?,
            false => unlinkat(&dir, name, UnlinkatFlags::NoRemoveDir)?,
        }
    }
    Ok(unlinkat(parent, name, UnlinkatFlags::RemoveDir)?)
}
