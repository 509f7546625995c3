//! Everything between a definition and `runc create`: the work of the prepare worker.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::api::{LastStart, Layout};
use crate::container::{cleanup, user};
use crate::definition::{Definition, DefinitionError, Source};
use crate::host::cgroup::UnitCgroup;
use crate::host::runtime::{Runtime, RuntimeError};
use crate::host::world::{Durability, Overlay, World};
use crate::image::{self, Image, Images};
use crate::plan::bundle::{self, BundleFacts, ImageDefaults};
use crate::store::{self, StoreError};
use crate::types::{ContainerId, Signal};

/// Why a container cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The definition cannot be read.
    #[error("read definition {path}", path = path.display())]
    Definition {
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The definition makes no container.
    #[error(transparent)]
    Plan(#[from] DefinitionError),
    /// No runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The image cannot be used.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The user cannot be looked up.
    #[error(transparent)]
    User(#[from] user::UserError),
    /// The root filesystem is not a directory.
    #[error("root filesystem {path}", path = path.display())]
    Rootfs {
        /// Its path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The container cannot be locked.
    #[error(transparent)]
    Lock(#[from] StoreError),
    /// An effect on the host failed.
    #[error("{what} {path}", path = path.display())]
    Effect {
        /// What was done.
        what: &'static str,
        /// To which path.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// What the monitor needs to create and keep the container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepared {
    /// The definition.
    pub definition: Definition,
    /// The runtime.
    pub runtime: Runtime,
    /// Signal of an ordered stop: the user's, the image's, or SIGTERM.
    pub stop_signal: Signal,
    /// What was left out, one line each.
    pub warnings: Vec<String>,
}

/// What the worker knows of this run.
#[derive(Clone, Debug)]
pub struct RunFacts<'a> {
    /// Where things are.
    pub layout: &'a Layout,
    /// The unit's cgroups.
    pub cgroup: &'a UnitCgroup,
    /// systemd's invocation id.
    pub nonce: &'a str,
    /// This boot's id.
    pub boot_id: &'a str,
    /// Microseconds since the epoch.
    pub now: u64,
}

/// Reads a definition.
///
/// # Errors
/// It cannot be read or is none.
pub fn load(layout: &Layout, id: &ContainerId) -> Result<Definition, PrepareError> {
    let path = layout.definition(id);
    let read =
        fs::read(&path).and_then(|text| Definition::from_json(&text).map_err(io::Error::other));
    read.map_err(|source| PrepareError::Definition { path, source })
}

/// Clears what an earlier run left, then builds the bundle, under the container's lock: a removal, or a cleanup behind
/// the run before, may be under way.
///
/// # Errors
/// Any step; what was done so far is undone by [`cleanup::run`], which must follow.
pub fn prepare(
    id: &ContainerId,
    run: &RunFacts,
    world: &mut dyn World,
) -> Result<Prepared, PrepareError> {
    let layout = run.layout;
    let _lock = store::lock(layout, id)?;
    let definition = load(layout, id)?;
    let runtime = Runtime::find(definition.options.runtime.as_deref())?;
    let stale = cleanup::clear_run(layout, id, &runtime, run.cgroup, world);
    for error in &stale {
        tracing::warn!("{error}; continuing");
    }
    let start = LastStart {
        nonce: run.nonce.to_owned(),
        boot_id: run.boot_id.to_owned(),
        started: run.now,
    };
    let path = layout.last_start(id);
    effect(
        "write",
        &path,
        world.write_file(&path, &start.render(), 0o600, Durability::Synced),
    )?;
    for dir in [layout.bundle(id), layout.runtime_state(id)] {
        effect("make directory", &dir, world.make_dir(&dir, 0o700))?;
    }
    let (rootfs, image) = root(&definition, layout, world)?;
    let built = Built {
        runtime: &runtime,
        rootfs: &rootfs,
        image: &image,
    };
    let warnings = write_bundle(&definition, run, &built, world)?;
    let stop_signal = definition.options.stop_signal.or(image.stop_signal);
    Ok(Prepared {
        runtime,
        stop_signal: stop_signal.unwrap_or(Signal::TERM),
        warnings,
        definition,
    })
}

fn effect(what: &'static str, path: &Path, result: io::Result<()>) -> Result<(), PrepareError> {
    result.map_err(|source| PrepareError::Effect {
        what,
        path: path.to_owned(),
        source,
    })
}

/// The root directory, mounted if it is an image's.
fn root(
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
    }
}

/// What the bundle is made for.
struct Built<'a> {
    runtime: &'a Runtime,
    rootfs: &'a Path,
    image: &'a ImageDefaults,
}

fn write_bundle(
    definition: &Definition,
    run: &RunFacts,
    built: &Built,
    world: &mut dyn World,
) -> Result<Vec<String>, PrepareError> {
    let Built {
        runtime,
        rootfs,
        image,
    } = *built;
    let id = &definition.id;
    let wish = definition.options.user.as_deref().unwrap_or(&image.user);
    let user = user::look_up(rootfs, wish)?;
    let own_score = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    let resolv_conf = fs::read_to_string(run.layout.root().join("etc/resolv.conf"));
    let planned = bundle::plan(
        definition,
        &BundleFacts {
            image,
            user: &user,
            rootfs,
            cgroup: &run.cgroup.payload(),
            controllers: &run.cgroup.controllers(),
            device_rules: device_rules(runtime),
            // To lower it takes CAP_SYS_RESOURCE, which we may not have; to raise it none.
            oom_score_adj: own_score.trim().parse().unwrap_or(0).max(0),
            etc: &run.layout.run_container(id),
            resolv_conf: &resolv_conf.unwrap_or_default(),
        },
    )?;
    for (path, contents) in &planned.etc {
        effect(
            "write",
            path,
            world.write_file(path, contents, 0o644, Durability::Cached),
        )?;
    }
    let path = run.layout.bundle(id).join("config.json");
    let json = serde_json::to_string(&planned.spec).expect("a spec has only string keys");
    effect(
        "write",
        &path,
        world.write_file(&path, &json, 0o600, Durability::Cached),
    )?;
    Ok(planned.warnings)
}

/// crun raises RLIMIT_MEMLOCK before it loads them (up to 1.8 without asking whether it must) and fails where it may not,
/// as in a container without CAP_SYS_RESOURCE (capabilities(7), bit 24).
fn device_rules(runtime: &Runtime) -> bool {
    const SYS_RESOURCE: u64 = 1 << 24;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    !runtime.is_crun() || effective.is_none_or(|set| set & SYS_RESOURCE != 0)
}
