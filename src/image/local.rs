//! The store on disk: names, images, locks.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, ImageIndex, ImageIndexBuilder, ImageManifest};

use crate::sys::id::random_bytes;
use crate::sys::paths::{Lock, lock_file, sync_dir};

use super::config::{self, ImageConfig};
use super::digest::Digest;
use super::document::{self, Document, MAX_DOCUMENT, REF_NAME};
use super::error::{At, Error, Result, refused};
use super::history::Line;
use super::pull::{PULLED, sweep_fetched};
use super::reference::Reference;
use super::sweep::remove_tree;

/// What staged files and directories are called until they are complete.
pub(super) const STAGED: &str = ".part-";

/// The image store of one installation.
#[derive(Clone, Debug)]
pub struct Images {
    pub(super) images: PathBuf,
    pub(super) layers: PathBuf,
}

/// An image of the store.
#[derive(Clone, Debug)]
pub struct Image {
    /// Hex digest of the configuration: what Podman calls the image id.
    pub id: String,
    /// Full names, sorted; empty for an image without a name.
    pub names: Vec<String>,
    /// The digest of the manifest.
    pub digest: Digest,
    /// RFC 3339, as the image says.
    pub created: Option<String>,
    /// Bytes of all layers, unpacked.
    pub size: u64,
    /// What it asks of its containers.
    pub config: ImageConfig,
    /// The diffIDs of the layers, the lowest first.
    pub layers: Vec<Digest>,
    /// Only of those that [`Images::list_with_history`] gives.
    pub(super) history: Vec<Line>,
    layer_store: PathBuf,
}

