//! OCI layouts that are loaded: a directory, or an archive of one.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Component, Path, PathBuf};

use nix::libc::{O_NOFOLLOW, O_NONBLOCK, O_RDONLY};
use oci_spec::image::{Descriptor, ImageManifest};

use crate::sys::paths::Root;

use super::compression::Compression;
use super::digest::{Digest, Metered};
use super::docker_archive::Members;
use super::document::{self, Document, MAX_DOCUMENT};
use super::error::{At, Error, Result, refused};
use super::limits::Limits;
use super::tar_stream::{Entry, Kind, TarStream};

/// An index in an index in an index: more is nobody's honest work.
const MAX_NESTING: u32 = 3;

/// A layout that is read and not trusted.
pub(super) struct Layout {
    root: Root,
    /// For messages.
    name: String,
    /// Where it is, if it is ours and the blobs may be taken.
    own: Option<PathBuf>,
    /// Whether [`extract`] has verified the blobs.
    verified: bool,
}

/// An image found in a layout.
pub(super) struct Candidate {
    /// Its name in the archive, as written there.
    pub(super) name: Option<String>,
    /// The descriptor of its manifest.
    pub(super) descriptor: Descriptor,
    pub(super) manifest: ImageManifest,
}

impl Layout {
    /// A directory given by the user.
    pub(super) fn open(path: &Path, name: String) -> Result<Layout> {
        Self::open_as(path, name, None, false)
    }

    /// One that [`extract`] made.
    pub(super) fn open_extracted(path: &Path, name: String) -> Result<Layout> {
        Self::open_as(path, name, Some(path.to_owned()), true)
    }

    /// One that was fetched into a place of ours, by a program that is not trusted to have verified it.
    pub(super) fn open_fetched(path: &Path, name: String) -> Result<Layout> {
        Self::open_as(path, name, Some(path.to_owned()), false)
    }

    fn open_as(path: &Path, name: String, own: Option<PathBuf>, verified: bool) -> Result<Layout> {
        let root = Root::open(path).at("open OCI layout", path)?;
        let layout = Layout {
            root,
            name,
            own,
            verified,
        };
        let marker = layout.small_file("oci-layout")?;
        let version = serde_json::from_slice::<serde_json::Value>(&marker)
            .ok()
            .and_then(|v| Some(v.get("imageLayoutVersion")?.as_str()?.to_owned()));
        match version.as_deref() {
            Some("1.0.0") => Ok(layout),
            Some(other) => refused(&layout.name, format!("layout version {other:?}, not 1.0.0")),
            None => refused(&layout.name, "oci-layout has no version"),
        }
    }

