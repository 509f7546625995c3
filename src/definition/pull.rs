//! How the image of a container is fetched.

use std::time::Duration;

use crate::types::PullPolicy;

/// When and how an image is fetched. It is no part of what is on record: by then the image is here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PullOptions {
    /// When; none: if it is missing.
    pub policy: Option<PullPolicy>,
    /// Nothing is said about it.
    pub quiet: bool,
    /// Operating system instead of this machine's.
    pub os: Option<String>,
    /// Architecture instead of this machine's.
    pub arch: Option<String>,
    /// Variant of the architecture.
    pub variant: Option<String>,
    /// `OS/ARCH[/VARIANT]`, all of them at once.
    pub platform: Option<String>,
    /// File of passwords.
    pub authfile: Option<String>,
    /// Whether certificates are demanded; none: as the host's files say.
    pub tls_verify: Option<bool>,
    /// How often a failure is followed by another try; none: 3 times.
    pub retries: Option<u32>,
    /// How long to wait before it; none: longer each time.
    pub retry_delay: Option<Duration>,
}
