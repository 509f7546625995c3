//! A private directory of the store for what is being fetched.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc::{O_DIRECTORY, O_NOFOLLOW};

use crate::image::error::{At, Result};
use crate::image::local::{Images, remove_any};
use crate::sys::id::random_bytes;
use crate::sys::paths::{Lock, lock_file};

/// What such directories are called. Unlike other staged things they stay while somebody has them locked: a fetch takes
/// minutes, and must not keep others out.
pub(in crate::image) const PULLED: &str = ".pull-";

/// The layout in it, and the directory for temporary files.
pub(super) const LAYOUT: &str = "layout";
pub(super) const TEMPORARY: &str = "tmp";

/// A directory that is gone when this is dropped, or at the next change of the store if we are killed.
pub(super) struct Stage {
    pub(super) dir: PathBuf,
    lock: File,
}

impl Stage {
    /// Makes one without blobs.
    pub(super) fn empty(store: &Images) -> Result<Stage> {
        let stage = loop {
            if let Some(stage) = Self::make(store)? {
                break stage;
            }
        };
        for dir in [
            &stage.layout().join("blobs/sha256"),
            &stage.dir.join(TEMPORARY),
        ] {
            fs::create_dir_all(dir).at("make", dir)?;
        }
        Ok(stage)
    }

    /// Makes one with every blob of the store in its layout, so that none is fetched again.
    pub(super) fn new(store: &Images) -> Result<Stage> {
        let stage = Self::empty(store)?;
        let own = stage.layout().join("blobs/sha256");
        let blobs = store.images.join("blobs/sha256");
        for entry in fs::read_dir(&blobs).at("list", &blobs)? {
            let entry = entry.at("list", &blobs)?;
            let link = own.join(entry.file_name());
            match fs::hard_link(entry.path(), &link) {
                // An image was removed meanwhile; or a file has as many links as there may be, and is fetched again.
                Err(err) if is_harmless(&err) => {}
                other => other.at("link", link)?,
            }
        }
        Ok(stage)
    }

    /// None if it was taken for garbage before it was locked.
    fn make(store: &Images) -> Result<Option<Stage>> {
        let random = random_bytes::<8>().at("draw a name in", &store.images)?;
        let name = format!("{PULLED}{:016x}", u64::from_ne_bytes(random));
        let dir = store.images.join(name);
        DirBuilder::new()
            .mode(0o700)
            .create(&dir)
            .at("make", &dir)?;
        let Ok(lock) = open(&dir) else {
            return Ok(None);
        };
        lock_file(&lock, Lock::Exclusive, true).at("lock", &dir)?;
        let about = lock.metadata().at("read", &dir)?;
        let is_there = fs::symlink_metadata(&dir).is_ok_and(|now| now.ino() == about.ino());
        Ok(is_there.then_some(Stage { dir, lock }))
    }

    /// Where the layout is.
    pub(super) fn layout(&self) -> PathBuf {
        self.dir.join(LAYOUT)
    }

    /// The lock, for a child that must keep it as long as it lives.
    pub(super) fn lock(&self) -> BorrowedFd<'_> {
        self.lock.as_fd()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Err(error) = remove_any(&self.dir) {
            tracing::warn!(%error, "fetched files are left for the next change of the store to remove");
        }
    }
}

fn is_harmless(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.kind() == io::ErrorKind::TooManyLinks
}

fn open(dir: &Path) -> io::Result<File> {
    let mut options = File::options();
    let flags = O_DIRECTORY | O_NOFOLLOW;
    options.read(true).custom_flags(flags).open(dir)
}

/// Removes one that nobody has.
pub(in crate::image) fn sweep(dir: &Path) -> Result<()> {
    let lock = match open(dir) {
        Ok(lock) => lock,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(()),
        // No directory: it is none of ours.
        Err(_) => return remove_any(dir),
    };
    match lock_file(&lock, Lock::Exclusive, false).at("lock", dir)? {
        true => remove_any(dir),
        false => Ok(()),
    }
}
