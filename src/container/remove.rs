//! Removes a container with everything that is known of it.

use std::fs;
use std::time::Duration;

use super::observe::{State, derive, gather};
use super::stop::{Patience, stop};
use super::{ContainerError, Site, cleanup, dependencies, events, exits, files, unit};
use crate::api::event::EventKind;
use crate::api::{ExitRecord, Layout};
use crate::definition::Definition;
use crate::host::cgroup::UnitCgroup;
use crate::host::runtime::Runtime;
use crate::host::systemd::ActiveState;
use crate::host::world::Host;
use crate::store::{self, ContainerLock, StoreError, remove_tree};
use crate::types::{ContainerId, UnitName};

/// How often a start that goes on is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Removes a container. With `force` one that runs is stopped before, with this patience. With `volumes`, or if the
/// container removes itself, its anonymous volumes go too.
///
/// # Errors
/// It runs and `force` is not given, or something of it cannot be removed.
pub fn remove(
    site: Site<'_>,
    id: &ContainerId,
    force: bool,
    patience: Patience,
    volumes: bool,
) -> Result<(), ContainerError> {
    match store::load(site.layout, id) {
        Ok(definition) => {
            let definition = remove_good(site, definition, force, patience)?;
            if !volumes && !definition.options.remove {
                return Ok(());
            }
            let problems = cleanup::forget_volumes(site.layout, &definition, &mut Host);
            told(&definition, &problems)
        }
        Err(StoreError::Broken { .. }) => remove_broken(site, id),
        Err(error) => Err(error.into()),
    }
}

/// The definition of what was removed: it may have got another name meanwhile, and its unit with it.
fn remove_good(
    site: Site<'_>,
    mut definition: Definition,
    force: bool,
    patience: Patience,
) -> Result<Definition, ContainerError> {
    dependencies::check_unneeded(site.layout, &definition)?;
    let (lock, name, cgroup, code) = loop {
        let name = definition.unit();
        let status = site.manager.status(&name)?;
        let seen = derive(&gather(site.layout, &definition, status.clone()));
        if !status.active_state.is_over() {
            if !seen.state.can_remove() && !force {
                return Err(ContainerError::State(format!(
                    "cannot remove container {} as it is {} - running or paused containers cannot be removed without force",
                    definition.id,
                    seen.state.as_str()
                )));
            }
            let starts = status.active_state == ActiveState::Activating
                && !status.sub_state.starts_with("auto-restart");
            if !force && starts && seen.state == State::Created {
                // Who starts it was first: in a moment it runs, or has failed.
                std::thread::sleep(LOOK);
                continue;
            }
            // Of one that another has removed meanwhile, the unit may be the next one's of its name.
            match now(site, &definition)? {
                Some(now) if now.name != definition.name => {
                    definition = now;
                    continue;
                }
                Some(_) => {}
                None => return Ok(definition),
            }
            // The payload has ended but the unit not: this waits for it.
            stop(site, &definition, patience)?;
        }
        let lock = store::lock(site.layout, &definition.id)?;
        match now(site, &definition)? {
            Some(now) if now.name != definition.name => {
                definition = now;
                continue;
            }
            Some(_) => {}
            None => {
                forget_run(site, &definition)?;
                return Ok(definition);
            }
        }
        // Who is made to depend on it has the lock until he is on record.
        dependencies::check_unneeded(site.layout, &definition)?;
        // Somebody may have started it before we had the lock; whoever does now waits for it and finds nothing.
        let status = site.manager.status(&name)?;
        if status.active_state.is_over() {
            let cgroup = UnitCgroup::of(&status.control_group, &unit::own_name(site, &name));
            let seen = derive(&gather(site.layout, &definition, status));
            let code = seen.exit.as_ref().and_then(events::code);
            keep_exit(
                site.layout,
                &definition.id,
                exits::record_of(&definition, &seen),
            );
            break (lock, name, cgroup, code);
        }
    };
    clear(site, &definition, &cgroup)?;
    finish(site, &lock, &definition.id, Some(&name))?;
    events::tell(&definition, EventKind::Remove, code);
    dependencies::release(site.layout, &definition.options, &definition.id);
    Ok(definition)
}

/// What a container is now, whose name leads to its unit; none: it is gone, and a unit of its name may be that of the
/// next one.
fn now(site: Site<'_>, definition: &Definition) -> Result<Option<Definition>, ContainerError> {
    match store::load(site.layout, &definition.id) {
        Ok(now) => Ok(Some(now)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes what systemd knows of the last run of a container that is gone, unless the next one has its name.
pub(super) fn forget_run(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    if fs::symlink_metadata(site.layout.name(&definition.name)).is_ok() {
        return Ok(());
    }
    forget_unit(site, &definition.unit())
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
    told(definition, &problems)
}

fn told(definition: &Definition, problems: &[cleanup::CleanupError]) -> Result<(), ContainerError> {
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

/// Removes unit file, failure, run directory and records.
fn finish(
    site: Site<'_>,
    lock: &ContainerLock,
    id: &ContainerId,
    name: Option<&UnitName>,
) -> Result<(), ContainerError> {
    if let Some(name) = name {
        unit::unlink(site, name)?;
        forget_unit(site, name)?;
    }
    remove_tree(&site.layout.run_container(id))?;
    let mounted = site.layout.mounted(id);
    files::mounted::forget(site.layout, id).map_err(ContainerError::io("unmount", mounted))?;
    Ok(store::remove(site.layout, lock, id)?)
}

/// Removes what was set for a container, which is not for the next one of its name, and its failure.
fn forget_unit(site: Site<'_>, name: &UnitName) -> Result<(), ContainerError> {
    if name.is_own() {
        remove_tree(&site.layout.runtime_properties(name))?;
        remove_tree(&site.layout.log_fields(name))?;
    }
    Ok(site.manager.reset_failed(name)?)
}

/// Keeps the exit of a container for a late `wait`. Best effort: a full disk must not stop a removal.
pub(super) fn keep_exit(layout: &Layout, id: &ContainerId, record: Option<ExitRecord>) {
    let Some(record) = record else { return };
    if let Err(error) = exits::keep(layout, id, &record.render(), &mut Host) {
        tracing::warn!(%id, %error, "exit record is not kept");
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::host::fake_world::FakeWorld;
    use crate::host::systemd::fake::FakeManager;

    /// As in Podman, what a name has led to once is what is removed, whatever it is called by then.
    #[test]
    fn one_that_is_renamed_meanwhile_is_removed_all_the_same() {
        let world = FakeWorld::new();
        let layout = Layout::new(world.root());
        let old = Definition::sample();
        let lock = store::create(&layout, &old).unwrap();
        let calls = thread::scope(|scope| {
            let removal = scope.spawn(|| {
                let manager = FakeManager::default();
                let site = Site {
                    layout: &layout,
                    manager: &manager,
                };
                remove(site, &old.id, false, Patience::Own, false).unwrap();
                manager.calls()
            });
            thread::sleep(Duration::from_millis(200));
            let new = Definition {
                name: "other".parse().unwrap(),
                ..old.clone()
            };
            store::rename(&layout, &lock, &new, &old.name).unwrap();
            drop(lock);
            removal.join().unwrap()
        });
        assert_eq!(calls.first().unwrap(), "status unitbox-web.service");
        assert_eq!(calls.last().unwrap(), "reset_failed unitbox-other.service");
        assert!(store::list(&layout).unwrap().is_empty());
        assert_eq!(fs::read_dir(layout.names()).unwrap().count(), 0);
    }
}
