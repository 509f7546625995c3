//! The name that an archive has for its only image.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde::Deserialize;

use super::Transport;
use crate::image::compression::Compression;
use crate::image::digest::Metered;
use crate::image::document::{self, MAX_DOCUMENT};
use crate::image::error::{At, Error, Result, refused};
use crate::image::limits::Limits;
use crate::image::tar_stream::TarStream;

/// One image of `docker save`'s manifest.json.
#[derive(Deserialize)]
struct Saved {
    #[serde(rename = "RepoTags", default)]
    names: Option<Vec<String>>,
}

/// The first name of the only image; an archive of several is refused.
pub(super) fn only_name(path: &Path, transport: Transport) -> Result<Option<String>> {
    let what = path.display().to_string();
    let wanted = match transport {
        Transport::DockerArchive => "manifest.json",
        _ => "index.json",
    };
    let Some(bytes) = find(path, wanted)? else {
        return refused(what, format!("holds no {wanted}"));
    };
    if transport == Transport::DockerArchive {
        let images: Vec<Saved> = serde_json::from_slice(&bytes).map_err(|source| Error::Json {
            what: format!("{what}: {wanted}"),
            source,
        })?;
        return match images.len() {
            0 | 1 => Ok(images
                .into_iter()
                .find_map(|image| image.names?.into_iter().next())),
            count => refused(
                what,
                format!("holds {count} images, name one behind a colon"),
            ),
        };
    }
    let index = document::parse_top(&format!("{what}: {wanted}"), &bytes)?;
    match index.manifests().as_slice() {
        [one] => Ok(document::archive_name(one.annotations().as_ref()).map(str::to_owned)),
        all => refused(
            what,
            format!(
                "holds {} images, name one behind a colon, or load it",
                all.len()
            ),
        ),
    }
}

/// The content of a small file at the top of an archive.
fn find(path: &Path, wanted: &str) -> Result<Option<Vec<u8>>> {
    let file = File::open(path).at("open", path)?;
    let limits = Limits::default();
    let length = file.metadata().at("read", path)?.len();
    let mut buffered = BufReader::with_capacity(1 << 16, file);
    let start = buffered.fill_buf().at("read", path)?;
    let compression = Compression::of_content(start);
    let content = compression.reader(buffered).at("read", path)?;
    let mut archive = TarStream::new(Metered::new(content, limits.content(length)));
    let mut entries = 0;
    while let Some(entry) = archive.next_entry().at("read archive", path)? {
        entries += 1;
        if entries > limits.entries {
            return refused(
                path.display().to_string(),
                format!("more than {} entries", limits.entries),
            );
        }
        if entry.path.strip_prefix(".").unwrap_or(&entry.path) != Path::new(wanted) {
            continue;
        }
        let mut bytes = Vec::new();
        let mut small = (&mut archive).take(MAX_DOCUMENT + 1);
        small.read_to_end(&mut bytes).at("read archive", path)?;
        if bytes.len() as u64 > MAX_DOCUMENT {
            let why = format!("{wanted} is larger than {MAX_DOCUMENT} bytes");
            return refused(path.display().to_string(), why);
        }
        return Ok(Some(bytes));
    }
    Ok(None)
}
