//! Stops and starts a container.

use std::fs;
use std::io;

use super::observe::{State, observe};
use super::stop::{Patience, stop};
use super::{ContainerError, Site, events, start};
use crate::api::event::EventKind;
use crate::definition::Definition;
use crate::store::{StoreError, write_atomic};

/// Stops a container that runs, and starts it in any case.
///
/// # Errors
/// It is paused, or in a state that nobody knows; it cannot be stopped, or not started.
pub fn restart(
    site: Site<'_>,
    definition: &Definition,
    patience: Patience,
) -> Result<(), ContainerError> {
    let seen = observe(site.layout, site.manager, definition)?;
    match seen.state {
        State::Paused | State::Unknown | State::Removing => {
            let text = "unable to restart a container in a paused or unknown state";
            return Err(ContainerError::State(text.to_owned()));
        }
        State::Initialized | State::Running | State::Stopping => {
            events::tell(definition, EventKind::Restart, None);
            // One that removes itself would be gone before it is started again.
            keep(site, definition)?;
            stop(site, definition, patience)?;
        }
        State::Created | State::Exited => events::tell(definition, EventKind::Restart, None),
    }
    let started = start::start(site, definition);
    let path = site.layout.restart_request(&definition.id);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(path = %path.display(), %error, "not removed; the container stays");
        }
        _ => {}
    }
    started
}

/// Tells the cleanup that this end is not the last. Without a run directory there is no run that could end.
fn keep(site: Site<'_>, definition: &Definition) -> Result<(), StoreError> {
    if !definition.options.remove {
        return Ok(());
    }
    let path = site.layout.restart_request(&definition.id);
    match write_atomic(&path, b"", 0o600) {
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
