//! An image of the store to a registry or another place.

use std::ffi::OsString;
use std::fs;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::fetch::Follow;
use super::skopeo::Skopeo;
use super::stage::{LAYOUT, Stage};
use super::{Access, Note, Origin, Transport, call};
use crate::image::document;
use crate::image::error::{At, Error, Result};
use crate::image::local::Images;

/// The tag in the layout that skopeo reads.
const TAG: &str = "image";

/// Where its layers lie uncompressed, if they are to be compressed in another way.
const PLAIN: &str = "plain";
/// The layout that has them so.
const PACKED: &str = "packed";

/// A wish to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendRequest {
    /// How registries are reached.
    pub access: Access,
    /// `oci`, `v2s2` or `v2s1` instead of the image's own form.
    pub format: Option<String>,
    /// `gzip`, `zstd` and so on.
    pub compression: Option<String>,
    /// From fast to small, as the format has it.
    pub level: Option<i64>,
    /// Without signatures.
    pub remove_signatures: bool,
    /// A file for the digest of what was sent; absolute.
    pub digest_file: Option<PathBuf>,
    /// Without a word of skopeo's but errors.
    pub quiet: bool,
    /// skopeo draws its own progress to the terminal that is our standard error.
    pub terminal: bool,
}

impl Images {
    /// Sends an image. Its blobs are linked into a layout of their own and are never copied.
    ///
    /// # Errors
    /// There is no such image, or it cannot be sent.
    pub fn send(
        &self,
        name: &str,
        to: &Origin,
        request: &SendRequest,
        report: &mut dyn FnMut(Note),
    ) -> Result<()> {
        if let Origin::Local {
            transport: Transport::Storage,
            ..
        } = to
        {
            super::storage::check("/".as_ref())?;
        }
        let skopeo = Skopeo::find()?;
        let stage = self.stage_one(name)?;
        let from = match request.recompresses() {
            true => recompress(&skopeo, &stage, to, request, report)?,
            false => format!("oci:{LAYOUT}:{TAG}"),
        };
        let mut args = vec![OsString::from("copy")];
        args.extend(call::side(&request.access, "dest-", to, &stage)?);
        args.extend(call::retries(&request.access));
        args.extend(options(request));
        args.push(from.into());
        args.push(to.for_skopeo().into());
        let error = std::io::stderr();
        let terminal = (request.terminal && !request.quiet).then(|| error.as_fd());
        let mut follow = Follow::new(&stage, None, report);
        skopeo.run(args, &stage, terminal, &mut follow)?;
        follow.finish();
        Ok(())
    }

    /// A stage whose layout has this image alone under a tag.
    fn stage_one(&self, name: &str) -> Result<Stage> {
        let _hold = self.hold()?;
        let image = self.resolve(name)?;
        let lines = self.read_index()?;
        let mut of_image = lines
            .into_iter()
            .filter(|line| line.digest().is_ok_and(|digest| digest == image.digest));
        let line = of_image
            .next()
            .ok_or_else(|| Error::NotFound(name.to_owned()))?;
        let manifest = self.manifest(&line.manifest)?;
        let stage = Stage::empty(self)?;
        let blobs = [&line.manifest, manifest.config()];
        for descriptor in blobs.into_iter().chain(manifest.layers()) {
            let digest = document::digest(descriptor)?;
            let link = stage.layout().join("blobs/sha256").join(digest.hex());
            match fs::hard_link(self.blob_path(&digest), &link) {
                // The same layer twice.
                Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => {}
                other => other.at("link", link)?,
            }
        }
        let mut descriptor = line.manifest;
        let tag = [(document::REF_NAME.to_owned(), TAG.to_owned())];
        descriptor.set_annotations(Some(tag.into()));
        let index = serde_json::json!({ "schemaVersion": 2, "manifests": [descriptor] });
        for (file, text) in [
            (
                "oci-layout",
                "{\"imageLayoutVersion\":\"1.0.0\"}".to_owned(),
            ),
            ("index.json", index.to_string()),
        ] {
            let path = stage.layout().join(file);
            fs::write(&path, text).at("write", path)?;
        }
        Ok(stage)
    }
}

impl SendRequest {
    fn recompresses(&self) -> bool {
        self.compression.is_some() || self.level.is_some()
    }
}

/// Makes a layout whose layers are compressed in another way, and says where: skopeo leaves layers that are compressed as
/// they are, and would take one that the registry has, however that is compressed.
fn recompress(
    skopeo: &Skopeo,
    stage: &Stage,
    to: &Origin,
    request: &SendRequest,
    report: &mut dyn FnMut(Note),
) -> Result<String> {
    if let Origin::Local {
        transport: transport @ (Transport::DockerArchive | Transport::Storage),
        ..
    } = to
    {
        return Err(Error::Pull(format!(
            "--compression-format and --compression-level: layers in {} are not compressed",
            transport.word()
        )));
    }
    let plain = format!("dir:{PLAIN}");
    let packed = format!("oci:{PACKED}:{TAG}");
    let mut unpack: Vec<OsString> = ["copy", "--quiet", "--dest-decompress"]
        .map(OsString::from)
        .to_vec();
    unpack.extend([format!("oci:{LAYOUT}:{TAG}"), plain.clone()].map(OsString::from));
    let mut pack: Vec<OsString> = ["copy", "--quiet"].map(OsString::from).to_vec();
    if let Some(format) = &request.format {
        pack.push(format!("--format={format}").into());
    }
    if let Some(format) = &request.compression {
        pack.push(format!("--dest-compress-format={format}").into());
    }
    if let Some(level) = request.level {
        pack.push(format!("--dest-compress-level={level}").into());
    }
    pack.extend([plain, packed.clone()].map(OsString::from));
    for args in [unpack, pack] {
        let mut follow = Follow::new(stage, None, report);
        skopeo.run(args, stage, None, &mut follow)?;
    }
    Ok(packed)
}

fn options(request: &SendRequest) -> Vec<OsString> {
    let mut args = Vec::new();
    match (request.recompresses(), &request.format) {
        // It has its form already.
        (true, _) => args.push("--preserve-digests".into()),
        (false, Some(format)) => args.push(format!("--format={format}").into()),
        (false, None) => {}
    }
    if request.remove_signatures {
        args.push("--remove-signatures".into());
    }
    if let Some(file) = &request.digest_file {
        let mut arg = OsString::from("--digestfile=");
        arg.push(file);
        args.push(arg);
    }
    if request.quiet {
        args.push("--quiet".into());
    }
    args
}
