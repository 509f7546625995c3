//! `import`: an image of one layer, from an archive of its files.

use std::io::{self, BufRead, BufReader, Read, Write};

use serde_json::json;

use super::change::{self, Change};
use super::compression::Compression;
use super::document;
use super::draft::Said;
use super::error::{At, Result, refused};
use super::limits::Limits;
use super::local::Images;
use super::reference::Reference;
use crate::types::chain;

/// What the user says of the image.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// Its name, if it gets one.
    pub name: Option<Reference>,
    /// Its configuration.
    pub changes: Vec<Change>,
    /// What stands in its history.
    pub message: Option<String>,
    /// Architecture, in Go's word; none: this machine's.
    pub arch: Option<String>,
    /// Variant of that.
    pub variant: Option<String>,
    /// Now, RFC 3339.
    pub created: String,
}

impl Images {
    /// Makes an image of an archive, compressed or not; `name` is for messages. Gives the diffID of its layer and its id.
    ///
    /// # Errors
    /// The archive is none, or larger than [`Limits`] allow; nothing has changed then.
    pub fn import(
        &self,
        from: &mut dyn Read,
        name: &str,
        said: Imported,
    ) -> Result<(String, String)> {
        let limits = Limits::default();
        let mut from = BufReader::with_capacity(1 << 16, from);
        let start = from.fill_buf().at("read", name)?;
        if start.is_empty() {
            return refused(name, "it is empty, and no archive");
        }
        let compression = Compression::of_content(start);
        let mut content = compression
            .reader(from)
            .at("read", name)?
            .take(limits.bytes);
        let mut draft = self.draft(None)?;
        let written = draft.write_layer(&mut |to: &mut dyn Write| {
            let copied = io::copy(&mut content, to)?;
            match copied < limits.bytes {
                true => Ok(()),
                false => Err(io::Error::other("the archive is too large")),
            }
        })?;
        let layer = match draft.add_layer(written) {
            Err(error) => return refused(name, chain(&error)),
            Ok(layer) => layer,
        };
        change::apply(&said.changes, draft.config());
        let comment = said.message;
        let comment = comment.unwrap_or_else(|| "imported from tarball".to_owned());
        let mut platform = vec![
            (
                "architecture",
                said.arch
                    .unwrap_or_else(|| document::host_architecture().to_owned()),
            ),
            ("os", "linux".to_owned()),
        ];
        platform.extend(said.variant.map(|variant| ("variant", variant)));
        let id = draft.finish(Said {
            name: said.name,
            history: json!({
                "created": said.created, "comment": comment,
                "created_by": format!("/bin/sh -c #(nop) ADD file:{} in /", layer.hex()),
            }),
            created: said.created,
            platform,
            ..Said::default()
        })?;
        Ok((layer.to_string(), id))
    }
}
