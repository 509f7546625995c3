//! The container's terminal: its output goes through the pipe that a container without one writes to.
//!
//! Clients have the master themselves, for input and sizes: there is nothing to do for us on the way in.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

use super::kept::KeptConsole;
use crate::sys::exec::take_inherited;
use crate::sys::move_data::{Moved, read, set_nonblocking, write};
use crate::sys::socket;
use crate::sys::terminal;

/// Most bytes read at once: the pipe takes them whole or not at all (PIPE_BUF, pipe(7)).
const CHUNK: usize = 4096;
/// A turn reads so many times, so that signals never wait long.
const ROUNDS: usize = 64;

/// What the terminal waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    /// Output of the payload.
    Output,
    /// Room in the pipe.
    Room,
    /// Nothing: there is more to move.
    Nothing,
    /// Nothing any more: the payload is gone and all is moved.
    Ended,
}

/// The master of the container's terminal.
#[derive(Debug)]
pub(super) struct Console {
    master: OwnedFd,
    pipe: OwnedFd,
    /// Its other end, held while the payload lives: one that closes all its terminals and opens /dev/console later, as an
    /// init does, must not look like one that has ended.
    peer: Option<OwnedFd>,
    /// What the pipe has not taken.
    left: Vec<u8>,
}

impl Console {
    /// Takes the master that the runtime has sent to the socket before it ended.
    pub(super) fn receive(listener: &OwnedFd, path: &Path, pipe: OwnedFd) -> io::Result<Self> {
        let missing = || io::Error::other("the runtime has sent no terminal");
        let connection = socket::accept(listener);
        // Whatever came, nobody else shall come.
        fs::remove_file(path)?;
        let connection = connection?.ok_or_else(missing)?;
        let message = socket::recv_with_fds(connection, &mut [0; 256], 1)?;
        let master = message.fds.into_iter().next().ok_or_else(missing)?;
        set_nonblocking(&master, true)?;
        set_nonblocking(&pipe, true)?;
        Ok(Self {
            peer: Some(terminal::peer(&master)?),
            master,
            pipe,
            left: Vec::new(),
        })
    }

    /// For a successor.
    pub(super) fn keep<'a>(&'a self, keep: &mut impl FnMut(&'a OwnedFd) -> RawFd) -> KeptConsole {
        KeptConsole {
            master: keep(&self.master),
            pipe: keep(&self.pipe),
            peer: self.peer.as_ref().map(keep),
            left: self.left.clone(),
        }
    }

    /// That of a program before this one.
    pub(super) fn again(kept: KeptConsole) -> io::Result<Self> {
        Ok(Self {
            master: take_inherited(kept.master)?,
            pipe: take_inherited(kept.pipe)?,
            peer: kept.peer.map(take_inherited).transpose()?,
            left: kept.left,
        })
    }

    /// The master, for a client.
    pub(super) fn master(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }

    /// The payload is gone: the end of the output is the end of the terminal.
    pub(super) fn last_call(&mut self) {
        self.peer = None;
    }

    /// Moves what is there.
    pub(super) fn turn(&mut self) -> Wait {
        let mut buffer = [0; CHUNK];
        for _ in 0..ROUNDS {
            if !self.left.is_empty() {
                match write(&self.pipe, &self.left) {
                    Ok(Moved::Bytes(count)) => drop(self.left.drain(..count)),
                    Ok(Moved::WouldBlock | Moved::Eof) => return Wait::Room,
                    Err(_) => return Wait::Ended,
                }
                continue;
            }
            match read(&self.master, &mut buffer) {
                Ok(Moved::Bytes(count)) => self.left.extend_from_slice(&buffer[..count]),
                Ok(Moved::WouldBlock) => return Wait::Output,
                // EIO: nobody has the other end open any more.
                Ok(Moved::Eof) | Err(_) => return Wait::Ended,
            }
        }
        Wait::Nothing
    }

    /// The descriptor to wait on, and whether for writing.
    pub(super) fn wait_on(&self, wait: Wait) -> Option<(BorrowedFd<'_>, bool)> {
        match wait {
            Wait::Output => Some((self.master.as_fd(), false)),
            Wait::Room => Some((self.pipe.as_fd(), true)),
            Wait::Nothing | Wait::Ended => None,
        }
    }
}
