//! One layer: from the tar stream to a directory in overlayfs' own form.
//!
//! All of it works on descriptors below the directory: a path of the archive is only ever resolved
//! by the kernel inside it (openat2), as if chrooted. Nothing of a layer can be made, changed or
//! linked outside.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::libc::{
    ELOOP, ENOENT, ENOTDIR, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_PATH, O_WRONLY,
};
use nix::sys::stat::{Mode, SFlag, makedev, mkdirat, mknodat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use crate::sys::paths::{Root, rename_noreplace, stat};
use crate::sys::xattr::set_xattr;

use super::compression::Compression;
use super::digest::{Digest, Metered};
use super::error::{Error, Result};
use super::limits::Limits;
use super::lower::Lowers;
use super::meta::{Meta, OPAQUE, is_dir, is_whiteout};
use super::tar_stream::{Entry, Kind, TarStream};

/// PATH_MAX without the NUL: nobody could open a longer path.
const MAX_PATH: usize = 4095;

/// A layer to unpack.
pub(super) struct Layer<'a> {
    /// The blob, at its start.
    pub(super) blob: File,
    pub(super) compression: Compression,
    /// What the uncompressed stream must hash to.
    pub(super) diff_id: &'a Digest,
    pub(super) limits: Limits,
}

/// Unpacks into the empty directory `tree`; `trash` is an empty directory on the same file system
/// for what the archive itself replaces. Gives the length of the uncompressed stream.
pub(super) fn unpack(layer: Layer<'_>, tree: &Path, trash: &Path, lowers: Lowers) -> Result<u64> {
    let name = layer.diff_id.to_string();
    let at = |path: &Path, source| Error::Entry {
        layer: name.clone(),
        path: path.to_owned(),
        source,
    };
    let top = |source| at(Path::new("."), source);
    let stored = layer.blob.metadata().map_err(top)?.len();
    let content = layer.limits.content(stored);
    let decoder = layer
        .compression
        .reader(BufReader::new(layer.blob))
        .map_err(top)?;
    let mut archive = TarStream::new(Metered::new(decoder, content));
    let mut unpacker = Unpacker::open(tree, trash, lowers, content).map_err(top)?;
    let mut count = 0;
    loop {
        let entry = match archive.next_entry() {
            Ok(Some(entry)) => entry,
            Ok(None) => break,
            Err(err) => return Err(top(err)),
        };
        count += 1;
        if count > layer.limits.entries {
            let why = format!("more than {} entries", layer.limits.entries);
            return Err(at(&entry.path, io::Error::other(why)));
        }
        unpacker
            .place(&entry, &mut archive)
            .map_err(|err| at(&entry.path, err))?;
    }
    unpacker.finish_directories().map_err(top)?;
    let (found, length) = archive.into_inner().finish().map_err(top)?;
    if found != *layer.diff_id {
        return Err(Error::Digest {
            what: "unpacked layer".to_owned(),
            expected: name,
            found: found.to_string(),
        });
    }
    Ok(length)
}

struct Unpacker {
    root: Root,
    trash: Root,
    trashed: u64,
    lowers: Lowers,
    /// By inode, because an archive can name one directory by many paths.
    directories: HashMap<u64, (PathBuf, Meta)>,
    /// What may still be written; holes count.
    bytes_left: u64,
}

fn refuse<T>(why: &str) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, why))
}

/// Relative, without `.`; a leading `/` means the root of the container.
fn clean(path: &Path) -> io::Result<PathBuf> {
    if path.as_os_str().len() > MAX_PATH {
        return refuse("path is longer than 4095 bytes");
    }
    if path.as_os_str().as_bytes().contains(&0) {
        return refuse("path contains a NUL");
    }
    let mut cleaned = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => cleaned.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return refuse("path contains '..'"),
        }
    }
    Ok(cleaned)
}

/// The name that a whiteout deletes.
fn whited_out(name: &OsStr) -> Option<&OsStr> {
    name.as_bytes().strip_prefix(b".wh.").map(OsStr::from_bytes)
}

impl Unpacker {
    fn open(tree: &Path, trash: &Path, lowers: Lowers, bytes_left: u64) -> io::Result<Self> {
        let root = Root::open(tree)?;
        let mut directories = HashMap::new();
        let inode = stat(&root)?.st_ino;
        directories.insert(inode, (PathBuf::from("."), Meta::implied_directory()));
        Ok(Unpacker {
            root,
            trash: Root::open(trash)?,
            trashed: 0,
            lowers,
            directories,
            bytes_left,
        })
    }

