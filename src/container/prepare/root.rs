//! The container's root directory.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::{PrepareError, effect};
use super::{files, shifted, userns};
use crate::api::Layout;
use crate::container::cleanup::STAGING;
use crate::definition::mount::IdmapOption;
use crate::definition::{Definition, HealthCommand, HealthOptions, Source};
use crate::host::world::{IdMap, MappedBind, Overlay, World};
use crate::image::{Healthcheck, Image, Images};
use crate::plan::bundle::{ImageDefaults, Mapping, map_file};
use crate::plan::conf::Conf;
use crate::store::copy_tree::Shift;
use crate::sys::mountinfo::{MountInfo, read_mountinfo};
use crate::types::ContainerId;

/// The container's root, and what its image says.
pub(super) struct Made {
    pub(super) rootfs: PathBuf,
    pub(super) image: ImageDefaults,
    pub(super) mapping: Option<Mapping>,
}

/// Whose root it is.
pub(super) struct Place<'a> {
    pub(super) definition: &'a Definition,
    pub(super) layout: &'a Layout,
    /// The label of SELinux that its files get.
    pub(super) context: Option<String>,
}

/// The root directory, mounted if it is an image's.
pub(super) fn make(
    place: &Place,
    conf: &Conf,
    world: &mut dyn World,
) -> Result<Made, PrepareError> {
    let (definition, layout) = (place.definition, place.layout);
    let id = match &definition.source {
        Source::Rootfs { path } => {
            let path = PathBuf::from(path);
            let real = fs::canonicalize(&path).map_err(|source| PrepareError::Rootfs {
                path: path.clone(),
                source,
            })?;
            let mapping = userns::mapping(definition, layout, conf, &[], world)?;
            userns::open_path(definition, layout, mapping.as_ref(), world)?;
            let files = &definition.options.files;
            let rootfs = match &files.rootfs_idmap {
                _ if files.rootfs_overlay => over(place, real, mapping.as_ref(), world)?,
                Some(idmap) => mapped(definition, layout, (&real, idmap), mapping.as_ref(), world)?,
                None => real,
            };
            return Ok(Made {
                rootfs,
                image: ImageDefaults::default(),
                mapping,
            });
        }
        Source::Image { id, .. } => id,
    };
    let images = Images::open(&layout.state())?;
    let image = images.resolve(id)?;
    let lower = image.lower_dirs();
    let mapping = userns::mapping(definition, layout, conf, &lower, world)?;
    userns::open_path(definition, layout, mapping.as_ref(), world)?;
    let layers = (lower, images.empty_dir());
    Ok(Made {
        rootfs: mount(place, layers, mapping.as_ref(), world)?,
        image: defaults(&image),
        mapping,
    })
}

/// A directory of the host whose files belong to other users than on disk.
fn mapped(
    definition: &Definition,
    layout: &Layout,
    (directory, idmap): (&Path, &str),
    mapping: Option<&Mapping>,
    world: &mut dyn World,
) -> Result<PathBuf, PrepareError> {
    let own: Option<IdmapOption> = match idmap {
        "" => None,
        text => Some(effect(
            "map the owners of",
            directory,
            text.parse().map_err(io::Error::other),
        )?),
    };
    let shift = files::mapped(own.as_ref(), mapping, directory)?;
    let Some(shift) = shift else {
        let error = io::Error::other("idmap needs a user namespace or a mapping");
        return effect("map the owners of", directory, Err(error));
    };
    let bind = MappedBind {
        uids: map_file(&shift.uids),
        gids: map_file(&shift.gids),
        recursive: true,
    };
    let target = layout.bundle(&definition.id).join("rootfs");
    let bound = world.bind_mapped(directory, &target, &bind);
    effect("map the owners of", directory, bound)?;
    Ok(target)
}

/// A directory of the host with a layer for changes on it.
fn over(
    place: &Place,
    directory: PathBuf,
    mapping: Option<&Mapping>,
    world: &mut dyn World,
) -> Result<PathBuf, PrepareError> {
    // It is there, so that nothing stands in for a missing layer.
    let layers = (vec![directory.clone()], directory);
    mount(place, layers, mapping, world)
}

