//! Removes a container with everything that is known of it.

use std::fs;

use super::observe::{derive, gather};
use super::stop::{Patience, stop};
use super::{ContainerError, Site, cleanup, unit};
use crate::api::Layout;
use crate::definition::Definition;
use crate::host::cgroup::UnitCgroup;
use crate::host::runtime::Runtime;
use crate::host::world::Host;
use crate::store::{self, ContainerLock, StoreError, ensure_private, remove_tree, write_atomic};
use crate::types::{ContainerId, UnitName};

/// Exit records of removed containers that are kept; twice as many before the older half goes.
const KEPT_EXITS: usize = 512;

/// Removes a container. With `force` one that runs is stopped before, with this patience.
///
/// # Errors
/// It runs and `force` is not given, or something of it cannot be removed.
pub fn remove(
    site: Site<'_>,
    id: &ContainerId,
    force: bool,
    patience: Patience,
) -> Result<(), ContainerError> {
    match store::load(site.layout, id) {
        Ok(definition) => remove_good(site, &definition, force, patience),
        Err(StoreError::Broken { .. }) => remove_broken(site, id),
        Err(error) => Err(error.into()),
    }
}

fn remove_good(
    site: Site<'_>,
    definition: &Definition,
    force: bool,
    patience: Patience,
) -> Result<(), ContainerError> {
    let name = UnitName::of(&definition.name);
    let lock = loop {
        let status = site.manager.status(&name)?;
        let seen = derive(&gather(site.layout, definition, status.clone()));
        if !status.active_state.is_over() {
            if !seen.state.can_remove() && !force {
                return Err(ContainerError::State {
                    name: definition.name.clone(),
                    verb: "remove",
                    state: seen.state,
                    hint: "; stop it first, or use --force",
                });
            }
            // The payload has ended but the unit not: this waits for it.
            stop(site, definition, patience)?;
        }
        let lock = store::lock(site.layout, &definition.id)?;
        // Somebody may have started it before we had the lock; whoever does now waits for it and finds nothing.
        if site.manager.status(&name)?.active_state.is_over() {
            break lock;
        }
    };
    let cgroup = UnitCgroup::new(format!("/system.slice/{name}"));
    clear(site, definition, &cgroup)?;
    finish(site, &lock, &definition.id, Some(&name))
}

/// What a monitor that was killed left behind.
fn clear(
    site: Site<'_>,
    definition: &Definition,
    cgroup: &UnitCgroup,
) -> Result<(), ContainerError> {
    if !site.layout.run_container(&definition.id).exists() {
        return Ok(());
    }
    let Ok(runtime) = Runtime::find(definition.options.runtime.as_deref()) else {
        return Ok(());
    };
    let problems = cleanup::clear_run(site.layout, &definition.id, &runtime, cgroup, &mut Host);
    if problems.is_empty() {
        return Ok(());
    }
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(ContainerError::Cleanup {
        name: definition.name.to_string(),
        problems: problems.join("; "),
    })
}

/// A container whose definition cannot be read; its name may still be known.
fn remove_broken(site: Site<'_>, id: &ContainerId) -> Result<(), ContainerError> {
    let name = store::name_of(site.layout, id).map(|name| UnitName::of(&name));
    if let Some(name) = &name {
        let status = site.manager.status(name)?;
        if !status.active_state.is_over() {
            site.manager.stop(name)?;
        }
    }
    let lock = store::lock(site.layout, id)?;
    finish(site, &lock, id, name.as_ref())
}

/// Removes unit file, failure, run directory and records; keeps the exit for a late `wait`.
fn finish(
    site: Site<'_>,
    lock: &ContainerLock,
    id: &ContainerId,
    name: Option<&UnitName>,
) -> Result<(), ContainerError> {
    if let Some(name) = name {
        unit::unlink(site, name)?;
        site.manager.reset_failed(name)?;
    }
    // Best effort: a full disk must not stop a removal.
    if let Err(error) = keep_exit(site.layout, id) {
        tracing::warn!(%id, %error, "exit record is not kept");
    }
    remove_tree(&site.layout.run_container(id))?;
    Ok(store::remove(site.layout, lock, id)?)
}

fn keep_exit(layout: &Layout, id: &ContainerId) -> Result<(), StoreError> {
    let read = |path| fs::read(path).ok();
    let Some(text) = read(layout.exit_file(id)).or_else(|| read(layout.last_exit(id))) else {
        return Ok(());
    };
    ensure_private(&layout.exits())?;
    prune(layout);
    write_atomic(&layout.removed_exit(id), &text, 0o600)
}

/// Keeps the directory of exits bounded. Its size grows with its entries (20 bytes each and more, on tmpfs as on ext4):
/// to ask for it costs less than to list it each time.
fn prune(layout: &Layout) {
    let directory = layout.exits();
    let large = fs::metadata(&directory).is_ok_and(|found| found.len() >= 40 * KEPT_EXITS as u64);
    if !large {
        return;
    }
    let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let excess = files.len().saturating_sub(KEPT_EXITS);
    for (_, path) in files.into_iter().take(excess) {
        // One that stays is removed the next time.
        let _ = fs::remove_file(path);
    }
}
