//! What is wrong with images and layers: every blob and layer is looked at, and the content of blobs read.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io;
use std::path::PathBuf;

use super::compression::Compression;
use super::digest::{Digest, Metered};
use super::document;
use super::error::{At, Result};
use super::limits::Limits;
use super::load::merge;
use super::local::{Images, Listed, STAGED, remove_any};
use super::lower::Lowers;
use super::unpack::{Layer, unpack};
use crate::types::chain;

/// Something that is wrong with the store.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Damage {
    /// What a crash left.
    Staged(PathBuf),
    /// A blob or layer that no image lists.
    Unlisted(PathBuf),
    /// An image that cannot be used: what is wrong, by its name or digest.
    Image {
        /// The manifest's digest.
        digest: Digest,
        /// A name of it, or its digest.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// A layer that is gone or cut, of an image whose blobs are whole: it can be unpacked again.
    Layer {
        /// Its diffID.
        layer: Digest,
        /// What is wrong.
        why: String,
    },
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Staged(path) => write!(f, "{}: left by a crash", path.display()),
            Self::Unlisted(path) => write!(f, "{}: no image has it", path.display()),
            Self::Image { name, why, .. } => write!(f, "image {name}: {why}"),
            Self::Layer { layer, why } => write!(f, "layer {layer}: {why}"),
        }
    }
}

impl Images {
    /// Looks at everything; `quick` does not read what is in blobs.
    ///
    /// # Errors
    /// The index cannot be read, or a directory not listed.
    pub fn check(&self, quick: bool) -> Result<Vec<Damage>> {
        // Nobody stages anything while the lock is ours.
        let _staging = self.lock_staging_as_it_is()?;
        self.look(quick)
    }

    fn look(&self, quick: bool) -> Result<Vec<Damage>> {
        let mut damages = self.staged_files()?;
        let mut blobs = HashMap::new();
        let (mut listed, mut layers) = (HashSet::new(), HashSet::new());
        let mut whole = true;
        for line in self.read_index()? {
            let seen = self.check_image(&line, quick, &mut blobs);
            match seen {
                Ok(parts) => {
                    listed.extend(parts.blobs);
                    for layer in parts.layers {
                        let why = self.wrong_layer(&layer);
                        if let Some(why) = why.filter(|_| !layers.contains(&layer)) {
                            damages.push(Damage::Layer {
                                layer: layer.clone(),
                                why,
                            });
                        }
                        layers.insert(layer);
                    }
                }
                Err(why) => {
                    whole = false;
                    let digest = line.digest()?;
                    let name = line.name.clone().unwrap_or_else(|| digest.to_string());
                    damages.push(Damage::Image { digest, name, why });
                }
            }
        }
        // What a damaged image has is not known.
        if whole {
            damages.extend(self.unlisted(&listed, &layers)?);
        }
        Ok(damages)
    }

    fn staged_files(&self) -> Result<Vec<Damage>> {
        let mut found = Vec::new();
        for dir in [&self.images, &self.layers] {
            for entry in fs::read_dir(dir).at("list", dir)? {
                let entry = entry.at("list", dir)?;
                if entry
                    .file_name()
                    .as_encoded_bytes()
                    .starts_with(STAGED.as_bytes())
                {
                    found.push(Damage::Staged(entry.path()));
                }
            }
        }
        Ok(found)
    }

    fn check_image(
        &self,
        line: &Listed,
        quick: bool,
        seen: &mut HashMap<Digest, Option<String>>,
    ) -> std::result::Result<Parts, String> {
        let told = |error: super::error::Error| chain(&error);
        let image = self.image(&line.manifest).map_err(told)?;
        let manifest = self.manifest(&line.manifest).map_err(told)?;
        let mut blobs = vec![line.digest().map_err(told)?];
        if manifest.layers().len() != image.layers.len() {
            return Err("manifest and configuration have not as many layers".to_owned());
        }
        for part in manifest.layers().iter().chain([manifest.config()]) {
            let digest = document::digest(part).map_err(told)?;
            let wrong = seen.entry(digest.clone());
            let wrong = wrong.or_insert_with(|| self.wrong_blob(&digest, part.size(), quick));
            if let Some(why) = wrong {
                return Err(format!("blob {digest}: {why}"));
            }
            blobs.push(digest);
        }
        Ok(Parts {
            blobs,
            layers: image.layers,
        })
    }

