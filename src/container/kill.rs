//! Sends a signal to the payload, and to nothing else.

use std::fs;
use std::io;
use std::time::Duration;

use super::observe::{Observation, State, observe, payload_of};
use super::pause::thaw;
use super::{ContainerError, Site, events, stop};
use crate::api::Payload;
use crate::api::event::EventKind;
use crate::definition::Definition;
use crate::host::systemd::ActiveState;
use crate::store::write_atomic;
use crate::sys::process::{Pidfd, is_before_exec, is_deaf_to, start_ticks};
use crate::sys::time::{boottime, realtime};
use crate::types::Signal;

/// How long a start that goes on is waited for, and how often it is looked at.
const START_TIME: Duration = Duration::from_secs(5);
/// How long a payload that is newer than this is given to hear a signal.
const HEARING_TIME: Duration = Duration::from_millis(250);
const NEW: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(5);

/// Sends a signal to the init of a container that runs.
///
/// # Errors
/// It does not run, or the signal cannot be sent.
pub fn kill(site: Site<'_>, definition: &Definition, signal: Signal) -> Result<(), ContainerError> {
    let seen = started(site, definition)?;
    let wrong_state = || {
        ContainerError::State(format!(
            "can only kill running containers. {} is in state {}",
            definition.id,
            seen.state.as_str()
        ))
    };
    if !seen.state.has_payload() {
        return Err(wrong_state());
    }
    let payload = payload_of(site.layout, &definition.id).ok_or_else(wrong_state)?;
    let pidfd = open(&payload).map_err(|_| wrong_state())?;
    let failed = ContainerError::io("send signal to the payload of", definition.name.as_str());
    // Who stands still does not hear it.
    thaw(site, definition, &seen)?;
    await_hearing(&payload, signal, &seen);
    let told = tell_monitor(site, definition, &seen, signal)?;
    if let Err(error) = pidfd.send_signal(i32::from(signal.number())) {
        if told {
            // What was not sent has ended nothing.
            let _ = fs::remove_file(site.layout.kill_request(&definition.id));
        }
        return Err(match error.raw_os_error() {
            // It has ended since it was opened.
            Some(nix::libc::ESRCH) => wrong_state(),
            _ => failed(error),
        });
    }
    events::tell(definition, EventKind::Kill, None);
    Ok(())
}

/// What has just been started may be the runtime still, whose code would end by the signal with a code of its own; and what
/// is new, or was frozen when it was, may not have got as far as to hear a signal. It is given a moment for that, as
/// nobody can tell who never will.
fn await_hearing(payload: &Payload, signal: Signal, seen: &Observation) {
    if signal == Signal::KILL {
        return;
    }
    let begun = boottime();
    let waited = |time| boottime().saturating_sub(begun) >= time;
    while is_before_exec(payload.pid).unwrap_or(false) && !waited(START_TIME) {
        std::thread::sleep(PAUSE);
    }
    let started = Duration::from_micros(payload.started);
    let is_new = realtime().saturating_sub(started) < NEW || seen.state == State::Paused;
    let number = i32::from(signal.number());
    while is_new && is_deaf_to(payload.pid, number).unwrap_or(false) && !waited(HEARING_TIME) {
        std::thread::sleep(PAUSE);
    }
}

/// Tells the monitor that what this signal ends is not to be restarted; whether it had to be told.
fn tell_monitor(
    site: Site<'_>,
    definition: &Definition,
    seen: &Observation,
    signal: Signal,
) -> Result<bool, ContainerError> {
    if !definition.restarts(seen.restart).are_possible() {
        return Ok(false);
    }
    let path = site.layout.kill_request(&definition.id);
    write_atomic(&path, signal.number().to_string().as_bytes(), 0o600)?;
    if signal == Signal::KILL {
        stop::mark_stopped(site, definition)?;
    }
    Ok(true)
}

/// What there is once a start that goes on is over: a payload may be heard before it is told that it runs.
fn started(site: Site<'_>, definition: &Definition) -> Result<Observation, ContainerError> {
    let unit = definition.unit();
    let mut pauses = START_TIME.as_millis() / PAUSE.as_millis();
    loop {
        // In this order: what starts between the two is seen.
        let starting = site.manager.status(&unit)?.active_state == ActiveState::Activating;
        let seen = observe(site.layout, site.manager, definition)?;
        let over = seen.state.has_payload() || seen.state == State::Initialized;
        if over || !starting || pauses == 0 {
            return Ok(seen);
        }
        std::thread::sleep(PAUSE);
        pauses -= 1;
    }
}

/// Opens the payload's init: the process that has the PID now must be the one that was started.
///
/// # Errors
/// `NotFound` if it is another one, or gone.
pub fn open(payload: &Payload) -> io::Result<Pidfd> {
    let pidfd = Pidfd::open(payload.pid)?;
    // From here on the descriptor is one process; if these still hold, it is the right one.
    let started = start_ticks(payload.pid)?;
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", payload.pid))?;
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
    let below = payload.cgroup.strip_prefix("/sys/fs/cgroup");
    let inside = match (path, below) {
        (Some(path), Ok(below)) => {
            std::path::Path::new(path.trim_start_matches('/')).starts_with(below)
        }
        _ => false,
    };
    if inside && started == payload.start_ticks {
        Ok(pidfd)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_not_the_payload() {
        let payload = Payload {
            pid: std::process::id() as i32,
            start_ticks: 1,
            nonce: String::new(),
            started: 0,
            cgroup: "/sys/fs/cgroup/no/such/payload".into(),
            restarts: 0,
            stopping: false,
        };
        assert!(open(&payload).is_err());
    }
}
