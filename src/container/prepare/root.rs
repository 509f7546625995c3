//! The container's root directory.

use std::fs;
use std::path::PathBuf;

use super::error::{PrepareError, effect};
use crate::api::Layout;
use crate::definition::{Definition, Source};
use crate::host::world::{Overlay, World};
use crate::image::{Image, Images};
use crate::plan::bundle::ImageDefaults;

/// The root directory, mounted if it is an image's.
pub(super) fn make(
    definition: &Definition,
    layout: &Layout,
    world: &mut dyn World,
) -> Result<(PathBuf, ImageDefaults), PrepareError> {
    let id = match &definition.source {
        Source::Rootfs { path } => {
            let path = PathBuf::from(path);
            let real = fs::canonicalize(&path).map_err(|source| PrepareError::Rootfs {
                path: path.clone(),
                source,
            })?;
            return Ok((real, ImageDefaults::default()));
        }
        Source::Image { id, .. } => id,
    };
    let images = Images::open(&layout.state())?;
    let image = images.resolve(id)?;
    let own = layout.rootfs(&definition.id);
    let overlay = Overlay {
        lower: image.lower_dirs(),
        upper: own.join("upper"),
        work: own.join("work"),
        target: layout.bundle(&definition.id).join("rootfs"),
        empty: images.empty_dir(),
    };
    effect("make directory", &own, world.make_dir(&own, 0o700))?;
    // The upper directory is the container's `/` and must be readable by its users.
    for dir in [&overlay.upper, &overlay.work, &overlay.target] {
        effect("make directory", dir, world.make_dir(dir, 0o755))?;
    }
    effect(
        "mount overlay at",
        &overlay.target,
        world.mount_overlay(&overlay),
    )?;
    Ok((overlay.target, defaults(&image)))
}

fn defaults(image: &Image) -> ImageDefaults {
    let config = &image.config;
    ImageDefaults {
        entrypoint: config.entrypoint.clone(),
        command: config.cmd.clone(),
        env: config.env.clone(),
        user: config.user.clone(),
        workdir: config.working_dir.clone(),
        stop_signal: config.stop_signal.parse().ok(),
        labels: config.labels.clone(),
    }
}
