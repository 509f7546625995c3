//! A client attached to a run from its first instruction on ([`crate::api::client`]).

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use super::ContainerError;
use crate::api::{ExitRecord, Layout, client};
use crate::store::ensure_private;
use crate::sys::move_data::{self, Moved};
use crate::sys::poll::{Interest, Poller};
use crate::sys::signals::SignalFd;
use crate::sys::socket::{self, Kind};
use crate::types::ContainerId;

/// Bytes moved per turn.
const TURN: usize = 1 << 20;
/// Capacity asked of each pipe; less costs turns, nothing else.
const PIPE: usize = 1 << 20;

const CONTROL: u64 = 0;
const OUTPUT: [u64; 2] = [1, 2];
const INPUT: u64 = 3;
const ROOM: u64 = 4;
const SIGNALS: u64 = 5;
const GIVE_UP: u64 = 6;

/// The listening side, made before the unit is started.
#[derive(Debug)]
pub struct Listener {
    socket: OwnedFd,
    path: PathBuf,
}

impl Listener {
    /// Makes the run directory and listens in it.
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

/// One output: the read end of the payload's pipe, and where its bytes go.
struct Output {
    pipe: OwnedFd,
    target: OwnedFd,
    splice: bool,
    open: bool,
}

impl Output {
    /// Moves what is there; false at the end.
    fn turn(&mut self, buffer: &mut Vec<u8>) -> io::Result<bool> {
        if self.splice {
            match move_data::splice(&self.pipe, &self.target, TURN) {
                Ok(Moved::Eof) => return Ok(false),
                Ok(Moved::Bytes(_)) => return Ok(true),
                // The pipe was readable: the target is full. Write the next piece and wait for it.
                Ok(Moved::WouldBlock) => {}
                Err(error) if error.raw_os_error() == Some(nix::libc::EINVAL) => {
                    self.splice = false;
                }
                Err(error) => return Err(error),
            }
        }
        buffer.resize(64 << 10, 0);
        match move_data::read(&self.pipe, buffer)? {
            Moved::Eof => Ok(false),
            Moved::WouldBlock => Ok(true),
            Moved::Bytes(count) => write_all(&self.target, &buffer[..count]).map(|()| true),
        }
    }
}

/// Writes everything, waiting for room where the descriptor is nonblocking.
fn write_all(target: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match move_data::write(target, bytes)? {
            Moved::Bytes(count) => bytes = &bytes[count..],
            Moved::Eof | Moved::WouldBlock => {
                let mut poller = Poller::new();
                poller.add(0, target, Interest::Write)?;
                poller.wait(None)?;
            }
        }
    }
    Ok(())
}

/// How the attachment ended.
#[derive(Debug)]
pub enum Detached {
    /// The monitor told the end of the run.
    Exit(Box<ExitRecord>),
    /// The monitor is gone without a word.
    Lost,
    /// The caller gave up before the monitor came.
    GivenUp,
}

/// Serves a run: moves input and output until the monitor tells the end and all output is written.
#[derive(Debug)]
pub struct Client<'a> {
    listener: Listener,
    stdin: BorrowedFd<'a>,
    give_up: OwnedFd,
    signals: Option<SignalFd>,
    interactive: bool,
}

impl<'a> Client<'a> {
    /// A client whose input is `stdin` if the container is interactive; whatever arrives at `give_up` ends it as long
    /// as no monitor has come.
    pub fn new(
        listener: Listener,
        stdin: BorrowedFd<'a>,
        give_up: OwnedFd,
        signals: Option<SignalFd>,
        interactive: bool,
    ) -> Self {
        Self {
            listener,
            stdin,
            give_up,
            signals,
            interactive,
        }
    }

    /// Serves the run; each signal that arrives is handed to `on_signal`.
    ///
    /// # Errors
    /// A pipe or socket failed; `BrokenPipe`: whoever read our output is gone.
    pub fn serve(self, on_signal: &mut dyn FnMut(i32)) -> io::Result<Detached> {
        let Some(control) = self.accept(on_signal)? else {
            return Ok(Detached::GivenUp);
        };
        let mut outputs = Vec::with_capacity(2);
        let mut ends = Vec::with_capacity(2);
        for target in [io::stdout().as_fd(), io::stderr().as_fd()] {
            let (pipe, end) = move_data::pipe()?;
            // Refused above the user's limit: then the default has to do.
            let _ = move_data::set_pipe_size(&end, PIPE);
            outputs.push(Output {
                pipe,
                target: target.try_clone_to_owned()?,
                splice: true,
                open: true,
            });
            ends.push(end);
        }
        socket::send_with_fds(&control, client::HELLO, &[ends[0].as_fd(), ends[1].as_fd()])?;
        drop(ends);
        let mut pump = Pump {
            control: Some(control),
            outputs,
            input: None,
            exit: None,
            poller: Poller::new(),
        };
        pump.run(&self, on_signal)
    }

    fn hand_over_signals(&self, on_signal: &mut dyn FnMut(i32)) -> io::Result<()> {
        if let Some(signals) = &self.signals {
            while let Some(info) = signals.read()? {
                on_signal(info.signo);
            }
        }
        Ok(())
    }

