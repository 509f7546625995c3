//! Freezes and thaws the payload, and nothing else of the unit: the monitor goes on.

use std::fs;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::observe::{CgroupEvents, Observation, State, observe, payload_of};
use super::{ContainerError, Site, events};
use crate::api::Payload;
use crate::api::event::EventKind;
use crate::definition::Definition;

/// Longest time between the order and the last process that stands still, or runs again.
const TIME: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(2);

/// Freezes the payload of a container that runs; returns when it stands still.
///
/// # Errors
/// It does not run, or is frozen already ([`ContainerError::State`]); or the kernel did not.
pub fn pause(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    let seen = observe(site.layout, site.manager, definition)?;
    let payload = payload_of(site.layout, &definition.id);
    match (seen.state, payload) {
        (State::Running, Some(payload)) => match freeze(definition, &payload, true) {
            // It ended meanwhile.
            Err(_) if !payload.cgroup.exists() => Err(not_running(State::Exited)),
            Err(error) => Err(error),
            Ok(()) => {
                events::tell(definition, EventKind::Pause, None);
                Ok(())
            }
        },
        (State::Paused, _) => Err(ContainerError::State(format!(
            "\"{}\" is already paused",
            definition.id
        ))),
        (state, _) => Err(not_running(state)),
    }
}

fn not_running(state: State) -> ContainerError {
    ContainerError::State(format!(
        "\"{}\" is not running, can't pause",
        state.as_str()
    ))
}

/// Thaws a container that is paused, also one that `systemctl freeze` has frozen; returns when it runs.
///
/// # Errors
/// It is not paused ([`ContainerError::State`]), or systemd or the kernel did not.
pub fn unpause(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    let seen = observe(site.layout, site.manager, definition)?;
    if seen.state != State::Paused {
        return Err(ContainerError::State(format!(
            "\"{}\" is not paused, can't unpause",
            definition.id
        )));
    }
    thaw(site, definition, &seen)?;
    events::tell(definition, EventKind::Unpause, None);
    Ok(())
}

/// Thaws what is frozen of a container; one that is not is left alone.
///
/// # Errors
/// systemd or the kernel did not.
pub(super) fn thaw(
    site: Site<'_>,
    definition: &Definition,
    seen: &Observation,
) -> Result<(), ContainerError> {
    if seen.state != State::Paused {
        return Ok(());
    }
    let unit = definition.unit();
    if site.manager.status(&unit)?.freezer_state.needs_thaw() {
        site.manager.thaw(&unit)?;
    }
    let Some(payload) = payload_of(site.layout, &definition.id) else {
        return Ok(());
    };
    match freeze(definition, &payload, false) {
        // It ended meanwhile, and nothing is left to thaw.
        Err(_) if !payload.cgroup.exists() => Ok(()),
        thawed => thawed,
    }
}

fn freeze(definition: &Definition, payload: &Payload, on: bool) -> Result<(), ContainerError> {
    let what = if on { "freeze" } else { "thaw" };
    let failed = || ContainerError::io(what, definition.name.as_str());
    let word = if on { "1" } else { "0" };
    fs::write(payload.cgroup.join("cgroup.freeze"), word).map_err(failed())?;
    let until = Instant::now() + TIME;
    while frozen(&payload.cgroup).map_err(failed())? != on {
        if Instant::now() >= until {
            return Err(failed()(io::ErrorKind::TimedOut.into()));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn frozen(cgroup: &Path) -> io::Result<bool> {
    let text = fs::read_to_string(cgroup.join("cgroup.events"))?;
    Ok(CgroupEvents::parse(&text).frozen)
}
