//! Programs of the administrator that text is sent through: clean environment, own process group, bounded in time and
//! output.

use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

use nix::libc;
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::runtime::Command;
use crate::sys::exec::Exec;
use crate::sys::move_data::{Moved, pipe, read};
use crate::sys::poll::{Interest, Poller};
use crate::sys::process::{Child, How};
use crate::sys::time::boottime;

/// Most that is read of its output, which is a configuration, and of its errors.
const MAX_OUTPUT: usize = 4 << 20;
const MAX_ERRORS: usize = 64 << 10;
/// Longest time between SIGKILL and its end.
const DEATH_TIME: Duration = Duration::from_secs(10);

/// A program that reads text and writes text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filter {
    /// Absolute path.
    pub program: PathBuf,
    /// Its arguments, with its own name at the beginning.
    pub args: Vec<String>,
    /// Its environment beyond PATH.
    pub env: Vec<(String, String)>,
    /// Longest time that it may take.
    pub time: Duration,
}

/// Our ends of what it writes to.
struct Streams {
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

/// Runs it to its end and returns what it wrote.
///
/// # Errors
/// It cannot be run, fails, takes longer than its time, or writes too much; its group is killed then.
pub(super) fn run(filter: &Filter, input: &str) -> io::Result<String> {
    // A file and not a pipe: one that does not read what it gets must not end us by SIGPIPE.
    let mut stdin = File::from(memfd_create(c"config.json", MFdFlags::MFD_CLOEXEC)?);
    stdin.write_all(input.as_bytes())?;
    stdin.rewind()?;
    let (our_stdout, stdout) = pipe()?;
    let (our_stderr, stderr) = pipe()?;
    let mut args = filter.args.iter();
    let mut exec = Exec::new(&filter.program);
    if let Some(name) = args.next() {
        exec = exec.arg0(name);
    }
    let child = exec
        .args(args.cloned())
        .envs(Command::ENV)
        .envs(filter.env.iter().map(|(name, value)| (name, value)))
        .stdin(stdin.as_fd())
        .stdout(stdout.as_fd())
        .stderr(stderr.as_fd())
        .own_group()
        .pdeathsig(libc::SIGKILL)
        .spawn()
        .map_err(io::Error::other)?;
    drop((stdin, stdout, stderr));
    let mut streams = Streams {
        stdout: Some(our_stdout),
        stderr: Some(our_stderr),
    };
    let talked = streams.talk(&child, filter.time);
    // What it left behind in its group goes too, whatever it said.
    let _ = killpg(Pid::from_raw(child.pid), Signal::SIGKILL);
    drop(streams);
    let (output, errors, how) = match talked {
        Ok(all) => all,
        Err(error) => {
            wait_dead(&child)?;
            return Err(error);
        }
    };
    match how {
        How::Exited(0) => String::from_utf8(output).map_err(io::Error::other),
        How::Exited(code) => {
            let text = String::from_utf8_lossy(&errors);
            let last = text.lines().rev().find(|line| !line.trim().is_empty());
            let last = last.unwrap_or("no message");
            Err(io::Error::other(format!("exit code {code}: {last}")))
        }
        How::Signaled { signal, .. } => Err(io::Error::other(format!("killed by signal {signal}"))),
    }
}

fn wait_dead(child: &Child) -> io::Result<()> {
    let deadline = boottime() + DEATH_TIME;
    let mut poller = Poller::new();
    poller.add(0, &child.pidfd, Interest::Read)?;
    while child.try_wait()?.is_none() {
        let left = deadline.saturating_sub(boottime());
        if left.is_zero() {
            return Err(io::Error::other("was killed and does not end"));
        }
        poller.wait(Some(left))?;
    }
    Ok(())
}

impl Streams {
    fn talk(&mut self, child: &Child, time: Duration) -> io::Result<(Vec<u8>, Vec<u8>, How)> {
        let deadline = boottime() + time;
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let mut ended = None;
        // A child of it may hold the pipes: its own end is the end of what it says.
        while ended.is_none() || (self.stdout.is_some() && !output_is_over(self)?) {
            let mut poller = Poller::new();
            if ended.is_none() {
                poller.add(0, &child.pidfd, Interest::Read)?;
            }
            for (token, fd) in [(1, &self.stdout), (2, &self.stderr)] {
                if let Some(fd) = fd {
                    poller.add(token, fd, Interest::Read)?;
                }
            }
            poller.wait(Some(deadline.saturating_sub(boottime())))?;
            let ready: Vec<u64> = poller.ready().map(|ready| ready.token).collect();
            drop(poller);
            for token in ready {
                match token {
                    1 => take(&mut self.stdout, &mut output, MAX_OUTPUT)?,
                    2 => take(&mut self.stderr, &mut errors, MAX_ERRORS)?,
                    _ => {}
                }
            }
            if ended.is_none() {
                ended = child.try_wait()?;
            }
            if output.len() >= MAX_OUTPUT {
                return Err(io::Error::other("wrote more than a configuration can be"));
            }
            if ended.is_none() && boottime() >= deadline {
                let text = format!("took longer than {} s, killed", time.as_secs());
                return Err(io::Error::new(io::ErrorKind::TimedOut, text));
            }
        }
        Ok((output, errors, ended.expect("the loop ends with it")))
    }
}

/// Whether nothing is left in the pipe of one that has ended.
fn output_is_over(streams: &Streams) -> io::Result<bool> {
    let Some(fd) = &streams.stdout else {
        return Ok(true);
    };
    let mut poller = Poller::new();
    poller.add(0, fd, Interest::Read)?;
    poller.wait(Some(Duration::ZERO))?;
    Ok(poller.ready().next().is_none())
}

/// Reads once; what is beyond the bound is read and dropped.
fn take(from: &mut Option<OwnedFd>, to: &mut Vec<u8>, bound: usize) -> io::Result<()> {
    let Some(fd) = from else { return Ok(()) };
    let mut buffer = [0; 16 << 10];
    match read(&*fd, &mut buffer) {
        Ok(Moved::Bytes(count)) => {
            let room = bound.saturating_sub(to.len());
            to.extend_from_slice(&buffer[..count.min(room)]);
        }
        Ok(Moved::Eof) => *from = None,
        Ok(Moved::WouldBlock) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINTR) => {}
        Err(error) => return Err(error),
    }
    Ok(())
}
