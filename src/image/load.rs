//! `load`: from an archive or a directory into the store.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use nix::unistd::syncfs;
use oci_spec::image::Descriptor;

use super::compression::Compression;
use super::config;
use super::digest::{Digest, Metered};
use super::document::{self, MAX_DOCUMENT};
use super::error::{At, Error, Result, refused};
use super::layout::{Candidate, Layout, extract};
use super::limits::Limits;
use super::local::{Images, Listed, remove_any, sync};
use super::lower::Lowers;
use super::reference::Reference;
use super::tag::tidy;
use super::unpack::{Layer, unpack};

/// Where images come from.
pub enum Source<'a> {
    /// An OCI layout, or an archive of one.
    Path(&'a Path),
    /// An archive from a pipe; the name is for messages.
    Stream(&'a mut dyn Read, &'a str),
}

/// What a load is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// A blob is copied and verified.
    Blob {
        /// Which.
        digest: Digest,
        /// Its bytes.
        size: u64,
    },
    /// A layer is unpacked.
    Layer {
        /// Its diffID.
        diff_id: Digest,
    },
    /// A layer is there already.
    LayerExists {
        /// Its diffID.
        diff_id: Digest,
    },
}

/// An image that was loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its full names; empty if the archive gives none.
    pub names: Vec<String>,
    /// Its id, 64 hex digits.
    pub id: String,
}

impl Images {
    /// Loads every image of an oci-archive or OCI layout that suits this machine, with the default
    /// limits.
    pub fn load(
        &self,
        source: Source<'_>,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Loaded>> {
        self.load_within(source, Limits::default(), report)
    }

    /// Loads within other limits. All or nothing: an error leaves the store as it was.
    pub fn load_within(
        &self,
        source: Source<'_>,
        limits: Limits,
        report: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Loaded>> {
        let _staging = self.lock_staging()?;
        let mut load = Load::new(self, report)?;
        load.limits = limits;
        let layout = load.open(source)?;
        let mut lines = Vec::new();
        let mut loaded: Vec<Loaded> = Vec::new();
        for candidate in layout.images()? {
            let (line, id) = load.image(&layout, candidate)?;
            match loaded.iter_mut().find(|one| one.id == id) {
                Some(one) => one.names.extend(line.name.clone()),
                None => loaded.push(Loaded {
                    names: line.name.clone().into_iter().collect(),
                    id,
                }),
            }
            lines.push(line);
        }
        load.commit(lines)?;
        Ok(loaded)
    }
}

/// Directories for what is not complete; gone when dropped.
struct Stage {
    blobs: PathBuf,
    layers: PathBuf,
}

impl Stage {
    fn new(store: &Images) -> Result<Stage> {
        let stage = Stage {
            blobs: store.staged(&store.images)?,
            layers: store.staged(&store.layers)?,
        };
        for dir in [&stage.blobs, &stage.layers] {
            fs::create_dir(dir).at("make", dir)?;
        }
        Ok(stage)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for dir in [&self.blobs, &self.layers] {
            if let Err(error) = remove_any(dir) {
                tracing::warn!(%error, "staged files are left for the next load to remove");
            }
        }
    }
}

/// One load: what is staged so far.
pub(super) struct Load<'a> {
    store: &'a Images,
    stage: Stage,
    limits: Limits,
    report: &'a mut dyn FnMut(Progress),
    /// Staged files, by digest.
    blobs: HashMap<Digest, PathBuf>,
    /// Staged directories and their unpacked sizes, by diffID.
    layers: HashMap<Digest, (PathBuf, u64)>,
}

