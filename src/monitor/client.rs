//! The clients of a run ([`crate::api::client`]).

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use crate::api::client::{
    EOF, EXIT, GO, Hello, MAX_KEPT, MAX_MESSAGE, REFUSED, RELOAD, RELOADED, STATE, STDIN, TERMINAL,
};
use crate::sys::move_data::set_nonblocking;
use crate::sys::poll::{Interest, Poller};
use crate::sys::socket::{self, Kind};

/// How long the first client, which is waited for, may take to say hello.
const HELLO_TIME: Duration = Duration::from_secs(2);

/// What a client said.
#[derive(Debug)]
pub(super) enum Said {
    /// Hello.
    Hello(Ends),
    /// Its input has ended.
    Eof,
    /// It wants to know what a successor would get.
    Reload,
    /// There is to be a successor, with this.
    Go(OwnedFd),
    /// It is gone.
    Gone,
    /// Nothing now.
    Nothing,
}

/// The write ends of a client's two pipes.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
    /// Rows and columns of its terminal.
    pub(super) size: Option<(u16, u16)>,
}

/// What the first client came with.
#[derive(Debug)]
pub(super) struct First {
    /// Itself, if it stays.
    pub(super) stays: Option<(Client, Ends)>,
    /// What the payload gets from it, with the numbers.
    pub(super) kept: Vec<(i32, OwnedFd)>,
}

/// The control connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) number: u32,
    socket: OwnedFd,
}

impl Client {
    /// Connects to a client that waits; the socket is gone then.
    pub(super) fn connect(path: &Path, number: u32) -> io::Result<Option<Self>> {
        let socket = match socket::connect(path, Kind::SeqPacket, true) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other,
        };
        match fs::remove_file(path) {
            // The client was faster.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        Ok(Some(Self {
            number,
            socket: socket?,
        }))
    }

    /// The first one, which is to see everything. One that is not there, or says nothing, is no reason not to run.
    pub(super) fn first(path: &Path) -> io::Result<Option<First>> {
        let Some(client) = Self::connect(path, 0)? else {
            return Ok(None);
        };
        let mut poller = Poller::new();
        poller.add(0, &client.socket, Interest::Read)?;
        poller.wait(Some(HELLO_TIME))?;
        let wrong = || io::Error::other("the client's first message is not the expected one");
        let mut text = [0; MAX_MESSAGE];
        let message = socket::recv_with_fds(&client.socket, &mut text, MAX_KEPT + 2)?;
        let hello = Hello::parse(&text[..message.bytes]).ok_or_else(wrong)?;
        let mut fds = message.fds.into_iter();
        let ends = match hello.leaves {
            true => None,
            false => Some(Ends::of(hello.size, &mut fds)?.ok_or_else(wrong)?),
        };
        // More numbers than descriptors, or the reverse, would give the payload what it was not to have.
        if fds.len() != hello.keep.len() {
            return Err(wrong());
        }
        Ok(Some(First {
            stays: ends.map(|ends| (client, ends)),
            kept: hello.keep.into_iter().zip(fds).collect(),
        }))
    }

    /// Hands over the container's standard input.
    pub(super) fn give_stdin(&self, stdin: BorrowedFd) -> io::Result<()> {
        socket::send_with_fds(&self.socket, STDIN, &[stdin]).map(drop)
    }

    /// Hands over the container's terminal.
    pub(super) fn give_terminal(&self, master: BorrowedFd) -> io::Result<()> {
        socket::send_with_fds(&self.socket, TERMINAL, &[master]).map(drop)
    }

    /// Tells the end of the run; a client that is gone or does not listen misses it.
    pub(super) fn tell_exit(&self, record: &str) {
        let mut message = EXIT.to_vec();
        message.push(b'\n');
        message.extend(record.bytes().take(MAX_MESSAGE - message.len()));
        let _ = socket::send_with_fds(&self.socket, &message, &[]);
    }

    /// The connection of a client that a predecessor had.
    pub(super) fn of(number: u32, socket: OwnedFd) -> Self {
        Self { number, socket }
    }

    pub(super) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    /// Hands over what a successor would get.
    pub(super) fn give_state(&self, state: BorrowedFd) -> io::Result<()> {
        socket::send_with_fds(&self.socket, STATE, &[state]).map(drop)
    }

    /// Tells how a reload has ended; who does not listen any more misses it.
    pub(super) fn tell_reloaded(&self, refused: Option<&str>) {
        let message = match refused {
            None => RELOADED.to_vec(),
            Some(reason) => {
                let reason = reason.bytes().take(MAX_MESSAGE - REFUSED.len() - 1);
                REFUSED
                    .iter()
                    .copied()
                    .chain([b' '])
                    .chain(reason)
                    .collect()
            }
        };
        let _ = socket::send_with_fds(&self.socket, &message, &[]);
    }

    /// What the client said last.
    pub(super) fn read(&self) -> Said {
        let mut text = [0; 64];
        let message = match socket::recv_with_fds(&self.socket, &mut text, 2) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Said::Nothing,
            Ok(message) if message.bytes > 0 => message,
            Ok(_) | Err(_) => return Said::Gone,
        };
        let text = &text[..message.bytes];
        let mut fds = message.fds.into_iter();
        match Hello::parse(text) {
            Some(hello) => match Ends::of(hello.size, &mut fds) {
                Ok(Some(ends)) => Said::Hello(ends),
                Ok(None) => Said::Nothing,
                Err(_) => Said::Gone,
            },
            None if text == EOF => Said::Eof,
            None if text == RELOAD => Said::Reload,
            None if text == GO => fds.next().map_or(Said::Nothing, Said::Go),
            None => Said::Nothing,
        }
    }
}

impl Ends {
    /// Of the first two descriptors of a message.
    fn of(
        size: Option<(u16, u16)>,
        fds: &mut impl Iterator<Item = OwnedFd>,
    ) -> io::Result<Option<Self>> {
        let (Some(stdout), Some(stderr)) = (fds.next(), fds.next()) else {
            return Ok(None);
        };
        set_nonblocking(&stdout, true)?;
        set_nonblocking(&stderr, true)?;
        Ok(Some(Self {
            stdout,
            stderr,
            size,
        }))
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
