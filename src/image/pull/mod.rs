//! Images from registries and other places, by skopeo(1): it honours registries.conf, policy.json, auth.json, credential
//! helpers and certs.d as Podman does, and fetches layers in parallel.
//!
//! ```text
//! STATE/images/.pull-*/layout   an OCI layout that skopeo fills; every blob of the store is linked there before
//! STATE/images/.pull-*/tmp      its temporary files
//! ```
//!
//! What was fetched is verified and unpacked as `load` does it, and becomes part of the store at once or not at all. The
//! directory is locked while somebody works in it; one that is not locked is garbage.

mod archive;
mod call;
mod choose;
mod fetch;
mod import;
mod log_line;
mod origin;
mod send;
mod short_names;
mod skopeo;
mod stage;
mod storage;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use super::load::Progress;

pub use origin::{Origin, Transport};
pub use send::SendRequest;
pub(super) use stage::{PULLED, sweep as sweep_fetched};

/// How often Podman tries again.
pub const RETRIES: u32 = 3;

/// How registries are reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Passwords (containers-auth.json(5)); without it, where skopeo looks.
    pub authfile: Option<PathBuf>,
    /// `USER:PASSWORD` for the registry of the image, instead of a file's.
    pub credentials: Option<String>,
    /// Certificates and keys.
    pub cert_dir: Option<PathBuf>,
    /// Whether certificates are demanded; without it, what registries.conf says.
    pub tls_verify: Option<bool>,
    /// How often a failure is followed by another try.
    pub retries: u32,
    /// How long to wait before it; without it, longer each time.
    pub retry_delay: Option<Duration>,
}

impl Default for Access {
    fn default() -> Self {
        Access {
            authfile: None,
            credentials: None,
            cert_dir: None,
            tls_verify: None,
            retries: RETRIES,
            retry_delay: None,
        }
    }
}

/// Another platform than this machine's, in the words of Go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Platform {
    /// Operating system.
    pub os: Option<String>,
    /// Architecture.
    pub arch: Option<String>,
    /// Variant of the architecture.
    pub variant: Option<String>,
}

impl Platform {
    /// Whether it asks for something.
    pub fn is_wished(&self) -> bool {
        *self != Platform::default()
    }
}

/// A wish to fetch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub access: Access,
    /// For what.
    pub platform: Platform,
    /// Without a word of skopeo's but errors.
    pub quiet: bool,
    /// skopeo draws its own progress to the terminal that is our standard error.
    pub terminal: bool,
}

/// What happens while an image is fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Note {
    /// A line for the user.
    Line(String),
    /// Something is not as it should be, and it goes on.
    Warning(String),
    /// So much is here.
    Fetched {
        /// Layers that are whole, and all there are; unknown for an image of several platforms.
        layers: Option<(usize, usize)>,
        /// Bytes, those of the store not counted.
        bytes: u64,
    },
    /// It is verified and unpacked.
    Unpacking(Progress),
}

/// An image that is here now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Its full name, if it has one.
    pub name: Option<String>,
    /// Its id, 64 hex digits.
    pub id: String,
}
