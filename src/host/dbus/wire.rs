//! The socket under a [`super::Link`].

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use nix::poll::PollFlags;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};

use super::inbox::Inbox;

/// A non-blocking unix socket and the tasks that wait for it.
#[derive(Debug)]
pub(super) struct Wire {
    stream: UnixStream,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    read: Option<Waker>,
    write: Option<Waker>,
}

impl Wire {
    pub(super) fn connect(path: &Path) -> io::Result<Arc<Self>> {
        let stream = UnixStream::connect(path)?;
        stream.set_nonblocking(true)?;
        Ok(Arc::new(Self {
            stream,
            waiting: Mutex::default(),
        }))
    }

    /// Tells the other end that nobody is here any more.
    pub(super) fn close(&self) {
        // It fails if the other end was first.
        let _ = self.stream.shutdown(Shutdown::Both);
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// What poll(2) should wait for.
    pub(super) fn interest(&self) -> PollFlags {
        let waiting = self.waiting();
        let mut flags = PollFlags::empty();
        flags.set(PollFlags::POLLIN, waiting.read.is_some());
        flags.set(PollFlags::POLLOUT, waiting.write.is_some());
        flags
    }

    /// Wakes the tasks that what poll(2) saw concerns; errors and hang-up concern both.
    pub(super) fn wake(&self, seen: PollFlags) {
        let broken = seen.intersects(PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL);
        let mut waiting = self.waiting();
        let read = (broken || seen.contains(PollFlags::POLLIN))
            .then(|| waiting.read.take())
            .flatten();
        let write = (broken || seen.contains(PollFlags::POLLOUT))
            .then(|| waiting.write.take())
            .flatten();
        drop(waiting);
        read.into_iter().chain(write).for_each(Waker::wake);
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The wire as zbus wants it.
#[derive(Debug)]
pub(super) struct Ends {
    pub(super) wire: Arc<Wire>,
    pub(super) inbox: Option<Inbox>,
}

#[derive(Debug)]
pub(super) struct ReadEnd(Ends);

#[derive(Debug)]
pub(super) struct WriteEnd {
    wire: Arc<Wire>,
    peer: bool,
}

impl Socket for Ends {
    type ReadHalf = ReadEnd;
    type WriteHalf = WriteEnd;

    fn split(self) -> Split<ReadEnd, WriteEnd> {
        let write = WriteEnd {
            wire: Arc::clone(&self.wire),
            peer: self.inbox.is_some(),
        };
        Split::new(ReadEnd(self), write)
    }
}

/// `None` where the call has to wait.
fn attempt<T>(mut call: impl FnMut() -> io::Result<T>) -> Option<io::Result<T>> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            result => return Some(result),
        }
    }
}

#[async_trait::async_trait]
impl ReadHalf for ReadEnd {
    async fn recvmsg(&mut self, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let Ends { wire, inbox } = &mut self.0;
        poll_fn(|cx| {
            let read = || match inbox {
                Some(inbox) => inbox.read(&wire.stream, buf),
                None => (&wire.stream).read(buf),
            };
            match attempt(read) {
                Some(result) => Poll::Ready(result.map(|count| (count, Vec::new()))),
                None => {
                    wire.waiting().read = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[async_trait::async_trait]
impl WriteHalf for WriteEnd {
    async fn sendmsg(&mut self, buffer: &[u8], _fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        if self.peer && buffer == BEGIN {
            return Ok(buffer.len());
        }
        if self.peer && buffer.starts_with(b"\0AUTH ") {
            let written = self.write(&[buffer, BEGIN].concat()).await?;
            // A new socket takes it whole, or something is very wrong.
            return match written == buffer.len() + BEGIN.len() {
                true => Ok(buffer.len()),
                false => Err(io::ErrorKind::WriteZero.into()),
            };
        }
        self.write(buffer).await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.wire.stream.shutdown(Shutdown::Both)
    }
}

/// The end of the handshake. systemd does not look at a message that it reads together with it until more comes, so it
/// goes out with the first line, as sd-bus sends it.
const BEGIN: &[u8] = b"BEGIN\r\n";

impl WriteEnd {
    async fn write(&self, buffer: &[u8]) -> io::Result<usize> {
        poll_fn(|cx| match attempt(|| (&self.wire.stream).write(buffer)) {
            Some(result) => Poll::Ready(result),
            None => {
                self.wire.waiting().write = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}
