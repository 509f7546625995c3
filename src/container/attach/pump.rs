//! Bytes on their way between a client and a payload.

use std::io::{self, IsTerminal};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use nix::libc;

use super::{Client, Detached, Keys};
use crate::api::{ExitRecord, client};
use crate::container::exec::Ends;
use crate::sys::move_data::{self, Moved};
use crate::sys::poll::{Interest, Poller};
use crate::sys::process::Pidfd;
use crate::sys::socket;
use crate::sys::terminal::{self, Raw};

/// Bytes moved per turn.
const TURN: usize = 1 << 20;
/// How long a user who has left waits for a payload that does not read what was typed before.
const REST_TIME: Duration = Duration::from_secs(1);

const CONTROL: u64 = 0;
const OUTPUT: [u64; 2] = [1, 2];
const INPUT: u64 = 3;
const ROOM: u64 = 4;
const SIGNALS: u64 = 5;
const ENDED: u64 = 6;

/// One output: where the payload's bytes come from, and where they go.
pub(super) struct Output {
    token: u64,
    source: OwnedFd,
    target: OwnedFd,
    splice: bool,
    open: bool,
}

impl Output {
    /// The read end of a pipe: of the standard output (0) or error (1).
    pub(super) fn pipe(at: usize, source: OwnedFd, target: OwnedFd) -> Self {
        Self {
            token: OUTPUT[at],
            source,
            target,
            splice: true,
            open: true,
        }
    }

    /// The master of a terminal.
    fn terminal(source: OwnedFd, target: OwnedFd) -> Self {
        Self {
            splice: false,
            ..Self::pipe(0, source, target)
        }
    }

