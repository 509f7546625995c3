//! What follows every run, also one that was cut off: idempotent, needs no free disk, goes on after errors.

use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::api::Layout;
use crate::container::prepare;
use crate::host::cgroup::UnitCgroup;
use crate::host::runtime::Runtime;
use crate::host::world::{Durability, World};
use crate::types::{ContainerId, ContainerName};

/// Longest time for the runtime's delete.
const DELETE_TIME: Duration = Duration::from_secs(10);

/// One thing that could not be cleaned; the next start or `rm` tries again.
#[derive(Debug, thiserror::Error)]
#[error("clean up: {what} {path}: {source}")]
pub struct CleanupError {
    what: &'static str,
    path: String,
    source: std::io::Error,
}

/// Cleans up behind a run that has ended.
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
    match definition {
        Some(definition) if definition.options.remove => {
            if let Some(text) = &exit {
                let made = world.make_dir(&layout.exits(), 0o700);
                note(&mut errors, "make directory", &layout.exits(), made);
                let path = layout.removed_exit(id);
                let written = world.write_file(&path, text, 0o600, Durability::Cached);
                note(&mut errors, "write", &path, written);
            }
            errors.extend(remove(layout, id, &definition.name, world));
        }
        _ => {
            if let Some(text) = &exit {
                let path = layout.last_exit(id);
                let written = world.write_file(&path, text, 0o600, Durability::Synced);
                note(&mut errors, "write", &path, written);
            }
        }
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
    let state = layout.runtime_state(id);
    if state.join(id.as_str()).exists() {
        let deleted = world.run_runtime(&runtime.delete(layout, id), DELETE_TIME);
        note(&mut errors, "runtime delete", &state, deleted);
    }
    let payload = cgroup.payload_path();
    if payload.exists() {
        note(&mut errors, "kill cgroup", &payload, cgroup.kill_payload());
        note(
            &mut errors,
            "remove cgroup",
            &payload,
            world.remove_cgroup(&payload),
        );
    }
    errors.extend(clear_files(layout, id, world));
    errors
}

fn clear_files(layout: &Layout, id: &ContainerId, world: &mut dyn World) -> Vec<CleanupError> {
    let mut errors = Vec::new();
    let bundle = layout.bundle(id);
    let rootfs = bundle.join("rootfs");
    if rootfs.exists() {
        let unmounted = world.unmount(&rootfs);
        let failed = unmounted.is_err();
        note(&mut errors, "unmount", &rootfs, unmounted);
        if failed {
            // To remove the tree now would remove the container's files.
            return errors;
        }
    }
    for tree in [bundle, layout.runtime_state(id)] {
        note(&mut errors, "remove", &tree, world.remove_tree(&tree));
    }
    let run = layout.run_container(id);
    for name in RUN_FILES {
        let file = run.join(name);
        if file.symlink_metadata().is_ok() {
            note(&mut errors, "remove", &file, world.remove_file(&file));
        }
    }
    errors
}

/// Files of the run directory that end with the run.
const RUN_FILES: [&str; 10] = [
    "payload",
    "pid",
    "runtime.log",
    "hosts",
    "hostname",
    "resolv.conf",
    ".containerenv",
    "stop-timeout",
    "exit.new",
    "payload.new",
];

/// Removes a container and all that is known of it.
pub fn remove(
    layout: &Layout,
    id: &ContainerId,
    name: &ContainerName,
    world: &mut dyn World,
) -> Vec<CleanupError> {
    let mut errors = Vec::new();
    let link = layout.name(name);
    // The name may already belong to another container.
    let ours = fs::read_link(&link).is_ok_and(|target| target.ends_with(id.as_str()));
    for tree in [layout.container(id), layout.run_container(id)] {
        note(&mut errors, "remove", &tree, world.remove_tree(&tree));
    }
    if ours {
        note(&mut errors, "remove", &link, world.remove_file(&link));
    }
    // Whoever holds or waits for it looks again whether it is the current one.
    let lock = layout.lock(id);
    if lock.exists() {
        note(&mut errors, "remove", &lock, world.remove_file(&lock));
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
