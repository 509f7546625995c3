//! Removal of names, images, and what nobody lists any more.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::digest::Digest;
use super::document;
use super::error::{At, Error, Result};
use super::local::{Image, Images, Listed, remove_any};
use super::reference::Reference;

/// What a removal did, for `Untagged:` and `Deleted:` lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Names that are gone.
    pub untagged: Vec<String>,
    /// The id of the image, if it is gone.
    pub deleted: Option<String>,
}

impl Images {
    /// Removes a name, and the image with its last one (Podman's rmi). By id the image goes at once,
    /// with `force` even if it has several names. `in_use` gives the containers that use an id:
    /// without `force` they are an error; with it they are the caller's to remove, before. Layers in
    /// `keep` stay.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        in_use: &dyn Fn(&str) -> Vec<String>,
        keep: &HashSet<Digest>,
    ) -> Result<Removed> {
        let _staging = self.lock_staging()?;
        let index = self.lock_index()?;
        let mut listed = self.read_index()?;
        let found = match self.resolve_in(name, self.list()?) {
            Err(Error::NotFound(_)) => None,
            found => Some(found?),
        };
        let removed = match found {
            None => forget_damaged(name, &mut listed)?,
            Some((image, Some(full))) if image.names.len() > 1 => {
                listed.retain(|line| line.name.as_ref() != Some(&full));
                Removed {
                    untagged: vec![full],
                    deleted: None,
                }
            }
            Some((image, by_name)) => {
                check_free(&image, by_name.is_some(), force, in_use)?;
                self.forget(&image, &mut listed)?;
                Removed {
                    untagged: image.names.clone(),
                    deleted: Some(image.id),
                }
            }
        };
        self.write_index(listed)?;
        let garbage = self.take_garbage(keep)?;
        drop(index);
        sweep(garbage)?;
        Ok(removed)
    }

    /// Removes an image with all its names, unless it is in use; see [`Images::remove`].
    pub fn remove_with_names(
        &self,
        name: &str,
        in_use: &dyn Fn(&str) -> Vec<String>,
    ) -> Result<Removed> {
        let id = self.resolve(name)?.id;
        let removed = self.prune(&|image, _| image.id == id, in_use)?;
        let Some(image) = removed.into_iter().next() else {
            let image = self.resolve(&id)?;
            let containers = in_use(&image.id);
            return match containers.is_empty() {
                true => Err(Error::NotFound(name.to_owned())),
                false => Err(Error::InUse { id, containers }),
            };
        };
        Ok(Removed {
            untagged: image.names,
            deleted: Some(image.id),
        })
    }

    /// Removes the images that are wanted and that nobody uses, with all their names; gives them.
    /// Whether they are in use is asked when no container can be made of them any more. `wanted` also
    /// gets all images that there are.
    pub fn prune(
        &self,
        wanted: &dyn Fn(&Image, &[Image]) -> bool,
        in_use: &dyn Fn(&str) -> Vec<String>,
    ) -> Result<Vec<Image>> {
        let _staging = self.lock_staging()?;
        let index = self.lock_index()?;
        let mut listed = self.read_index()?;
        let mut gone: Vec<Image> = Vec::new();
        let all = self.list_with_history()?;
        for image in &all {
            // It may be there under two manifests.
            let again = gone.iter().any(|other| other.id == image.id);
            if !again && wanted(image, &all) && in_use(&image.id).is_empty() {
                self.forget(image, &mut listed)?;
                gone.push(image.clone());
            }
        }
        if gone.is_empty() {
            return Ok(gone);
        }
        self.write_index(listed)?;
        let garbage = self.take_garbage(&HashSet::new())?;
        drop(index);
        sweep(garbage)?;
        Ok(gone)
    }

    /// Drops every line of an image, under whatever manifest.
    fn forget(&self, image: &Image, listed: &mut Vec<Listed>) -> Result<()> {
        let mut kept = Vec::new();
        for line in listed.drain(..) {
            let same = line.digest()? == image.digest
                || self
                    .image(&line.manifest)
                    .is_ok_and(|other| other.id == image.id);
            if !same {
                kept.push(line);
            }
        }
        *listed = kept;
        Ok(())
    }

    /// Removes blobs and layers that no image lists, but for layers in `keep`, and whatever a crash
    /// left.
    pub fn collect_garbage(&self, keep: &HashSet<Digest>) -> Result<()> {
        let _staging = self.lock_staging()?;
        let index = self.lock_index()?;
        let garbage = self.take_garbage(keep)?;
        drop(index);
        sweep(garbage)
    }

    /// Moves what is unused out of the way; gives where to. Needs both locks.
    fn take_garbage(&self, keep: &HashSet<Digest>) -> Result<Vec<PathBuf>> {
        let (mut blobs, mut layers) = (HashSet::new(), keep.clone());
        for line in self.read_index()? {
            match self.image(&line.manifest) {
                Ok(image) => layers.extend(image.layers),
                Err(error) => {
                    let digest = line.digest()?;
                    tracing::warn!(%digest, %error, "image is damaged, no content is removed");
                    return Ok(Vec::new());
                }
            }
            let manifest = self.manifest(&line.manifest)?;
            blobs.insert(line.digest()?);
            for part in manifest.layers().iter().chain([manifest.config()]) {
                blobs.insert(document::digest(part)?);
            }
        }
        let mut garbage = Vec::new();
        for path in entries(&self.images.join("blobs/sha256"))? {
            let digest = file_name(&path).and_then(|hex| format!("sha256:{hex}").parse().ok());
            if !digest.is_some_and(|digest| blobs.contains(&digest)) {
                garbage.push(self.discard(path, &self.images)?);
            }
        }
        for path in entries(&self.layers)? {
            let stem = file_name(&path).map(|name| name.strip_suffix(".size").unwrap_or(name));
            // Others than layers are not ours to judge.
            if let Some(layer) = stem.and_then(Digest::from_file_name)
                && !layers.contains(&layer)
            {
                garbage.push(self.discard(path, &self.layers)?);
            }
        }
        Ok(garbage)
    }

    fn discard(&self, path: PathBuf, to: &Path) -> Result<PathBuf> {
        let staged = self.staged(to)?;
        fs::rename(&path, &staged).at("discard", path)?;
        Ok(staged)
    }
}

