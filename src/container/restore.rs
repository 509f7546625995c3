//! What has to be done without a verb: at boot, and behind a monitor that was killed.

use std::collections::BTreeSet;
use std::fs;

use super::observe::{Exit, boot_id, derive, gather};
use super::stop::Patience;
use super::{ContainerError, Site, cleanup, events, exits, remove, start, unit};
use crate::api::LastStart;
use crate::api::event::EventKind;
use crate::definition::Definition;
use crate::host::cgroup::UnitCgroup;
use crate::host::systemd::LoadState;
use crate::host::world::Host;
use crate::store::{self, Listed, StoreError};
use crate::types::{ContainerName, RestartPolicy, UnitName};

/// What has to be there before systemd starts the first ordinary service: unit files of kept containers, as others may
/// need their units; and the start of those whose restart policy says so among the jobs of the boot, so that what is
/// ordered behind them waits. Nothing is waited for here.
///
/// # Errors
/// The store cannot be listed, or the first trouble met; the rest is done all the same.
pub fn restore_early(site: Site<'_>) -> Result<(), ContainerError> {
    let mut result = Ok(());
    let mut go_on = |done: Result<(), ContainerError>| {
        if let Err(error) = &done {
            tracing::warn!(%error, "going on with the other containers");
        }
        let done_well = done.is_ok();
        if result.is_ok() {
            result = done;
        }
        done_well
    };
    let mut units = BTreeSet::new();
    let mut wanted = Vec::new();
    for entry in store::list(site.layout)? {
        // `restore` tells of the broken ones.
        let Listed::Good(definition) = entry else {
            continue;
        };
        if definition.options.remove || definition.deployed.is_some() {
            continue;
        }
        if go_on(make_unit(site, &definition)) {
            units.insert(definition.unit().to_string());
            wanted.extend(starts_now(site, &definition).then_some(definition));
        }
    }
    let loaded = site.manager.list("unitbox-*.service")?;
    let missed = loaded
        .iter()
        .any(|(name, unit)| unit.load_state == LoadState::NotFound && units.contains(name));
    for definition in wanted {
        let started = start::forget_stop(site, &definition);
        go_on(started.and_then(|()| Ok(site.manager.enqueue(&definition.unit())?)));
    }
    if missed {
        go_on(site.manager.look_again().map_err(ContainerError::from));
    }
    result
}

/// Makes what a boot has taken: unit files of kept containers; starts those whose restart policy says so; and removes
/// what it has left: `--rm` containers of other boots, and what crashes left in the store. One container's trouble is no
/// other's.
///
/// # Errors
/// The store cannot be listed, or the first trouble met; the rest is done all the same.
pub fn restore(site: Site<'_>) -> Result<(), ContainerError> {
    let mut result = store::sweep(site.layout).map_err(ContainerError::from);
    let entries = store::list(site.layout)?;
    let mut wanted = Vec::new();
    for entry in entries {
        let done = match entry {
            Listed::Good(definition) if definition.options.remove => {
                drop_leftover(site, &definition)
            }
            // The generator has made it, and systemd starts it.
            Listed::Good(definition) if definition.deployed.is_some() => Ok(()),
            Listed::Good(definition) => {
                let made = make_unit(site, &definition);
                if made.is_ok() && starts_now(site, &definition) {
                    wanted.push(definition);
                }
                made
            }
            Listed::Broken { id, error } => {
                tracing::warn!(%id, %error, "container is broken, left as it is");
                Ok(())
            }
        };
        if let Err(error) = &done {
            tracing::warn!(%error, "going on with the other containers");
        }
        result = result.and(done);
    }
    // Once all units are there: they may need each other.
    for definition in wanted {
        let started = start::start(site, &definition);
        if let Err(error) = &started {
            tracing::warn!(%error, "going on with the other containers");
        }
        result = result.and(started);
    }
    result
}

/// Whether a boot starts the container: one that has run since is left as it is.
fn starts_now(site: Site<'_>, definition: &Definition) -> bool {
    let policy = definition.options.restart();
    let stopped =
        policy == RestartPolicy::UnlessStopped && site.layout.stopped_mark(&definition.id).exists();
    policy.starts_at_boot()
        && !stopped
        && last_boot(site, definition).is_none_or(|id| id != boot_id())
}

/// The boot in which it was started last.
fn last_boot(site: Site<'_>, definition: &Definition) -> Option<String> {
    let text = fs::read_to_string(site.layout.last_start(&definition.id)).ok()?;
    Some(LastStart::parse(&text).ok()?.boot_id)
}

fn make_unit(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    let name = definition.unit();
    if site.layout.unit_file(&name).exists() {
        return Ok(());
    }
    unit::write(site, &unit::plan(site, definition)?)
}

