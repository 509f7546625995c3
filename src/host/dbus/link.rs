//! The connection and the loop that drives it.

use std::future::Future;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use zbus::connection::Builder;

use super::inbox::Inbox;
use super::wire::{Ends, Wire};

/// What is at the other end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The program itself (systemd's private socket).
    Peer,
    /// A message bus.
    Bus,
}

/// What the owner wants after a pause of the loop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// To go on.
    Continue,
    /// To give up what is being waited for.
    Stop,
}

/// A D-Bus connection driven by its owner.
#[derive(Debug)]
pub struct Link {
    connection: zbus::Connection,
    wire: Arc<Wire>,
}

/// How long the loop sleeps at most before it asks its owner again, milliseconds: a signal ends poll(2) at once, unless
/// it came just before.
const PAUSE: u16 = 200;

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Link {
    /// Connects to a socket and authenticates.
    ///
    /// # Errors
    /// No socket there, nobody listens, or authentication failed.
    pub fn connect(path: &Path, kind: Kind) -> Result<Self, zbus::Error> {
        let wire = Wire::connect(path)?;
        let ends = Ends {
            wire: Arc::clone(&wire),
            inbox: (kind == Kind::Peer).then(Inbox::default),
        };
        let builder = Builder::socket(ends).internal_executor(false);
        let builder = match kind {
            Kind::Peer => builder.p2p(),
            Kind::Bus => builder,
        };
        let connection = drive(&wire, None, builder.build(), &mut sleep)
            .expect("sleep never asks to stop the loop")?;
        Ok(Self { connection, wire })
    }

    /// The connection; its futures make progress only within [`Link::run`].
    pub fn connection(&self) -> &zbus::Connection {
        &self.connection
    }

    /// Runs a future to its end.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        drive(&self.wire, Some(&self.connection), future, &mut sleep)
            .expect("sleep never asks to stop the loop")
    }

    /// Runs a future to its end, or until `pause` says [`Step::Stop`] (then `None`).
    ///
    /// `pause` is called whenever there is nothing to do. It must wait for the descriptor given, with the events given,
    /// or return at once; it answers what it has seen.
    pub fn run_with<F: Future>(
        &self,
        future: F,
        pause: &mut dyn FnMut(BorrowedFd<'_>, PollFlags) -> (PollFlags, Step),
    ) -> Option<F::Output> {
        drive(&self.wire, Some(&self.connection), future, pause)
    }

    /// As [`Link::run`], but gives up when `stop` is set (then `None`).
    pub fn run_until<F: Future>(&self, future: F, stop: &AtomicBool) -> Option<F::Output> {
        self.run_with(future, &mut |fd, events| {
            let seen = if stop.load(Ordering::Acquire) {
                PollFlags::empty()
            } else {
                sleep(fd, events).0
            };
            let step = match stop.load(Ordering::Acquire) {
                true => Step::Stop,
                false => Step::Continue,
            };
            (seen, step)
        })
    }
}

impl Drop for Link {
    /// zbus's own tasks keep the socket open, as nobody runs them to their end: without this a client that has turned to
    /// another connection would still be one of the bus's, and systemd would go on to send it all signals.
    fn drop(&mut self) {
        self.wire.close();
    }
}

fn sleep(fd: BorrowedFd<'_>, events: PollFlags) -> (PollFlags, Step) {
    let mut fds = [PollFd::new(fd, events)];
    let seen = match poll(&mut fds, PollTimeout::from(PAUSE)) {
        Ok(_) => fds[0].revents().unwrap_or(PollFlags::POLLERR),
        Err(Errno::EINTR) => PollFlags::empty(),
        // poll(2) fails only for want of memory then; the read that follows tells what is wrong.
        Err(_) => PollFlags::POLLERR,
    };
    (seen, Step::Continue)
}

fn drive<F: Future>(
    wire: &Wire,
    connection: Option<&zbus::Connection>,
    future: F,
    pause: &mut dyn FnMut(BorrowedFd<'_>, PollFlags) -> (PollFlags, Step),
) -> Option<F::Output> {
    let woken = Arc::new(Flag(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return Some(output);
        }
        let worked = connection.is_some_and(|connection| tick(connection, &mut context));
        if woken.0.swap(false, Ordering::AcqRel) || worked {
            continue;
        }
        let (seen, step) = pause(wire.fd(), wire.interest());
        wire.wake(seen);
        if step == Step::Stop {
            return None;
        }
    }
}

/// Runs the tasks that are ready; whether there were any.
fn tick(connection: &zbus::Connection, context: &mut Context<'_>) -> bool {
    let mut worked = false;
    loop {
        let tick = pin!(connection.executor().tick());
        if tick.poll(context).is_pending() {
            return worked;
        }
        worked = true;
    }
}

/// The socket of the system bus below a root directory (D-Bus specification, "Well-known Message Bus Instances").
pub fn system_bus(root: &Path) -> PathBuf {
    root.join("run/dbus/system_bus_socket")
}
