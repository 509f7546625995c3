//! The socket under a [`super::Link`].

use std::future::poll_fn;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use nix::poll::PollFlags;
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};

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

/// One half of a wire, as zbus wants it.
#[derive(Debug)]
pub(super) struct Half(pub(super) Arc<Wire>);

impl Socket for Half {
    type ReadHalf = Half;
    type WriteHalf = Half;

    fn split(self) -> Split<Half, Half> {
        Split::new(Half(Arc::clone(&self.0)), self)
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
impl ReadHalf for Half {
    async fn recvmsg(&mut self, buf: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        poll_fn(|cx| match attempt(|| (&self.0.stream).read(buf)) {
            Some(result) => Poll::Ready(result.map(|count| (count, Vec::new()))),
            None => {
                self.0.waiting().read = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

#[async_trait::async_trait]
impl WriteHalf for Half {
    async fn sendmsg(&mut self, buffer: &[u8], _fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
        poll_fn(|cx| match attempt(|| (&self.0.stream).write(buffer)) {
            Some(result) => Poll::Ready(result),
            None => {
                self.0.waiting().write = Some(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }

    async fn close(&mut self) -> io::Result<()> {
        self.0.stream.shutdown(std::net::Shutdown::Both)
    }
}
