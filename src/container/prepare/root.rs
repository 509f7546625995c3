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
            let root = match definition.options.files.rootfs_overlay {
                true => over(definition, layout, real, world)?,
                false => real,
            };
            return Ok((root, ImageDefaults::default()));
        }
        Source::Image { id, .. } => id,
    };
    let images = Images::open(&layout.state())?;
    let image = images.resolve(id)?;
    let lower = image.lower_dirs();
    let root = mount(definition, layout, lower, images.empty_dir(), world)?;
    Ok((root, defaults(&image)))
}

/// A directory of the host with a layer for changes on it.
fn over(
    definition: &Definition,
    layout: &Layout,
    directory: PathBuf,
    world: &mut dyn World,
) -> Result<PathBuf, PrepareError> {
    // It is there, so that nothing stands in for a missing layer.
    let empty = directory.clone();
    mount(definition, layout, vec![directory], empty, world)
}

fn mount(
    definition: &Definition,
    layout: &Layout,
    lower: Vec<PathBuf>,
    empty: PathBuf,
    world: &mut dyn World,
) -> Result<PathBuf, PrepareError> {
    let own = layout.rootfs(&definition.id);
    let overlay = Overlay {
        lower,
        upper: own.join("upper"),
        work: own.join("work"),
        target: layout.bundle(&definition.id).join("rootfs"),
        empty,
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
    Ok(overlay.target)
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
