//! A client attached to a run: from its first instruction on, or later ([`crate::api::client`]).

mod keys;
mod pump;

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::ContainerError;
use crate::api::{ExitRecord, Layout, client};
use crate::store::ensure_private;
use crate::sys::id::random_bytes;
use crate::sys::move_data;
use crate::sys::poll::{Interest, Poller};
use crate::sys::signals::SignalFd;
use crate::sys::socket::{self, Kind};
use crate::sys::terminal::{self, Size};
use crate::types::ContainerId;

pub use keys::{DEFAULT as DEFAULT_KEYS, Keys};
use pump::Output;
pub(super) use pump::Pump;

/// Capacity asked of each pipe; less costs turns, nothing else.
const PIPE: usize = 1 << 20;

const LISTENER: u64 = 0;
const GIVE_UP: u64 = 1;
const SIGNALS: u64 = 2;

/// The listening side.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
}

impl Listener {
    /// For a run that is to start: makes the run directory and listens in it.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn new(layout: &Layout, id: &ContainerId) -> Result<Self, ContainerError> {
        let directory = layout.run_container(id);
        ensure_private(&layout.run())?;
        ensure_private(&directory)?;
        let path = layout.client_socket(id);
        // A client that was killed left it.
        let _ = fs::remove_file(&path);
        Self::at(path)
    }

    /// For a run that goes on: calls its monitor, which answers if it can.
    ///
    /// # Errors
    /// The socket cannot be made.
    pub fn call(layout: &Layout, id: &ContainerId) -> Result<Self, ContainerError> {
        let bytes: [u8; 4] = random_bytes().map_err(ContainerError::io("make", "a name"))?;
        let tag: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut listener = Self::at(layout.run_container(id).join(format!("call-{tag}")))?;
        let path = layout.attach_socket(id, &tag);
        fs::rename(&listener.path, &path).map_err(ContainerError::io("rename", &path))?;
        listener.path = path;
        Ok(listener)
    }

    fn at(path: PathBuf) -> Result<Self, ContainerError> {
        let socket = socket::listen(&path, Kind::SeqPacket, 1)
            .map_err(ContainerError::io("listen at", &path))?;
        Ok(Self { socket, path })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The monitor removes it when it connects.
        let _ = fs::remove_file(&self.path);
    }
}

/// The size of the terminal that a user sits at: that of the input, or of the output.
pub fn user_size(stdin: BorrowedFd<'_>) -> Option<Size> {
    let stdout = io::stdout();
    let found = terminal::size(stdin).or_else(|_| terminal::size(&stdout));
    found.ok().filter(|size| size.rows > 0 || size.columns > 0)
}

/// How the attachment ended.
#[derive(Debug)]
pub enum Detached {
    /// The monitor told the end of the run.
    Exit(Box<ExitRecord>),
    /// The user has pressed the detach keys.
    ByKeys,
    /// The monitor is gone without a word.
    Lost,
    /// The caller gave up before the monitor came.
    GivenUp,
}

/// What a client knows of the container's terminal.
#[derive(Clone, Debug)]
pub struct Terminal {
    /// What detaches.
    pub keys: Keys,
}

/// A client: where its input comes from, and what it does with it.
#[derive(Debug)]
pub struct Client<'a> {
    /// Its input.
    pub stdin: BorrowedFd<'a>,
    /// Signals that it gets.
    pub signals: Option<SignalFd>,
    /// Its input is the container's too.
    pub interactive: bool,
    /// The container has a terminal.
    pub terminal: Option<Terminal>,
}

impl Client<'_> {
    /// Serves a run until the monitor tells the end and all output is written, or the user detaches. Each signal that
    /// arrives is handed to `on_signal`; whatever arrives at `give_up` ends it as long as no monitor has come.
    ///
    /// # Errors
    /// A pipe or socket failed; `BrokenPipe`: whoever read our output is gone.
    pub fn serve(
        &self,
        listener: Listener,
        give_up: impl AsFd,
        on_signal: &mut dyn FnMut(i32),
    ) -> io::Result<Detached> {
        let Some(control) = self.accept(&listener, give_up.as_fd(), on_signal)? else {
            return Ok(Detached::GivenUp);
        };
        let mut outputs = Vec::with_capacity(2);
        let mut ends = Vec::with_capacity(2);
        for target in [io::stdout().as_fd(), io::stderr().as_fd()] {
            let (pipe, end) = move_data::pipe()?;
            // Refused above the user's limit: then the default has to do.
            let _ = move_data::set_pipe_size(&end, PIPE);
            outputs.push(Output::pipe(pipe, target.try_clone_to_owned()?));
            ends.push(end);
        }
        let size = self.terminal.as_ref().and_then(|_| self.size());
        let hello = client::hello(size.map(|size| (size.rows, size.columns)));
        socket::send_with_fds(&control, &hello, &[ends[0].as_fd(), ends[1].as_fd()])?;
        drop(ends);
        Pump::of_run(control, outputs).run(self, on_signal)
    }

    /// The size of the terminal that the user sits at, if there is one.
    fn size(&self) -> Option<Size> {
        user_size(self.stdin)
    }

    fn accept(
        &self,
        listener: &Listener,
        give_up: BorrowedFd,
        on_signal: &mut dyn FnMut(i32),
    ) -> io::Result<Option<OwnedFd>> {
        let mut poller = Poller::new();
        if let Some(signals) = &self.signals {
            poller.add(SIGNALS, signals, Interest::Read)?;
        }
        poller.add(LISTENER, &listener.socket, Interest::Read)?;
        poller.add(GIVE_UP, give_up, Interest::Read)?;
        loop {
            poller.wait(None)?;
            if let Some(signals) = &self.signals {
                while let Some(info) = signals.read()? {
                    on_signal(info.signo);
                }
            }
            if let Some(socket) = socket::accept(&listener.socket)? {
                return Ok(Some(socket));
            }
            if poller.ready().any(|ready| ready.token == GIVE_UP) {
                return Ok(None);
            }
        }
    }
}