    fn place(&mut self, entry: &Entry, content: &mut impl Read) -> io::Result<()> {
        let path = clean(&entry.path)?;
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            return self.place_root(entry);
        };
        let hidden = |part: Component<'_>| whited_out(part.as_os_str()).is_some();
        if parent.components().any(hidden) {
            // What aufs keeps for itself below .wh..wh.plnk and the like is no content.
            if parent.as_os_str().as_bytes().starts_with(b".wh..wh.") {
                return Ok(());
            }
            return refuse("a directory on the way has the name of a whiteout");
        }
        if let Some(victim) = whited_out(name) {
            return self.place_whiteout(parent, victim);
        }
        let dir = self.parent(parent)?;
        match entry.kind {
            Kind::Directory => return self.place_directory(&dir, name, path.clone(), entry),
            Kind::HardLink => return self.place_link(dir, name, &clean(&entry.link)?),
            _ => {}
        }
        self.clear(&dir, name)?;
        match entry.kind {
            Kind::File => return self.place_file(dir, name, entry, content),
            Kind::Symlink => symlinkat(entry.link.as_path(), &dir, name)?,
            _ => make_node(&dir, name, entry)?,
        }
        let node = dir.open_beneath(name, O_PATH | O_NOFOLLOW, 0)?;
        Meta::of_entry(entry).apply(&node)
    }

    fn place_root(&mut self, entry: &Entry) -> io::Result<()> {
        if entry.kind != Kind::Directory {
            return refuse("the root of a layer must be a directory");
        }
        self.remember(
            &self.root.dir_in(".")?,
            PathBuf::from("."),
            Meta::of_entry(entry),
        )
    }

    fn remember(&mut self, dir: impl AsFd, path: PathBuf, meta: Meta) -> io::Result<()> {
        self.directories.insert(stat(dir)?.st_ino, (path, meta));
        Ok(())
    }

    /// The directory an entry goes to. One that the archive does not describe looks as it does in
    /// the layers below, else overlayfs would show it as ours (a /tmp of mode 0755).
    fn parent(&mut self, path: &Path) -> io::Result<Root> {
        let made = self.root.make_dirs(path, 0o755)?;
        for new in made.created {
            let meta = match self.lowers.find(&new.path)? {
                Some(below) if is_dir(&below)? => Meta::of_file(&below)?,
                _ => Meta::implied_directory(),
            };
            self.remember(&new.fd, new.path, meta)?;
        }
        Ok(Root::from_fd(made.dir))
    }

    /// Makes way for a new file; gives whether a whiteout was there.
    fn clear(&mut self, dir: &Root, name: &OsStr) -> io::Result<bool> {
        let Some(old) = existing(dir, name)? else {
            return Ok(false);
        };
        if is_dir(&old)? {
            self.trashed += 1;
            let grave = format!("{}", self.trashed);
            rename_noreplace(dir, Path::new(name), &self.trash, grave)?;
            return Ok(false);
        }
        let was_whiteout = is_whiteout(&old)?;
        unlinkat(dir, name, UnlinkatFlags::NoRemoveDir)?;
        Ok(was_whiteout)
    }

    fn place_directory(
        &mut self,
        parent: &Root,
        name: &OsStr,
        path: PathBuf,
        entry: &Entry,
    ) -> io::Result<()> {
        let is_there = match existing(parent, name)? {
            Some(old) => is_dir(old)?,
            None => false,
        };
        let after_whiteout = !is_there && self.clear(parent, name)?;
        if !is_there {
            mkdirat(parent, name, Mode::S_IRWXU)?;
        }
        let dir = parent.open_beneath(name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0)?;
        if after_whiteout {
            set_xattr(&dir, OPAQUE, b"y")?;
        }
        self.remember(&dir, path, Meta::of_entry(entry))
    }

    fn place_file(
        &mut self,
        dir: Root,
        name: &OsStr,
        entry: &Entry,
        content: &mut impl Read,
    ) -> io::Result<()> {
        let Some(left) = self.bytes_left.checked_sub(entry.size) else {
            return refuse("the layer grows beyond the limit for its size");
        };
        self.bytes_left = left;
        let flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW;
        let mut file = File::from(dir.open_beneath(name, flags, 0o600)?);
        match &entry.segments {
            None => copy_exactly(content, &mut file, entry.size)?,
            Some(segments) => {
                for &(offset, length) in segments {
                    file.seek(SeekFrom::Start(offset))?;
                    copy_exactly(content, &mut file, length)?;
                }
                file.set_len(entry.size)?;
            }
        }
        Meta::of_entry(entry).apply(&file)
    }

    /// A link to a file of this layer, or of a lower one: that is copied up first.
    fn place_link(&mut self, dir: Root, name: &OsStr, target: &Path) -> io::Result<()> {
        let old = match self.root.open_in(target, O_PATH | O_NOFOLLOW, 0) {
            Ok(fd) => fd,
            Err(err) if err.kind() == io::ErrorKind::NotFound => self.copy_up(target)?,
            Err(err) => return Err(err),
        };
        if is_dir(&old)? {
            return refuse("hard link to a directory");
        }
        if is_whiteout(&old)? {
            return refuse("hard link to a deleted file");
        }
        if let Some(there) = existing(&dir, name)?
            && stat(&there)?.st_ino == stat(&old)?.st_ino
        {
            return Ok(());
        }
        self.clear(&dir, name)?;
        let from = format!("/proc/self/fd/{}", old.as_raw_fd());
        // "Follow" the link in /proc to the object itself, which may be a symlink.
        linkat(
            AT_FDCWD,
            from.as_str(),
            &dir,
            name,
            AtFlags::AT_SYMLINK_FOLLOW,
        )?;
        Ok(())
    }

    fn copy_up(&mut self, path: &Path) -> io::Result<OwnedFd> {
        let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else {
            return refuse("hard link to the root");
        };
        let Some(below) = self.lowers.find(path)? else {
            let why = format!("hard link to {}, which does not exist", path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, why));
        };
        let dir = self.parent(parent)?;
        match stat(&below)?.st_mode & SFlag::S_IFMT.bits() {
            mode if mode == SFlag::S_IFREG.bits() => {
                let mut from = File::open(format!("/proc/self/fd/{}", below.as_raw_fd()))?;
                let Some(left) = self.bytes_left.checked_sub(from.metadata()?.len()) else {
                    return refuse("the layer grows beyond the limit for its size");
                };
                self.bytes_left = left;
                let flags = O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW;
                let mut to = File::from(dir.open_beneath(name, flags, 0o600)?);
                io::copy(&mut from, &mut to)?;
            }
            mode if mode == SFlag::S_IFLNK.bits() => {
                let text = nix::fcntl::readlinkat(&below, "")?;
                symlinkat(text.as_os_str(), &dir, name)?;
            }
            _ => return refuse("hard link to something else than a file of a lower layer"),
        }
        let copy = dir.open_beneath(name, O_PATH | O_NOFOLLOW, 0)?;
        Meta::of_file(&below)?.apply(&copy)?;
        Ok(copy)
    }

    /// A whiteout hides what lower layers have, not what this one brings: beside a directory of
    /// this layer it makes that opaque, beside a file of this layer it says nothing new.
    fn place_whiteout(&mut self, parent: &Path, victim: &OsStr) -> io::Result<()> {
        if victim == ".wh..opq" {
            let dir = self.parent(parent)?;
            return set_xattr(&dir, OPAQUE, b"y");
        }
        if victim.as_bytes().starts_with(b".wh.") {
            // Other names of this form are notes of aufs to itself.
            return Ok(());
        }
        if matches!(victim.as_bytes(), b"" | b"." | b"..") {
            return refuse("whiteout of nothing");
        }
        let dir = self.parent(parent)?;
        match existing(&dir, victim)? {
            Some(old) if is_dir(&old)? => set_xattr(&old, OPAQUE, b"y"),
            Some(_) => Ok(()),
            None => Ok(mknodat(&dir, victim, SFlag::S_IFCHR, Mode::empty(), 0)?),
        }
    }

    /// Modes, owners and times of directories come last: files made in them change their times,
    /// and a read-only one could not be filled.
    fn finish_directories(&mut self) -> io::Result<()> {
        for (inode, (path, meta)) in self.directories.drain() {
            let dir = match self.root.open_in(&path, O_PATH | O_DIRECTORY, 0) {
                Ok(dir) => dir,
                // Replaced by something else later in the archive.
                Err(err) if matches!(err.raw_os_error(), Some(ENOENT | ENOTDIR | ELOOP)) => {
                    continue;
                }
                Err(err) => return Err(err),
            };
            if stat(&dir)?.st_ino == inode {
                meta.apply(&dir)?;
            }
        }
        Ok(())
    }
}

/// What has this name in the directory, symlinks themselves.
fn existing(dir: &Root, name: &OsStr) -> io::Result<Option<OwnedFd>> {
    match dir.open_beneath(name, O_PATH | O_NOFOLLOW, 0) {
        Ok(fd) => Ok(Some(fd)),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

fn make_node(dir: &Root, name: &OsStr, entry: &Entry) -> io::Result<()> {
    let (major, minor) = (entry.device.0.into(), entry.device.1.into());
    let (kind, device) = match entry.kind {
        Kind::CharDevice => (SFlag::S_IFCHR, makedev(major, minor)),
        Kind::BlockDevice => (SFlag::S_IFBLK, makedev(major, minor)),
        _ => (SFlag::S_IFIFO, 0),
    };
    Ok(mknodat(dir, name, kind, Mode::empty(), device)?)
}

fn copy_exactly(from: &mut impl Read, to: &mut impl Write, length: u64) -> io::Result<()> {
    match io::copy(&mut from.take(length), to)? {
        copied if copied == length => Ok(()),
        _ => Err(Errno::EIO.into()),
    }
}
