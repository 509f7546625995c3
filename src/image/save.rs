//! `save`: images as archives and directories that Podman, Docker and skopeo read.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek, Write};
use std::path::Path;

use oci_spec::image::{Descriptor, ImageManifest, MediaType};
use serde_json::json;
use tar::{Builder, EntryType, Header};

use super::compression::Compression;
use super::digest::{Digest, Metered};
use super::document::{self, REF_NAME};
use super::error::{At, Error, Result, refused};
use super::limits::Limits;
use super::local::{Image, Images, sync};

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// What is written besides.
const LAYOUT: &[u8] = b"{\"imageLayoutVersion\":\"1.0.0\"}";
const DIRECTORY: &[u8] = b"Directory Transport Version: 1.1\n";

/// An image to be saved: its content stays readable, whatever happens to the store.
pub struct Saved {
    /// Its id.
    pub id: String,
    /// The names that it has in what is written.
    pub names: Vec<String>,
    config: Vec<u8>,
    manifest: ImageManifest,
    layers: Vec<Layer>,
}

/// A layer as the store keeps it.
struct Layer {
    diff_id: Digest,
    digest: Digest,
    size: u64,
    compression: Compression,
    file: File,
}

impl Images {
    /// Opens images for saving, those of the same id as one. `names` are images, and after the first
    /// more names for it unless all are images (`several`).
    ///
    /// # Errors
    /// There is no such image, a name is none, or the content is not there.
    pub fn open_saved(&self, names: &[String], several: bool) -> Result<Vec<Saved>> {
        let _hold = self.hold()?;
        let (images, more) = names.split_at(if several { names.len() } else { 1 });
        let mut all: Vec<Saved> = Vec::new();
        for name in images {
            let (image, full) = self.resolve_in(name, self.list()?)?;
            // A digest is no tag, and another one there.
            let full = full.filter(|full| !full.contains('@'));
            match all.iter_mut().find(|one| one.id == image.id) {
                Some(one) => one.names.extend(full),
                None => {
                    let mut saved = self.open_one(&image)?;
                    saved.names = more
                        .iter()
                        .map(|name| super::tag::full_name(name, "save by digest not supported"))
                        .collect::<Result<_>>()?;
                    saved.names.extend(full);
                    all.push(saved);
                }
            }
        }
        Ok(all)
    }

    fn open_one(&self, image: &Image) -> Result<Saved> {
        let manifest = self.manifest_of(&image.digest)?;
        let config = self.document(&document::digest(manifest.config())?)?;
        let mut layers = Vec::new();
        for (descriptor, diff_id) in manifest.layers().iter().zip(&image.layers) {
            let digest = document::digest(descriptor)?;
            let path = self.blob_path(&digest);
            layers.push(Layer {
                diff_id: diff_id.clone(),
                size: descriptor.size(),
                compression: Compression::of_layer(descriptor.media_type().as_ref())?,
                file: File::open(&path).at("open", &path)?,
                digest,
            });
        }
        Ok(Saved {
            id: image.id.clone(),
            names: Vec::new(),
            config,
            manifest,
            layers,
        })
    }
}

impl Layer {
    fn start(&self) -> Result<&File> {
        let mut file = &self.file;
        file.rewind().at("read", self.digest.to_string())?;
        Ok(file)
    }

    /// The content as a tar stream.
    fn plain(&self) -> Result<Box<dyn Read + '_>> {
        let content = BufReader::with_capacity(1 << 16, self.start()?);
        let plain = self.compression.reader(content);
        plain.at("unpack", self.digest.to_string())
    }

    /// The length of the tar stream, which an archive needs to know before its content.
    fn plain_size(&self) -> Result<u64> {
        if self.compression == Compression::None {
            return Ok(self.size);
        }
        let limit = Limits::default().content(self.size);
        let (found, size) = Metered::new(self.plain()?, limit)
            .finish()
            .at("unpack", self.digest.to_string())?;
        check(&self.diff_id, &found)?;
        Ok(size)
    }
}

fn check(expected: &Digest, found: &Digest) -> Result<()> {
    match expected == found {
        true => Ok(()),
        false => Err(Error::Digest {
            what: "layer of the store".to_owned(),
            expected: expected.to_string(),
            found: found.to_string(),
        }),
    }
}

/// A tar stream in the making: the same content gives the same bytes.
struct Archive<W: Write>(Builder<W>);

impl<W: Write> Archive<W> {
    fn put(&mut self, path: &str, size: u64, content: &mut dyn Read) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o444);
        header.set_size(size);
        header.set_mtime(0);
        let added = self.0.append_data(&mut header, path, content);
        added.at("write to archive", path)
    }

    /// Content that has to have this digest.
    fn put_checked(
        &mut self,
        path: &str,
        size: u64,
        digest: &Digest,
        content: impl Read,
    ) -> Result<()> {
        let mut content = Metered::new(content, size);
        self.put(path, size, &mut content)?;
        let (found, length) = content.finish().at("read", path)?;
        match length == size {
            true => check(digest, &found),
            false => refused(path, format!("has {length} bytes, not {size}")),
        }
    }

    fn put_bytes(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        self.put(path, bytes.len() as u64, &mut &*bytes)
    }

    fn end(mut self) -> Result<()> {
        let ended = self.0.finish().and_then(|()| self.0.get_mut().flush());
        ended.at("write", "archive")
    }
}

