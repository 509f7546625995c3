//! The image configuration (OCI image-spec, config.md, plus Docker's health check).

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use super::digest::Digest;
use super::error::{Error, Result, refused};

/// What an image asks of the containers made from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// `user[:group]`, names or numbers; empty is root.
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    /// `NAME=value`.
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// What is run, before the arguments.
    #[serde(deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    /// Default arguments.
    #[serde(deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    /// Empty is `/`.
    #[serde(deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// `port[/protocol]`.
    #[serde(deserialize_with = "keys")]
    pub exposed_ports: Vec<String>,
    /// Directories to put volumes on.
    #[serde(deserialize_with = "keys")]
    pub volumes: Vec<String>,
    /// Labels.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// Name or number of the signal that ends the container; empty is SIGTERM.
    #[serde(deserialize_with = "null_is_default")]
    pub stop_signal: String,
    /// Docker's health check, which the OCI specification leaves out.
    pub healthcheck: Option<Healthcheck>,
}

/// A health check as Docker stores it; zero means the default of whoever runs it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `NONE`, `CMD` and its arguments, or `CMD-SHELL` and a line.
    #[serde(deserialize_with = "null_is_default")]
    pub test: Vec<String>,
    /// Between two checks.
    #[serde(deserialize_with = "nanoseconds")]
    pub interval: Duration,
    /// Of one check.
    #[serde(deserialize_with = "nanoseconds")]
    pub timeout: Duration,
    /// After the start, in which failures do not count.
    #[serde(deserialize_with = "nanoseconds")]
    pub start_period: Duration,
    /// Between two checks in the start period.
    #[serde(deserialize_with = "nanoseconds")]
    pub start_interval: Duration,
    /// Failures in a row until the container is unhealthy.
    #[serde(deserialize_with = "null_is_default")]
    pub retries: u32,
}

pub(super) fn null_is_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> std::result::Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

fn nanoseconds<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Duration, D::Error> {
    Ok(Duration::from_nanos(null_is_default(from)?))
}

/// A set, which JSON writes as an object of empty objects.
fn keys<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Vec<String>, D::Error> {
    let set: BTreeMap<String, serde_json::Value> = null_is_default(from)?;
    Ok(set.into_keys().collect())
}

#[derive(Deserialize)]
struct Document {
    #[serde(default)]
    created: Option<String>,
    os: String,
    rootfs: RootFs,
    #[serde(default, deserialize_with = "null_is_default")]
    config: ImageConfig,
}

#[derive(Deserialize)]
struct RootFs {
    #[serde(default, deserialize_with = "null_is_default")]
    diff_ids: Vec<String>,
}

/// What the store needs to know of a configuration blob.
pub(super) struct ConfigBlob {
    pub(super) created: Option<String>,
    pub(super) layers: Vec<Digest>,
    pub(super) config: ImageConfig,
}

/// Reads a configuration; anything but Linux is refused.
pub(super) fn parse(digest: &Digest, bytes: &[u8]) -> Result<ConfigBlob> {
    let what = format!("image configuration {digest}");
    let document: Document = match serde_json::from_slice(bytes) {
        Ok(document) => document,
        Err(source) => return Err(Error::Json { what, source }),
    };
    if document.os != "linux" {
        return refused(what, format!("made for {:?}, not linux", document.os));
    }
    let layers = document.rootfs.diff_ids.iter().map(|id| id.parse());
    Ok(ConfigBlob {
        created: document.created,
        layers: layers.collect::<Result<_>>()?,
        config: document.config,
    })
}
