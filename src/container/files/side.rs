//! One side of a copy: a path of the host, or in a container.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc::{self, O_PATH};

use super::root::Opened;
use crate::container::ContainerError;
use crate::definition::Definition;
use crate::sys::paths::stat;

/// What cannot be copied, in Podman's words.
pub(super) fn refuse<T>(text: impl Into<String>) -> Result<T, ContainerError> {
    Err(ContainerError::Files(text.into()))
}

/// One side, reached.
pub(super) enum Side<'a> {
    Host(&'a Path),
    Container(&'a Definition, &'a Opened, &'a Path),
}

impl Side<'_> {
    pub(super) fn path(&self) -> &Path {
        match self {
            Side::Host(path) | Side::Container(_, _, path) => path,
        }
    }

    /// Opens a path of this side, links followed where they lead there.
    pub(super) fn open(&self, path: &Path) -> io::Result<OwnedFd> {
        match self {
            Side::Host(_) => {
                let mut options = fs::OpenOptions::new();
                let file = options.read(true).custom_flags(O_PATH).open(or_here(path));
                Ok(file?.into())
            }
            Side::Container(_, opened, _) => opened.root().open_in(or_here(path), O_PATH, 0),
        }
    }

    pub(super) fn missing<T>(&self, error: io::Error) -> Result<T, ContainerError> {
        let path = self.path().display();
        let whose = match self {
            Side::Host(_) => "the host".to_owned(),
            Side::Container(definition, ..) => format!("container {}", definition.name),
        };
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => refuse(format!(
                "\"{path}\" could not be found on {whose}: no such file or directory"
            )),
            _ => Err(ContainerError::io("open", self.path())(error)),
        }
    }

    /// The path behind the links at its end, for what takes the place of the last one's target.
    pub(super) fn behind_links(&self) -> io::Result<PathBuf> {
        match self {
            Side::Host(path) => fs::canonicalize(path),
            Side::Container(_, opened, path) => {
                let mut path = path.to_path_buf();
                // The kernel gives up after 40, too (path_resolution(7)).
                for _ in 0..40 {
                    match opened.root().read_link(&path) {
                        Ok(target) => path = path.parent().unwrap_or(Path::new("/")).join(target),
                        Err(_) => break,
                    }
                }
                Ok(path)
            }
        }
    }
}

pub(super) fn or_here(path: &Path) -> &Path {
    match path.as_os_str().is_empty() {
        true => Path::new("."),
        false => path,
    }
}

pub(super) fn is_dir(node: &OwnedFd) -> io::Result<bool> {
    Ok(stat(node)?.st_mode & libc::S_IFMT == libc::S_IFDIR)
}
