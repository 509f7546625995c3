//! What follows every run, also one that was cut off: idempotent, needs no free disk, goes on after errors.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::api::event::EventKind;
use crate::api::{ExitRecord, Layout};
use crate::container::observe::Exit;
use crate::container::{events, exits, files, prepare, volumes};
use crate::definition::Definition;
use crate::host::cgroup::UnitCgroup;
use crate::host::runtime::Runtime;
use crate::host::world::{Durability, World};
use crate::store;
use crate::sys::paths::Lock;
use crate::types::{ContainerId, UnitName, VolumeName};

/// Longest time for the runtime's delete.
const DELETE_TIME: Duration = Duration::from_secs(10);

/// Below the bundle: mounts of layers while a root is made of them.
pub(super) const STAGING: &str = "layers";

/// One thing that could not be cleaned; the next start or `rm` tries again.
#[derive(Debug, thiserror::Error)]
#[error("clean up: {what} {path}: {source}")]
pub struct CleanupError {
    what: &'static str,
    path: String,
    source: std::io::Error,
}

/// Cleans up behind a run that has ended. A container that removes itself is gone afterwards; where an earlier try was
/// cut off, this one goes on.
pub fn run(
    layout: &Layout,
    id: &ContainerId,
    cgroup: &UnitCgroup,
    world: &mut dyn World,
) -> Vec<CleanupError> {
    let definition = prepare::load(layout, id).ok();
    let wish = definition
        .as_ref()
        .and_then(|definition| definition.options.runtime.as_deref());
    let mut errors = match Runtime::find(wish) {
        Ok(runtime) => clear_run(layout, id, &runtime, cgroup, world),
        Err(_) => clear_files(layout, id, world),
    };
    let exit = fs::read_to_string(layout.exit_file(id)).ok();
    // One that others depend on stays, also if it was to remove itself (podman-rm(1)).
    let restarts = layout.restart_request(id).exists();
    let needed = restarts || !store::dependents(layout, id).is_empty();
    let removed = definition
        .as_ref()
        .filter(|definition| definition.options.remove && !needed);
    if let Some(definition) = removed {
        errors.extend(forget_volumes(layout, definition, world));
        if let Some(text) = &exit {
            let kept = exits::keep(layout, id, text, world);
            note(&mut errors, "write", &layout.removed_exit(id), kept);
        }
        errors.extend(remove(layout, id, world));
        super::dependencies::release(layout, &definition.options, id);
        let code = exit.and_then(|text| ExitRecord::parse(&text).ok());
        let code = code.and_then(|record| events::code(&Exit::Recorded(record)));
        events::tell(definition, EventKind::Remove, code);
    } else if !layout.container(id).exists() {
        errors.extend(remove(layout, id, world));
    } else if let Some(text) = &exit {
        let path = layout.last_exit(id);
        let written = world.write_file(&path, text, 0o600, Durability::Synced);
        note(&mut errors, "write", &path, written);
        if let Some(definition) = &definition {
            events::tell(definition, EventKind::Cleanup, None);
        }
    }
    errors
}

/// Removes the anonymous volumes of a container that nobody else has.
pub fn forget_volumes(
    layout: &Layout,
    definition: &Definition,
    world: &mut dyn World,
) -> Vec<CleanupError> {
    let mut errors = Vec::new();
    let mounts = definition.options.files.effective().iter();
    let own = mounts.filter(|mount| mount.anonymous);
    for name in own.filter_map(|mount| mount.source.parse::<VolumeName>().ok()) {
        let path = layout.volume(&name);
        let hold = match store::volumes::hold(layout, Lock::Exclusive) {
            Ok(hold) => hold,
            Err(error) => {
                note(
                    &mut errors,
                    "lock",
                    &path,
                    Err(std::io::Error::other(error)),
                );
                continue;
            }
        };
        let users = volumes::users(layout, &name);
        if users.iter().any(|user| *user != definition.id) {
            continue;
        }
        let hidden = store::volumes::removing(layout, &name);
        if hidden.exists() {
            // An earlier try was cut off.
            note(&mut errors, "remove", &hidden, world.remove_tree(&hidden));
        }
        note(&mut errors, "remove", &path, world.rename(&path, &hidden));
        drop(hold);
        note(&mut errors, "remove", &hidden, world.remove_tree(&hidden));
    }
    errors
}

/// Clears what a run left in the runtime, in mounts, in cgroups and in the run directory; the exit file stays.
pub fn clear_run(
    layout: &Layout,
    id: &ContainerId,
    runtime: &Runtime,
    cgroup: &UnitCgroup,
    world: &mut dyn World,
) -> Vec<CleanupError> {
    let mut errors = Vec::new();
    let own = cgroup.monitor_path();
    note(&mut errors, "kill strays of", &own, world.kill_strays(&own));
    let state = layout.runtime_state(id);
    if state.join(id.as_str()).exists() {
        let deleted = world.run_runtime(&runtime.delete(layout, id), DELETE_TIME);
        note(&mut errors, "runtime delete", &state, deleted);
    }
    let payload = cgroup.payload_path();
    let killed = world.kill_cgroup(&payload);
    note(&mut errors, "kill cgroup", &payload, killed);
    let removed = world.remove_cgroup(&payload);
    note(&mut errors, "remove cgroup", &payload, removed);
    errors.extend(clear_files(layout, id, world));
    errors
}