impl Image {
    /// The unpacked layers, the topmost first, as overlayfs wants them. One that is there more than
    /// once, as empty layers are, counts at its highest place: overlayfs refuses it twice, and
    /// nothing of it shows through itself.
    pub fn lower_dirs(&self) -> Vec<PathBuf> {
        let mut dirs: Vec<PathBuf> = Vec::new();
        for layer in self.layers.iter().rev() {
            let dir = self.layer_store.join(layer.file_name());
            if !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
        dirs
    }
}

/// One line of index.json.
#[derive(Clone, Debug)]
pub(super) struct Listed {
    pub(super) name: Option<String>,
    pub(super) manifest: Descriptor,
}

impl Listed {
    pub(super) fn digest(&self) -> Result<Digest> {
        document::digest(&self.manifest)
    }
}

/// Keeps images and layers from being removed while it lives.
#[derive(Debug)]
pub struct Hold {
    _file: File,
}

impl Images {
    /// The store below a state directory (`/var/lib/unitbox`); made if it is not there, closed to
    /// others if it is open.
    pub fn open(state: &Path) -> Result<Images> {
        let images = state.join("images");
        let layers = state.join("layers");
        for dir in [&images, &images.join("blobs/sha256"), &layers] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(dir)
                .at("make", dir)?;
        }
        for dir in [&images, &layers] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).at("close", dir)?;
        }
        let empty = layers.join("empty");
        match fs::create_dir(&empty) {
            Err(err) if err.kind() == io::ErrorKind::AlreadyExists => {}
            other => other.at("make", empty)?,
        }
        let store = Images { images, layers };
        let marker = store.images.join("oci-layout");
        if !marker.exists() {
            let _staging = store.lock_staging()?;
            store.replace(&marker, b"{\"imageLayoutVersion\":\"1.0.0\"}")?;
        }
        Ok(store)
    }

    /// An empty directory, for [`super::overlay::mount`].
    pub fn empty_dir(&self) -> PathBuf {
        self.layers.join("empty")
    }

    /// Keeps every image and layer in place: take it before [`Images::resolve`] and drop it once the
    /// container that uses the layers is on record.
    pub fn hold(&self) -> Result<Hold> {
        self.lock("lock", Lock::Shared)
    }

    /// The lock of index.json and of what it lists; held for moments.
    pub(super) fn lock_index(&self) -> Result<Hold> {
        self.lock("lock", Lock::Exclusive)
    }

    /// The lock of whoever stages or removes; taken before that of the index, held for as long as
    /// unpacking takes. What is staged when it is taken was left by a crash.
    pub(super) fn lock_staging(&self) -> Result<Hold> {
        let hold = self.lock("staging.lock", Lock::Exclusive)?;
        for dir in [&self.images, &self.layers] {
            for entry in fs::read_dir(dir).at("list", dir)? {
                let entry = entry.at("list", dir)?;
                let name = entry.file_name();
                let begins = |with: &str| name.as_encoded_bytes().starts_with(with.as_bytes());
                if begins(STAGED) {
                    remove_any(&entry.path())?;
                } else if begins(PULLED) {
                    sweep_fetched(&entry.path())?;
                }
            }
        }
        Ok(hold)
    }

    /// The same without a look at what a crash left.
    pub(super) fn lock_staging_as_it_is(&self) -> Result<Hold> {
        self.lock("staging.lock", Lock::Exclusive)
    }

    fn lock(&self, name: &str, kind: Lock) -> Result<Hold> {
        let path = self.images.join(name);
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(false);
        let file = file.open(&path).at("open", &path)?;
        lock_file(&file, kind, true).at("lock", &path)?;
        Ok(Hold { _file: file })
    }

    /// A name nobody has, for something staged in `dir`.
    pub(super) fn staged(&self, dir: &Path) -> Result<PathBuf> {
        let random = random_bytes::<8>().at("draw a name in", dir)?;
        Ok(dir.join(format!("{STAGED}{:016x}", u64::from_ne_bytes(random))))
    }

    /// Writes a file atomically and durably. Needs the staging lock: what is staged without it would
    /// be swept.
    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<()> {
        let temporary = self.staged(&self.images)?;
        let written = File::create(&temporary).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        });
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written.at("write", path)?;
        sync(&self.images)
    }

    pub(super) fn read_index(&self) -> Result<Vec<Listed>> {
        let path = self.images.join("index.json");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(err) => return Err(err).at("read", path),
        };
        let index = document::parse_top(&path.display().to_string(), &bytes)?;
        let listed = |manifest: &Descriptor| Listed {
            name: manifest
                .annotations()
                .as_ref()
                .and_then(|all| all.get(REF_NAME))
                .cloned(),
            manifest: manifest.clone(),
        };
        Ok(index.manifests().iter().map(listed).collect())
    }

    pub(super) fn write_index(&self, listed: Vec<Listed>) -> Result<()> {
        let manifests = listed.into_iter().map(|one| {
            let mut manifest = one.manifest;
            let name = one.name.map(|name| [(REF_NAME.to_owned(), name)].into());
            manifest.set_annotations(name);
            manifest
        });
        let index: ImageIndex = ImageIndexBuilder::default()
            .schema_version(2u32)
            .media_type("application/vnd.oci.image.index.v1+json")
            .manifests(manifests.collect::<Vec<_>>())
            .build()
            .expect("all required fields are set");
        let json = serde_json::to_vec(&index).expect("an index has no maps with odd keys");
        self.replace(&self.images.join("index.json"), &json)
    }

    pub(super) fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.images.join("blobs/sha256").join(digest.hex())
    }

    pub(super) fn layer_path(&self, layer: &Digest) -> PathBuf {
        self.layers.join(layer.file_name())
    }

    /// Where the unpacked size of a layer is kept.
    pub(super) fn size_path(&self, layer: &Digest) -> PathBuf {
        self.layers.join(format!("{}.size", layer.file_name()))
    }

    /// Bytes of a layer, unpacked.
    pub(super) fn layer_size(&self, layer: &Digest) -> Option<u64> {
        let text = fs::read_to_string(self.size_path(layer)).ok()?;
        text.trim().parse().ok()
    }

    /// A document of the store; damage is found by its digest and stays with this image.
    pub(super) fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let path = self.blob_path(digest);
        let mut bytes = Vec::new();
        let file = File::open(&path).at("open", &path)?;
        file.take(MAX_DOCUMENT)
            .read_to_end(&mut bytes)
            .at("read", &path)?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(Error::Digest {
                what: path.display().to_string(),
                expected: digest.to_string(),
                found: found.to_string(),
            });
        }
        Ok(bytes)
    }

    pub(super) fn manifest(&self, descriptor: &Descriptor) -> Result<ImageManifest> {
        let digest = document::digest(descriptor)?;
        let what = format!("manifest {digest}");
        let bytes = self.document(&digest)?;
        match document::parse(&what, descriptor.media_type().as_ref(), &bytes)? {
            Document::Manifest(manifest) => Ok(*manifest),
            Document::Index(_) => refused(what, "is an index"),
        }
    }

    /// The manifest that the index lists under a digest.
    pub(super) fn manifest_of(&self, digest: &Digest) -> Result<ImageManifest> {
        let mut listed = self.read_index()?.into_iter();
        let line = listed.find(|line| line.digest().is_ok_and(|own| own == *digest));
        let line = line.ok_or_else(|| Error::NotFound(digest.to_string()))?;
        self.manifest(&line.manifest)
    }

    /// The image behind a line of the index, without its names.
    pub(super) fn image(&self, descriptor: &Descriptor) -> Result<Image> {
        let manifest = self.manifest(descriptor)?;
        let id = document::digest(manifest.config())?;
        let parsed = config::parse(&id, &self.document(&id)?)?;
        let size = |layer| self.layer_size(layer);
        Ok(Image {
            id: id.hex().to_owned(),
            names: Vec::new(),
            digest: document::digest(descriptor)?,
            created: parsed.created,
            size: parsed.layers.iter().filter_map(size).sum(),
            config: parsed.config,
            layers: parsed.layers,
            history: Vec::new(),
            layer_store: self.layers.clone(),
        })
    }

    /// All images, those with names first, by name. One that is damaged is left out with a warning,
    /// so that it takes no other with it.
    pub fn list(&self) -> Result<Vec<Image>> {
        let mut images: BTreeMap<Digest, Image> = BTreeMap::new();
        for listed in self.read_index()? {
            let digest = listed.digest()?;
            if !images.contains_key(&digest) {
                match self.image(&listed.manifest) {
                    Ok(image) => drop(images.insert(digest.clone(), image)),
                    Err(err) => {
                        tracing::warn!(%digest, error = %err, "image is damaged, left out");
                        continue;
                    }
                }
            }
            if let (Some(image), Some(name)) = (images.get_mut(&digest), listed.name) {
                image.names.push(name);
            }
        }
        let mut images: Vec<Image> = images.into_values().collect();
        for image in &mut images {
            image.names.sort();
        }
        images.sort_by(|a, b| (a.names.is_empty(), &a.names).cmp(&(b.names.is_empty(), &b.names)));
        Ok(images)
    }

    /// The image that a user means, as Podman finds local ones: a name (`localhost/` and
    /// `docker.io/library/` are tried for a short one), a manifest digest, or the first three or
    /// more digits of the id.
    pub fn resolve(&self, name: &str) -> Result<Image> {
        self.resolve_in(name, self.list()?).map(|(image, _)| image)
    }

    /// Also gives the full name, if it was by name that the image was found.
    pub(super) fn resolve_in(
        &self,
        name: &str,
        images: Vec<Image>,
    ) -> Result<(Image, Option<String>)> {
        let reference = name.parse::<Reference>();
        if let Ok(reference) = &reference
            && let Some((at, full)) = by_name(reference, &images)
        {
            let image = images.into_iter().nth(at).expect("found there");
            return Ok((image, full));
        }
        let mut found = by_id(name, images);
        match (found.len(), reference) {
            (1, _) => Ok((found.remove(0), None)),
            (0, Err(err)) if !name.starts_with("sha256:") => Err(err),
            (0, _) => Err(Error::NotFound(name.to_owned())),
            (count, _) => Err(Error::Ambiguous {
                prefix: name.to_owned(),
                count,
            }),
        }
    }

    /// Whether [`Images::resolve`] finds something.
    pub fn exists(&self, name: &str) -> Result<bool> {
        match self.resolve(name) {
            Ok(_) => Ok(true),
            Err(Error::NotFound(_)) => Ok(false),
            Err(err) => Err(err),
        }
    }
}

