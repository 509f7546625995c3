//! `init`: makes a container that waits for its start.
//!
//! The unit stays activating. systemd merges a start into a start job that it has, and tells nobody: so the first thing that
//! the monitor's worker does is to cancel the job of `init`. Any start job after that is somebody's wish, and systemd tells
//! of it.

use std::fs;

use super::observe::{State, observe};
use super::{ContainerError, Site, dependencies, start};
use crate::api::Layout;
use crate::definition::Definition;
use crate::host::systemd::{JobResult, Systemd, SystemdError};
use crate::store::{ensure_private, write_atomic};
use crate::sys::process::start_ticks;
use crate::types::ContainerId;

/// Makes a container, and what it depends on, and leaves it waiting for a start.
///
/// # Errors
/// It is made already, or cannot be made.
pub fn init(site: Site<'_>, definition: &Definition) -> Result<(), ContainerError> {
    // The cleanup behind the run before would take our request with it.
    let (_, seen) = start::once_over(site, definition)?;
    match seen.state {
        State::Created | State::Exited if seen.monitor == 0 => {}
        _ => {
            let id = &definition.id;
            return Err(ContainerError::State(format!(
                "container {id} has already been created in runtime"
            )));
        }
    }
    dependencies::start(site, definition, |dependency| {
        start::start_one(site, dependency)
    })?;
    let request = Request::new(site.layout, &definition.id)?;
    let made = start::launch(site, definition);
    drop(request);
    let (before, result) = made?;
    let seen = observe(site.layout, site.manager, definition)?;
    match (result, seen.state) {
        (JobResult::Done | JobResult::Canceled, State::Initialized | State::Running) => Ok(()),
        // Who has started it meanwhile has seen its end.
        (JobResult::Done, _) => Ok(()),
        (result, _) => Err(start::failed(site, definition, &before, &result)),
    }
}

/// The file that tells the monitor; it counts only as long as its writer lives.
struct Request<'a> {
    layout: &'a Layout,
    id: &'a ContainerId,
}

impl<'a> Request<'a> {
    fn new(layout: &'a Layout, id: &'a ContainerId) -> Result<Self, ContainerError> {
        ensure_private(&layout.run())?;
        ensure_private(&layout.run_container(id))?;
        let own = std::process::id() as i32;
        let ticks = start_ticks(own).map_err(ContainerError::io("read", "/proc/self/stat"))?;
        let path = layout.hold_request(id);
        write_atomic(&path, format!("{own} {ticks}\n").as_bytes(), 0o600)?;
        Ok(Self { layout, id })
    }
}

impl Drop for Request<'_> {
    fn drop(&mut self) {
        // What the monitor has cleared away with all of the run before.
        let _ = fs::remove_file(self.layout.hold_request(self.id));
    }
}

/// Waits until somebody starts a unit that is held; the first one to wait cancels the job of who holds it.
///
/// # Errors
/// systemd cannot be reached.
pub fn wait(unit: &str, is_first: bool) -> Result<(), SystemdError> {
    Systemd::connect("/".as_ref())?.wait_for_start(unit, is_first)
}