impl<'a> Load<'a> {
    /// Needs the staging lock.
    pub(super) fn new(store: &'a Images, report: &'a mut dyn FnMut(Progress)) -> Result<Load<'a>> {
        Ok(Load {
            store,
            stage: Stage::new(store)?,
            limits: Limits::default(),
            report,
            blobs: HashMap::new(),
            layers: HashMap::new(),
        })
    }

    fn open(&self, source: Source<'_>) -> Result<Layout> {
        let (mut file, limits);
        let (stream, name): (&mut dyn Read, String) = match source {
            Source::Path(path) => {
                file = File::open(path).at("open", path)?;
                let about = file.metadata().at("read", path)?;
                let name = path.display().to_string();
                if about.is_dir() {
                    return Layout::open(path, name);
                }
                limits = Limits {
                    bytes: self.limits.content(about.len()),
                    ..self.limits
                };
                (&mut file, name)
            }
            Source::Stream(stream, name) => {
                limits = self.limits;
                (stream, name.to_owned())
            }
        };
        let into = self.stage.blobs.join("archive");
        fs::create_dir(&into).at("make", &into)?;
        extract(stream, &into, &name, limits)?;
        Layout::open_extracted(&into, name)
    }

    /// Stages one image: blobs first, then the layers from the lowest up.
    pub(super) fn image(
        &mut self,
        layout: &Layout,
        candidate: Candidate,
    ) -> Result<(Listed, String)> {
        let name = match &candidate.name {
            Some(name) => Some(name.parse::<Reference>()?.local_name()),
            None => None,
        };
        let manifest = &candidate.manifest;
        let blobs = [&candidate.descriptor, manifest.config()];
        for descriptor in blobs.into_iter().chain(manifest.layers()) {
            self.blob(layout, descriptor)?;
        }
        let id = document::digest(manifest.config())?;
        let path = self.blob_path(&id);
        let about = fs::metadata(&path).at("read", &path)?;
        if about.len() > MAX_DOCUMENT {
            return refused(format!("image configuration {id}"), "too large");
        }
        let bytes = fs::read(&path).at("read", &path)?;
        let config = config::parse(&id, &bytes)?;
        if config.layers.len() != manifest.layers().len() {
            return refused(
                format!("image {id}"),
                format!(
                    "the manifest has {} layers, the configuration {}",
                    manifest.layers().len(),
                    config.layers.len()
                ),
            );
        }
        for (at, descriptor) in manifest.layers().iter().enumerate() {
            self.layer(descriptor, &config.layers[at], &config.layers[..at])?;
        }
        let line = Listed {
            name,
            manifest: candidate.descriptor,
        };
        Ok((line, id.hex().to_owned()))
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        let staged = self.blobs.get(digest).cloned();
        staged.unwrap_or_else(|| self.store.blob_path(digest))
    }

    /// Copies a blob to the stage and verifies it, unless the store has it.
    fn blob(&mut self, layout: &Layout, descriptor: &Descriptor) -> Result<()> {
        let digest = document::digest(descriptor)?;
        let known =
            fs::metadata(self.blob_path(&digest)).is_ok_and(|m| m.len() == descriptor.size());
        if known {
            return Ok(());
        }
        (self.report)(Progress::Blob {
            digest: digest.clone(),
            size: descriptor.size(),
        });
        let path = self.stage.blobs.join(digest.hex());
        let (found, length) = match layout.own_blob(&digest) {
            Some(own) => {
                let found = match layout.is_verified() {
                    true => (digest.clone(), fs::metadata(&own).at("read", &own)?.len()),
                    false => measure(layout.blob(&digest)?, descriptor.size(), &own)?,
                };
                fs::rename(&own, &path).at("move blob to", &path)?;
                found
            }
            None => copy_blob(layout.blob(&digest)?, descriptor.size(), &path)?,
        };
        if found != digest || length != descriptor.size() {
            return Err(Error::Digest {
                what: format!("blob of {} bytes", descriptor.size()),
                expected: digest.to_string(),
                found: format!("{found} ({length} bytes)"),
            });
        }
        self.blobs.insert(digest, path);
        Ok(())
    }

    fn layer_path(&self, layer: &Digest) -> PathBuf {
        match self.layers.get(layer) {
            Some((path, _)) => path.clone(),
            None => self.store.layer_path(layer),
        }
    }

    fn layer(&mut self, blob: &Descriptor, diff_id: &Digest, below: &[Digest]) -> Result<()> {
        let diff_id = diff_id.clone();
        if self.layer_path(&diff_id).exists() {
            (self.report)(Progress::LayerExists { diff_id });
            return Ok(());
        }
        (self.report)(Progress::Layer {
            diff_id: diff_id.clone(),
        });
        let path = self.blob_path(&document::digest(blob)?);
        let layer = Layer {
            blob: File::open(&path).at("open", &path)?,
            compression: Compression::of_layer(blob.media_type().as_ref())?,
            diff_id: &diff_id,
            limits: self.limits,
        };
        let tree = self.stage.layers.join(diff_id.file_name());
        let trash = self
            .stage
            .layers
            .join(format!("{}.trash", diff_id.file_name()));
        for dir in [&tree, &trash] {
            fs::create_dir(dir).at("make", dir)?;
        }
        let below: Vec<PathBuf> = below
            .iter()
            .rev()
            .map(|layer| self.layer_path(layer))
            .collect();
        let lowers = Lowers::open(&below).at("open layers below", &tree)?;
        let size = unpack(layer, &tree, &trash, lowers)?;
        self.layers.insert(diff_id, (tree, size));
        Ok(())
    }

    /// Puts everything in its place; the index comes last and makes it count.
    pub(super) fn commit(&mut self, lines: Vec<Listed>) -> Result<()> {
        for (layer, (_, size)) in &self.layers {
            let path = self
                .stage
                .layers
                .join(format!("{}.size", layer.file_name()));
            fs::write(&path, size.to_string()).at("write", path)?;
        }
        // One flush of the file system instead of one for each of many thousand files.
        let dir = &self.stage.layers;
        File::open(dir)
            .and_then(|dir| Ok(syncfs(&dir)?))
            .at("flush", dir)?;
        let _index = self.store.lock_index()?;
        for (digest, path) in self.blobs.drain() {
            let place = self.store.blob_path(&digest);
            fs::rename(&path, &place).at("put in place", place)?;
        }
        for (layer, (path, _)) in self.layers.drain() {
            let size = self
                .stage
                .layers
                .join(format!("{}.size", layer.file_name()));
            let place = self.store.size_path(&layer);
            fs::rename(size, &place).at("put in place", place)?;
            let place = self.store.layer_path(&layer);
            fs::rename(path, &place).at("put in place", place)?;
        }
        sync(&self.store.images.join("blobs/sha256"))?;
        sync(&self.store.layers)?;
        self.store
            .write_index(merge(self.store.read_index()?, lines)?)
    }
}

/// Digest and length.
fn measure(file: File, limit: u64, path: &Path) -> Result<(Digest, u64)> {
    Metered::new(file, limit).finish().at("read", path)
}

/// Gives digest and length of what was copied.
fn copy_blob(from: File, limit: u64, path: &Path) -> Result<(Digest, u64)> {
    let mut from = Metered::new(from, limit);
    let mut to = File::create(path).at("create", path)?;
    let copied = io::copy(&mut from, &mut to).and_then(|_| from.finish());
    copied.at("copy blob to", path)
}

/// A name moves to the image loaded last; the image that had it stays, without a name if need be.
pub(super) fn merge(old: Vec<Listed>, new: Vec<Listed>) -> Result<Vec<Listed>> {
    let mut all = old;
    for line in new {
        if line.name.is_some() {
            let same_name = all.iter_mut().filter(|other| other.name == line.name);
            same_name.for_each(|other| other.name = None);
        }
        all.push(line);
    }
    tidy(all)
}
