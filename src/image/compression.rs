//! Compression of layers and archives.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

use super::error::{Result, refused};

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// By the media type of a layer (OCI image-spec, layer.md; Docker's manifest v2).
    pub(crate) fn of_layer(media_type: &str) -> Result<Compression> {
        const OCI: &str = "application/vnd.oci.image.layer.v1.tar";
        const OCI_FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";
        const DOCKER: &str = "application/vnd.docker.image.rootfs.diff.tar";
        const DOCKER_FOREIGN: &str = "application/vnd.docker.image.rootfs.foreign.diff.tar";
        let kinds = [OCI, OCI_FOREIGN, DOCKER, DOCKER_FOREIGN];
        let suffix = kinds.iter().find_map(|kind| media_type.strip_prefix(kind));
        match suffix {
            Some("") => Ok(Compression::None),
            Some("+gzip" | ".gzip") => Ok(Compression::Gzip),
            Some("+zstd" | ".zstd") => Ok(Compression::Zstd),
            _ => refused(
                "layer",
                format!("media type {media_type:?} is not supported"),
            ),
        }
    }

    /// By the first bytes of a file.
    pub(crate) fn of_content(start: &[u8]) -> Compression {
        match start {
            [0x1f, 0x8b, ..] => Compression::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Compression::Zstd,
            _ => Compression::None,
        }
    }

    /// A reader of the content; gzip files may have several members.
    pub(crate) fn reader<'a>(self, from: impl BufRead + 'a) -> io::Result<Box<dyn Read + 'a>> {
        Ok(match self {
            Compression::None => Box::new(from),
            Compression::Gzip => Box::new(MultiGzDecoder::new(from)),
            Compression::Zstd => Box::new(zstd::stream::read::Decoder::with_buffer(from)?),
        })
    }
}