    /// Moves what is there.
    fn turn(&mut self, buffer: &mut Vec<u8>) -> io::Result<Moved> {
        if self.splice {
            match move_data::splice(&self.source, &self.target, TURN) {
                // The pipe was readable: the target is full. Write the next piece and wait for it.
                Ok(Moved::WouldBlock) => {}
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => {
                    self.splice = false;
                }
                other => return other,
            }
        }
        buffer.resize(64 << 10, 0);
        match move_data::read(&self.source, buffer) {
            Ok(Moved::Bytes(count)) => {
                write_all(&self.target, &buffer[..count]).map(|()| Moved::Bytes(count))
            }
            // Nobody has the other end of a terminal open.
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(Moved::Eof),
            other => other,
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

/// The payload's input and what is on its way there.
struct Input {
    target: OwnedFd,
    waiting: Vec<u8>,
    at: usize,
}

/// What moves the bytes of one client.
pub(in crate::container) struct Pump {
    control: Option<OwnedFd>,
    /// Ends the pump when its process has ended: there is no monitor to tell it.
    process: Option<OwnedFd>,
    outputs: Vec<Output>,
    input: Option<Input>,
    /// The container's terminal, for its size.
    master: Option<OwnedFd>,
    keys: Option<Keys>,
    raw: Option<Raw>,
    by_keys: bool,
    /// How much of the last input was read by the payload after that, and since when.
    rest: Option<(usize, Instant)>,
    exit: Option<Box<ExitRecord>>,
    poller: Poller,
}

impl Pump {
    fn new(control: Option<OwnedFd>, outputs: Vec<Output>) -> Self {
        Self {
            control,
            process: None,
            outputs,
            input: None,
            master: None,
            keys: None,
            raw: None,
            by_keys: false,
            rest: None,
            exit: None,
            poller: Poller::new(),
        }
    }

    /// For a run: its monitor hands over the input and tells the end.
    pub(super) fn of_run(control: OwnedFd, outputs: Vec<Output>) -> Self {
        Self::new(Some(control), outputs)
    }

    /// For a process that has no monitor.
    pub(in crate::container) fn of_process(
        process: Pidfd,
        ends: Ends,
        client: &Client<'_>,
    ) -> io::Result<Self> {
        let to_stdout = io::stdout().as_fd().try_clone_to_owned()?;
        let mut pump = Self::new(None, Vec::new());
        pump.process = Some(process.into());
        match ends {
            Ends::Terminal(master) => {
                move_data::set_nonblocking(&master, true)?;
                let output = Output::terminal(master.try_clone()?, to_stdout);
                pump.outputs.push(output);
                pump.take_terminal(master, client)?;
            }
            Ends::Pipes {
                stdin,
                stdout,
                stderr,
            } => {
                let to_stderr = io::stderr().as_fd().try_clone_to_owned()?;
                let pipes = [(stdout, to_stdout), (stderr, to_stderr)];
                for (at, (pipe, target)) in pipes.into_iter().enumerate() {
                    // At the end it is emptied, and others may hold it open.
                    move_data::set_nonblocking(&pipe, true)?;
                    pump.outputs.push(Output::pipe(at, pipe, target));
                }
                if let Some(target) = stdin {
                    pump.take_target(target, client)?;
                }
            }
        }
        Ok(pump)
    }

    /// Moves bytes until there is nothing left to wait for.
    pub(in crate::container) fn run(
        mut self,
        client: &Client<'_>,
        on_signal: &mut dyn FnMut(i32),
    ) -> io::Result<Detached> {
        if let Some(control) = &self.control {
            self.poller.add(CONTROL, control, Interest::Read)?;
        }
        if let Some(process) = &self.process {
            self.poller.add(ENDED, process, Interest::Read)?;
        }
        for output in &self.outputs {
            self.poller
                .add(output.token, &output.source, Interest::Read)?;
        }
        if let Some(signals) = &client.signals {
            self.poller.add(SIGNALS, signals, Interest::Read)?;
        }
        let mut buffer = Vec::new();
        while self.goes_on() {
            let time = match self.by_keys {
                false => None,
                true => match self.time_for_rest() {
                    Some(time) => Some(time),
                    None => break,
                },
            };
            self.poller.wait(time)?;
            let ready: Vec<u64> = self.poller.ready().map(|ready| ready.token).collect();
            for token in ready {
                match token {
                    CONTROL => self.hear(client)?,
                    SIGNALS => self.hear_signals(client, on_signal)?,
                    INPUT => self.take_input(client)?,
                    ROOM => self.give_input(client)?,
                    ENDED => self.finish(&mut buffer)?,
                    token => self.move_output(token, &mut buffer)?,
                }
            }
        }
        Ok(match self.exit.take() {
            Some(record) => Detached::Exit(record),
            None if self.by_keys => Detached::ByKeys,
            None => Detached::Lost,
        })
    }

    /// What was typed before the keys that detach is the payload's: how long it may still wait; none: nothing does, or
    /// nobody reads it.
    fn time_for_rest(&mut self) -> Option<Duration> {
        let waiting = |input: &&Input| input.at < input.waiting.len();
        let at = self.input.as_ref().filter(waiting)?.at;
        let now = Instant::now();
        let since = match self.rest {
            Some((before, since)) if before == at => since,
            _ => now,
        };
        self.rest = Some((at, since));
        REST_TIME
            .checked_sub(now - since)
            .filter(|time| !time.is_zero())
    }

    fn goes_on(&self) -> bool {
        self.control.is_some()
            || self.process.is_some()
            || self.outputs.iter().any(|output| output.open)
    }

    fn hear_signals(
        &mut self,
        client: &Client<'_>,
        on_signal: &mut dyn FnMut(i32),
    ) -> io::Result<()> {
        let Some(signals) = &client.signals else {
            return Ok(());
        };
        while let Some(info) = signals.read()? {
            match (info.signo, &client.terminal) {
                (libc::SIGWINCH, Some(_)) => self.resize(client),
                (signal, _) => on_signal(signal),
            }
        }
        Ok(())
    }

    /// Makes the container's terminal as large as the user's.
    fn resize(&self, client: &Client<'_>) {
        if let (Some(master), Some(size)) = (&self.master, client.size()) {
            // One that is gone needs no size.
            let _ = terminal::set_size(master, size);
        }
    }

    fn move_output(&mut self, token: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
        let mut outputs = self.outputs.iter_mut();
        let Some(output) = outputs.find(|output| output.token == token) else {
            return Ok(());
        };
        if output.open && output.turn(buffer)? == Moved::Eof {
            self.poller.remove(token);
            output.open = false;
        }
        Ok(())
    }

    /// The process has ended: what it wrote is there, what others write later is not waited for.
    fn finish(&mut self, buffer: &mut Vec<u8>) -> io::Result<()> {
        for output in self.outputs.iter_mut().filter(|output| output.open) {
            while matches!(output.turn(buffer)?, Moved::Bytes(_)) {}
            output.open = false;
        }
        self.process = None;
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
        let fd = message.fds.into_iter().next();
        match fd {
            Some(master) if text == client::TERMINAL => self.take_terminal(master, client)?,
            Some(target) if text == client::STDIN && client.interactive => {
                self.take_target(target, client)?;
            }
            _ => {}
        }
        if let Some(record) = text.strip_prefix(client::EXIT) {
            let record = String::from_utf8_lossy(record);
            self.exit = ExitRecord::parse(record.trim_start()).ok().map(Box::new);
            self.hang_up();
        }
        Ok(())
    }

    /// From here on the user's terminal is the container's.
    fn take_terminal(&mut self, master: OwnedFd, client: &Client<'_>) -> io::Result<()> {
        if client.interactive {
            self.keys = client.terminal.as_ref().map(|shown| shown.keys.clone());
            if client.stdin.is_terminal() {
                self.raw = Some(Raw::enter(client.stdin)?);
            }
            self.take_target(master.try_clone()?, client)?;
        }
        self.master = Some(master);
        self.resize(client);
        Ok(())
    }

    fn take_target(&mut self, target: OwnedFd, client: &Client<'_>) -> io::Result<()> {
        move_data::set_nonblocking(&target, true)?;
        self.input = Some(Input {
            target,
            waiting: Vec::new(),
            at: 0,
        });
        self.poller.add(INPUT, client.stdin, Interest::Read)
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
        if let Some(keys) = &mut self.keys {
            (input.waiting, self.by_keys) = keys.take(&input.waiting);
        }
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

    /// The client's input has ended: so shall the container's. A terminal has no end of its own.
    fn end_input(&mut self) {
        self.close_input();
        if let (Some(control), None) = (&self.control, &self.master) {
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
