//! Files that are kept beside a container and go with it: libpod's artifacts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use nix::libc::O_NOFOLLOW;

use crate::api::Layout;
use crate::container::ContainerError;
use crate::store::{self, ensure_private};
use crate::types::ContainerId;

/// The longest name, bytes (NAME_MAX, less what a temporary file needs).
const MAX_NAME: usize = 200;

/// Where an artifact is.
fn path(layout: &Layout, id: &ContainerId, name: &str) -> Result<PathBuf, ContainerError> {
    let letter = |c: char| c.is_ascii_alphanumeric();
    let good = name.len() <= MAX_NAME
        && name.starts_with(letter)
        && name.chars().all(|c| letter(c) || "_.-".contains(c));
    if !good {
        let text = "names of artifacts must match [a-zA-Z0-9][a-zA-Z0-9_.-]*, 200 bytes at most";
        return Err(ContainerError::Files(format!("{name:?}: {text}")));
    }
    Ok(layout.artifacts(id).join(name))
}

/// Keeps what a reader gives under a name; one of this name is replaced, as a whole.
///
/// # Errors
/// The name is none, the container gone, or the file cannot be written.
pub fn add(
    layout: &Layout,
    id: &ContainerId,
    name: &str,
    content: &mut dyn Read,
) -> Result<(), ContainerError> {
    let path = path(layout, id, name)?;
    let failed = || ContainerError::io("write", path.clone());
    // Read before the lock: who gives it may take his time.
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes).map_err(failed())?;
    let _lock = store::lock(layout, id)?;
    store::load(layout, id)?;
    ensure_private(&layout.artifacts(id))?;
    Ok(store::write_atomic(&path, &bytes, 0o600)?)
}

/// Opens an artifact.
///
/// # Errors
/// There is none of this name.
pub fn get(layout: &Layout, id: &ContainerId, name: &str) -> Result<File, ContainerError> {
    let path = path(layout, id, name)?;
    let mut options = OpenOptions::new();
    let file = options.read(true).custom_flags(O_NOFOLLOW).open(&path);
    file.map_err(|error| missing(error, name, path))
}

/// The names of all, in order.
///
/// # Errors
/// The directory cannot be read.
pub fn list(layout: &Layout, id: &ContainerId) -> Result<Vec<String>, ContainerError> {
    let directory = layout.artifacts(id);
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(ContainerError::io("read", directory))?,
    };
    let names = entries.flatten().map(|entry| entry.file_name());
    // A file that is being written has a dot before its name.
    let mut names: Vec<String> = names
        .filter_map(|name| name.into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    Ok(names)
}

/// Removes an artifact.
///
/// # Errors
/// There is none of this name.
pub fn remove(layout: &Layout, id: &ContainerId, name: &str) -> Result<(), ContainerError> {
    let path = path(layout, id, name)?;
    let _lock = store::lock(layout, id)?;
    fs::remove_file(&path).map_err(|error| missing(error, name, path))
}

fn missing(error: io::Error, name: &str, path: PathBuf) -> ContainerError {
    match error.kind() {
        io::ErrorKind::NotFound => ContainerError::Files(format!("no such artifact: {name}")),
        _ => ContainerError::io("open", path)(error),
    }
}
