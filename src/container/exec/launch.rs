//! The runtime's `exec`: what it gets, and what it leaves to us.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use oci_spec::runtime::Process;

use super::{ExecError, Wish};
use crate::api::{ExitCode, Layout};
use crate::host::reason;
use crate::host::runtime::{Command, ExecFiles, Runtime};
use crate::store::write_atomic;
use crate::sys::exec::Exec;
use crate::sys::move_data::pipe;
use crate::sys::process::{Child, How, Pidfd, set_subreaper};
use crate::sys::socket::{self, Kind};
use crate::types::ContainerId;

/// Our ends of what the process reads and writes.
pub(in crate::container) enum Ends {
    /// Three pipes.
    Pipes {
        stdin: Option<OwnedFd>,
        stdout: OwnedFd,
        stderr: OwnedFd,
    },
    /// The master of its terminal.
    Terminal(OwnedFd),
}

/// Lets the runtime start the process; it has ended afterwards, and the process is our child.
pub(super) fn run(
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
