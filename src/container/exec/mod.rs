//! Another process in a container that runs: the runtime's `exec`, and a session that others can see.
//!
//! The client is the process's parent (child subreaper) and moves its bytes: nothing of the host's but pipes, or a terminal
//! of its own, gets into the container. A session is the file with its PID, by its id; it counts while that process lives in
//! the payload's cgroup.

mod detached;
mod error;
mod kept;
mod launch;
mod sessions;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::Process;
use serde::Deserialize;

use super::attach::{Client, Pump};
use super::observe::State;
use super::prepare;
use crate::api::{ExitCode, Layout, Payload};
use crate::definition::{Definition, Options};
use crate::host::runtime::{ExecFiles, Runtime};
use crate::plan::bundle::UserFacts;
use crate::plan::exec::{ExecFacts, process};
use crate::store::ensure_private;
use crate::sys::id::random_bytes;
use crate::sys::move_data::{Moved, read};
use crate::sys::process::{Child, How, Pidfd};
use crate::sys::terminal::Size;

pub use detached::start_detached;
pub use error::ExecError;
pub use kept::start_kept;
pub(super) use launch::Ends;
use launch::run;
use sessions::prune;
pub use sessions::sessions;

/// What is to be run.
#[derive(Debug)]
pub struct Wish {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Environment, user, working directory, terminal, input.
    pub options: Options,
    /// With all capabilities.
    pub privileged: bool,
    /// Nobody waits for it.
    pub detached: bool,
    /// Descriptors of ours that it gets under the same numbers.
    pub preserve: Vec<i32>,
    /// Size of the user's terminal.
    pub size: Option<Size>,
}

/// A process that was started.
pub struct Session {
    /// Its id, 64 hex digits.
    pub id: String,
    child: Child,
    ends: Ends,
    record: PathBuf,
}

/// config.json, as far as it matters here.
#[derive(Deserialize)]
struct Config {
    process: Process,
}

/// Starts a process.
///
/// # Errors
/// The container does not run, the user is unknown, or the runtime refuses.
pub fn start(
    layout: &Layout,
    definition: &Definition,
    payload: &Payload,
    wish: &Wish,
) -> Result<Session, ExecError> {
    let id = &definition.id;
    let planned =
        plan(layout, definition, payload, wish).map_err(|error| overtaken(payload, error))?;
    let runtime = Runtime::find(definition.options.runtime.as_deref())?;
    let directory = layout.sessions(id);
    // Only below a run: one that has just ended takes all with it.
    ensure_private(&directory).map_err(|error| ExecError::Io {
        what: "record the session".to_owned(),
        source: io::Error::other(error),
    })?;
    prune(&directory, payload);
    let session = new_id().map_err(ExecError::io("make an id"))?;
    let files = ExecFiles::new(&directory, &session);
    let started = run(&runtime, layout, id, &files, &planned, wish);
    for path in [&files.process, &files.log, &files.console] {
        // What the runtime has read, or never made.
        let _ = fs::remove_file(path);
    }
    match started {
        Ok((child, ends)) => Ok(Session {
            id: session,
            child,
            ends,
            record: files.pid,
        }),
        Err(error) => {
            let _ = fs::remove_file(&files.pid);
            Err(overtaken(payload, error))
        }
    }
}

/// A failure that comes of another state than the one that was looked at is one of that state.
fn overtaken(payload: &Payload, error: ExecError) -> ExecError {
    match state_now(payload, &error) {
        Some(state) => ExecError::State(state),
        None => error,
    }
}

/// The state that has made the runtime fail, if one has come about since it was looked at, whatever the runtime says.
fn state_now(payload: &Payload, error: &ExecError) -> Option<State> {
    if matches!(error, ExecError::Failed { reason, .. } if says_paused(reason)) {
        return Some(State::Paused);
    }
    ends_now(payload, error).then_some(State::Exited)
}

/// The words of runc and of crun.
fn says_paused(reason: &str) -> bool {
    reason.contains("cannot exec in a paused container") || reason.ends_with("is paused")
}

