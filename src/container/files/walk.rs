//! Reads a tree that its owner may change meanwhile: by descriptors, one name at a time, and nothing is followed.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::readlinkat;
use nix::libc::{self, O_DIRECTORY, O_NOFOLLOW, O_PATH, O_RDONLY};
use nix::sys::stat::{major, minor};
use nix::unistd::{Whence, lseek};

use super::Sink;
use crate::image::meta::belongs_to_images;
use crate::image::tar_stream::{Entry, Kind};
use crate::store::copy_tree::Shift;
use crate::sys::paths::{CGROUP2_MAGIC, Root, filesystem, stat};
use crate::sys::xattr::{get_xattr, list_xattrs};

/// File systems of the kernel, in which there is nothing to copy (statfs(2)).
const KERNEL: &[u32] = &[
    CGROUP2_MAGIC,
    libc::PROC_SUPER_MAGIC as u32,
    libc::SYSFS_MAGIC as u32,
    libc::DEVPTS_SUPER_MAGIC as u32,
    libc::CGROUP_SUPER_MAGIC as u32,
];

/// One way through a tree, from its top to its leaves.
pub(super) struct Walk<'a> {
    sink: &'a mut dyn Sink,
    /// Whose files are whose in what is made.
    shift: Shift,
    /// Where the first of several names of a file went.
    links: HashMap<(u64, u64), PathBuf>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(sink: &'a mut dyn Sink, shift: Shift) -> Self {
        Self {
            sink,
            shift,
            links: HashMap::new(),
        }
    }

    /// What a descriptor (`O_PATH`) refers to, under this name, with all below it.
    pub(super) fn item(&mut self, node: &OwnedFd, name: &Path) -> io::Result<()> {
        let about = stat(node)?;
        let Some(mut entry) = self.entry(node, name, &about)? else {
            return Ok(());
        };
        let key = (about.st_dev, about.st_ino);
        // What overlayfs marks as deleted may all be one file of many names.
        let deleted = entry.kind == Kind::CharDevice && about.st_rdev == 0;
        if entry.kind != Kind::Directory && !deleted && about.st_nlink > 1 {
            if let Some(first) = self.links.get(&key) {
                entry.kind = Kind::HardLink;
                entry.link = first.clone();
                entry.size = 0;
                entry.segments = None;
            } else {
                self.links.insert(key, name.to_owned());
            }
        }
        match entry.kind {
            Kind::File => self.file(node, entry),
            Kind::Directory => {
                self.sink.put(&entry, &mut io::empty())?;
                let dir = Root::from_fd(node.try_clone()?);
                self.contents(&dir, name)
            }
            _ => self.sink.put(&entry, &mut io::empty()),
        }
    }

    /// All that is in a directory.
    pub(super) fn contents(&mut self, dir: &Root, name: &Path) -> io::Result<()> {
        let own = stat(dir)?.st_dev;
        let readable = dir.open_beneath(".", O_RDONLY | O_DIRECTORY, 0)?;
        let mut names: Vec<Vec<u8>> = Vec::new();
        for entry in Dir::from_fd(readable)?.iter() {
            let entry = entry?.file_name().to_bytes().to_owned();
            if entry != b"." && entry != b".." {
                names.push(entry);
            }
        }
        names.sort();
        for own_name in names {
            let own_name = OsStr::from_bytes(&own_name);
            let node = match dir.open_beneath(own_name, O_PATH | O_NOFOLLOW, 0) {
                Ok(node) => node,
                // It went while we were under way.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let foreign = stat(&node)?.st_dev != own;
            if foreign && KERNEL.contains(&filesystem(&node)?) {
                continue;
            }
            self.item(&node, &name.join(own_name)).map_err(|error| {
                match error.get_ref().is_some() {
                    true => error,
                    false => io::Error::new(
                        error.kind(),
                        format!("{}: {error}", name.join(own_name).display()),
                    ),
                }
            })?;
        }
        Ok(())
    }

    fn entry(&self, node: &OwnedFd, name: &Path, about: &libc::stat) -> io::Result<Option<Entry>> {
        let kind = match about.st_mode & libc::S_IFMT {
            libc::S_IFREG => Kind::File,
            libc::S_IFDIR => Kind::Directory,
            libc::S_IFLNK => Kind::Symlink,
            libc::S_IFCHR => Kind::CharDevice,
            libc::S_IFBLK => Kind::BlockDevice,
            libc::S_IFIFO => Kind::Fifo,
            // A socket is nothing without who listens.
            _ => return Ok(None),
        };
        let link = match kind {
            Kind::Symlink => readlinkat(node, "")?.into(),
            _ => PathBuf::new(),
        };
        let (uid, gid) = self.shift.owner(about.st_uid, about.st_gid);
        let mut xattrs = Vec::new();
        for attribute in list_xattrs(node)?
            .into_iter()
            .filter(|a| belongs_to_images(a))
        {
            if let Some(value) = get_xattr(node, &attribute)? {
                xattrs.push((attribute, value));
            }
        }
        let is_device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        let device = match is_device {
            true => (major(about.st_rdev) as u32, minor(about.st_rdev) as u32),
            false => (0, 0),
        };
        Ok(Some(Entry {
            kind,
            path: name.to_owned(),
            link,
            mode: about.st_mode & 0o7777,
            uid,
            gid,
            mtime: (about.st_mtime, about.st_mtime_nsec),
            size: if kind == Kind::File {
                about.st_size as u64
            } else {
                0
            },
            segments: None,
            device,
            xattrs,
        }))
    }

    /// The node is a regular file, so that to open what it stands for waits for nobody.
    fn file(&mut self, node: &OwnedFd, mut entry: Entry) -> io::Result<()> {
        let file = File::open(format!("/proc/self/fd/{}", node.as_fd().as_raw_fd()))?;
        let blocks = stat(node)?.st_blocks as u64;
        if self.sink.keeps_holes() && blocks.saturating_mul(512) < entry.size {
            entry.segments = segments(&file, entry.size)?;
        }
        let left = match &entry.segments {
            Some(segments) => segments.clone(),
            None => vec![(0, entry.size)],
        };
        let mut content = Content { file, left, at: 0 };
        self.sink.put(&entry, &mut content)
    }
}

/// Where a file has data (lseek(2), `SEEK_DATA`); none if the file system does not tell.
fn segments(file: &File, size: u64) -> io::Result<Option<Vec<(u64, u64)>>> {
    let mut found = Vec::new();
    let mut at = 0i64;
    while (at as u64) < size {
        let start = match lseek(file, at, Whence::SeekData) {
            Ok(start) => start,
            Err(Errno::ENXIO) => break,
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let end = lseek(file, start, Whence::SeekHole)?;
        let end = end.min(size as i64);
        if end <= start {
            break;
        }
        found.push((start as u64, (end - start) as u64));
        at = end;
    }
    Ok(Some(found))
}

/// The data of a file; where it has become shorter meanwhile, zeros, so that it fits what was said of it.
struct Content {
    file: File,
    left: Vec<(u64, u64)>,
    at: usize,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some((offset, length)) = self.left.get_mut(self.at) else {
            return Ok(0);
        };
        if *length == 0 {
            self.at += 1;
            return self.read(buffer);
        }
        self.file.seek(SeekFrom::Start(*offset))?;
        let most = buffer
            .len()
            .min(usize::try_from(*length).unwrap_or(buffer.len()));
        let mut read = self.file.read(&mut buffer[..most])?;
        if read == 0 {
            buffer[..most].fill(0);
            read = most;
        }
        *offset += read as u64;
        *length -= read as u64;
        Ok(read)
    }
}
