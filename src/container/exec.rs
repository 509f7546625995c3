//! Another process in a container that runs: the runtime's `exec`, and a session that others can see.
//!
//! The client is the process's parent (child subreaper) and moves its bytes: nothing of the host's but pipes, or a terminal
//! of its own, gets into the container. A session is the file with its PID, by its id; it counts while that process lives in
//! the payload's cgroup.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::Process;
use serde::Deserialize;

use super::attach::{Client, Pump};
use super::observe::State;
use super::prepare::{self, PrepareError, UserError};
use super::sessions::prune;
pub use super::sessions::sessions;
use crate::api::{ExitCode, Layout, Payload};
use crate::definition::{Definition, Options};
use crate::host::reason;
use crate::host::runtime::{Command, ExecFiles, Runtime, RuntimeError};
use crate::plan::bundle::UserFacts;
use crate::plan::exec::{ExecFacts, process};
use crate::store::{ensure_private, write_atomic};
use crate::sys::exec::{Exec, ExecError as SpawnError};
use crate::sys::id::random_bytes;
use crate::sys::move_data::{Moved, pipe, read};
use crate::sys::process::{Child, How, Pidfd, set_subreaper};
use crate::sys::socket::{self, Kind};
use crate::sys::terminal::Size;
use crate::types::ContainerId;

/// Podman's code of an error before the process, other than those of the runtime.
const FAILED: u8 = 255;

/// Why there is no process.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The container does not run.
    #[error("it is {}; can only create exec sessions on running containers", .0.as_str())]
    State(State),
    /// The user is not known.
    #[error(transparent)]
    User(#[from] UserError),
    /// There is no runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// What the host has cannot be read.
    #[error(transparent)]
    Host(#[from] PrepareError),
    /// A program was not started.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// The runtime has failed.
    #[error("{reason}")]
    Failed {
        /// 126, 127 or 255.
        code: u8,
        /// Its words.
        reason: String,
    },
    /// What the child that waits for a process has said instead of starting it.
    #[error("{0}")]
    Told(String),
    /// A file operation.
    #[error("{what}")]
    Io {
        /// What was done.
        what: String,
        /// The cause.
        source: io::Error,
    },
}

impl ExecError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    /// What Podman ends with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Failed { code, .. } => *code,
            _ => FAILED,
        }
    }
}

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

