//! Volumes: directories that outlive containers, or, without a name, go with the last one that has them.
//!
//! `volumes/NAME/{volume.json, _data/, fresh}`. A volume appears whole and goes at once: it is made and taken apart under
//! a hidden name.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::copy_up::{FIXED, FRESH, NOCOPY};
use super::directory::sync_names;
use super::{StoreError, ensure_private, read_bounded, remove_tree, write_atomic};
use crate::api::Layout;
use crate::definition::volume::{VolumeOptions, has_no_copy};
use crate::sys::id::random_bytes;
use crate::sys::paths::{Lock, lock_file, rename_noreplace};
use crate::sys::time::realtime;
use crate::types::VolumeName;

const MAKING: &str = ".new-";
const REMOVING: &str = ".old-";
const RECORD: &str = "volume.json";

/// What is on record of a volume.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: VolumeName,
    /// It has no name of the user's and goes with its last container.
    pub anonymous: bool,
    /// When it was made, microseconds since the epoch.
    pub created: u64,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What it was made with ([`crate::definition::volume`]).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub options: BTreeMap<String, String>,
}

/// A volume that is to be made.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// It goes with its last container.
    pub anonymous: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Its options, and whose it is.
    pub options: VolumeOptions,
}

/// Keeps volumes from being removed (shared), or from being taken into use (exclusive), while it lives.
#[derive(Debug)]
pub struct Hold {
    _file: File,
}

/// Takes the lock of all volumes: shared by whoever makes a container, until that is on record; exclusive by whoever
/// removes a volume.
///
/// # Errors
/// The lock's file cannot be made.
pub fn hold(layout: &Layout, kind: Lock) -> Result<Hold, StoreError> {
    let directory = layout.volumes();
    ensure_private(&directory)?;
    let path = directory.join(".lock");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).map_err(StoreError::io("open", &path))?;
    lock_file(&file, kind, true).map_err(StoreError::io("lock", &path))?;
    Ok(Hold { _file: file })
}

/// Whether nobody has had the volume in this directory yet.
pub fn is_fresh(volume: &Path) -> bool {
    volume.join(FRESH).exists()
}

/// Makes a volume without labels and options; whether it is new.
///
/// # Errors
/// A file operation that failed; nothing is left then.
pub fn ensure(layout: &Layout, name: &VolumeName, anonymous: bool) -> Result<bool, StoreError> {
    let wish = Wish {
        anonymous,
        ..Wish::default()
    };
    create(layout, name, wish)
}

/// Makes a volume; whether it is new. One that is there stays as it is.
///
/// # Errors
/// A file operation that failed; nothing is left then.
pub fn create(layout: &Layout, name: &VolumeName, wish: Wish) -> Result<bool, StoreError> {
    let path = layout.volume(name);
    if path.is_dir() {
        return Ok(false);
    }
    let directory = layout.volumes();
    ensure_private(&layout.state())?;
    ensure_private(&directory)?;
    let hidden = hidden(&directory, MAKING)?;
    let volume = Volume {
        name: name.clone(),
        anonymous: wish.anonymous,
        created: realtime().as_micros() as u64,
        labels: wish.labels,
        options: wish.options.options,
    };
    let owner = (wish.options.uid, wish.options.gid);
    let made = make(&hidden, &volume, owner).and_then(|()| {
        let parent = File::open(&directory).map_err(StoreError::io("open", &directory))?;
        let (from, to) = (hidden.file_name(), path.file_name());
        let (from, to) = (from.unwrap_or_default(), to.unwrap_or_default());
        match rename_noreplace(&parent, from, &parent, to) {
            // Somebody else made it meanwhile.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            other => other
                .map(|()| true)
                .map_err(StoreError::io("make volume", &path)),
        }
    });
    match made {
        Ok(true) => sync_names(&directory).map(|()| true),
        other => {
            // The first error is the one to tell; the next removal sweeps.
            let _ = remove_tree(&hidden);
            other
        }
    }
}

