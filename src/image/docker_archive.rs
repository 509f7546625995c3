//! docker-archive (`docker save`, `podman save`) as an OCI layout, so that it is loaded like one.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_json::json;

use super::compression::Compression;
use super::digest::{Digest, Metered};
use super::document::{MAX_DOCUMENT, REF_NAME};
use super::error::{At, Error, Result, refused};

/// A link to a link to a link: more is nobody's honest work.
const MAX_LINKS: usize = 8;
/// Of a name that is remembered.
const MAX_NAME: usize = 4096;
/// Names of members that are remembered.
const MAX_MEMBERS: usize = 100_000;

const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// What an archive holds besides an OCI layout.
#[derive(Default)]
pub(super) struct Members {
    /// Content by name: a blob and its size.
    files: HashMap<PathBuf, (Digest, u64)>,
    /// Where links lead.
    links: HashMap<PathBuf, PathBuf>,
}

/// One image of manifest.json.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: PathBuf,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    layers: Vec<PathBuf>,
}

impl Members {
    /// Keeps a file as a blob below `into`.
    pub(super) fn file(&mut self, path: &Path, content: impl Read, into: &Path) -> Result<()> {
        self.check_count(path)?;
        let part = into.join("member");
        let mut file = File::create(&part).at("create", &part)?;
        let mut content = Metered::new(content, u64::MAX);
        io::copy(&mut content, &mut file).at("extract", path)?;
        let (digest, size) = content.finish().at("extract", path)?;
        let place = into.join("blobs/sha256").join(digest.hex());
        fs::rename(&part, &place).at("put in place", place)?;
        if let Some(path) = clean(path) {
            self.files.insert(path, (digest, size));
        }
        Ok(())
    }

    /// Remembers a link; one that leads out of the archive leads nowhere.
    pub(super) fn link(&mut self, path: &Path, target: &Path, symbolic: bool) -> Result<()> {
        self.check_count(path)?;
        let from = path.parent().filter(|_| symbolic).unwrap_or(Path::new(""));
        if let (Some(path), Some(target)) = (clean(path), clean(&from.join(target))) {
            self.links.insert(path, target);
        }
        Ok(())
    }

    fn check_count(&self, path: &Path) -> Result<()> {
        match self.files.len() + self.links.len() < MAX_MEMBERS {
            true => Ok(()),
            false => refused(path.display().to_string(), "too many members before it"),
        }
    }

    fn find(&self, path: &Path, name: &str) -> Result<&(Digest, u64)> {
        let mut place = clean(path);
        for _ in 0..=MAX_LINKS {
            let Some(at) = &place else { break };
            if let Some(found) = self.files.get(at) {
                return Ok(found);
            }
            place = self.links.get(at).cloned();
        }
        let missing = path.display();
        refused(
            name,
            format!("manifest.json names {missing:?}, which is no file of the archive"),
        )
    }

    /// Writes the layout that these members are; false: they are none of Docker's.
    pub(super) fn finish(&self, into: &Path, name: &str) -> Result<bool> {
        let Some((digest, size)) = self.files.get(Path::new("manifest.json")) else {
            return Ok(false);
        };
        let what = format!("{name}: manifest.json");
        if *size > MAX_DOCUMENT {
            return refused(what, "too large");
        }
        let path = into.join("blobs/sha256").join(digest.hex());
        let bytes = fs::read(&path).at("read", &path)?;
        let images: Vec<Listed> = match serde_json::from_slice(&bytes) {
            Ok(images) => images,
            Err(source) => return Err(Error::Json { what, source }),
        };
        let mut lines = Vec::new();
        for image in &images {
            let descriptor = self.manifest(image, into, name)?;
            let tags = image.repo_tags.iter().flatten();
            let named = tags.map(|tag| {
                let mut named = descriptor.clone();
                named["annotations"] = json!({ REF_NAME: tag });
                named
            });
            let before = lines.len();
            lines.extend(named);
            if lines.len() == before {
                lines.push(descriptor);
            }
        }
        let index = json!({"schemaVersion": 2, "manifests": lines});
        for (file, content) in [
            ("index.json", index),
            ("oci-layout", json!({"imageLayoutVersion": "1.0.0"})),
        ] {
            let path = into.join(file);
            fs::write(&path, content.to_string()).at("write", path)?;
        }
        Ok(true)
    }

    /// Makes the manifest of an image and gives its descriptor. Its configuration, and with it its id,
    /// is that of the archive.
    fn manifest(&self, image: &Listed, into: &Path, name: &str) -> Result<serde_json::Value> {
        let blobs = into.join("blobs/sha256");
        let mut layers = Vec::new();
        for layer in &image.layers {
            let (digest, size) = self.find(layer, name)?;
            let path = blobs.join(digest.hex());
            let mut start = Vec::new();
            let file = File::open(&path).at("open", &path)?;
            file.take(16).read_to_end(&mut start).at("read", &path)?;
            let suffix = match Compression::of_content(&start) {
                Compression::None => "",
                Compression::Gzip => ".gzip",
                Compression::Zstd => ".zstd",
            };
            let kind = format!("{LAYER}{suffix}");
            layers.push(json!({"mediaType": kind, "size": size, "digest": digest.to_string()}));
        }
        let (config, size) = self.find(&image.config, name)?;
        let config = json!({"mediaType": CONFIG, "size": size, "digest": config.to_string()});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers,
        });
        let bytes = manifest.to_string();
        let digest = Digest::of(bytes.as_bytes());
        let path = blobs.join(digest.hex());
        fs::write(&path, &bytes).at("write", path)?;
        Ok(json!({"mediaType": MANIFEST, "digest": digest.to_string(), "size": bytes.len()}))
    }
}

/// A path without `.` and `..`; none: it is absolute, too long, or leads out of the archive.
fn clean(path: &Path) -> Option<PathBuf> {
    if path.as_os_str().len() > MAX_NAME {
        return None;
    }
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir if clean.pop() => {}
            _ => return None,
        }
    }
    Some(clean)
}
