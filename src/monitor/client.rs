//! The client of a foreground run ([`crate::api::client`]).

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use crate::api::client::{EOF, EXIT, HELLO, MAX_MESSAGE, STDIN};
use crate::sys::move_data::set_nonblocking;
use crate::sys::poll::{Interest, Poller};
use crate::sys::socket::{self, Kind};

/// How long a client that listens may take to say hello.
const HELLO_TIME: Duration = Duration::from_secs(2);

/// What a client said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Said {
    /// Its input has ended.
    Eof,
    /// It is gone.
    Gone,
    /// Nothing now.
    Nothing,
}

/// The control connection.
#[derive(Debug)]
pub(super) struct Client {
    socket: OwnedFd,
}

/// A client with the write ends of its two pipes.
#[derive(Debug)]
pub(super) struct Attached {
    pub(super) client: Client,
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Connects to a client that waits. One that is not there, or says nothing, is no reason not to run.
pub(super) fn attach(path: &Path) -> io::Result<Option<Attached>> {
    let socket = match socket::connect(path, Kind::SeqPacket, true) {
        Ok(socket) => socket,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            fs::remove_file(path)?;
            return Err(error);
        }
    };
    fs::remove_file(path)?;
    let mut poller = Poller::new();
    poller.add(0, &socket, Interest::Read)?;
    poller.wait(Some(HELLO_TIME))?;
    let mut text = [0; 64];
    let message = socket::recv_with_fds(&socket, &mut text, 2)?;
    let mut fds = message.fds.into_iter();
    match (&text[..message.bytes] == HELLO, fds.next(), fds.next()) {
        (true, Some(stdout), Some(stderr)) => {
            set_nonblocking(&stdout, true)?;
            set_nonblocking(&stderr, true)?;
            Ok(Some(Attached {
                client: Client { socket },
                stdout,
                stderr,
            }))
        }
        _ => Err(io::Error::other(
            "the client's first message is not the expected one",
        )),
    }
}

impl Client {
    /// Hands over the container's standard input.
    pub(super) fn give_stdin(&self, stdin: BorrowedFd) -> io::Result<()> {
        socket::send_with_fds(&self.socket, STDIN, &[stdin]).map(drop)
    }

    /// Tells the end of the run; a client that is gone or does not listen misses it.
    pub(super) fn tell_exit(&self, record: &str) {
        let mut message = EXIT.to_vec();
        message.push(b'\n');
        message.extend(record.bytes().take(MAX_MESSAGE - message.len()));
        let _ = socket::send_with_fds(&self.socket, &message, &[]);
    }

    /// What the client said last.
    pub(super) fn read(&self) -> Said {
        let mut text = [0; 64];
        match socket::recv_with_fds(&self.socket, &mut text, 0) {
            Ok(message) if &text[..message.bytes] == EOF => Said::Eof,
            Ok(message) if message.bytes > 0 => Said::Nothing,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Said::Nothing,
            Ok(_) | Err(_) => Said::Gone,
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
