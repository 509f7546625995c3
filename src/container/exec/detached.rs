//! `exec --detach`: a process whose client does not stay.
//!
//! Somebody must be its parent, to tell how it ended and to hold its terminal: a child of the client, in the monitor's
//! cgroup, so that it ends with the unit.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use super::{ExecError, Session, Wish, start};
use crate::api::event::EventKind;
use crate::api::{Layout, Payload};
use crate::container::events;
use crate::definition::Definition;
use crate::sys::exec::close_inherited;
use crate::sys::move_data::pipe;
use crate::sys::worker::fork_worker;

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
                let _ = write!(report, "{FAILED}{}", error.words());
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
    Err(ExecError::told(said.strip_prefix(FAILED)))
}

/// Tells the client, and waits for the end of the process; its exit code.
fn wait(session: Session, group: &Path, mut report: fs::File) -> io::Result<u8> {
    // What cannot be let go of is kept, and a client that is gone hears nothing: the process runs.
    let _ = nix::unistd::setsid();
    let _ = let_go(group);
    let _ = write!(report, "{STARTED}{}", session.id);
    drop(report);
    session.wait_alone()
}

/// Lets go of all that is the client's but its session: its cgroup, its files.
pub(super) fn let_go(group: &Path) -> io::Result<()> {
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
