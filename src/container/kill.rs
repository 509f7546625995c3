//! Sends a signal to the payload, and to nothing else.

use std::fs;
use std::io;

use super::observe::{observe, payload_of};
use super::{ContainerError, Site};
use crate::api::Payload;
use crate::definition::Definition;
use crate::sys::process::Pidfd;
use crate::types::Signal;

/// Sends a signal to the init of a container that runs.
///
/// # Errors
/// It does not run, or the signal cannot be sent.
pub fn kill(site: Site<'_>, definition: &Definition, signal: Signal) -> Result<(), ContainerError> {
    let seen = observe(site.layout, site.manager, definition)?;
    let wrong_state = || ContainerError::State {
        name: definition.name.clone(),
        verb: "kill",
        state: seen.state,
        hint: "; only running containers can be killed",
    };
    if !seen.state.has_payload() {
        return Err(wrong_state());
    }
    let payload = payload_of(site.layout, &definition.id).ok_or_else(wrong_state)?;
    let pidfd = open(&payload).map_err(|_| wrong_state())?;
    let failed = ContainerError::io("send signal to the payload of", definition.name.as_str());
    pidfd
        .send_signal(i32::from(signal.number()))
        .map_err(failed)
}

/// Opens the payload's init: the process that has the PID now must be the one that was started.
///
/// # Errors
/// `NotFound` if it is another one, or gone.
pub fn open(payload: &Payload) -> io::Result<Pidfd> {
    let pidfd = Pidfd::open(payload.pid)?;
    // From here on the descriptor is one process; if these still hold, it is the right one.
    let stat = fs::read_to_string(format!("/proc/{}/stat", payload.pid))?;
    let cgroup = fs::read_to_string(format!("/proc/{}/cgroup", payload.pid))?;
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"));
    let below = payload.cgroup.strip_prefix("/sys/fs/cgroup");
    let inside = match (path, below) {
        (Some(path), Ok(below)) => {
            std::path::Path::new(path.trim_start_matches('/')).starts_with(below)
        }
        _ => false,
    };
    if inside && start_ticks(&stat) == Some(payload.start_ticks) {
        Ok(pidfd)
    } else {
        Err(io::ErrorKind::NotFound.into())
    }
}

/// Field 22 of proc_pid_stat(5); the second may hold anything, so count from its last parenthesis.
fn start_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = format!("7 (a) R) 1 2 (x) {}", rest.join(" "));
        assert_eq!(start_ticks(&stat), Some(22));
        assert_eq!(start_ticks(""), None);
    }

    #[test]
    fn another_process_is_not_the_payload() {
        let payload = Payload {
            pid: std::process::id() as i32,
            start_ticks: 1,
            nonce: String::new(),
            started: 0,
            cgroup: "/sys/fs/cgroup/no/such/payload".into(),
            stopping: false,
        };
        assert!(open(&payload).is_err());
    }
}
