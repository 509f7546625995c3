//! What can go wrong with images.

use std::io;
use std::path::PathBuf;

/// Why an image operation failed; the message names the object and the action.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("{action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A JSON document cannot be read.
    #[error("parse {what}")]
    Json {
        /// Which document.
        what: String,
        /// Where it is wrong.
        source: serde_json::Error,
    },
    /// A document or archive is well-formed and still not acceptable.
    #[error("{what}: {why}")]
    Refused {
        /// What was read.
        what: String,
        /// Why it is refused.
        why: String,
    },
    /// Content that is not what its digest says.
    #[error("{what}: digest is {found}, expected {expected}")]
    Digest {
        /// What was read.
        what: String,
        /// The digest it was listed under.
        expected: String,
        /// The digest of what was there.
        found: String,
    },
    /// An entry of a layer cannot be unpacked.
    #[error("unpack {} of layer {layer}", path.display())]
    Entry {
        /// The diffID of the layer.
        layer: String,
        /// The path in the layer.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No image has this name or id.
    #[error("{0}: image not known")]
    NotFound(String),
    /// An image was not fetched or sent; what skopeo or the configuration says.
    #[error("{0}")]
    Pull(String),
    /// There is no skopeo.
    #[error(
        "skopeo is not installed: images are fetched and sent by it, install the package skopeo"
    )]
    NoSkopeo,
    /// The user has had enough.
    #[error("cancelled")]
    Cancelled,
    /// More than one image has an id that begins so.
    #[error("{prefix}: ambiguous image id, it begins {count} images")]
    Ambiguous {
        /// What was asked for.
        prefix: String,
        /// How many.
        count: usize,
    },
    /// An image has no such name.
    #[error("{0}: tag not known")]
    NoSuchName(String),
    /// A text that is no image reference.
    #[error("invalid image name {name:?}: {why}")]
    Reference {
        /// The text.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A container uses the image, or it is mounted.
    #[error("image {id} is in use by {}", containers.join(", "))]
    InUse {
        /// The id of the image.
        id: String,
        /// Who they are: `container NAME`, or where it is mounted.
        containers: Vec<String>,
    },
    /// An id was given where the image has several names.
    #[error("remove image {id} by id: it has more than one name ({}), use force", names.join(", "))]
    SeveralNames {
        /// The id of the image.
        id: String,
        /// Its names.
        names: Vec<String>,
    },
}

/// The result of an image operation.
pub type Result<T> = std::result::Result<T, Error>;

/// Names the object and the action of a failed file operation.
pub(super) trait At<T> {
    /// Wraps the error as [`Error::Io`].
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T>;
}

impl<T, E: Into<io::Error>> At<T> for std::result::Result<T, E> {
    fn at(self, action: &'static str, path: impl Into<PathBuf>) -> Result<T> {
        self.map_err(|source| Error::Io {
            action,
            path: path.into(),
            source: source.into(),
        })
    }
}

/// [`Error::Refused`] in one line.
pub(super) fn refused<T>(what: impl Into<String>, why: impl Into<String>) -> Result<T> {
    Err(Error::Refused {
        what: what.into(),
        why: why.into(),
    })
}
