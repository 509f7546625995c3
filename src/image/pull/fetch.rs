//! One image, from one place into the store.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::origin::pulled_name;
use super::skopeo::{Skopeo, Watcher};
use super::stage::{LAYOUT, Stage, TEMPORARY};
use super::{Fetched, Note, Origin, Request, Transport, archive, call};
use crate::image::digest::Digest;
use crate::image::document::{self, Document, MAX_DOCUMENT};
use crate::image::error::{Error, Result, refused};
use crate::image::local::Images;
use crate::image::reference::Reference;

/// Docker's manifests, which must stay what they are: converted, the image would have another id.
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// A fetch that is under way.
pub(super) struct Fetch<'a> {
    store: &'a Images,
    skopeo: Skopeo,
    request: &'a Request,
    stage: Stage,
}

/// What a place has under a name: an index or a manifest, as it is.
pub(super) struct Raw {
    bytes: Vec<u8>,
    media_type: Option<String>,
    /// Those of an index.
    manifests: Vec<(Option<String>, Digest)>,
}

impl<'a> Fetch<'a> {
    pub(super) fn new(store: &'a Images, request: &'a Request) -> Result<Fetch<'a>> {
        Ok(Fetch {
            store,
            skopeo: Skopeo::find()?,
            request,
            stage: Stage::new(store)?,
        })
    }

    /// Asks what is there.
    pub(super) fn look(&self, origin: &Origin, report: &mut dyn FnMut(Note)) -> Result<Raw> {
        let mut args = call::platform(&self.request.platform);
        args.extend(["inspect", "--raw"].map(OsString::from));
        args.extend(call::side(&self.request.access, "", origin, &self.stage)?);
        args.extend(call::retries(&self.request.access));
        args.push(origin.for_skopeo().into());
        let mut document = Gather::new(report);
        let looked = self.skopeo.run(args, &self.stage, None, &mut document);
        looked.map_err(|error| in_words_of_copy(error, origin))?;
        Raw::parse(&origin.for_skopeo(), document.bytes)
    }

    /// The tags of a repository.
    pub(super) fn tags(
        &self,
        name: &Reference,
        report: &mut dyn FnMut(Note),
    ) -> Result<Vec<String>> {
        #[derive(Deserialize)]
        struct Listed {
            #[serde(rename = "Tags")]
            tags: Vec<String>,
        }
        let origin = Origin::Registry(name.clone());
        let repository = pulled_name(name);
        let repository = repository
            .rsplit_once(':')
            .map_or(&*repository, |(name, _)| name);
        let mut args = vec![OsString::from("list-tags")];
        args.extend(call::side(&self.request.access, "", &origin, &self.stage)?);
        args.extend(call::retries(&self.request.access));
        args.push(format!("docker://{repository}").into());
        let mut document = Gather::new(report);
        self.skopeo.run(args, &self.stage, None, &mut document)?;
        let listed: Listed =
            serde_json::from_slice(&document.bytes).map_err(|source| Error::Json {
                what: format!("tags of {repository}"),
                source,
            })?;
        Ok(listed.tags)
    }

    /// Fetches it. Nothing of it is in the store if that fails.
    pub(super) fn take(
        self,
        origin: &Origin,
        raw: &Raw,
        report: &mut dyn FnMut(Note),
    ) -> Result<Fetched> {
        let mut args = call::platform(&self.request.platform);
        args.push("copy".into());
        args.extend(call::side(
            &self.request.access,
            "src-",
            origin,
            &self.stage,
        )?);
        args.extend(call::retries(&self.request.access));
        if raw.is_docker() {
            args.push("--format=v2s2".into());
        }
        if raw.is_as_described(origin) {
            args.push("--dest-oci-accept-uncompressed-layers".into());
        }
        if self.request.quiet {
            args.push("--quiet".into());
        }
        args.push(origin.for_skopeo().into());
        // Relative: a path may have a colon in it.
        args.push(format!("oci:{LAYOUT}").into());
        let name = name_of(origin)?;
        let error = io::stderr();
        let terminal = (self.request.terminal && !self.request.quiet).then(|| error.as_fd());
        let mut follow = Follow::new(&self.stage, raw.layers()?, report);
        self.skopeo.run(args, &self.stage, terminal, &mut follow)?;
        follow.finish();
        let what = origin.for_skopeo();
        let id = self
            .store
            .take_over(&self.stage, name.clone(), &what, report)?;
        Ok(Fetched { name, id })
    }
}

