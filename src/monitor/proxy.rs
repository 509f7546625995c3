//! The socket on which a payload tells systemd that it is ready (sd_notify(3), `--sdnotify=container`).
//!
//! systemd listens to us alone. What is passed on are the payload's words about itself; those that would make another
//! process the unit's, or keep files for it, are not.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::notify;
use crate::api::Layout;
use crate::definition::Definition;
use crate::host::cgroup::UnitCgroup;
use crate::sys::socket::{self, Kind};
use crate::sys::time::boottime;
use crate::types::NotifyMode;

/// What a payload may say.
const ALLOWED: &[&str] = &[
    "BARRIER",
    "ERRNO",
    "EXTEND_TIMEOUT_USEC",
    "MONOTONIC_USEC",
    "READY",
    "RELOADING",
    "STATUS",
    "STOPPING",
    "WATCHDOG",
];
/// systemd reads no longer messages.
const MOST: usize = 4096;
/// Messages in one turn, and the rest behind so many: a flood holds up neither us nor systemd, but whoever makes it.
const AT_ONCE: usize = 16;
const REST: Duration = Duration::from_millis(100);

/// Our end of the socket.
#[derive(Debug)]
pub(super) struct Proxy {
    socket: OwnedFd,
    /// The payload's cgroup, from the root of the hierarchy.
    cgroup: PathBuf,
    /// Nothing is read before.
    rests_until: Duration,
}

impl Proxy {
    /// Makes the socket of a container that is to have one.
    pub(super) fn make(layout: &Layout, definition: &Definition) -> io::Result<Option<OwnedFd>> {
        if definition.options.notify != Some(NotifyMode::Container) {
            return Ok(None);
        }
        let path = layout.notify_socket(&definition.id);
        let socket = socket::listen(&path, Kind::Datagram, 0)?;
        socket::pass_credentials(&socket)?;
        // Whoever runs in the container may speak: who it was is looked at.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666))?;
        Ok(Some(socket))
    }

    pub(super) fn of(socket: OwnedFd, cgroup: &UnitCgroup) -> Self {
        let cgroup = cgroup.payload().into();
        Self {
            socket,
            cgroup,
            rests_until: Duration::ZERO,
        }
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// How long nothing is to be read yet.
    pub(super) fn rests(&self) -> Option<Duration> {
        self.rests_until
            .checked_sub(boottime())
            .filter(|left| !left.is_zero())
    }

    /// Passes on what has come, a bounded part of it.
    pub(super) fn pass(&mut self, payload: Option<i32>) {
        self.rests_until = boottime() + REST;
        for _ in 0..AT_ONCE {
            let mut text = [0; MOST];
            let Ok(message) = socket::recv_with_sender(&self.socket, &mut text, 1) else {
                self.rests_until = Duration::ZERO;
                return;
            };
            let sender = message.sender.filter(|pid| *pid > 0);
            if !sender.is_some_and(|pid| Some(pid) == payload || self.is_inside(pid)) {
                continue;
            }
            let lines = match std::str::from_utf8(&text[..message.bytes]) {
                Ok(text) if !message.truncated => allowed(text),
                Ok(_) | Err(_) => continue,
            };
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            // What comes with a barrier is closed when systemd has heard all before it.
            let fds: Vec<BorrowedFd> = match lines[..] {
                [] => continue,
                ["BARRIER=1"] => message.fds.iter().map(AsFd::as_fd).collect(),
                _ => vec![],
            };
            if let Err(error) = notify::pass(&lines, &fds) {
                eprintln!("<4>tell systemd what the payload says: {error}; it is lost");
            }
        }
    }

    /// Whether a process is in the payload's cgroup: the path of the socket may be known to others.
    fn is_inside(&self, pid: i32) -> bool {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
        let own = text.lines().find_map(|line| line.strip_prefix("0::"));
        own.is_some_and(|own| Path::new(own).starts_with(&self.cgroup))
    }
}

impl AsFd for Proxy {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The lines of a message that are passed on, without control characters.
fn allowed(text: &str) -> Vec<String> {
    let lines = text.split('\n').filter(|line| {
        let key = line.split_once('=').map(|(key, _)| key);
        key.is_some_and(|key| ALLOWED.contains(&key))
    });
    let clean = |c: char| if c.is_control() { ' ' } else { c };
    let lines: Vec<String> = lines
        .map(|line| line.chars().map(clean).collect())
        .collect();
    // To systemd a barrier stands alone.
    match lines.iter().any(|line| line.starts_with("BARRIER=")) && lines.len() > 1 {
        true => vec![],
        false => lines,
    }
}

#[cfg(test)]
mod tests {
    use super::allowed;

    #[test]
    fn nothing_that_takes_the_unit_over_is_passed_on() {
        for (text, expected) in [
            ("READY=1", &["READY=1"][..]),
            (
                "READY=1\nMAINPID=1\nSTATUS=a\u{1b}[2J",
                &["READY=1", "STATUS=a [2J"],
            ),
            (
                "RELOADING=1\nMONOTONIC_USEC=5\n",
                &["RELOADING=1", "MONOTONIC_USEC=5"],
            ),
            ("FDSTORE=1\nFDNAME=x", &[]),
            ("FDSTOREREMOVE=1\nNOTIFYACCESS=all", &[]),
            ("MAINPIDFD=1\nMAINPIDFDID=1\nBUSERROR=x", &[]),
            ("WATCHDOG_USEC=1", &[]),
            (" READY=1\nready=1\nREADY", &[]),
            ("BARRIER=1", &["BARRIER=1"]),
            ("BARRIER=1\nREADY=1", &[]),
            ("", &[]),
        ] {
            assert_eq!(allowed(text), expected, "{text:?}");
        }
    }
}
