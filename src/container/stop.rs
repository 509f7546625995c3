//! Stops a container: an ordered stop of its unit.

use std::io;
use std::time::Duration;

use super::{ContainerError, Site};
use crate::definition::Definition;
use crate::host::systemd::{ActiveState, JobResult};
use crate::store::{StoreError, write_atomic};
use crate::types::{RestartPolicy, UnitName};

/// How often a run that is ending is looked at.
pub(super) const LOOK: Duration = Duration::from_millis(10);

/// How long a payload may take to end after the stop signal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Patience {
    /// As its definition says.
    Own,
    /// So many seconds; 0: it is killed at once.
    Seconds(u32),
    /// For ever.
    Forever,
}

impl Patience {
    /// `-t SECONDS`, where every negative number is for ever (podman-stop(1)).
    pub fn from_seconds(seconds: i64) -> Self {
        match u32::try_from(seconds) {
            Ok(seconds) => Self::Seconds(seconds),
            Err(_) if seconds < 0 => Self::Forever,
            Err(_) => Self::Seconds(u32::MAX),
        }
    }
}

/// Stops a container and returns when its unit is over; one that is over already is fine.
///
/// # Errors
/// The request cannot be written, or systemd refused.
pub fn stop(
    site: Site<'_>,
    definition: &Definition,
    patience: Patience,
) -> Result<(), ContainerError> {
    let unit = definition.unit();
    let status = site.manager.status(&unit)?;
    if status.active_state.is_over() {
        return Ok(());
    }
    mark_stopped(site, definition)?;
    let request = match patience {
        Patience::Own => None,
        Patience::Seconds(seconds) => Some(seconds.to_string()),
        Patience::Forever => Some("-1".to_owned()),
    };
    if let Some(text) = request {
        request_timeout(site, definition, &text)?;
    }
    if status.freezer_state.needs_thaw() {
        // systemd refuses to stop a frozen unit.
        site.manager.thaw(&unit)?;
    }
    loop {
        match site.manager.stop(&unit)? {
            JobResult::Done => return Ok(()),
            // Somebody's start has taken the job's place: it waits for the end of this run, and so do we.
            JobResult::Canceled if has_ended(site, &unit, &status.invocation_id)? => return Ok(()),
            JobResult::Canceled => {}
            result => {
                return Err(ContainerError::Job {
                    name: definition.name.clone(),
                    verb: "stop",
                    result: result.as_str().to_owned(),
                });
            }
        }
    }
}

/// Waits for the end of a run that is ending; whether it has ended, whatever runs now.
fn has_ended(site: Site<'_>, unit: &UnitName, run: &str) -> Result<bool, ContainerError> {
    loop {
        let status = site.manager.status(unit)?;
        if status.active_state.is_over() || status.invocation_id != run {
            return Ok(true);
        }
        if status.active_state != ActiveState::Deactivating {
            return Ok(false);
        }
        std::thread::sleep(LOOK);
    }
}

/// Remembers over a reboot that a user has stopped it, where the policy asks for that.
///
/// # Errors
/// The mark cannot be written.
pub(super) fn mark_stopped(site: Site<'_>, definition: &Definition) -> Result<(), StoreError> {
    match definition.options.restart() {
        RestartPolicy::UnlessStopped => {
            write_atomic(&site.layout.stopped_mark(&definition.id), b"", 0o600)
        }
        RestartPolicy::No | RestartPolicy::OnFailure(_) | RestartPolicy::Always => Ok(()),
    }
}

/// Tells the monitor how long it shall wait. Without a run directory there is no run to wait for; to make one would leave
/// it behind a `--rm` container that has just ended.
fn request_timeout(site: Site<'_>, definition: &Definition, text: &str) -> Result<(), StoreError> {
    let path = site.layout.stop_request(&definition.id);
    match write_atomic(&path, text.as_bytes(), 0o600) {
        Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::Layout;
    use crate::host::systemd::fake::FakeManager;
    use crate::host::systemd::{LoadState, UnitStatus};

    /// A start that takes the place of a stop does not undo it: the stop is ordered again until the run has ended.
    #[test]
    fn a_stop_that_was_canceled_is_ordered_again() {
        let manager = FakeManager::default();
        let layout = Layout::new("/nowhere");
        let site = Site {
            layout: &layout,
            manager: &manager,
        };
        let definition = Definition::sample();
        let unit = UnitName::of(&definition.name);
        let running = UnitStatus {
            load_state: LoadState::Loaded,
            active_state: ActiveState::Active,
            invocation_id: "one".to_owned(),
            ..UnitStatus::not_found()
        };
        manager.set(&unit, running);
        manager.script(Ok(JobResult::Canceled));
        stop(site, &definition, Patience::Own).unwrap();
        let stops = manager.calls();
        let stops = stops.iter().filter(|call| call.starts_with("stop "));
        assert_eq!(stops.count(), 2);
    }
}