/// `inspect` has a prefix of its own for what `copy`, and Podman, say in another way.
fn in_words_of_copy(error: Error, origin: &Origin) -> Error {
    let Error::Pull(text) = error else {
        return error;
    };
    let name = origin.for_skopeo();
    match text.strip_prefix(&format!("Error parsing image name \"{name}\": ")) {
        Some(rest) => Error::Pull(format!("initializing source {name}: {rest}")),
        None => Error::Pull(text),
    }
}

/// What the image is called from now on.
fn name_of(origin: &Origin) -> Result<Option<String>> {
    let (transport, path, image) = match origin {
        Origin::Registry(name) => return Ok(Some(pulled_name(name))),
        Origin::Local {
            transport,
            path,
            image,
        } => (*transport, path, image),
    };
    let local = |text: &str| {
        text.parse::<Reference>()
            .map(|name| Some(name.local_name()))
    };
    match (transport, image) {
        (Transport::Dir, _) => Ok(None),
        (Transport::Storage, _) if path.starts_with('@') => Ok(None),
        (Transport::Storage, _) => path.parse().map(|name: Reference| Some(pulled_name(&name))),
        // As Podman has it.
        (Transport::Oci, Some(image)) => image.parse().map(|name: Reference| {
            let name = name.candidates().pop();
            Some(name.unwrap_or_else(|| image.clone()))
        }),
        (_, Some(image)) => local(image),
        (Transport::Oci, None) => Ok(None),
        (Transport::OciArchive | Transport::DockerArchive, None) => {
            match archive::only_name(Path::new(path), transport)? {
                Some(name) => local(&name),
                None => Ok(None),
            }
        }
    }
}

impl Raw {
    fn parse(what: &str, bytes: Vec<u8>) -> Result<Raw> {
        #[derive(Deserialize)]
        struct Entry {
            #[serde(rename = "mediaType")]
            media_type: Option<String>,
            digest: String,
        }
        #[derive(Deserialize)]
        struct Own {
            #[serde(rename = "mediaType")]
            media_type: Option<String>,
            #[serde(default)]
            manifests: Vec<Entry>,
        }
        let own: Own = serde_json::from_slice(&bytes).map_err(|source| Error::Json {
            what: format!("manifest of {what}"),
            source,
        })?;
        let manifest = |entry: Entry| Some((entry.media_type, entry.digest.parse().ok()?));
        Ok(Raw {
            media_type: own.media_type,
            manifests: own.manifests.into_iter().filter_map(manifest).collect(),
            bytes,
        })
    }

    /// Whether layers are compressed as the manifest says; one that is made up from an archive says that they are.
    fn is_as_described(&self, origin: &Origin) -> bool {
        let Origin::Local { transport, .. } = origin else {
            return true;
        };
        matches!(transport, Transport::Oci | Transport::OciArchive)
    }

    fn is_docker(&self) -> bool {
        let is = |media_type: &Option<String>| media_type.as_deref() == Some(DOCKER);
        match self.media_type.as_deref() {
            Some(DOCKER | DOCKER_LIST) => true,
            _ => self.manifests.iter().any(|(media_type, _)| is(media_type)),
        }
    }

    /// Whether this image is what is meant here.
    pub(super) fn means(&self, digest: &Digest) -> bool {
        Digest::of(&self.bytes) == *digest || self.manifests.iter().any(|(_, one)| one == digest)
    }

    /// The layers; unknown if there are several platforms.
    fn layers(&self) -> Result<Option<Vec<Digest>>> {
        let media_type = match &self.media_type {
            Some(media_type) => media_type,
            None if self.manifests.is_empty() => "application/vnd.oci.image.manifest.v1+json",
            None => return Ok(None),
        };
        match document::parse("manifest", media_type, &self.bytes) {
            Ok(Document::Manifest(manifest)) => {
                let layers = manifest.layers().iter().map(document::digest);
                Ok(Some(layers.collect::<Result<_>>()?))
            }
            // What this is not good for is not known yet: skopeo converts older kinds.
            _ => Ok(None),
        }
    }
}