    fn accept(&self, on_signal: &mut dyn FnMut(i32)) -> io::Result<Option<OwnedFd>> {
        let mut poller = Poller::new();
        if let Some(signals) = &self.signals {
            poller.add(SIGNALS, signals, Interest::Read)?;
        }
        poller.add(CONTROL, &self.listener.socket, Interest::Read)?;
        poller.add(GIVE_UP, &self.give_up, Interest::Read)?;
        loop {
            poller.wait(None)?;
            self.hand_over_signals(on_signal)?;
            if let Some(socket) = socket::accept(&self.listener.socket)? {
                return Ok(Some(socket));
            }
            if poller.ready().any(|ready| ready.token == GIVE_UP) {
                return Ok(None);
            }
        }
    }
}

/// The container's standard input and what is on its way there.
struct Input {
    target: OwnedFd,
    waiting: Vec<u8>,
    at: usize,
}

struct Pump {
    control: Option<OwnedFd>,
    outputs: Vec<Output>,
    input: Option<Input>,
    exit: Option<Box<ExitRecord>>,
    poller: Poller,
}

impl Pump {
    fn run(&mut self, client: &Client<'_>, on_signal: &mut dyn FnMut(i32)) -> io::Result<Detached> {
        if let Some(control) = &self.control {
            self.poller.add(CONTROL, control, Interest::Read)?;
        }
        for (output, token) in self.outputs.iter().zip(OUTPUT) {
            self.poller.add(token, &output.pipe, Interest::Read)?;
        }
        if let Some(signals) = &client.signals {
            self.poller.add(SIGNALS, signals, Interest::Read)?;
        }
        let mut buffer = Vec::new();
        while self.control.is_some() || self.outputs.iter().any(|output| output.open) {
            self.poller.wait(None)?;
            let ready: Vec<u64> = self.poller.ready().map(|ready| ready.token).collect();
            for token in ready {
                match token {
                    CONTROL => self.hear(client)?,
                    SIGNALS => client.hand_over_signals(on_signal)?,
                    INPUT => self.take_input(client)?,
                    ROOM => self.give_input(client)?,
                    token => self.move_output(token, &mut buffer)?,
                }
            }
        }
        Ok(match self.exit.take() {
            Some(record) => Detached::Exit(record),
            None => Detached::Lost,
        })
    }

    fn move_output(&mut self, token: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        let at = usize::from(token == OUTPUT[1]);
        let output = &mut self.outputs[at];
        if !output.turn(buffer)? {
            self.poller.remove(token);
            output.open = false;
        }
        Ok(())
    }

    fn hear(&mut self, client: &Client<'_>) -> io::Result<()> {
        let Some(control) = &self.control else {
            return Ok(());
        };
        let mut text = [0; client::MAX_MESSAGE];
        let message = match socket::recv_with_fds(control, &mut text, 1) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => None,
            other => Some(other?).filter(|message| message.bytes > 0),
        };
        let Some(message) = message else {
            self.hang_up();
            return Ok(());
        };
        let text = &text[..message.bytes];
        if text == client::STDIN {
            if let (Some(target), true) = (message.fds.into_iter().next(), client.interactive) {
                move_data::set_nonblocking(&target, true)?;
                self.input = Some(Input {
                    target,
                    waiting: Vec::new(),
                    at: 0,
                });
                self.poller.add(INPUT, client.stdin, Interest::Read)?;
            }
        } else if let Some(record) = text.strip_prefix(client::EXIT) {
            let record = String::from_utf8_lossy(record);
            self.exit = ExitRecord::parse(record.trim_start()).ok().map(Box::new);
            self.hang_up();
        }
        Ok(())
    }

    fn hang_up(&mut self) {
        self.poller.remove(CONTROL);
        self.control = None;
        self.close_input();
    }

    fn take_input(&mut self, client: &Client<'_>) -> io::Result<()> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        input.waiting.resize(64 << 10, 0);
        let count = match move_data::read(client.stdin, &mut input.waiting) {
            Ok(Moved::Bytes(count)) => count,
            Ok(Moved::WouldBlock) => return Ok(()),
            // A terminal that is gone, or is not ours in the background: no more input.
            Ok(Moved::Eof) | Err(_) => 0,
        };
        if count == 0 {
            self.end_input();
            return Ok(());
        }
        input.waiting.truncate(count);
        input.at = 0;
        self.poller.remove(INPUT);
        self.poller.add(ROOM, &input.target, Interest::Write)?;
        self.give_input(client)
    }

    fn give_input(&mut self, client: &Client<'_>) -> io::Result<()> {
        let Some(input) = &mut self.input else {
            return Ok(());
        };
        while input.at < input.waiting.len() {
            match move_data::write(&input.target, &input.waiting[input.at..]) {
                Ok(Moved::Bytes(count)) => input.at += count,
                Ok(Moved::Eof | Moved::WouldBlock) => return Ok(()),
                // The payload has closed its input.
                Err(_) => {
                    self.close_input();
                    return Ok(());
                }
            }
        }
        self.poller.remove(ROOM);
        self.poller.add(INPUT, client.stdin, Interest::Read)
    }

    /// The client's input has ended: so shall the container's.
    fn end_input(&mut self) {
        self.close_input();
        if let Some(control) = &self.control {
            // A monitor that is gone needs no word.
            let _ = socket::send_with_fds(control, client::EOF, &[]);
        }
    }

    fn close_input(&mut self) {
        self.poller.remove(INPUT);
        self.poller.remove(ROOM);
        self.input = None;
    }
}
