//! Starts a container.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use super::observe::{Exit, Observation, State, derive, gather};
use super::stop::LOOK;
use super::{ContainerError, Site, dependencies, remove, unit};
use crate::api::{Ended, ExitCode, ExitRecord};
use crate::definition::Definition;
use crate::host::systemd::{ActiveState, JobResult, SystemdError, UnitStatus};
use crate::store;

/// What systemd says of a unit that it could not load for EBUSY (sd_bus_error_set_errno(3)).
const BUSY: &str = "System.Error.EBUSY";

/// How long a run whose payload is gone may take to end before it is stopped.
const ENDS_WITHIN: Duration = Duration::from_secs(10);

/// Starts a container; one that runs is left alone. Returns when its payload runs (or ran).
///
/// The container's lock is not held meanwhile: the monitor takes its own steps, and systemd serialises jobs of a unit.
///
/// # Errors
/// [`ContainerError::Start`] with the reason if the payload did not run; nothing is left of a `--rm` container then.
pub fn start(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    dependencies::start(site, definition, |dependency| start_one(site, dependency))?;
    start_one(site, definition)
}

pub(super) fn start_one(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    match launch(site, definition)? {
        (_, JobResult::Done) => Ok(()),
        (status, result) => Err(failed(site, definition, &status, &result)),
    }
}

/// Asks systemd for a run: how that ended, and what the unit was before.
///
/// # Errors
/// It cannot be started in its state, or systemd refused.
pub(super) fn launch(
    site: Site<'_>,
    definition: &Definition,
) -> Result<(UnitStatus, JobResult), ContainerError> {
    let name = definition.unit();
    let (status, seen) = once_over(site, definition)?;
    match seen.state {
        State::Running => return Ok((status, JobResult::Done)),
        State::Initialized => {
            let result = site.manager.start(&name)?;
            return Ok((status, result));
        }
        State::Stopping | State::Created | State::Exited | State::Unknown => {}
        State::Paused | State::Removing => {
            let id = &definition.id;
            return Err(ContainerError::State(format!(
                "unable to start container \"{id}\": container {id} must be in Created or Stopped state to be started"
            )));
        }
    }
    let waits = status.sub_state.starts_with("auto-restart");
    if waits {
        site.manager.stop(&name)?;
        // systemd would go on counting the restarts.
        site.manager.reset_failed(&name)?;
    }
    forget_stop(site, definition)?;
    let result = if definition.options.remove {
        // One that was renamed in its last run gets a unit of its own name.
        unit::unlink(site, &name)?;
        let unit = unit::plan(site, definition)?;
        let started = site.manager.start_transient(&unit);
        started.map_err(|error| without_space(site, definition, error))?
    } else {
        // Or the file would come back after whoever removes the container has taken it.
        let lock = store::lock(site.layout, &definition.id)?;
        if !site.layout.container(&definition.id).is_dir() {
            return Err(removed_meanwhile(definition));
        }
        unit::refresh(site, definition, &status)?;
        drop(lock);
        let started = match site.manager.start(&name) {
            // A unit of this name was removed while others held it, and systemd has kept its cgroup with no slice.
            Err(error) if error.is_named(BUSY) => {
                site.manager.reload()?;
                site.manager.start(&name)
            }
            started => started,
        };
        started.map_err(|error| refused(site, definition, error))?
    };
    Ok((status, result))
}

/// Waits for the end of a run that is ending: a start now would be no start, and a stop might hit the run that another
/// has begun meanwhile. One that systemd does not end is stopped.
///
/// # Errors
/// systemd cannot be asked, or [`ContainerError::GivenUp`].
pub(super) fn once_over(
    site: Site<'_>,
    definition: &Definition,
) -> Result<(UnitStatus, Observation), ContainerError> {
    let name = definition.unit();
    let until = Instant::now() + ENDS_WITHIN;
    loop {
        let status = site.manager.status(&name)?;
        let seen = derive(&gather(site.layout, definition, status.clone()));
        let ends = match seen.state {
            State::Stopping | State::Exited | State::Unknown => !status.active_state.is_over(),
            State::Created
            | State::Initialized
            | State::Running
            | State::Paused
            | State::Removing => false,
        };
        if !ends || status.sub_state.starts_with("auto-restart") {
            return Ok((status, seen));
        }
        if status.active_state != ActiveState::Deactivating && Instant::now() >= until {
            site.manager.stop(&name)?;
            return Ok((site.manager.status(&name)?, seen));
        }
        if site.manager.take_interrupt() {
            let name = definition.name.clone();
            return Err(ContainerError::GivenUp { name });
        }
        std::thread::sleep(LOOK);
    }
}