/// Unmounts the root file system and removes all of the run directory but the exit file.
fn clear_files(layout: &Layout, id: &ContainerId, world: &mut dyn World) -> Vec<CleanupError> {
    let mut errors = Vec::new();
    let staging = layout.bundle(id).join(STAGING);
    if staging.exists()
        && let Err(error) = world.unmount(&staging)
    {
        // To remove the tree now would remove the image's files.
        note(&mut errors, "unmount", &staging, Err(error));
        return errors;
    }
    let rootfs = layout.bundle(id).join("rootfs");
    if rootfs.exists()
        && let Err(error) = world.unmount(&rootfs)
    {
        // To remove the tree now would remove the container's files.
        note(&mut errors, "unmount", &rootfs, Err(error));
        return errors;
    }
    let below = fs::read_dir(layout.mounts(id))
        .into_iter()
        .flatten()
        .flatten();
    for path in below.map(|entry| entry.path()) {
        if let Err(error) = world.unmount(&path) {
            note(&mut errors, "unmount", &path, Err(error));
            return errors;
        }
    }
    let overlays = layout.overlays(id);
    if overlays.exists() {
        note(
            &mut errors,
            "remove",
            &overlays,
            world.remove_tree(&overlays),
        );
    }
    // Exit and health stay, and so does the socket of a client that already waits for the next run.
    let mut kept = vec![
        layout.exit_file(id),
        layout.client_socket(id),
        layout.restart_request(id),
        layout.health_file(id),
    ];
    let pins = layout.pins(id);
    if pins.exists() {
        // Whoever joined its namespaces still sits in them, and its next run shall find them again.
        if !store::dependents(layout, id).is_empty() {
            kept.push(pins);
        } else if let Err(error) = world.unpin(&pins) {
            note(&mut errors, "unpin", &pins, Err(error));
            kept.push(pins);
        }
    }
    let entries = fs::read_dir(layout.run_container(id));
    let mut paths: Vec<PathBuf> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| !kept.contains(path))
        .collect();
    paths.sort();
    // What a worker that was killed while it wrote them left.
    let halves =
        [layout.last_start(id), layout.last_exit(id)].map(|path| path.with_extension("new"));
    paths.extend(halves.into_iter().filter(|path| path.exists()));
    for path in paths {
        let removed = match path.symlink_metadata() {
            Ok(meta) if meta.is_dir() => world.remove_tree(&path),
            _ => world.remove_file(&path),
        };
        note(&mut errors, "remove", &path, removed);
    }
    errors
}

/// Removes a container and all that is known of it. As long as it has its place and its name, whoever comes by the name
/// can begin again; what is left once it was renamed nobody takes for a container, and [`store::sweep`] removes it.
fn remove(layout: &Layout, id: &ContainerId, world: &mut dyn World) -> Vec<CleanupError> {
    let mut errors = Vec::new();
    if layout.bundle(id).join("rootfs").exists() {
        // Still mounted, which is an error that was noted: the next start or `rm` tries again.
        return errors;
    }
    let run = layout.run_container(id);
    note(&mut errors, "remove", &run, world.remove_tree(&run));
    let mounted = layout.mounted(id);
    if let Err(error) = files::mounted::forget(layout, id) {
        // To remove the tree now would pull it from under who sees it there.
        note(&mut errors, "unmount", &mounted, Err(error));
        return errors;
    }
    let (path, hidden) = (layout.container(id), store::removing(layout, id));
    if let Err(error) = world.rename(&path, &hidden) {
        note(&mut errors, "remove", &path, Err(error));
        return errors;
    }
    note(&mut errors, "remove", &hidden, world.remove_tree(&hidden));
    let lock = store::forget_lock(layout, id).map_err(std::io::Error::other);
    note(&mut errors, "remove", &layout.lock(id), lock);
    // The name, which may already belong to another container, goes last: while it is there the cleanup unit comes.
    if let Some(name) = store::name_of(layout, id) {
        let alias = layout.unit_file(&UnitName::of(&name));
        if alias.is_symlink() {
            // It was renamed while it ran.
            note(&mut errors, "remove", &alias, world.remove_file(&alias));
        }
        let link = layout.name(&name);
        note(&mut errors, "remove", &link, world.remove_file(&link));
    }
    errors
}

fn note(
    errors: &mut Vec<CleanupError>,
    what: &'static str,
    path: &Path,
    result: std::io::Result<()>,
) {
    if let Err(source) = result {
        errors.push(CleanupError {
            what,
            path: path.display().to_string(),
            source,
        });
    }
}
