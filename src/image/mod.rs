//! The local image store: an OCI image layout for what was loaded, one unpacked directory per
//! layer, and overlayfs mounts of them.
//!
//! ```text
//! STATE/images/{oci-layout, index.json, blobs/sha256/HEX}   names and content
//! STATE/layers/sha256-DIFFID/                               a layer in overlayfs' own form
//! STATE/layers/sha256-DIFFID.size                           its size, in decimal
//! ```
//!
//! Everything is staged beside its place (`.part-*`), made durable, and renamed; index.json comes
//! last. What a crash leaves is staged garbage, which the next change of the store removes.

pub mod change;
mod check;
pub(crate) mod compression;
mod config;
mod digest;
mod docker_archive;
mod document;
mod draft;
mod error;
mod history;
pub mod host_mount;
mod import;
mod layout;
mod limits;
mod load;
mod local;
mod lower;
pub(crate) mod meta;
pub mod overlay;
pub mod pull;
pub mod reference;
mod remove;
pub mod save;
mod sweep;
mod tag;
pub(crate) mod tar_stream;
#[cfg(test)]
mod tests;
mod unpack;

pub use check::Damage;
pub use config::{Healthcheck, ImageConfig};
pub use digest::Digest;
pub use draft::{Draft, Format, Said, Written};
pub use error::{Error, Result};
pub use history::Step;
pub use import::Imported;
pub use limits::Limits;
pub use load::{Loaded, Progress, Source};
pub use local::{Hold, Image, Images};
pub use remove::Removed;
