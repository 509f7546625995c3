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
use crate::store;

/// Longest time between the order and the last process that stands still, or runs again.
const TIME: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(2);

/// Freezes the payload of a container that runs; returns when it stands still.
///
/// # Errors
/// It does not run, or is frozen already ([`ContainerError::State`]); or the kernel did not.
pub fn pause(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    // Of two at once, one finds it done.
    let _lock = store::lock(site.layout, &definition.id)?;
    let seen = observe(site.layout, site.manager, definition)?;
    let payload = payload_of(site.layout, &definition.id);
    match (seen.state, payload) {
        (State::Running, Some(payload)) => match freeze(site, definition, &payload) {
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
    let _lock = store::lock(site.layout, &definition.id)?;
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
    let runs = || Ok(!is_frozen(&payload.cgroup)?);
    match set_frozen(definition, &payload, false).and_then(|()| wait(runs, definition, "thaw")) {
        // It ended meanwhile, and nothing is left to thaw.
        Err(_) if !payload.cgroup.exists() => Ok(()),
        thawed => thawed,
    }
}

/// Freezes what runs. A stop that began meanwhile has thawed it before that, and what is frozen would not hear it.
fn freeze(
    site: Site<'_>,
    definition: &Definition,
    payload: &Payload,
) -> Result<(), ContainerError> {
    let stops = || payload_of(site.layout, &definition.id).is_some_and(|now| now.stopping);
    set_frozen(definition, payload, true)?;
    let frozen = wait(
        || Ok(is_frozen(&payload.cgroup)? || stops()),
        definition,
        "freeze",
    );
    if stops() {
        set_frozen(definition, payload, false)?;
        return Err(not_running(State::Stopping));
    }
    frozen
}

/// A payload that stands still as long as this lives.
pub(super) struct Frozen<'a> {
    definition: &'a Definition,
    payload: Payload,
}

/// Freezes a payload that runs, for a moment and without a word about it; one that does not run, or is paused already,
/// is left alone.
///
/// # Errors
/// As of [`pause`]; it runs then.
pub(super) fn hold_still<'a>(
    site: Site<'_>,
    definition: &'a Definition,
) -> Result<Option<Frozen<'a>>, ContainerError> {
    let runs = || -> Result<bool, ContainerError> {
        Ok(observe(site.layout, site.manager, definition)?.state == State::Running)
    };
    // Before the lock, which the caller has if it does not run.
    if !runs()? {
        return Ok(None);
    }
    let _lock = store::lock(site.layout, &definition.id)?;
    let Some(payload) = payload_of(site.layout, &definition.id) else {
        return Ok(None);
    };
    if !runs()? {
        return Ok(None);
    }
    // First, so that it is thawed whatever happens.
    let frozen = Frozen {
        definition,
        payload,
    };
    freeze(site, definition, &frozen.payload)?;
    Ok(Some(frozen))
}

impl Drop for Frozen<'_> {
    fn drop(&mut self) {
        let runs = || Ok(!is_frozen(&self.payload.cgroup)?);
        let thawed = set_frozen(self.definition, &self.payload, false);
        let thawed = thawed.and_then(|()| wait(runs, self.definition, "thaw"));
        if let Err(error) = thawed
            && self.payload.cgroup.exists()
        {
            tracing::error!(%error, "container stays paused; unpause it");
        }
    }
}

fn set_frozen(
    definition: &Definition,
    payload: &Payload,
    frozen: bool,
) -> Result<(), ContainerError> {
    let (what, word) = if frozen {
        ("freeze", "1")
    } else {
        ("thaw", "0")
    };
    fs::write(payload.cgroup.join("cgroup.freeze"), word)
        .map_err(ContainerError::io(what, definition.name.as_str()))
}

fn wait(
    is_so: impl Fn() -> io::Result<bool>,
    definition: &Definition,
    what: &'static str,
) -> Result<(), ContainerError> {
    let failed = || ContainerError::io(what, definition.name.as_str());
    let until = Instant::now() + TIME;
    while !is_so().map_err(failed())? {
        if Instant::now() >= until {
            return Err(failed()(io::ErrorKind::TimedOut.into()));
        }
        std::thread::sleep(LOOK);
    }
    Ok(())
}

fn is_frozen(cgroup: &Path) -> io::Result<bool> {
    let text = fs::read_to_string(cgroup.join("cgroup.events"))?;
    Ok(CgroupEvents::parse(&text).frozen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Layout;
    use crate::host::fake_world::FakeWorld;
    use crate::host::systemd::fake::FakeManager;

    /// Or it would hear nothing of the stop until its time is over, and be killed.
    #[test]
    fn what_is_told_to_stop_meanwhile_is_thawed() {
        let world = FakeWorld::new();
        let layout = Layout::new(world.root());
        let manager = FakeManager::default();
        let site = Site {
            layout: &layout,
            manager: &manager,
        };
        let definition = Definition::sample();
        let mut payload = Payload {
            pid: 1,
            start_ticks: 1,
            nonce: "run".to_owned(),
            started: 1,
            cgroup: world.root().join("payload"),
            restarts: 0,
            stopping: false,
        };
        fs::create_dir_all(&payload.cgroup).unwrap();
        fs::write(payload.cgroup.join("cgroup.events"), "frozen 1\n").unwrap();
        let order = |payload: &Payload| {
            let file = layout.payload_file(&definition.id);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, payload.render()).unwrap();
            let ended = freeze(site, &definition, payload);
            let word = fs::read_to_string(payload.cgroup.join("cgroup.freeze")).unwrap();
            (ended.is_ok(), word)
        };
        assert_eq!(order(&payload), (true, "1".to_owned()));
        payload.stopping = true;
        assert_eq!(order(&payload), (false, "0".to_owned()));
    }
}
