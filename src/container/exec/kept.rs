//! `exec --tty`: a process whose user may leave it by the keys.
//!
//! Only its parent hears how a process ends, and the client goes. So a child of the client is the parent, and lends it the
//! process and its terminal. It tells of the end whoever is there to hear it; once the client is gone it is in the
//! monitor's cgroup, so that it ends with the unit.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use super::detached::let_go;
use super::{Ends, ExecError, Wish, end, start};
use crate::api::event::EventKind;
use crate::api::{Layout, Payload};
use crate::container::attach::{Client, Detached, Pump};
use crate::container::events;
use crate::definition::Definition;
use crate::sys::move_data::set_nonblocking;
use crate::sys::poll::{Interest, Poller};
use crate::sys::process::{Child, Pidfd};
use crate::sys::signals::{SignalSet, set_mask};
use crate::sys::socket::{self, Kind};
use crate::sys::worker::fork_worker;

/// What the parent says: it runs (and here it is); before the reason why not; the client may go. Anything else is the exit
/// code.
const STARTED: &str = "+";
const FAILED: char = '-';
const GO: &str = "go";

/// What a client says that leaves the process; one that is killed says nothing.
const LEAVES: &str = "leaves";

/// Longest message, bytes.
const MAX_MESSAGE: usize = 8192;

const CLIENT: u64 = 0;
const PROCESS: u64 = 1;

/// A process with a terminal, lent by its parent.
pub struct Kept {
    process: Pidfd,
    terminal: OwnedFd,
    parent: Child,
    line: OwnedFd,
}

/// Starts a process with a terminal.
///
/// # Errors
/// As [`start`]; or its parent cannot be made.
pub fn start_kept(
    layout: &Layout,
    definition: &Definition,
    payload: &Payload,
    wish: &Wish,
) -> Result<Kept, ExecError> {
    let pair = socket::socketpair(Kind::SeqPacket).map_err(ExecError::io("make a socket"))?;
    let (mut ours, line) = (Some(pair.0), pair.1);
    let parent = fork_worker(|| {
        // Or the end of the client would not be seen.
        drop(ours.take());
        i32::from(stay(layout, definition, payload, wish, &line).is_err())
    });
    let parent = parent.map_err(ExecError::io("make a child"))?;
    drop(line);
    let line = ours.expect("only the child has let go of it");
    let (said, fds) = hear(&line, 2).map_err(ExecError::io("hear of the process"))?;
    let mut fds = fds.into_iter();
    match (fds.next(), fds.next()) {
        (Some(process), Some(terminal)) if said == STARTED => Ok(Kept {
            process: Pidfd::from_fd(process),
            terminal,
            parent,
            line,
        }),
        _ => {
            // It has said its last word.
            let _ = parent.wait();
            Err(ExecError::told(said.strip_prefix(FAILED)))
        }
    }
}

/// The parent's part.
fn stay(
    layout: &Layout,
    definition: &Definition,
    payload: &Payload,
    wish: &Wish,
    client: &OwnedFd,
) -> io::Result<()> {
    // What is sent to the user's terminal, or to all that came of it, is for the client.
    nix::unistd::setsid()?;
    set_mask(&SignalSet::all_but_faults())?;
    let session = match start(layout, definition, payload, wish) {
        Ok(session) => session,
        Err(error) => return say(client, &format!("{FAILED}{}", error.words())),
    };
    let Ends::Terminal(terminal) = &session.ends else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    events::tell(definition, EventKind::Exec, None);
    let lent = [session.child.pidfd.as_fd(), terminal.as_fd()];
    // One that is gone already is seen next.
    let _ = socket::send_with_fds(client, STARTED.as_bytes(), &lent);
    let seen = watch(client, &session.child)?;
    if !matches!(seen, Seen::End) {
        let group = payload.cgroup.with_file_name("monitor");
        // What cannot be let go of is kept.
        let _ = let_go(&group);
    }
    let code = match seen {
        Seen::End => end(session.child, &session.record)?,
        Seen::Left => {
            // The client has read it otherwise.
            set_nonblocking(terminal, false)?;
            let _ = say(client, GO);
            session.wait_alone()?
        }
        Seen::Gone => {
            // Its user's terminal was the process's: that is hung up with it.
            drop(session.ends);
            end(session.child, &session.record)?
        }
    };
    events::tell(definition, EventKind::ExecDied, Some(code.into()));
    // One that is gone hears nothing.
    let _ = say(client, &code.to_string());
    Ok(())
}

/// What a parent waits for.
enum Seen {
    /// The process has ended.
    End,
    /// The client leaves it.
    Left,
    /// The client is gone without a word.
    Gone,
}

fn watch(client: &OwnedFd, child: &Child) -> io::Result<Seen> {
    let mut poller = Poller::new();
    poller.add(CLIENT, client, Interest::Read)?;
    poller.add(PROCESS, &child.pidfd, Interest::Read)?;
    while poller.wait(None)? == 0 {}
    if poller.ready().any(|ready| ready.token == PROCESS) {
        return Ok(Seen::End);
    }
    Ok(match hear(client, 0) {
        Ok((said, _)) if said == LEAVES => Seen::Left,
        _ => Seen::Gone,
    })
}

fn say(line: &OwnedFd, text: &str) -> io::Result<()> {
    socket::send_with_fds(line, text.as_bytes(), &[]).map(drop)
}

/// One message, empty if nobody is there to say any more, and what came with it.
fn hear(line: &OwnedFd, fds: usize) -> io::Result<(String, Vec<OwnedFd>)> {
    let mut text = [0; MAX_MESSAGE];
    let message = socket::recv_with_fds(line, &mut text, fds)?;
    let text = String::from_utf8_lossy(&text[..message.bytes]);
    Ok((text.into_owned(), message.fds))
}

impl Kept {
    /// Moves bytes until the process has ended; its exit code, or none if the user has detached from it. Signals that
    /// arrive are its own.
    ///
    /// # Errors
    /// The terminal or its parent failed.
    pub fn serve(self, client: &Client<'_>) -> io::Result<Option<u8>> {
        let watched = Pidfd::from_fd(self.process.as_fd().try_clone_to_owned()?);
        let pump = Pump::of_process(watched, Ends::Terminal(self.terminal), client)?;
        let mut on_signal = |signal| {
            // One that has ended needs none.
            let _ = self.process.send_signal(signal);
        };
        let by_keys = matches!(pump.run(client, &mut on_signal)?, Detached::ByKeys);
        if by_keys {
            // If it has ended meanwhile, nobody hears this.
            let _ = say(&self.line, LEAVES);
        }
        let (said, _) = hear(&self.line, 0)?;
        if by_keys {
            return Ok(None);
        }
        // It has our output open.
        let _ = self.parent.wait();
        let killed = |_| io::Error::other("the parent of the process was killed");
        said.parse().map(Some).map_err(killed)
    }
}