/// Who starts it wants it to run after the next boot too.
pub(super) fn forget_stop(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    let path = site.layout.stopped_mark(&definition.id);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ContainerError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// systemd keeps transient units in /run and says "not found" of one that it could not write there.
fn without_space(site: Site<'_>, definition: &Definition, error: SystemdError) -> ContainerError {
    let run = site.layout.run();
    match nix::sys::statvfs::statvfs(&run) {
        Ok(disk) if disk.blocks_available() == 0 => ContainerError::Start {
            name: definition.name.clone(),
            code: 125,
            reason: format!("no space left on {}", run.display()),
        },
        _ => error.into(),
    }
}

/// Finds out why a start failed: the record of this start, not of an earlier one.
pub(super) fn failed(
    site: Site<'_>,
    definition: &Definition,
    before: &UnitStatus,
    result: &JobResult,
) -> ContainerError {
    let name = definition.name.clone();
    let unit = definition.unit();
    // Who removes it, or prepares another run, is not seen halfway; a lock that cannot be taken tells nothing.
    let _whole = store::lock(site.layout, &definition.id);
    let Ok(status) = site.manager.status(&unit) else {
        let result = result.as_str().to_owned();
        let verb = "start";
        return ContainerError::Job { name, verb, result };
    };
    if !site.layout.container(&definition.id).is_dir()
        // Who removed it was done before systemd began with this start.
        && let Err(error) = remove::forget_run(site, definition)
    {
        tracing::warn!(%name, %error, "its failed start is not forgotten");
    }
    let after: Observation = derive(&gather(site.layout, definition, status.clone()));
    let removed = || {
        if !definition.options.remove {
            return None;
        }
        let text = fs::read_to_string(site.layout.removed_exit(&definition.id)).ok()?;
        ExitRecord::parse(&text).ok().map(Exit::Recorded)
    };
    let unstarted = |exit: Exit| match exit {
        Exit::Recorded(ExitRecord {
            ended: Ended::Unstarted { code, reason },
            nonce,
            ..
        }) if nonce != before.invocation_id => Some((code, reason)),
        _ => None,
    };
    // When a `--rm` container is gone, its record has moved, and what the unit alone tells is less.
    let told = removed().and_then(unstarted).or_else(|| {
        let what = overtaken(site, definition, &status, result)?;
        let code = ExitCode::Error.number();
        Some((code, format!("it was {what} meanwhile")))
    });
    if let Some((code, reason)) = told.or_else(|| after.exit.and_then(unstarted)) {
        return ContainerError::Start { name, code, reason };
    }
    let reason = format!(
        "systemd's job ended as {} ({}); see journalctl -u {unit}",
        result.as_str(),
        status.result
    );
    ContainerError::Start {
        name,
        code: ExitCode::Error.number(),
        reason,
    }
}

/// What is wrong with a start that systemd has refused: whoever removes a container takes its unit first.
fn refused(site: Site<'_>, definition: &Definition, error: SystemdError) -> ContainerError {
    if error.is_no_such_unit() {
        // Held until all is gone; one that cannot be taken tells nothing.
        let _end = store::lock(site.layout, &definition.id);
        if !site.layout.container(&definition.id).is_dir() {
            return removed_meanwhile(definition);
        }
    }
    error.into()
}

fn removed_meanwhile(definition: &Definition) -> ContainerError {
    ContainerError::Start {
        name: definition.name.clone(),
        code: ExitCode::Error.number(),
        reason: "it was removed meanwhile".to_owned(),
    }
}

/// What somebody else did to a container while it was being started; his traces have replaced those of the start.
fn overtaken(
    site: Site<'_>,
    definition: &Definition,
    now: &UnitStatus,
    result: &JobResult,
) -> Option<&'static str> {
    if !site.layout.container(&definition.id).is_dir() {
        return Some("removed");
    }
    if *result == JobResult::Canceled {
        return Some("stopped");
    }
    (!now.active_state.is_over()).then_some("stopped, and started again,")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::api::Layout;
    use crate::host::fake_world::FakeWorld;
    use crate::host::systemd::fake::FakeManager;

    /// Nobody else would forget the failure of a start that came after the removal; that of the next one of its name is not
    /// its own.
    #[test]
    fn a_start_that_came_too_late_leaves_no_failure() {
        let world = FakeWorld::new();
        let layout = Layout::new(world.root());
        let definition = Definition::sample();
        let resets = || {
            let manager = FakeManager::default();
            let site = Site {
                layout: &layout,
                manager: &manager,
            };
            let before = UnitStatus::not_found();
            let error = failed(site, &definition, &before, &JobResult::Failed);
            assert!(error.to_string().contains("removed meanwhile"), "{error}");
            let calls = manager.calls();
            calls.iter().filter(|call| call.contains("reset")).count()
        };
        assert_eq!(resets(), 1);
        let name = layout.name(&definition.name);
        fs::create_dir_all(name.parent().unwrap()).unwrap();
        symlink("../containers/next", &name).unwrap();
        assert_eq!(resets(), 0);
    }

    /// Who waits for the end of a run has no job that could be interrupted.
    #[test]
    fn to_wait_for_the_end_of_a_run_can_be_given_up() {
        let world = FakeWorld::new();
        let layout = Layout::new(world.root());
        let definition = Definition::sample();
        fs::create_dir_all(layout.container(&definition.id)).unwrap();
        let manager = FakeManager::default();
        let site = Site {
            layout: &layout,
            manager: &manager,
        };
        let ending = UnitStatus {
            active_state: ActiveState::Deactivating,
            ..UnitStatus::not_found()
        };
        manager.set(&definition.unit(), ending);
        manager.interrupt();
        let error = start(site, &definition).unwrap_err();
        assert!(error.is_interrupted(), "{error}");
        assert_eq!(manager.calls(), ["status unitbox-web.service"]);
    }
}
