//! The root file system of a container from unpacked layers.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::sys::mount::Attr;
use crate::sys::overlay::Overlay;
use crate::sys::paths::Root;

use super::error::{At, Result};

/// What one value of fsconfig(2) can hold, and a safe share of the page that the options of an
/// older kernel must fit in.
const LONG_PATH: usize = 255;
const LONG_LIST: usize = 3000;

/// Where a container's own changes go; both on one file system that is no overlayfs.
#[derive(Clone, Copy, Debug)]
pub struct Writable<'a> {
    /// The upper directory.
    pub upper: &'a Path,
    /// The work directory, empty.
    pub work: &'a Path,
    /// The label of SELinux that all of the mount has.
    pub context: Option<&'a str>,
    /// Nothing is synchronised to the disk.
    pub volatile: bool,
}

/// Mounts layers (the topmost first, see [`super::Image::lower_dirs`]) on a directory and gives the
/// descriptor of the root; without `writable` the mount is read-only. An `empty` directory stands
/// in where overlayfs wants a second layer.
pub fn mount(
    layers: &[PathBuf],
    writable: Option<Writable<'_>>,
    empty: &Path,
    attr: Attr,
    target: impl AsFd,
) -> Result<OwnedFd> {
    let mut lower = layers.to_vec();
    if lower.is_empty() || (lower.len() == 1 && writable.is_none()) {
        lower.push(empty.to_owned());
    }
    let mut handles = Vec::new();
    let lower = shorten(lower, &mut handles)?;
    let upper = writable.map(|writable| (writable.upper, writable.work));
    let context = writable.and_then(|writable| writable.context);
    let volatile = writable.is_some_and(|writable| writable.volatile);
    let options: Vec<_> = context
        .map(|context| ("context", Some(context)))
        .into_iter()
        .chain(volatile.then_some(("volatile", None)))
        .collect();
    let overlay = Overlay {
        lower: &lower,
        upper,
        options: &options,
        attr: if upper.is_none() {
            attr | Attr::RDONLY
        } else {
            attr
        },
    };
    let first = layers.first().map_or(empty, PathBuf::as_path);
    overlay
        .attach(target)
        .at("mount overlay of image layer", first)
}

/// Names layers by descriptor where their paths are too long for the kernel. The descriptors are
/// needed until the mount is made.
fn shorten(layers: Vec<PathBuf>, handles: &mut Vec<Root>) -> Result<Vec<PathBuf>> {
    let long = |path: &PathBuf| path.as_os_str().len() > LONG_PATH || has_separator(path);
    let total: usize = layers.iter().map(|path| path.as_os_str().len() + 1).sum();
    if total <= LONG_LIST && !layers.iter().any(long) {
        return Ok(layers);
    }
    let mut short = Vec::new();
    for layer in layers {
        let handle: io::Result<Root> = Root::open(&layer);
        let handle = handle.at("open layer", &layer)?;
        short.push(format!("/proc/self/fd/{}", handle.as_fd().as_raw_fd()).into());
        handles.push(handle);
    }
    Ok(short)
}

fn has_separator(path: &Path) -> bool {
    path.as_os_str()
        .as_bytes()
        .iter()
        .any(|byte| b":,\\".contains(byte))
}
