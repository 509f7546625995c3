//! Secrets: one file each, 0600, written whole or not at all: a line of JSON, then the bytes as they are. Any name goes,
//! so the file is named after the digest of it.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::directory::sync_names;
use super::{StoreError, ensure_private, read_bounded, write_atomic};
use crate::api::Layout;
use crate::sys::id::random_bytes;
use crate::sys::time::realtime;
use crate::types::SecretName;

/// Longest secret, bytes.
pub const MAX_SECRET: usize = 512_000;
/// Longest file: the secret and its line.
const MAX_FILE: u64 = MAX_SECRET as u64 + (64 << 10);

/// What is on record of a secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SecretRecord {
    /// 25 hex digits.
    pub id: String,
    /// Its name.
    pub name: SecretName,
    /// When it was made, microseconds since the epoch.
    pub created: u64,
    /// When it was last replaced.
    pub updated: u64,
    /// Labels, by key.
    pub labels: std::collections::BTreeMap<String, String>,
}

fn path_of(layout: &Layout, name: &SecretName) -> PathBuf {
    let digest = Sha256::digest(name.as_str().as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    layout.secrets().join(hex)
}

/// Writes a secret down and returns its id; with `replace` one of that name is replaced.
///
/// # Errors
/// The name is taken, the secret is empty or too long, or a file operation failed.
pub fn create(
    layout: &Layout,
    name: &SecretName,
    data: &[u8],
    labels: std::collections::BTreeMap<String, String>,
    replace: bool,
) -> Result<String, StoreError> {
    let path = path_of(layout, name);
    if data.is_empty() || data.len() >= MAX_SECRET {
        let text = "secret data must be larger than 0 and less than 512000 bytes";
        return Err(StoreError::io("create secret", &path)(io::Error::new(
            ErrorKind::InvalidInput,
            text,
        )));
    }
    ensure_private(&layout.state())?;
    let directory = layout.secrets();
    ensure_private(&directory)?;
    let lock = fs::File::open(&directory).map_err(StoreError::io("open", &directory))?;
    let locked = crate::sys::paths::lock_file(&lock, crate::sys::paths::Lock::Exclusive, true);
    locked.map_err(StoreError::io("lock", &directory))?;
    let now = realtime().as_micros() as u64;
    let old = match load(layout, name.as_str()) {
        Ok(_) if !replace => {
            return Err(StoreError::ObjectExists {
                kind: "secret",
                name: name.to_string(),
            });
        }
        found => found.ok().map(|(record, _)| record),
    };
    let random = random_bytes::<13>().map_err(StoreError::io("draw an id for", &path))?;
    let digits: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let record = SecretRecord {
        id: digits[..25].to_owned(),
        name: name.clone(),
        created: old.map_or(now, |old| old.created),
        updated: now,
        labels,
    };
    let mut text = serde_json::to_vec(&record).expect("a record has only string keys");
    text.push(b'\n');
    text.extend_from_slice(data);
    write_atomic(&path, &text, 0o600)?;
    sync_names(&directory)?;
    Ok(record.id)
}

/// Finds a secret by name, id or unique beginning of an id; gives its bytes too.
///
/// # Errors
/// [`StoreError::NoSuchObject`], [`StoreError::Ambiguous`], or its file cannot be read.
pub fn load(layout: &Layout, text: &str) -> Result<(SecretRecord, Vec<u8>), StoreError> {
    if let Ok(name) = text.parse::<SecretName>() {
        match read(layout, &name) {
            Err(error) if error.is_not_found() => {}
            other => return other,
        }
    }
    let missing = || StoreError::NoSuchObject {
        kind: "secret",
        name: text.to_owned(),
    };
    if text.is_empty() {
        return Err(missing());
    }
    let mut matching = list(layout)?
        .into_iter()
        .filter(|record| record.id.starts_with(text));
    match (matching.next(), matching.next()) {
        (Some(record), None) => read(layout, &record.name),
        (None, _) => Err(missing()),
        (Some(_), Some(_)) => Err(StoreError::Ambiguous(text.to_owned())),
    }
}

fn read(layout: &Layout, name: &SecretName) -> Result<(SecretRecord, Vec<u8>), StoreError> {
    let path = path_of(layout, name);
    read_file(&path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => StoreError::NoSuchObject {
            kind: "secret",
            name: name.to_string(),
        },
        _ => StoreError::io("read", &path)(error),
    })
}

fn read_file(path: &Path) -> io::Result<(SecretRecord, Vec<u8>)> {
    let mut bytes = read_bounded(path, MAX_FILE)?;
    let line = bytes.iter().position(|byte| *byte == b'\n');
    let line = line.ok_or(ErrorKind::InvalidData)?;
    let record = serde_json::from_slice(&bytes[..line])?;
    bytes.drain(..=line);
    Ok((record, bytes))
}

/// All secrets by name; one that cannot be read is left out with a warning.
///
/// # Errors
/// The directory cannot be read.
pub fn list(layout: &Layout) -> Result<Vec<SecretRecord>, StoreError> {
    let directory = layout.secrets();
    let entries = match fs::read_dir(&directory) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(StoreError::io("list", &directory))?,
    };
    let mut records = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        // Others are being written.
        if path.file_name().is_none_or(|name| name.len() != 64) {
            continue;
        }
        match read_file(&path) {
            Ok((record, _)) => records.push(record),
            Err(error) => tracing::warn!(path = %path.display(), %error, "secret is left out"),
        }
    }
    records.sort_by(|a: &SecretRecord, b| a.name.cmp(&b.name));
    Ok(records)
}

/// Removes a secret.
///
/// # Errors
/// Its file cannot be removed.
pub fn remove(layout: &Layout, name: &SecretName) -> Result<(), StoreError> {
    let path = path_of(layout, name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(StoreError::io("remove", &path)(error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_secret_is_found_by_name_and_id_and_replaced_only_if_asked() {
        let root = std::env::temp_dir().join(format!("unitbox-secrets-{}", std::process::id()));
        let layout = Layout::new(&root);
        let name: SecretName = "..".parse().unwrap();
        let make = |data: &[u8], replace| create(&layout, &name, data, Default::default(), replace);
        assert!(make(b"", false).is_err());
        assert!(make(&vec![0; MAX_SECRET], false).is_err());
        let id = make(b"one\n\0two", false).unwrap();
        assert!(make(b"x", false).is_err());
        assert_eq!(load(&layout, "..").unwrap().1, b"one\n\0two");
        assert_eq!(load(&layout, &id[..5]).unwrap().1, b"one\n\0two");
        let mode = fs::metadata(path_of(&layout, &name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_ne!(make(b"two", true).unwrap(), id);
        assert_eq!(list(&layout).unwrap().len(), 1);
        remove(&layout, &name).unwrap();
        assert!(load(&layout, "..").unwrap_err().is_not_found());
        fs::remove_dir_all(&root).unwrap();
    }
}