/// Keeps its output.
struct Gather<'a> {
    bytes: Vec<u8>,
    report: &'a mut dyn FnMut(Note),
}

impl<'a> Gather<'a> {
    fn new(report: &'a mut dyn FnMut(Note)) -> Self {
        Gather {
            bytes: Vec::new(),
            report,
        }
    }
}

impl Watcher for Gather<'_> {
    fn output(&mut self, bytes: &[u8]) -> Result<()> {
        self.bytes.extend(bytes);
        if self.bytes.len() as u64 > MAX_DOCUMENT {
            return refused(
                "what the registry says",
                format!("larger than {MAX_DOCUMENT} bytes"),
            );
        }
        Ok(())
    }

    fn warning(&mut self, line: &str) {
        (self.report)(Note::Warning(line.to_owned()));
    }

    fn position(&mut self) -> u64 {
        self.bytes.len() as u64
    }
}

/// Passes its lines on, and sees how its layout grows.
pub(super) struct Follow<'a> {
    dir: PathBuf,
    /// Its temporary files.
    other: PathBuf,
    /// What was there before.
    known: HashSet<OsString>,
    layers: Option<Vec<Digest>>,
    begun: Vec<u8>,
    told: Option<Note>,
    report: &'a mut dyn FnMut(Note),
}

/// Bytes of one line of its output.
const LONGEST: usize = 4096;

impl<'a> Follow<'a> {
    pub(super) fn new(
        stage: &Stage,
        layers: Option<Vec<Digest>>,
        report: &'a mut dyn FnMut(Note),
    ) -> Self {
        let dir = stage.layout();
        let names = fs::read_dir(dir.join("blobs/sha256")).into_iter().flatten();
        Follow {
            known: names.flatten().map(|entry| entry.file_name()).collect(),
            other: stage.dir.join(TEMPORARY),
            dir,
            layers,
            begun: Vec::new(),
            told: None,
            report,
        }
    }

    pub(super) fn finish(&mut self) {
        if !self.begun.is_empty() {
            self.line();
        }
    }

    fn line(&mut self) {
        let bytes = std::mem::take(&mut self.begun);
        let text = String::from_utf8_lossy(&bytes);
        let plain = |c: char| if c.is_control() { ' ' } else { c };
        (self.report)(Note::Line(text.chars().map(plain).collect()));
    }

    /// Bytes below a directory that were not there before.
    fn bytes_in(&self, dir: &Path) -> u64 {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries
            .filter(|entry| !self.known.contains(&entry.file_name()))
            .filter_map(|entry| entry.metadata().ok())
            .filter(|about| about.is_file())
            .map(|about| about.len())
            .sum()
    }
}

impl Watcher for Follow<'_> {
    fn output(&mut self, bytes: &[u8]) -> Result<()> {
        for byte in bytes {
            match byte {
                b'\n' => self.line(),
                _ if self.begun.len() < LONGEST => self.begun.push(*byte),
                _ => {}
            }
        }
        Ok(())
    }

    fn warning(&mut self, line: &str) {
        (self.report)(Note::Warning(line.to_owned()));
    }

    fn position(&mut self) -> u64 {
        let blobs = self.dir.join("blobs/sha256");
        // Unfinished blobs lie in the layout itself.
        let bytes = self.bytes_in(&blobs) + self.bytes_in(&self.dir) + self.bytes_in(&self.other);
        let is_there = |layer: &&Digest| blobs.join(layer.hex()).exists();
        let count = |layers: &Vec<Digest>| (layers.iter().filter(is_there).count(), layers.len());
        let note = Note::Fetched {
            layers: self.layers.as_ref().map(count),
            bytes,
        };
        if self.told.as_ref() != Some(&note) {
            (self.report)(note.clone());
            self.told = Some(note);
        }
        bytes
    }
}