/// Whether there was nowhere to go any more: a payload's init has left its namespaces, or ends after all others.
fn ends_now(payload: &Payload, error: &ExecError) -> bool {
    let missing = ExitCode::NotFound.number();
    let mut looks = match error {
        ExecError::Failed { code, .. } if *code != missing => 10,
        _ => 1,
    };
    while looks > 0 {
        match super::kill::open(payload) {
            Ok(init) if !init.has_ended().unwrap_or(true) && has_namespaces(payload.pid) => {}
            _ => return true,
        }
        looks -= 1;
        if looks > 0 {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    false
}

/// A process that ends has none long before it can be waited for (namespaces(7)).
fn has_namespaces(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).is_ok()
}

fn plan(
    layout: &Layout,
    definition: &Definition,
    payload: &Payload,
    wish: &Wish,
) -> Result<Process, ExecError> {
    let path = layout.bundle(&definition.id).join("config.json");
    let text = fs::read(&path).map_err(ExecError::io(format!("read {}", path.display())))?;
    let config: Config = serde_json::from_slice(&text)
        .map_err(|error| ExecError::io(format!("read {}", path.display()))(error.into()))?;
    let base = config.process;
    let root = PathBuf::from(format!("/proc/{}/root", payload.pid));
    let (mut user, mut own_home) = (None, String::new());
    if let Some(wanted) = wish.options.user.as_deref().filter(|user| !user.is_empty()) {
        let own = base.user().uid().to_string();
        let [found, own] = prepare::look_up(&root, [wanted, &own])?;
        own_home = own.home.unwrap_or_else(|| "/".to_owned());
        user = Some(found);
    }
    let facts = ExecFacts {
        user: user.map(|user: UserFacts| user),
        own_home,
        privileged: match wish.privileged {
            true => Some(prepare::host_capabilities()?.into_iter().collect()),
            false => None,
        },
        console: wish.size.map(|size| (size.rows, size.columns)),
    };
    Ok(process(&base, &wish.options, &wish.command, &facts))
}

impl Session {
    /// Moves bytes until the process has ended; its exit code. Signals that arrive are its own.
    ///
    /// # Errors
    /// A pipe of ours failed.
    pub fn serve(self, client: &Client<'_>) -> io::Result<u8> {
        let watched = Pidfd::open(self.child.pid)?;
        let pump = Pump::of_process(watched, self.ends, client)?;
        let mut on_signal = |signal| {
            // One that has ended needs none.
            let _ = self.child.pidfd.send_signal(signal);
        };
        pump.run(client, &mut on_signal)?;
        end(self.child, &self.record)
    }

    /// Waits for the process to its end, with nobody at its ends; its exit code.
    ///
    /// # Errors
    /// As waitid(2).
    pub(super) fn wait_alone(self) -> io::Result<u8> {
        if let Ends::Terminal(master) = self.ends {
            let mut buffer = [0; 4096];
            // Somebody must hold its terminal, or it is hung up. EIO: nobody has the other end open any more.
            while matches!(read(&master, &mut buffer), Ok(Moved::Bytes(_))) {}
        }
        end(self.child, &self.record)
    }
}

/// Waits for a process that is ending; its exit code.
fn end(child: Child, record: &Path) -> io::Result<u8> {
    let how = child.wait()?;
    // Best effort: what is dead is no session.
    let _ = fs::remove_file(record);
    Ok(match how {
        How::Exited(code) => code as u8,
        How::Signaled { signal, .. } => 128_u8.wrapping_add(signal as u8),
    })
}

fn new_id() -> io::Result<String> {
    let bytes: [u8; 32] = random_bytes()?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_paused_container_is_paused() {
        for (reason, expected) in [
            (
                "exec failed: cannot exec in a paused container (use --ignore-paused to override)",
                true,
            ),
            ("the container `c0ffee` is paused", true),
            (
                "exec: \"paused\": executable file not found in $PATH",
                false,
            ),
            ("executable file `is paused` not found in $PATH", false),
        ] {
            assert_eq!(says_paused(reason), expected, "{reason}");
        }
    }
}
