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

    /// Hands descriptors over for the payload of a run that is to start, and does not stay. Whatever arrives at `give_up`
    /// ends it as long as no monitor has come.
    ///
    /// # Errors
    /// A socket failed.
    pub fn hand_over(&self, keep: &[(i32, OwnedFd)], give_up: impl AsFd) -> io::Result<()> {
        let Some(control) = self.accept(give_up.as_fd(), None, &mut |_| {})? else {
            return Ok(());
        };
        let wanted = Wanted {
            outputs: [false; 2],
            keep,
        };
        let hello = client::Hello {
            size: None,
            leaves: true,
            keep: wanted.numbers(),
        };
        let fds: Vec<BorrowedFd> = wanted.kept().collect();
        socket::send_with_fds(&control, &hello.render(), &fds).map(drop)
    }

    fn accept(
        &self,
        give_up: BorrowedFd,
        signals: Option<&SignalFd>,
        on_signal: &mut dyn FnMut(i32),
    ) -> io::Result<Option<OwnedFd>> {
        let mut poller = Poller::new();
        if let Some(signals) = signals {
            poller.add(SIGNALS, signals, Interest::Read)?;
        }
        poller.add(LISTENER, &self.socket, Interest::Read)?;
        poller.add(GIVE_UP, give_up, Interest::Read)?;
        loop {
            poller.wait(None)?;
            if let Some(signals) = signals {
                while let Some(info) = signals.read()? {
                    on_signal(info.signo);
                }
            }
            if let Some(socket) = socket::accept(&self.socket)? {
                return Ok(Some(socket));
            }
            if poller.ready().any(|ready| ready.token == GIVE_UP) {
                return Ok(None);
            }
        }
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

/// What a client wants of a run.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Standard output, standard error.
    pub outputs: [bool; 2],
    /// Descriptors for the payload, with the numbers that it gets them under.
    pub keep: &'a [(i32, OwnedFd)],
}

impl Wanted<'_> {
    /// All output, and nothing for the payload.
    pub const OUTPUT: Self = Self {
        outputs: [true; 2],
        keep: &[],
    };

    fn numbers(&self) -> Vec<i32> {
        self.keep.iter().map(|(number, _)| *number).collect()
    }

    fn kept(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.keep.iter().map(|(_, fd)| fd.as_fd())
    }
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
        wanted: Wanted<'_>,
        on_signal: &mut dyn FnMut(i32),
    ) -> io::Result<Detached> {
        let signals = self.signals.as_ref();
        let Some(control) = listener.accept(give_up.as_fd(), signals, on_signal)? else {
            return Ok(Detached::GivenUp);
        };
        let mut outputs = Vec::with_capacity(2);
        let mut ends = Vec::with_capacity(2);
        let targets =
            [io::stdout().as_fd(), io::stderr().as_fd()].map(|fd| fd.try_clone_to_owned());
        for (target, wants) in targets.into_iter().zip(wanted.outputs) {
            let (pipe, end) = move_data::pipe()?;
            // The monitor sees that nobody reads the other pipe, and the payload does not wait for it.
            if wants {
                // Refused above the user's limit: then the default has to do.
                let _ = move_data::set_pipe_size(&end, PIPE);
                outputs.push(Output::pipe(ends.len(), pipe, target?));
            }
            ends.push(end);
        }
        let size = self.terminal.as_ref().and_then(|_| self.size());
        let hello = client::Hello {
            size: size.map(|size| (size.rows, size.columns)),
            leaves: false,
            keep: wanted.numbers(),
        };
        let fds: Vec<BorrowedFd> = ends.iter().map(AsFd::as_fd).chain(wanted.kept()).collect();
        socket::send_with_fds(&control, &hello.render(), &fds)?;
        drop(ends);
        Pump::of_run(control, outputs).run(self, on_signal)
    }

    /// The size of the terminal that the user sits at, if there is one.
    fn size(&self) -> Option<Size> {
        user_size(self.stdin)
    }
}