    fn small_file(&self, name: &str) -> Result<Vec<u8>> {
        let file = match self.file(Path::new(name)) {
            Ok(file) => file,
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                return refused(&self.name, format!("not an OCI layout, it has no {name}"));
            }
            Err(err) => return Err(err).at("open", Path::new(&self.name).join(name)),
        };
        read_small(file).at("read", Path::new(&self.name).join(name))
    }

    /// Regular files only: a FIFO would wait for ever, a symlink would leave the layout.
    fn file(&self, path: &Path) -> io::Result<File> {
        let file = File::from(self.root.open_beneath(
            path,
            O_RDONLY | O_NONBLOCK | O_NOFOLLOW,
            0,
        )?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "not a regular file",
            ));
        }
        Ok(file)
    }

    /// Whether the blobs that may be moved away are known to be what they are called.
    pub(super) fn is_verified(&self) -> bool {
        self.verified
    }

    /// A blob that needs no copy: a file that may be moved away.
    pub(super) fn own_blob(&self, digest: &Digest) -> Option<PathBuf> {
        let path = self.own.as_ref()?.join("blobs/sha256").join(digest.hex());
        path.exists().then_some(path)
    }

    /// A blob, not yet verified.
    pub(super) fn blob(&self, digest: &Digest) -> Result<File> {
        let path = Path::new("blobs/sha256").join(digest.hex());
        self.file(&path)
            .at("open blob", Path::new(&self.name).join(path))
    }

    /// A document, verified against its descriptor.
    fn document(&self, descriptor: &Descriptor) -> Result<(Document, String)> {
        let digest = document::digest(descriptor)?;
        let what = format!("{}: {digest}", self.name);
        let bytes = read_small(self.blob(&digest)?).at("read blob", &*what)?;
        let found = Digest::of(&bytes);
        if found != digest || bytes.len() as u64 != descriptor.size() {
            return Err(Error::Digest {
                what: format!("{what} ({} bytes)", descriptor.size()),
                expected: digest.to_string(),
                found: format!("{found} ({} bytes)", bytes.len()),
            });
        }
        let media_type = descriptor.media_type().to_string();
        Ok((document::parse(&what, &media_type, &bytes)?, what))
    }

    /// The images of this layout that suit this machine.
    pub(super) fn images(&self) -> Result<Vec<Candidate>> {
        let bytes = self.small_file("index.json")?;
        let what = format!("{}: index.json", self.name);
        let index = document::parse_top(&what, &bytes)?;
        let mut images = Vec::new();
        let mut others = 0;
        for descriptor in index.manifests() {
            let name = document::archive_name(descriptor.annotations().as_ref());
            match self.pick(descriptor, 0)? {
                Some((descriptor, manifest)) => images.push(Candidate {
                    name: name.map(str::to_owned),
                    descriptor,
                    manifest,
                }),
                None => others += 1,
            }
        }
        if images.is_empty() && others == 0 {
            return refused(&self.name, "holds no image");
        }
        if images.is_empty() {
            let host = document::host_architecture();
            return refused(&self.name, format!("holds no image for linux/{host}"));
        }
        Ok(images)
    }

    /// The manifest for this machine behind a descriptor.
    fn pick(&self, at: &Descriptor, depth: u32) -> Result<Option<(Descriptor, ImageManifest)>> {
        if !document::suits_host(at) {
            return Ok(None);
        }
        let (document, what) = self.document(at)?;
        let index = match document {
            Document::Manifest(manifest) => return Ok(Some((at.clone(), *manifest))),
            Document::Index(index) => index,
        };
        if depth == MAX_NESTING {
            return refused(what, "indexes are nested too deeply");
        }
        for inner in index.manifests() {
            if let Some(found) = self.pick(inner, depth + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn read_small(file: File) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(MAX_DOCUMENT + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_DOCUMENT {
        return Err(io::Error::other(format!(
            "larger than {MAX_DOCUMENT} bytes"
        )));
    }
    Ok(bytes)
}

/// Extracts the files that make a layout from an archive into an empty directory; the digest of
/// each blob is checked on the way. A docker-archive becomes a layout; what else is in the archive
/// counts for nothing.
pub(super) fn extract(from: &mut dyn Read, into: &Path, name: &str, limits: Limits) -> Result<()> {
    let blobs = into.join("blobs/sha256");
    fs::create_dir_all(&blobs).at("make", &blobs)?;
    let mut buffered = BufReader::with_capacity(1 << 16, from);
    let start = buffered.fill_buf().at("read", name)?;
    let compression = Compression::of_content(start);
    let content = compression.reader(buffered).at("read", name)?;
    let mut archive = TarStream::new(Metered::new(content, limits.bytes));
    let mut others = Members::default();
    let mut entries = 0;
    while let Some(entry) = archive.next_entry().at("read archive", name)? {
        entries += 1;
        if entries > limits.entries {
            return refused(name, format!("more than {} entries", limits.entries));
        }
        let Some(path) = layout_path(&entry.path) else {
            match entry.kind {
                Kind::File if entry.segments.is_none() => {
                    let size = entry.size;
                    others.file(&entry.path, archive.by_ref().take(size), into)?;
                }
                Kind::Symlink => others.link(&entry.path, &entry.link, true)?,
                Kind::HardLink => others.link(&entry.path, &entry.link, false)?,
                _ => {}
            }
            continue;
        };
        if entry.kind == Kind::File {
            extract_file(&entry, &mut archive, &into.join(&path), name)?;
        }
    }
    if !into.join("oci-layout").exists() {
        others.finish(into, name)?;
    }
    Ok(())
}

/// `oci-layout`, `index.json` and `blobs/sha256/HEX` as such; anything else is none of ours.
fn layout_path(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return None,
        }
    }
    let text = clean.to_str()?;
    let is_blob = |text: &str| {
        let hex = text.strip_prefix("blobs/sha256/")?;
        format!("sha256:{hex}").parse::<Digest>().ok()
    };
    let wanted = matches!(text, "oci-layout" | "index.json") || is_blob(text).is_some();
    wanted.then_some(clean)
}

fn extract_file<R: Read>(
    entry: &Entry,
    archive: &mut TarStream<R>,
    to: &Path,
    name: &str,
) -> Result<()> {
    if entry.segments.is_some() {
        return refused(name, format!("{} is sparse", entry.path.display()));
    }
    let mut file = File::create(to).at("create", to)?;
    let mut content = Metered::new(archive.take(entry.size), u64::MAX);
    io::copy(&mut content, &mut file).at("extract", to)?;
    let (found, _) = content.finish().at("extract", to)?;
    let listed = to
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    if to.parent().is_some_and(|dir| dir.ends_with("sha256")) && listed != found.hex() {
        return Err(Error::Digest {
            what: format!("{name}: {}", entry.path.display()),
            expected: format!("sha256:{listed}"),
            found: found.to_string(),
        });
    }
    Ok(())
}
