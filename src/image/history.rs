//! How an image came to be, step by step.

use serde::Deserialize;

use super::config::null_is_default;
use super::error::{Error, Result};
use super::local::{Image, Images};

/// One step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// The id of the image that was complete with this step, if it is in the store.
    pub id: Option<String>,
    /// The names of that image.
    pub names: Vec<String>,
    /// RFC 3339, as the image says.
    pub created: Option<String>,
    /// What made it.
    pub created_by: String,
    /// What whoever made it has to say.
    pub comment: String,
    /// Bytes of the layer, unpacked; 0 for a step without one.
    pub size: u64,
}

/// A line of `history` of a configuration (OCI image-spec, config.md).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Line {
    created: Option<String>,
    created_by: Option<String>,
    comment: Option<String>,
    empty_layer: bool,
}

impl Image {
    /// Whether another image is this one and one step more; both of [`Images::list_with_history`].
    pub fn is_parent_of(&self, child: &Image) -> bool {
        let more = child.layers.len().checked_sub(self.layers.len());
        child.history.len() == self.history.len() + 1
            && child.history.starts_with(&self.history)
            && child.layers.starts_with(&self.layers)
            && more.is_some_and(|more| more <= 1)
    }
}

impl Images {
    /// As [`Images::list`], with what [`Image::is_parent_of`] needs; an image whose history cannot be
    /// read, perhaps as it goes meanwhile, has none.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn list_with_history(&self) -> Result<Vec<Image>> {
        let mut images = self.list()?;
        for image in &mut images {
            image.history = self.history_lines(image).unwrap_or_default();
        }
        Ok(images)
    }

    fn history_lines(&self, image: &Image) -> Result<Vec<Line>> {
        #[derive(Deserialize)]
        struct Document {
            #[serde(default, deserialize_with = "null_is_default")]
            history: Vec<Line>,
        }
        let digest = format!("sha256:{}", image.id).parse()?;
        match serde_json::from_slice::<Document>(&self.document(&digest)?) {
            Ok(document) => Ok(document.history),
            Err(source) => Err(Error::Json {
                what: format!("history of image {}", image.id),
                source,
            }),
        }
    }

    /// The steps of an image, the last first; those that it does not tell of have a layer only.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn history(&self, image: &Image) -> Result<Vec<Step>> {
        let lines = self.history_lines(image)?;
        let all = self.list()?;
        let mut used: Vec<&str> = Vec::new();
        let mut steps = Vec::new();
        let (mut left, mut lines) = (image.layers.len(), lines.into_iter().rev());
        loop {
            let line = lines.next();
            if left == 0 && line.is_none() {
                return Ok(steps);
            }
            let first = steps.is_empty();
            let own = line.is_none() && first;
            let line = line.unwrap_or_default();
            let mut step = Step {
                created: line
                    .created
                    .or_else(|| image.created.clone().filter(|_| own)),
                created_by: line.created_by.unwrap_or_default(),
                comment: line.comment.unwrap_or_default(),
                ..Step::default()
            };
            let has_layer = !line.empty_layer && left > 0;
            let complete = |other: &&Image| {
                let same = other.layers == image.layers[..left];
                same && has_layer && other.id != image.id && !used.contains(&other.id.as_str())
            };
            let done = if first {
                Some(image)
            } else {
                all.iter().find(complete)
            };
            if let Some(done) = done {
                used.push(&done.id);
                step.id = Some(done.id.clone());
                step.names.clone_from(&done.names);
            }
            if has_layer {
                left -= 1;
                step.size = self.layer_size(&image.layers[left]).unwrap_or(0);
            }
            steps.push(step);
        }
    }
}