/// A hidden directory for what will be in a volume. Needs a [`hold`], and is swept by the next removal if it is left.
///
/// # Errors
/// A file operation that failed.
pub fn stage(layout: &Layout, _hold: &Hold) -> Result<std::path::PathBuf, StoreError> {
    let path = hidden(&layout.volumes(), MAKING)?;
    ensure_private(&path)?;
    Ok(path)
}

fn hidden(directory: &Path, prefix: &str) -> Result<std::path::PathBuf, StoreError> {
    let random = random_bytes::<8>().map_err(StoreError::io("draw a name in", directory))?;
    Ok(directory.join(format!("{prefix}{:016x}", u64::from_ne_bytes(random))))
}

fn make(
    path: &Path,
    volume: &Volume,
    (uid, gid): (Option<u32>, Option<u32>),
) -> Result<(), StoreError> {
    ensure_private(path)?;
    let data = path.join("_data");
    let made = DirBuilder::new().mode(0o755).create(&data);
    made.map_err(StoreError::io("make directory", &data))?;
    let record = serde_json::to_vec(volume).expect("a record has only string keys");
    let fixed = uid.is_some() || gid.is_some();
    if fixed {
        std::os::unix::fs::chown(&data, uid, gid).map_err(StoreError::io("chown", &data))?;
    }
    let mut words = Vec::new();
    words.extend(fixed.then_some(FIXED));
    words.extend(has_no_copy(&volume.options).then_some(NOCOPY));
    write_atomic(&path.join(FRESH), words.join(" ").as_bytes(), 0o600)?;
    write_atomic(&path.join(RECORD), &record, 0o600)?;
    sync_names(path)
}

/// Reads the record of a volume.
///
/// # Errors
/// [`StoreError::NoSuchObject`], or its record cannot be read.
pub fn load(layout: &Layout, name: &VolumeName) -> Result<Volume, StoreError> {
    let path = layout.volume(name).join(RECORD);
    let read = read_bounded(&path, 64 << 10);
    let text = read.map_err(|error| match error.kind() {
        ErrorKind::NotFound => StoreError::NoSuchObject {
            kind: "volume",
            name: name.to_string(),
        },
        _ => StoreError::io("read", &path)(error),
    })?;
    let parsed = serde_json::from_slice(&text).map_err(std::io::Error::other);
    parsed.map_err(StoreError::io("read", &path))
}

/// All volumes by name; one whose record cannot be read is left out with a warning.
///
/// # Errors
/// The directory cannot be read.
pub fn list(layout: &Layout) -> Result<Vec<Volume>, StoreError> {
    let directory = layout.volumes();
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(StoreError::io("list", &directory))?,
    };
    let names = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut volumes: Vec<Volume> = names
        .filter_map(|name: VolumeName| {
            let loaded = load(layout, &name);
            let failed = |error: &StoreError| tracing::warn!(%name, %error, "volume is left out");
            loaded.inspect_err(failed).ok()
        })
        .collect();
    volumes.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(volumes)
}

/// Removes a volume with its files, and what crashes left of others. Needs the exclusive [`hold`].
///
/// # Errors
/// [`StoreError::NoSuchObject`], or a file operation that failed; the volume is gone from every list all the same.
pub fn remove(layout: &Layout, _hold: &Hold, name: &VolumeName) -> Result<(), StoreError> {
    let (path, directory) = (layout.volume(name), layout.volumes());
    let hidden = hidden(&directory, REMOVING)?;
    match fs::rename(&path, &hidden) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(StoreError::NoSuchObject {
                kind: "volume",
                name: name.to_string(),
            });
        }
        other => other.map_err(StoreError::io("remove volume", &path))?,
    }
    let mut result = Ok(());
    for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        // Whoever makes one holds the lock too.
        if name.starts_with(REMOVING) || name.starts_with(MAKING) {
            result = result.and(remove_tree(&entry.path()));
        }
    }
    result
}

/// Whether this is the name of a volume that is being made or removed.
pub(super) fn is_staged(name: &str) -> bool {
    name.starts_with(MAKING) || name.starts_with(REMOVING)
}

/// Where a volume is while it is being removed.
pub fn removing(layout: &Layout, name: &VolumeName) -> std::path::PathBuf {
    layout.volumes().join(format!("{REMOVING}{name}"))
}