/// Mounts layers, and an empty directory where there is none.
fn mount(
    place: &Place,
    (lower, empty): (Vec<PathBuf>, PathBuf),
    mapping: Option<&Mapping>,
    world: &mut dyn World,
) -> Result<PathBuf, PrepareError> {
    let (definition, layout) = (place.definition, place.layout);
    let own = layout.rootfs(&definition.id);
    let overlay = Overlay {
        lower,
        upper: own.join("upper"),
        work: own.join("work"),
        target: layout.bundle(&definition.id).join("rootfs"),
        empty,
        idmap: mapping.and_then(|mapping| idmap(mapping, definition, layout)),
        context: place.context.clone(),
        volatile: definition.options.remove,
    };
    effect("make directory", &own, world.make_dir(&own, 0o700))?;
    // The upper directory is the container's `/` and must be readable by its users; as in Podman, an image's is not
    // writable even for root without CAP_DAC_OVERRIDE.
    let mode = match definition.source {
        Source::Image { .. } => 0o555,
        Source::Rootfs { .. } => 0o755,
    };
    for (dir, mode) in [
        (&overlay.upper, mode),
        (&overlay.work, 0o755),
        (&overlay.target, 0o755),
    ] {
        effect("make directory", dir, world.make_dir(dir, mode))?;
    }
    let target = overlay.target.clone();
    // One upper directory has one mount (overlayfs.rst, "Sharing and copying layers").
    let held = layout.mounted(&definition.id);
    if files_are_mounted(&held) {
        let bound = world.bind_inside(&held, Path::new("."), &target);
        return effect("bind root at", &target, bound).map(|()| target);
    }
    let overlay = match mapping.filter(|_| overlay.idmap.is_some()) {
        None => overlay,
        Some(mapping) if shifted::are_there(&own) => shifted::make(&own, overlay, mapping, world)?,
        Some(mapping) => match world.mount_overlay(&overlay) {
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::warn!("{error}; layers are copied for this mapping");
                shifted::make(&own, overlay, mapping, world)?
            }
            result => return effect("mount overlay at", &target, result).map(|()| target),
        },
    };
    effect("mount overlay at", &target, world.mount_overlay(&overlay))?;
    Ok(target)
}

/// Whether the verb `mount` has mounted a container here.
pub(in crate::container) fn files_are_mounted(held: &Path) -> bool {
    let is_there = |info: &MountInfo| info.mount_point == held;
    held.exists() && read_mountinfo().is_ok_and(|mounts| mounts.iter().any(is_there))
}

/// On disk, files belong to the ids of the container: its root owns what root owns in the image.
fn idmap(mapping: &Mapping, definition: &Definition, layout: &Layout) -> Option<IdMap> {
    let root = mapping.owner(0, 0)?;
    (!mapping.is_identity()).then(|| IdMap {
        root,
        uids: map_file(&mapping.uids),
        gids: map_file(&mapping.gids),
        staging: layout.bundle(&definition.id).join(STAGING),
    })
}

/// The directory with the changes of a container, and the way from the owners there to those that it sees.
pub(in crate::container) fn changes_of(layout: &Layout, id: &ContainerId) -> (PathBuf, Shift) {
    let own = layout.rootfs(id);
    shifted::changes_of(&own).unwrap_or_else(|| (own.join("upper"), Shift::default()))
}

/// What the bundle takes from an image.
pub fn defaults(image: &Image) -> ImageDefaults {
    let config = &image.config;
    ImageDefaults {
        entrypoint: config.entrypoint.clone(),
        command: config.cmd.clone(),
        env: config.env.clone(),
        user: config.user.clone(),
        workdir: config.working_dir.clone(),
        stop_signal: config.stop_signal.parse().ok(),
        labels: config.labels.clone(),
        health: config.healthcheck.as_ref().map(health).unwrap_or_default(),
    }
}

/// Zero is what an image has not said.
fn health(check: &Healthcheck) -> HealthOptions {
    let said = |time: Duration| Some(time).filter(|time| !time.is_zero());
    HealthOptions {
        command: HealthCommand::of_test(&check.test),
        interval: said(check.interval),
        timeout: said(check.timeout),
        start_period: said(check.start_period),
        retries: Some(check.retries).filter(|retries| *retries != 0),
        ..HealthOptions::default()
    }
}
