//! A new image in the making: layers that are written here, and a configuration and manifest for them.
//!
//! As with a load, everything is staged, made durable and put in its place, the index last: a crash leaves garbage that
//! the next change of the store removes, or the whole image.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use nix::unistd::syncfs;
use oci_spec::image::Descriptor;
use serde_json::{Map, Value, json};

use super::compression::Compression;
use super::digest::{Digest, Hasher};
use super::document;
use super::error::{At, Error, Result, refused};
use super::limits::Limits;
use super::load::merge;
use super::local::{Hold, Image, Images, Listed, remove_any, sync};
use super::lower::Lowers;
use super::reference::Reference;
use super::unpack::{Layer, unpack};

/// The form of a manifest and of what it lists.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// The Open Container Initiative's (image-spec).
    #[default]
    Oci,
    /// Docker's, version 2 schema 2.
    Docker,
}

impl Format {
    fn manifest(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.manifest.v1+json",
            Self::Docker => "application/vnd.docker.distribution.manifest.v2+json",
        }
    }

    fn config(self) -> &'static str {
        match self {
            Self::Oci => "application/vnd.oci.image.config.v1+json",
            Self::Docker => "application/vnd.docker.container.image.v1+json",
        }
    }

    /// The media type of a layer that is compressed like this.
    fn layer(self, compression: Compression) -> Result<&'static str> {
        Ok(match (self, compression) {
            (Self::Oci, Compression::None) => "application/vnd.oci.image.layer.v1.tar",
            (Self::Oci, Compression::Gzip) => "application/vnd.oci.image.layer.v1.tar+gzip",
            (Self::Oci, Compression::Zstd) => "application/vnd.oci.image.layer.v1.tar+zstd",
            (Self::Docker, Compression::None) => "application/vnd.docker.image.rootfs.diff.tar",
            (Self::Docker, Compression::Gzip) => {
                "application/vnd.docker.image.rootfs.diff.tar.gzip"
            }
            (Self::Docker, Compression::Zstd) => {
                return refused(
                    "docker format",
                    "it has no layers compressed with zstd, use --format=oci",
                );
            }
        })
    }
}

impl std::str::FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "oci" => Ok(Self::Oci),
            "docker" => Ok(Self::Docker),
            _ => Err(format!("unrecognized image format {text:?}")),
        }
    }
}

/// What is said of a new image.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Its name, if it gets one.
    pub name: Option<Reference>,
    /// Form of its manifest.
    pub format: Format,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Its author, if one is named.
    pub author: Option<String>,
    /// What is said of it.
    pub comment: Option<String>,
    /// The line of its history that stands for its last layer.
    pub history: Value,
    /// `architecture`, `os`, `variant`, where they are not those of what it is made of.
    pub platform: Vec<(&'static str, String)>,
}

/// A new image. Nobody else changes the store while this lives.
pub struct Draft<'a> {
    store: &'a Images,
    _staging: Hold,
    stage: PathBuf,
    trees: PathBuf,
    /// Of each layer from the lowest up: what it is in the manifest, its diffID.
    layers: Vec<(Descriptor, Digest)>,
    /// New files, by digest.
    blobs: Vec<(Digest, PathBuf)>,
    /// New directories and their unpacked sizes, by diffID.
    unpacked: Vec<(Digest, u64)>,
    document: Map<String, Value>,
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        for dir in [&self.stage, &self.trees] {
            if let Err(error) = remove_any(dir) {
                tracing::warn!(%error, "staged files are left for the next change of the store to remove");
            }
        }
    }
}

/// Parts of a configuration that mean something beyond one build (image-spec, config.md).
const KEPT: [&str; 9] = [
    "architecture",
    "author",
    "config",
    "history",
    "os",
    "os.features",
    "os.version",
    "rootfs",
    "variant",
];

