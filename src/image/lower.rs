//! Lookups in the layers below the one that is unpacked.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::libc::{O_NOFOLLOW, O_PATH};

use crate::sys::paths::Root;
use crate::sys::xattr::get_xattr;

use super::meta::{OPAQUE, is_dir, is_whiteout};

/// Unpacked layers, the topmost first.
pub(super) struct Lowers(Vec<Root>);

/// What one layer says of a path.
enum Found {
    Here(OwnedFd),
    /// Not here, and what lies below does not count.
    Hidden,
    Absent,
}

impl Lowers {
    /// Opens the directories, the topmost first.
    pub(super) fn open(dirs: &[PathBuf]) -> io::Result<Lowers> {
        dirs.iter()
            .map(Root::open)
            .collect::<Result<_, _>>()
            .map(Lowers)
    }

    /// What overlayfs would show at this clean relative path, opened with `O_PATH`. Symlinks are
    /// given, never followed.
    pub(super) fn find(&self, path: &Path) -> io::Result<Option<OwnedFd>> {
        for layer in &self.0 {
            match look(layer, path)? {
                Found::Here(fd) => return Ok(Some(fd)),
                Found::Hidden => return Ok(None),
                Found::Absent => {}
            }
        }
        Ok(None)
    }
}

fn look(layer: &Root, path: &Path) -> io::Result<Found> {
    let mut at = layer.dir_in(".")?;
    let mut names = path.components().peekable();
    let mut opaque = false;
    while let Some(name) = names.next() {
        let fd = match at.open_beneath(Path::new(name.as_os_str()), O_PATH | O_NOFOLLOW, 0) {
            Ok(fd) => fd,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return Ok(if opaque { Found::Hidden } else { Found::Absent });
            }
            Err(err) => return Err(err),
        };
        if is_whiteout(&fd)? {
            return Ok(Found::Hidden);
        }
        if names.peek().is_none() {
            return Ok(Found::Here(fd));
        }
        if !is_dir(&fd)? {
            return Ok(Found::Hidden);
        }
        opaque |= get_xattr(&fd, OPAQUE)?.as_deref() == Some(b"y");
        at = Root::from_fd(fd);
    }
    Ok(Found::Absent)
}
