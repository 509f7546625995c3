//! Images mounted where the host's processes see them, from `image mount` to `image unmount`.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::sys::mount::{Attr, unmount};
use crate::sys::mountinfo::read_mountinfo;
use crate::sys::paths::Root;

use super::error::{At, Result};
use super::local::{Image, Images};
use super::overlay;

impl Images {
    /// Mounts an image below a directory, read-only, and tells where; again, it is the same place.
    /// Devices and set-id bits of the image count for nothing there.
    ///
    /// # Errors
    /// There is no such image, or its layers cannot be mounted.
    pub fn mount(&self, name: &str, places: &Path) -> Result<(Image, PathBuf)> {
        // Neither removed nor mounted a second time meanwhile.
        let _index = self.lock_index()?;
        let image = self.resolve(name)?;
        let place = places.join(&image.id);
        if is_mounted(&place)? {
            return Ok((image, place));
        }
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&place)
            .at("make", &place)?;
        let target = Root::open(&place).at("open", &place)?;
        let attr = Attr::NOSUID | Attr::NODEV;
        let mounted = overlay::mount(&image.lower_dirs(), None, &self.empty_dir(), attr, &target);
        if mounted.is_err() {
            let _ = fs::remove_dir(&place);
        }
        mounted.map(|_| (image, place))
    }

    /// Takes away what [`Images::mount`] has made; with `force`, also while somebody uses it there.
    /// False: it was not mounted.
    ///
    /// # Errors
    /// It is in use.
    pub fn unmount(&self, id: &str, places: &Path, force: bool) -> Result<bool> {
        let _index = self.lock_index()?;
        let place = places.join(id);
        let was = is_mounted(&place)?;
        if was {
            unmount(&place, force).at("unmount", &place)?;
        }
        match fs::remove_dir(&place) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(was),
            other => other.at("remove", place).map(|()| was),
        }
    }
}

/// Where an image is mounted, if it is.
///
/// # Errors
/// The mounts cannot be read.
pub fn place_of(id: &str, places: &Path) -> Result<Option<PathBuf>> {
    let place = places.join(id);
    Ok(is_mounted(&place)?.then_some(place))
}

fn is_mounted(place: &Path) -> Result<bool> {
    if !place.exists() {
        return Ok(false);
    }
    let mounts = read_mountinfo().at("read", "/proc/self/mountinfo")?;
    Ok(mounts.iter().any(|mount| mount.mount_point == place))
}