impl Images {
    /// Begins an image, of nothing or of another one.
    ///
    /// # Errors
    /// The other one is damaged, or nothing can be staged.
    pub fn draft(&self, base: Option<&Image>) -> Result<Draft<'_>> {
        let staging = self.lock_staging()?;
        let (stage, trees) = (self.staged(&self.images)?, self.staged(&self.layers)?);
        let mut draft = Draft {
            store: self,
            _staging: staging,
            stage,
            trees,
            layers: Vec::new(),
            blobs: Vec::new(),
            unpacked: Vec::new(),
            document: Map::new(),
        };
        for dir in [&draft.stage, &draft.trees] {
            fs::create_dir(dir).at("make", dir)?;
        }
        if let Some(base) = base {
            let (manifest, config) = self.documents_of(base)?;
            let layers = manifest.layers().iter().cloned();
            draft.layers = layers.zip(base.layers.iter().cloned()).collect();
            draft.document = config;
            draft.document.retain(|key, _| KEPT.contains(&key.as_str()));
        }
        Ok(draft)
    }

    /// The manifest of an image, and its configuration whole.
    fn documents_of(
        &self,
        image: &Image,
    ) -> Result<(oci_spec::image::ImageManifest, Map<String, Value>)> {
        let index = self.read_index()?;
        let is_it = |line: &&Listed| line.digest().is_ok_and(|digest| digest == image.digest);
        let line = index.iter().find(is_it);
        let line = line.ok_or_else(|| Error::NotFound(image.id.clone()))?;
        let manifest = self.manifest(&line.manifest)?;
        let id = document::digest(manifest.config())?;
        let bytes = self.document(&id)?;
        let what = format!("image configuration {id}");
        let config = serde_json::from_slice(&bytes);
        Ok((
            manifest,
            config.map_err(|source| Error::Json { what, source })?,
        ))
    }
}

/// A layer that is written and not part of the image yet.
#[derive(Debug)]
pub struct Written {
    place: PathBuf,
    digest: Digest,
    length: u64,
}

/// Writes and hashes.
struct Tee {
    file: BufWriter<File>,
    hasher: Hasher,
    length: u64,
}

impl Write for Tee {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.write_all(&bytes[..written])?;
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Draft<'_> {
    /// Leaves the layers of the other image out, and what its history says of them.
    pub fn clear_layers(&mut self) {
        self.layers.clear();
        self.document.remove("history");
    }

    /// The part of the configuration that is about containers.
    pub fn config(&mut self) -> &mut Map<String, Value> {
        let config = self.document.entry("config").or_insert_with(|| json!({}));
        if !config.is_object() {
            *config = json!({});
        }
        config.as_object_mut().expect("it was made one")
    }