/// A `--rm` container that was started in another boot ended with it. One that was never started may be waiting for its
/// `start`.
fn drop_leftover(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    match last_boot(site, definition) {
        Some(id) if id != boot_id() => {
            remove::remove(site, &definition.id, false, Patience::Own, true)
        }
        _ => Ok(()),
    }
}

/// Cleans up behind the monitor of a container, if its unit is over. For `unitbox-cleanup@.service`.
///
/// # Errors
/// Something cannot be cleaned up; the next start or `rm` tries again.
pub fn clean_up(site: Site<'_>, name: &ContainerName) -> Result<(), ContainerError> {
    let id = match store::lookup(site.layout, name.as_str()) {
        Ok(id) => id,
        // The monitor did its work itself, or died while it removed a container that removes itself.
        Err(error) if error.is_not_found() => return Ok(store::sweep(site.layout)?),
        Err(error) => return Err(error.into()),
    };
    let guard = store::lock(site.layout, &id)?;
    let unit = store::load(site.layout, &id).map_or_else(|_| UnitName::of(name), |own| own.unit());
    let status = site.manager.status(&unit)?;
    let restarting = status.sub_state.starts_with("auto-restart");
    if !status.active_state.is_over() && !restarting {
        tracing::info!(%unit, "the unit runs again, its start cleared the last run");
        return Ok(());
    }
    let definition = match store::load(site.layout, &id) {
        Err(error) if error.is_not_found() => {
            guard.retire();
            return Ok(());
        }
        other => other?,
    };
    if !site.layout.last_start(&id).exists() && status.exec_main_start < definition.created {
        // A container that has got the name since the run which failed: there is nothing of it to clean up.
        tracing::info!(%name, "younger than the run that failed, left alone");
        return Ok(());
    }
    let own = unit::own_name(site, &unit);
    let cgroup = UnitCgroup::of(&status.control_group, &own);
    let seen = derive(&gather(site.layout, &definition, status));
    if let Some(code) = untold(site, &definition, seen.exit.as_ref()) {
        events::tell(&definition, EventKind::Died, Some(code));
    }
    let problems = cleanup::run(site.layout, &id, &cgroup, &mut Host);
    let restarts = site.layout.restart_request(&id).exists();
    if definition.options.remove && !restarts && store::dependents(site.layout, &id).is_empty() {
        remove::keep_exit(site.layout, &id, exits::record_of(&definition, &seen));
        remove_rest(site, &guard, &definition)?;
        site.manager.reset_failed(&own)?;
        store::remove_tree(&site.layout.log_fields(&own))?;
    }
    if problems.is_empty() {
        return Ok(());
    }
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Err(ContainerError::Cleanup {
        name: name.to_string(),
        problems: problems.join("; "),
    })
}

/// How a payload ended whose monitor did not live to tell; none if it did, or if somebody has cleaned up since.
fn untold(site: Site<'_>, definition: &Definition, exit: Option<&Exit>) -> Option<i32> {
    let uncleared = site.layout.bundle(&definition.id).exists();
    match exit {
        Some(exit @ Exit::MonitorKilled { .. }) if uncleared => exit.code().map(i32::from),
        _ => None,
    }
}

/// What `cleanup::run` leaves of a container that removes itself.
fn remove_rest(
    site: Site<'_>,
    guard: &store::ContainerLock,
    definition: &Definition,
) -> Result<(), StoreError> {
    store::remove_tree(&site.layout.run_container(&definition.id))?;
    store::remove(site.layout, guard, &definition.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Layout;
    use crate::host::fake_world::FakeWorld;
    use crate::host::systemd::UnitStatus;
    use crate::host::systemd::fake::FakeManager;

    /// systemd is disturbed only where it has missed a unit before its file was there.
    #[test]
    fn early_nothing_is_waited_for_and_only_what_was_missed_is_looked_for() {
        for (policy, referenced, expected) in [
            (RestartPolicy::No, false, &[][..]),
            (RestartPolicy::No, true, &["look_again systemd"]),
            (
                RestartPolicy::Always,
                false,
                &["enqueue unitbox-web.service"],
            ),
            (
                RestartPolicy::Always,
                true,
                &["enqueue unitbox-web.service", "look_again systemd"],
            ),
        ] {
            let world = FakeWorld::new();
            let layout = Layout::new(world.root());
            let mut definition = Definition::sample();
            definition.options.restart = Some(policy);
            let manager = FakeManager::default();
            if referenced {
                manager.set(&definition.unit(), UnitStatus::not_found());
            }
            let site = Site {
                layout: &layout,
                manager: &manager,
            };
            drop(store::create(&layout, &definition).unwrap());
            restore_early(site).unwrap();
            assert!(layout.unit_file(&definition.unit()).exists());
            let calls = manager.calls();
            let jobs: Vec<&str> = calls
                .iter()
                .map(String::as_str)
                .filter(|call| !call.starts_with("list "))
                .collect();
            assert_eq!(jobs, expected, "{policy} {referenced}");
        }
    }
}