/// Writes a docker-archive: the layers are plain in it. `report` is told of each digest.
///
/// # Errors
/// It cannot be written, or content of the store is damaged.
pub fn docker_archive(
    images: &[Saved],
    to: impl Write,
    report: &mut dyn FnMut(&str, &Digest),
) -> Result<()> {
    let mut archive = Archive(Builder::new(to));
    let mut done = HashSet::new();
    let mut lines = Vec::new();
    for image in images {
        let mut layers = Vec::new();
        for layer in &image.layers {
            report("blob", &layer.diff_id);
            let path = format!("{}.tar", layer.diff_id.hex());
            if done.insert(layer.diff_id.clone()) {
                let size = layer.plain_size()?;
                archive.put_checked(&path, size, &layer.diff_id, layer.plain()?)?;
            }
            layers.push(path);
        }
        report("config", &Digest::of(&image.config));
        let config = format!("{}.json", image.id);
        archive.put_bytes(&config, &image.config)?;
        lines.push(json!({"Config": config, "RepoTags": image.names, "Layers": layers}));
    }
    let manifest = serde_json::to_vec(&lines).expect("a list of texts");
    archive.put_bytes("manifest.json", &manifest)?;
    archive.end()
}

/// The manifest in the words of OCI or Docker; the blobs, and with them the id, stay the same.
fn translated(image: &Saved, docker: bool) -> Result<Vec<u8>> {
    let (own, config, layer) = match docker {
        true => (DOCKER_MANIFEST, DOCKER_CONFIG, DOCKER_LAYER),
        false => (OCI_MANIFEST, OCI_CONFIG, OCI_LAYER),
    };
    let separator = if docker { '.' } else { '+' };
    let mut manifest = image.manifest.clone();
    manifest.set_media_type(Some(MediaType::from(own)));
    let mut described: Descriptor = manifest.config().clone();
    described.set_media_type(MediaType::from(config));
    manifest.set_config(described);
    let mut layers = manifest.layers().clone();
    for (descriptor, kept) in layers.iter_mut().zip(&image.layers) {
        let name = match kept.compression {
            Compression::None => layer.to_owned(),
            Compression::Gzip => format!("{layer}{separator}gzip"),
            Compression::Zstd if docker => {
                let what = format!("layer {}", kept.digest);
                return refused(what, "is compressed by zstd, which docker-dir cannot have");
            }
            Compression::Zstd => format!("{layer}{separator}zstd"),
        };
        descriptor.set_media_type(MediaType::from(name.as_str()));
    }
    manifest.set_layers(layers);
    Ok(serde_json::to_vec(&manifest).expect("a manifest has no maps with odd keys"))
}

fn index(image: &Saved, manifest: &[u8]) -> Vec<u8> {
    let mut line = json!({
        "mediaType": OCI_MANIFEST, "digest": Digest::of(manifest).to_string(), "size": manifest.len(),
    });
    if let Some(name) = image.names.last() {
        line["annotations"] = json!({ REF_NAME: name });
    }
    let index = json!({"schemaVersion": 2, "manifests": [line]});
    serde_json::to_vec(&index).expect("an index of texts")
}

/// Writes an archive of an OCI layout, with the layers as they are kept.
///
/// # Errors
/// As [`docker_archive`].
pub fn oci_archive(
    image: &Saved,
    to: impl Write,
    report: &mut dyn FnMut(&str, &Digest),
) -> Result<()> {
    let mut archive = Archive(Builder::new(to));
    let manifest = translated(image, false)?;
    let mut done = HashSet::new();
    let blob = |digest: &Digest| format!("blobs/sha256/{}", digest.hex());
    for layer in &image.layers {
        report("blob", &layer.digest);
        if done.insert(layer.digest.clone()) {
            let (path, from) = (blob(&layer.digest), layer.start()?);
            archive.put_checked(&path, layer.size, &layer.digest, from)?;
        }
    }
    let id = Digest::of(&image.config);
    report("config", &id);
    archive.put_bytes(&blob(&id), &image.config)?;
    archive.put_bytes(&blob(&Digest::of(&manifest)), &manifest)?;
    archive.put_bytes("index.json", &index(image, &manifest))?;
    archive.put_bytes("oci-layout", LAYOUT)?;
    archive.end()
}

/// Writes an OCI layout, or with `docker` a directory of skopeo's `dir:`, into an empty directory.
///
/// # Errors
/// As [`docker_archive`].
pub fn directory(
    image: &Saved,
    docker: bool,
    to: &Path,
    report: &mut dyn FnMut(&str, &Digest),
) -> Result<()> {
    let manifest = translated(image, docker)?;
    let blobs = match docker {
        true => to.to_owned(),
        false => to.join("blobs/sha256"),
    };
    fs::create_dir_all(&blobs).at("make", &blobs)?;
    for layer in &image.layers {
        report("blob", &layer.digest);
        let path = blobs.join(layer.digest.hex());
        let mut from = Metered::new(layer.start()?, layer.size);
        let mut file = File::create(&path).at("create", &path)?;
        io::copy(&mut from, &mut file).at("write", &path)?;
        file.sync_all().at("write", &path)?;
        check(&layer.digest, &from.finish().at("read", &path)?.0)?;
    }
    let id = Digest::of(&image.config);
    report("config", &id);
    put(&blobs.join(id.hex()), &image.config)?;
    if docker {
        put(&to.join("manifest.json"), &manifest)?;
        put(&to.join("version"), DIRECTORY)?;
    } else {
        put(&blobs.join(Digest::of(&manifest).hex()), &manifest)?;
        put(&to.join("index.json"), &index(image, &manifest))?;
        put(&to.join("oci-layout"), LAYOUT)?;
    }
    sync(&blobs)?;
    sync(to)
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = File::create(path).at("create", path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    written.at("write", path)
}
