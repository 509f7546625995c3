//! How much of the disk a container has for itself, and how much with its image.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::api::Layout;
use crate::definition::{Definition, Source};
use crate::image::Images;

/// Bytes of the files that a container has changed or made, and of these with its image. Of a directory of the host all
/// files are its own, and there is no image.
pub(super) fn of(layout: &Layout, images: Option<&Images>, definition: &Definition) -> (u64, u64) {
    match &definition.source {
        Source::Image { id, .. } => {
            let image = images.and_then(|images| images.resolve(id).ok());
            let upper = layout.rootfs(&definition.id).join("upper");
            let own = tree(&upper);
            (own, own.saturating_add(image.map_or(0, |image| image.size)))
        }
        Source::Rootfs { .. } if definition.options.files.rootfs_overlay => {
            (tree(&layout.rootfs(&definition.id).join("upper")), 0)
        }
        Source::Rootfs { path } => (tree(Path::new(path)), 0),
    }
}

/// Sizes of all files below a directory; links are not followed.
pub(super) fn tree(path: &Path) -> u64 {
    let mut total = 0u64;
    let mut open = vec![path.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.is_dir() {
                open.push(entry.path());
            } else {
                total = total.saturating_add(meta.size());
            }
        }
    }
    total
}