    fn wrong_blob(&self, digest: &Digest, size: u64, quick: bool) -> Option<String> {
        let path = self.blob_path(digest);
        let about = match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some("missing".to_owned());
            }
            Err(error) => return Some(error.to_string()),
            Ok(about) => about,
        };
        if !about.is_file() {
            return Some("not a regular file".to_owned());
        }
        if about.len() != size {
            return Some(format!("it has {} bytes instead of {size}", about.len()));
        }
        if quick {
            return None;
        }
        let read = File::open(&path).and_then(|file| Metered::new(file, u64::MAX).finish());
        match read {
            Err(error) => Some(error.to_string()),
            Ok((found, _)) => (found != *digest).then(|| format!("its content is that of {found}")),
        }
    }

    fn wrong_layer(&self, layer: &Digest) -> Option<String> {
        let path = self.layer_path(layer);
        match fs::symlink_metadata(&path) {
            Ok(about) if about.is_dir() => {}
            Ok(_) => return Some("not a directory".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Some("missing".to_owned());
            }
            Err(error) => return Some(error.to_string()),
        }
        let size = fs::read_to_string(self.size_path(layer)).ok();
        let known = size.and_then(|text| text.trim().parse::<u64>().ok());
        known.is_none().then(|| "its size is not known".to_owned())
    }

    fn unlisted(&self, blobs: &HashSet<Digest>, layers: &HashSet<Digest>) -> Result<Vec<Damage>> {
        let mut found = Vec::new();
        let names = |dir: &PathBuf| -> Result<Vec<(PathBuf, String)>> {
            let list = fs::read_dir(dir).at("list", dir)?.flatten();
            let named = list
                .filter_map(|entry| Some((entry.path(), entry.file_name().into_string().ok()?)));
            Ok(named.collect())
        };
        for (path, name) in names(&self.images.join("blobs/sha256"))? {
            let digest = format!("sha256:{name}").parse::<Digest>();
            if !digest.is_ok_and(|digest| blobs.contains(&digest)) {
                found.push(Damage::Unlisted(path));
            }
        }
        for (path, name) in names(&self.layers)? {
            let layer = Digest::from_file_name(name.strip_suffix(".size").unwrap_or(&name));
            if layer.is_some_and(|layer| !layers.contains(&layer)) {
                found.push(Damage::Unlisted(path));
            }
        }
        Ok(found)
    }

    /// Mends: what is unlisted or left goes, a layer is unpacked again, and a damaged image goes, which is
    /// the caller's to wish.
    /// Whether the damage is gone.
    ///
    /// # Errors
    /// A file operation failed, or a layer cannot be unpacked.
    pub fn mend(&self, damage: &Damage) -> Result<bool> {
        let _staging = self.lock_staging()?;
        let _index = self.lock_index()?;
        // Since it was found, an image may have come that has it, or come again.
        let quick = !matches!(damage, Damage::Image { .. });
        if !self.look(quick)?.contains(damage) {
            return Ok(true);
        }
        match damage {
            Damage::Staged(path) | Damage::Unlisted(path) => remove_any(path)?,
            Damage::Layer { layer, .. } => return self.unpack_again(layer),
            Damage::Image { digest, .. } => {
                let mut listed = self.read_index()?;
                listed.retain(|line| line.digest().is_ok_and(|own| own != *digest));
                self.write_index(listed)?;
            }
        }
        Ok(true)
    }

    /// Makes a layer anew from the blob of an image that has it; those below it are whole, or made before it.
    fn unpack_again(&self, layer: &Digest) -> Result<bool> {
        for line in merge(self.read_index()?, Vec::new())? {
            let (Ok(image), Ok(manifest)) =
                (self.image(&line.manifest), self.manifest(&line.manifest))
            else {
                continue;
            };
            let Some(at) = image.layers.iter().position(|own| own == layer) else {
                continue;
            };
            let descriptor = &manifest.layers()[at];
            let blob = self.blob_path(&document::digest(descriptor)?);
            let stage = self.staged(&self.layers)?;
            let (tree, trash) = (stage.join("tree"), stage.join("trash"));
            for dir in [&stage, &tree, &trash] {
                fs::create_dir(dir).at("make", dir)?;
            }
            let below: Vec<PathBuf> = (image.layers[..at].iter().rev())
                .map(|below| self.layer_path(below))
                .collect();
            let made = Lowers::open(&below)
                .at("open layers below", &tree)
                .and_then(|lowers| {
                    let layer = Layer {
                        blob: File::open(&blob).at("open", &blob)?,
                        compression: Compression::of_layer(descriptor.media_type().as_ref())?,
                        diff_id: layer,
                        limits: Limits::default(),
                    };
                    unpack(layer, &tree, &trash, lowers)
                });
            let placed = made.and_then(|size| self.place(layer, &tree, size));
            let swept = remove_any(&stage);
            placed.and(swept)?;
            return Ok(true);
        }
        Ok(false)
    }

    fn place(&self, layer: &Digest, tree: &PathBuf, size: u64) -> Result<()> {
        let flushed = File::open(tree).and_then(|dir| Ok(nix::unistd::syncfs(&dir)?));
        flushed.at("flush", tree)?;
        let (place, size_path) = (self.layer_path(layer), self.size_path(layer));
        if !place.is_dir() {
            remove_any(&place)?;
            fs::rename(tree, &place).at("put in place", &place)?;
        }
        fs::write(&size_path, size.to_string()).at("write", size_path)?;
        super::local::sync(&self.layers)
    }
}

struct Parts {
    blobs: Vec<Digest>,
    layers: Vec<Digest>,
}