fn by_name(reference: &Reference, images: &[Image]) -> Option<(usize, Option<String>)> {
    if let Some(digest) = &reference.digest {
        // The digest may also be that of the index that it was fetched by, which is in the name then.
        let is_name_of = |image: &Image, name: &String| {
            let by_digest = name.split_once('@').map(|(_, digest)| digest);
            reference.has_repository_of(name)
                && (image.digest == *digest || by_digest == Some(&digest.to_string()))
        };
        let here = |image: &Image| image.names.iter().any(|name| is_name_of(image, name));
        return images.iter().position(here).map(|at| (at, None));
    }
    reference.candidates().into_iter().find_map(|full| {
        let at = images
            .iter()
            .position(|image| image.names.contains(&full))?;
        Some((at, Some(full)))
    })
}

/// By id, or by manifest digest if it is written in full.
fn by_id(text: &str, images: Vec<Image>) -> Vec<Image> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    let is_hex = digits
        .bytes()
        .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if digits.len() < 3 || digits.len() > 64 || !is_hex {
        return Vec::new();
    }
    let mut found: Vec<Image> = images
        .into_iter()
        .filter(|image| image.id.starts_with(digits) || image.digest.hex() == digits)
        .collect();
    // The same configuration under two manifests is one image to the user.
    found.dedup_by(|a, b| a.id == b.id);
    found
}

/// Makes the names in a directory durable.
pub(super) fn sync(dir: &Path) -> Result<()> {
    let open = File::open(dir).at("open", dir)?;
    sync_dir(&open).at("sync", dir)
}

/// Removes a file or a whole tree.
pub(super) fn remove_any(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(about) if about.is_dir() => remove_tree(path).at("remove", path),
        Ok(_) => fs::remove_file(path).at("remove", path),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(err) => Err(err).at("remove", path),
    }
}
