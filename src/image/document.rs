//! Index and manifest documents: reading them with suspicion.

use std::collections::HashMap;

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest, Platform};
use serde_json::Value;

use super::digest::Digest;
use super::error::{Error, Result, refused};

/// Documents are small; what is larger is an attack or a mistake.
pub(super) const MAX_DOCUMENT: u64 = 4 << 20;

const INDEX_TYPES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];
const MANIFEST_TYPES: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];
const CONFIG_TYPES: [&str; 2] = [
    "application/vnd.oci.image.config.v1+json",
    "application/vnd.docker.container.image.v1+json",
];

/// The two documents that a descriptor may lead to.
pub(super) enum Document {
    Index(Box<ImageIndex>),
    Manifest(Box<ImageManifest>),
}

/// Reads an index or a manifest, as the media type of its descriptor says. A document that could be
/// read as both, or calls itself something else, is refused (CVE-2021-41190).
pub(super) fn parse(what: &str, media_type: &str, bytes: &[u8]) -> Result<Document> {
    let value: Value = json(what, bytes)?;
    if value.get("manifests").is_some() && value.get("layers").is_some() {
        return refused(what, "has both manifests and layers");
    }
    if let Some(own) = value.get("mediaType").and_then(Value::as_str)
        && own != media_type
    {
        return refused(
            what,
            format!("calls itself {own:?} but is listed as {media_type:?}"),
        );
    }
    if INDEX_TYPES.contains(&media_type) {
        return Ok(Document::Index(json(what, bytes)?));
    }
    if !MANIFEST_TYPES.contains(&media_type) {
        return refused(what, format!("media type {media_type:?} is not supported"));
    }
    let manifest: Box<ImageManifest> = json(what, bytes)?;
    let config = manifest.config().media_type().to_string();
    if !CONFIG_TYPES.contains(&config.as_str()) {
        return refused(
            what,
            format!("not a container image, its configuration is {config:?}"),
        );
    }
    Ok(Document::Manifest(manifest))
}

/// The index at the top of a layout, which has no descriptor.
pub(super) fn parse_top(what: &str, bytes: &[u8]) -> Result<ImageIndex> {
    match parse(what, INDEX_TYPES[0], bytes)? {
        Document::Index(index) => Ok(*index),
        Document::Manifest(_) => refused(what, "not an index"),
    }
}

fn json<T: serde::de::DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|source| Error::Json {
        what: what.to_owned(),
        source,
    })
}

/// The digest of a descriptor in our own type.
pub(super) fn digest(descriptor: &Descriptor) -> Result<Digest> {
    descriptor.digest().to_string().parse()
}

/// Whether a descriptor is for this machine; one without a platform may be.
pub(super) fn suits_host(descriptor: &Descriptor) -> bool {
    let suits = |platform: &Platform| {
        let os = platform.os().to_string();
        os == "linux" && platform.architecture().to_string() == host_architecture()
    };
    descriptor.platform().as_ref().is_none_or(suits)
}

/// The architecture of this machine in the words of the specification (those of Go).
pub(super) fn host_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// The name that an image has in an archive: containerd's annotation holds it in full, where the
/// specification's may be no more than a tag.
pub(super) fn archive_name(annotations: Option<&HashMap<String, String>>) -> Option<&str> {
    let annotations = annotations?;
    let name = ["io.containerd.image.name", REF_NAME].map(|key| annotations.get(key));
    name.into_iter()
        .flatten()
        .map(String::as_str)
        .find(|name| !name.is_empty())
}

/// The annotation under which names are kept in index.json (image-spec, annotations.md).
pub(super) const REF_NAME: &str = "org.opencontainers.image.ref.name";
