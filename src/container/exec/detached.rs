//! `exec --detach`: a process whose client does not stay.
//!
//! Somebody must be its parent, to tell how it ended and to hold its terminal: a child of the client, in the monitor's
//! cgroup, so that it ends with the unit.

use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use super::{ExecError, Session, Wish, start};
use crate::api::event::EventKind;
use crate::api::{Layout, Payload};
use crate::container::events;
use crate::definition::Definition;
use crate::sys::exec::close_inherited;
use crate::sys::move_data::{Moved, pipe, read, set_nonblocking};
use crate::sys::worker::fork_worker;
use crate::types::chain;

/// What the child says before the id, or before what is wrong.
const STARTED: char = '+';
const FAILED: char = '-';

/// Starts a process and leaves it; its session's id.
///
/// # Errors
/// As [`start`]; or that child cannot be made.
pub fn start_detached(
    layout: &Layout,
    definition: &Definition,
    payload: &Payload,
    wish: &Wish,
) -> Result<String, ExecError> {
    let failed = |what: &str| {
        let what = what.to_owned();
        move |source| ExecError::Io { what, source }
    };
    let (read, write) = pipe().map_err(failed("make a pipe"))?;
    let child = fork_worker(|| {
        let mut report = fs::File::from(write);
        match start(layout, definition, payload, wish) {
            Ok(session) => {
                events::tell(definition, EventKind::Exec, None);
                let group = payload.cgroup.with_file_name("monitor");
                match wait(session, &group, report) {
                    Ok(code) => {
                        events::tell(definition, EventKind::ExecDied, Some(code.into()));
                        0
                    }
                    Err(_) => 1,
                }
            }
            Err(error) => {
                let _ = write!(report, "{FAILED}{}", chain(&error));
                1
            }
        }
    });
    let child = child.map_err(failed("make a child"))?;
    let mut said = String::new();
    let heard = fs::File::from(read).read_to_string(&mut said);
    heard.map_err(failed("hear of the process"))?;
    if let Some(id) = said.strip_prefix(STARTED) {
        return Ok(id.to_owned());
    }
    // It has said its last word.
    let _ = child.wait();
    let text = said.strip_prefix(FAILED);
    Err(ExecError::Told(text.map_or_else(
        || "the child that starts the process was killed".to_owned(),
        str::to_owned,
    )))
}

/// Tells the client, and waits for the end of the process; its exit code.
fn wait(session: Session, group: &Path, mut report: fs::File) -> io::Result<u8> {
    // What cannot be let go of is kept, and a client that is gone hears nothing: the process runs.
    let _ = leave(group);
    let _ = write!(report, "{STARTED}{}", session.id);
    drop(report);
    session.wait_alone()
}

/// Keeps the terminal of a process that its user has left by the keys, in a child of ours in the monitor's cgroup: without
/// anybody it would be hung up.
///
/// # Errors
/// That child cannot be made.
pub(super) fn keep(master: &OwnedFd, record: &Path, payload: &Payload) -> io::Result<()> {
    set_nonblocking(master, false)?;
    let group = payload.cgroup.with_file_name("monitor");
    let (left, leaving) = pipe()?;
    fork_worker(|| {
        let _ = leave(&group);
        drop(leaving);
        let mut buffer = [0; 4096];
        // EIO: nobody has the other end open any more.
        while matches!(read(master, &mut buffer), Ok(Moved::Bytes(_))) {}
        let _ = fs::remove_file(record);
        0
    })?;
    // In the client's session it would be hung up with that, which ends next.
    fs::File::from(left).read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Lets go of all that is the client's: its session, its cgroup, its files.
fn leave(group: &Path) -> io::Result<()> {
    nix::unistd::setsid()?;
    let null = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    close_inherited()?;
    fs::write(group.join("cgroup.procs"), "0")
}