    /// Writes a layer that will be on top: an archive of it, not compressed.
    ///
    /// # Errors
    /// The archive cannot be written.
    pub fn write_layer(
        &self,
        write: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> Result<Written> {
        let path = self.stage.join("layer");
        let mut tee = Tee {
            file: BufWriter::new(File::create(&path).at("create", &path)?),
            hasher: Hasher::default(),
            length: 0,
        };
        write(&mut tee)
            .and_then(|()| tee.flush())
            .at("write layer to", &path)?;
        let (digest, length) = (tee.hasher.finish(), tee.length);
        let place = self.stage.join(digest.hex());
        fs::rename(&path, &place).at("rename", &path)?;
        Ok(Written {
            place,
            digest,
            length,
        })
    }

    /// Puts a layer on top. Gives its diffID.
    ///
    /// # Errors
    /// What was written is no archive, or cannot be unpacked.
    pub fn add_layer(&mut self, written: Written) -> Result<Digest> {
        let Written {
            place,
            digest,
            length,
        } = written;
        let below: Vec<Digest> = self.layers.iter().map(|(_, layer)| layer.clone()).collect();
        let is_there = |layer: &Digest| {
            let mut unpacked = self.unpacked.iter();
            self.store.layer_path(layer).exists() || unpacked.any(|(own, _)| own == layer)
        };
        if !is_there(&digest) {
            let size = self.unpack(&place, &digest, &below)?;
            self.unpacked.push((digest.clone(), size));
        }
        let descriptor = describe(Format::Oci.layer(Compression::None)?, &digest, length);
        self.blobs.push((digest.clone(), place));
        self.layers.push((descriptor, digest.clone()));
        Ok(digest)
    }

    fn tree(&self, layer: &Digest) -> PathBuf {
        let own = self.trees.join(layer.file_name());
        match own.exists() {
            true => own,
            false => self.store.layer_path(layer),
        }
    }

    fn unpack(&self, blob: &Path, diff_id: &Digest, below: &[Digest]) -> Result<u64> {
        let below: Vec<PathBuf> = below.iter().rev().map(|layer| self.tree(layer)).collect();
        let tree = self.trees.join(diff_id.file_name());
        let trash = self.trees.join(format!("{}.trash", diff_id.file_name()));
        for dir in [&tree, &trash] {
            fs::create_dir(dir).at("make", dir)?;
        }
        let layer = Layer {
            blob: File::open(blob).at("open", blob)?,
            compression: Compression::None,
            diff_id,
            limits: Limits::default(),
        };
        let lowers = Lowers::open(&below).at("open layers below", &tree)?;
        unpack(layer, &tree, &trash, lowers)
    }

    /// Makes the image count. Gives its id, 64 hex digits.
    ///
    /// # Errors
    /// A file operation failed; nothing has changed then.
    pub fn finish(mut self, said: Said) -> Result<String> {
        let config = self.write_config(&said)?;
        let id = document::digest(&config)?.hex().to_owned();
        let mut layers = Vec::new();
        for (descriptor, _) in &self.layers {
            let compression = Compression::of_layer(descriptor.media_type().as_ref())?;
            let media_type = said.format.layer(compression)?;
            layers.push(describe(
                media_type,
                &document::digest(descriptor)?,
                descriptor.size(),
            ));
        }
        let media_type = said.format.manifest();
        let manifest = json!({
            "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": layers,
        });
        let manifest = self.write(media_type, &manifest)?;
        self.commit(Listed {
            name: said.name.as_ref().map(Reference::local_name),
            manifest,
        })?;
        Ok(id)
    }

    fn write_config(&mut self, said: &Said) -> Result<Descriptor> {
        let document = &mut self.document;
        let before = document.get("history").and_then(Value::as_array);
        let mut history = before.cloned().unwrap_or_default();
        let is_layer = |line: &&Value| line.get("empty_layer") != Some(&json!(true));
        // One line for each layer; an image without a history gets lines that say nothing.
        let known = history.iter().filter(is_layer).count();
        history.extend((known + 1..self.layers.len()).map(|_| json!({})));
        history.push(said.history.clone());
        let mut put = |key: &str, value: Value| drop(document.insert(key.to_owned(), value));
        put("created", json!(said.created));
        for (key, text) in [("author", &said.author), ("comment", &said.comment)] {
            if let Some(text) = text {
                put(key, json!(text));
            }
        }
        for (key, value) in &said.platform {
            put(key, json!(value));
        }
        let diff_ids: Vec<String> = (self.layers.iter())
            .map(|(_, layer)| layer.to_string())
            .collect();
        put("rootfs", json!({"type": "layers", "diff_ids": diff_ids}));
        put("history", json!(history));
        let host = || json!(document::host_architecture());
        document.entry("architecture").or_insert_with(host);
        document.entry("os").or_insert_with(|| json!("linux"));
        let document = Value::Object(document.clone());
        self.write(said.format.config(), &document)
    }

    /// Stages a document.
    fn write(&mut self, media_type: &str, document: &Value) -> Result<Descriptor> {
        let bytes = serde_json::to_vec(document).expect("a value has only string keys");
        if bytes.len() as u64 > document::MAX_DOCUMENT {
            return refused("image configuration", "too large");
        }
        let digest = Digest::of(&bytes);
        let path = self.stage.join(digest.hex());
        fs::write(&path, &bytes).at("write", &path)?;
        self.blobs.push((digest.clone(), path));
        Ok(describe(media_type, &digest, bytes.len() as u64))
    }

    /// Puts everything in its place; the index comes last and makes it count.
    fn commit(&mut self, line: Listed) -> Result<()> {
        let store = self.store;
        let size_file = |layer: &Digest| self.trees.join(format!("{}.size", layer.file_name()));
        for (layer, size) in &self.unpacked {
            let path = size_file(layer);
            fs::write(&path, size.to_string()).at("write", path)?;
        }
        for dir in [&self.stage, &self.trees] {
            let flushed = File::open(dir).and_then(|dir| Ok(syncfs(&dir)?));
            flushed.at("flush", dir)?;
        }
        let _index = store.lock_index()?;
        for (digest, path) in &self.blobs {
            let place = store.blob_path(digest);
            match fs::rename(path, &place) {
                // Twice the same: it is in its place.
                Err(error) if error.kind() == io::ErrorKind::NotFound && place.exists() => {}
                other => other.at("put in place", place)?,
            }
        }
        for (layer, _) in &self.unpacked {
            let (size, tree) = (store.size_path(layer), store.layer_path(layer));
            fs::rename(size_file(layer), &size).at("put in place", size)?;
            fs::rename(self.trees.join(layer.file_name()), &tree).at("put in place", tree)?;
        }
        sync(&store.images.join("blobs/sha256"))?;
        sync(&store.layers)?;
        store.write_index(merge(store.read_index()?, vec![line])?)
    }
}

fn describe(media_type: &str, digest: &Digest, size: u64) -> Descriptor {
    let value = json!({"mediaType": media_type, "digest": digest.to_string(), "size": size});
    serde_json::from_value(value).expect("these are all that a descriptor needs")
}