/// Our ends of what the process reads and writes.
pub(super) enum Ends {
    /// Three pipes.
    Pipes {
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// The master of its terminal.
    Terminal(OwnedFd),
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

/// Lets the runtime start the process; it has ended afterwards, and the process is our child.
fn run(
    runtime: &Runtime,
    layout: &Layout,
    id: &ContainerId,
    files: &ExecFiles,
    planned: &Process,
    wish: &Wish,
) -> Result<(Child, Ends), ExecError> {
    let json = serde_json::to_vec(planned).expect("a process has only string keys");
    write_atomic(&files.process, &json, 0o600).map_err(|error| ExecError::Io {
        what: "write the process".to_owned(),
        source: io::Error::other(error),
    })?;
    set_subreaper().map_err(ExecError::io("become subreaper"))?;
    let tty = wish.options.tty;
    let preserve = wish.preserve.iter().max().map_or(0, |most| most - 2);
    let command = runtime.exec(layout, id, files, tty, preserve.unsigned_abs());
    let made = || ExecError::io("make a pipe");
    let null = || {
        let open = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/null");
        open.map(OwnedFd::from)
            .map_err(ExecError::io("open /dev/null"))
    };
    if tty {
        let listener = socket::listen(&files.console, Kind::Stream, 1)
            .map_err(ExecError::io("listen for the terminal"))?;
        let null = null()?;
        let fds = [null.as_fd(), null.as_fd(), null.as_fd()];
        let child = spawn(&command, fds, &wish.preserve, files)?;
        let master = receive(&listener).map_err(ExecError::io("receive the terminal"))?;
        return Ok((child, Ends::Terminal(master)));
    }
    let (stdin, to_stdin) = match wish.options.interactive && !wish.detached {
        true => pipe()
            .map(|(read, write)| (read, Some(write)))
            .map_err(made())?,
        false => (null()?, None),
    };
    let (stdout, stdout_end) = pipe().map_err(made())?;
    let (stderr, stderr_end) = pipe().map_err(made())?;
    let child = match wish.detached {
        true => {
            let null = null()?;
            spawn(&command, [null.as_fd(); 3], &wish.preserve, files)?
        }
        false => {
            let fds = [stdin.as_fd(), stdout_end.as_fd(), stderr_end.as_fd()];
            spawn(&command, fds, &wish.preserve, files)?
        }
    };
    let ends = Ends::Pipes {
        stdin: to_stdin,
        stdout,
        stderr,
    };
    Ok((child, ends))
}

fn spawn(
    command: &Command,
    [stdin, stdout, stderr]: [BorrowedFd<'_>; 3],
    preserve: &[i32],
    files: &ExecFiles,
) -> Result<Child, ExecError> {
    let mut program = Exec::new(&command.program)
        .args(command.args.iter().cloned())
        .envs(Command::ENV)
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr);
    for number in preserve {
        program = program
            .keep(*number)
            .map_err(ExecError::io(format!("preserve file descriptor {number}")))?;
    }
    // The runtime counts them, and must not find a file of its own between them.
    let null = fs::File::open("/dev/null").map_err(ExecError::io("open /dev/null"))?;
    let program = program.fill(null.as_fd());
    let wait = ExecError::io("wait for the runtime");
    match program.spawn()?.wait().map_err(wait)? {
        How::Exited(0) => {}
        How::Exited(_) => {
            let (code, reason) = reason::of_exec(&files.log);
            return Err(ExecError::Failed { code, reason });
        }
        How::Signaled { signal, .. } => {
            let reason = format!("the runtime was killed by signal {signal}");
            return Err(ExecError::Failed {
                code: ExitCode::Error.number(),
                reason,
            });
        }
    }
    let text = fs::read_to_string(&files.pid).map_err(ExecError::io("read the process id"))?;
    let pid: i32 = text
        .trim()
        .parse()
        .map_err(|_| ExecError::io("read the process id")(io::ErrorKind::InvalidData.into()))?;
    // It is our child: the number is its own until we reap it.
    let pidfd = Pidfd::open(pid).map_err(ExecError::io("open the process"))?;
    Ok(Child { pid, pidfd })
}

/// The master that the runtime has sent before it ended.
fn receive(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let missing = || io::Error::other("the runtime has sent none");
    let connection = socket::accept(listener)?.ok_or_else(missing)?;
    let message = socket::recv_with_fds(connection, &mut [0; 256], 1)?;
    message.fds.into_iter().next().ok_or_else(missing)
}

impl Session {
    /// Moves bytes until the process has ended; its exit code, or none if the user has detached from it. Signals that
    /// arrive are its own.
    ///
    /// # Errors
    /// A pipe or terminal of ours failed.
    pub fn serve(self, client: &Client<'_>, payload: &Payload) -> io::Result<Option<u8>> {
        let Self {
            child,
            ends,
            record,
            ..
        } = self;
        let watched = Pidfd::open(child.pid)?;
        let kept = match &ends {
            Ends::Terminal(master) => Some(master.try_clone()?),
            Ends::Pipes { .. } => None,
        };
        let pump = Pump::of_process(watched, ends, client)?;
        let mut on_signal = |signal| {
            // One that has ended needs none.
            let _ = child.pidfd.send_signal(signal);
        };
        let detached = pump.run(client, &mut on_signal)?;
        if matches!(detached, super::attach::Detached::ByKeys) {
            if let Some(master) = kept {
                super::detached::keep(&master, &record, payload)?;
            }
            return Ok(None);
        }
        end(child, &record).map(Some)
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