/// An image that cannot be read any more is known by its lines in the index only.
fn forget_damaged(name: &str, listed: &mut Vec<Listed>) -> Result<Removed> {
    let names = name
        .parse::<Reference>()
        .map_or(Vec::new(), |r| r.candidates());
    let meant = |line: &Listed| {
        let by_name = line.name.as_ref().is_some_and(|own| names.contains(own));
        by_name || line.digest().is_ok_and(|digest| digest.to_string() == name)
    };
    let (gone, kept): (Vec<Listed>, Vec<Listed>) = listed.drain(..).partition(meant);
    *listed = kept;
    if gone.is_empty() {
        return Err(Error::NotFound(name.to_owned()));
    }
    Ok(Removed {
        untagged: gone.into_iter().filter_map(|line| line.name).collect(),
        deleted: None,
    })
}

fn check_free(
    image: &Image,
    by_name: bool,
    force: bool,
    in_use: &dyn Fn(&str) -> Vec<String>,
) -> Result<()> {
    if force {
        return Ok(());
    }
    if !by_name && image.names.len() > 1 {
        return Err(Error::SeveralNames {
            id: image.id.clone(),
            names: image.names.clone(),
        });
    }
    let containers = in_use(&image.id);
    if !containers.is_empty() {
        return Err(Error::InUse {
            id: image.id.clone(),
            containers,
        });
    }
    Ok(())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>> {
    let list = fs::read_dir(dir).at("list", dir)?;
    list.map(|entry| entry.map(|entry| entry.path()).at("list", dir))
        .collect()
}

fn file_name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

fn sweep(garbage: Vec<PathBuf>) -> Result<()> {
    // All are tried; what is left is staged garbage for the next change of the store.
    let errors: Vec<_> = garbage
        .iter()
        .filter_map(|path| remove_any(path).err())
        .collect();
    errors.into_iter().next().map_or(Ok(()), Err)
}
