//! The main process: one thread, one poll loop, signals first.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::time::Duration;

use super::client::{self, Client, Ends, First};
use super::console::{self, Console};
use super::effects::Unheard;
use super::health::Looking;
use super::k8s_file::K8sFile;
use super::launch::Launch;
use super::mirror::Mirror;
use super::notices::{Notice, Notices};
use super::output::{Stream, Wait};
use super::proxy::Proxy;
use super::setup::{Context, SetupError};
use super::streams::ContainerEnds;
use crate::api::client::{LATER, MAX_CLIENTS};
use crate::lifecycle::{Event, Run, State};
use crate::sys::move_data::pipe;
use crate::sys::poll::{Interest, Poller};
use crate::sys::process::{Child, How, Pidfd};
use crate::sys::time::boottime;

/// While the journal cannot be reached it is tried again this often.
const RETRY: Duration = Duration::from_millis(200);

const SIGNALS: u64 = 0;
const RUN_DIR: u64 = 1;
const CONSOLE: u64 = 2;
const LAUNCH: u64 = 3;
const STREAMS: u64 = 4;
const NOTIFY: u64 = 6;
const CLIENTS: u64 = 8;

/// The child that works for us now.
#[derive(Debug)]
pub(super) enum Worker {
    /// Builds the bundle and becomes the runtime.
    Prepare {
        child: Child,
        report: OwnedFd,
        /// It was seen alive after its report had ended: it is the runtime now.
        is_runtime: bool,
    },
    /// Waits for somebody who wants to have the container started.
    Wait(Child),
    /// Is the runtime that starts it.
    Start(Child),
    /// Cleans up.
    Cleanup(Child),
}

/// The container's first process.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) pid: i32,
    pub(super) pidfd: Option<Pidfd>,
    /// Microseconds since the epoch; 0 until it was started.
    pub(super) started: u64,
}

/// One run.
#[derive(Debug)]
pub(super) struct Monitor {
    pub(super) context: Context,
    pub(super) machine: Run,
    pub(super) events: VecDeque<Event>,
    pub(super) worker: Option<Worker>,
    pub(super) looking: Option<Looking>,
    /// How long the last look took.
    pub(super) took: Option<Duration>,
    pub(super) payload: Option<Payload>,
    pub(super) unheard: Option<Unheard>,
    /// Children that ended before we knew whose they are.
    pub(super) unknown: Vec<(i32, How)>,
    pub(super) launch: Option<Launch>,
    /// Closed once the runtime has them.
    pub(super) ends: Option<ContainerEnds>,
    /// Our end of the container's standard input.
    pub(super) stdin: Option<OwnedFd>,
    pub(super) streams: Vec<Stream>,
    /// The pipes' read ends until the log driver is known.
    pub(super) sources: Option<(OwnedFd, OwnedFd)>,
    /// What the first client wants its output in, until the log driver is known.
    pub(super) first: Option<Ends>,
    /// What the first client had for the payload: the runtime's once it has it.
    pub(super) kept: Vec<(i32, OwnedFd)>,
    pub(super) clients: Vec<Client>,
    /// Those that have hung up in this turn: the places of the others must not change meanwhile.
    gone: Vec<u32>,
    /// The number of the next client; 0 is the first one's.
    pub(super) next_client: u32,
    pub(super) console: Option<Console>,
    pub(super) proxy: Option<Proxy>,
    pub(super) log_file: Option<K8sFile>,
    pub(super) draining: bool,
    /// What the unit but for its payload has taken of the processors when a start was looked at last, microseconds.
    pub(super) spent: u64,
    pub(super) limits: Mirror,
    notices: Notices,
    /// SIGIO came, or nobody knows what has happened.
    pub(super) noticed: bool,
    /// A client that wants us to become another program, with what changes then.
    pub(super) successor: Option<(u32, OwnedFd)>,
    poller: Poller,
}

impl Worker {
    pub(super) fn child(&self) -> &Child {
        match self {
            Self::Prepare { child, .. } => child,
            Self::Wait(child) | Self::Start(child) | Self::Cleanup(child) => child,
        }
    }
}

impl Monitor {
    /// Everything that can fail before the first effect.
    pub(super) fn new(context: Context) -> Result<Self, SetupError> {
        let pipe = || pipe().map_err(SetupError::system("make a pipe"));
        let (stdin_read, stdin) = pipe()?;
        let (stdout, stdout_write) = pipe()?;
        let (stderr, stderr_write) = pipe()?;
        let mut monitor = Self::empty(context)?;
        monitor.ends = Some(ContainerEnds {
            stdin: stdin_read,
            stdout: stdout_write,
            stderr: stderr_write,
        });
        monitor.stdin = Some(stdin);
        monitor.sources = Some((stdout, stderr));
        monitor.attach_client();
        Ok(monitor)
    }

    /// One that watches, and has nothing yet.
    pub(super) fn empty(context: Context) -> Result<Self, SetupError> {
        let mut notices = Notices::of(&context.run_dir())
            .map_err(SetupError::system("watch the run directory"))?;
        let mut monitor = Self {
            machine: Run::begin().0,
            events: VecDeque::new(),
            worker: None,
            looking: None,
            took: None,
            payload: None,
            unheard: None,
            unknown: Vec::new(),
            launch: None,
            ends: None,
            stdin: None,
            streams: Vec::new(),
            sources: None,
            first: None,
            kept: Vec::new(),
            clients: Vec::new(),
            gone: Vec::new(),
            next_client: 1,
            console: None,
            proxy: None,
            log_file: None,
            draining: false,
            spent: 0,
            limits: Mirror::new(&context.cgroup, &mut notices),
            notices,
            noticed: false,
            successor: None,
            poller: Poller::new(),
            context,
        };
        monitor.watch().map_err(SetupError::system("poll"))?;
        Ok(monitor)
    }

    pub(super) fn attach_client(&mut self) {
        let path = self.context.layout.client_socket(&self.context.id);
        match Client::first(&path) {
            Ok(Some(First { stays, kept })) => {
                self.kept = kept;
                if let Some((client, ends)) = stays {
                    self.clients.push(client);
                    self.first = Some(ends);
                }
            }
            Ok(None) => {}
            Err(error) => eprintln!("<4>client of a foreground run: {error}; running without it"),
        }
    }

    fn watch(&mut self) -> io::Result<()> {
        self.poller
            .add(SIGNALS, &self.context.signals, Interest::Read)?;
        if let Some(fd) = self.notices.fd() {
            self.poller.add(RUN_DIR, fd, Interest::Read)?;
        }
        Ok(())
    }

    /// Runs to the end; the process then ends as the payload did.
    pub(super) fn run(&mut self) -> ExitCode {
        let (machine, effects) = Run::begin();
        self.machine = machine;
        self.machine.restart = self.context.restart;
        self.machine.watchdog = self.context.watchdog.map(|time| time / 2);
        self.perform(effects);
        self.go_on()
    }

    /// Turn after turn.
    pub(super) fn go_on(&mut self) -> ExitCode {
        loop {
            while let Some(event) = self.events.pop_front() {
                let effects = self.machine.step(event, boottime());
                self.perform(effects);
            }
            let (console, waits) = self.move_output();
            if !self.events.is_empty() {
                continue;
            }
            if let Some((client, change)) = self.successor.take() {
                self.succeed(client, change);
                continue;
            }
            if let Err(error) = self.wait(console, &waits) {
                // poll(2) fails for want of memory only: the turn is done all the same.
                eprintln!("<4>poll: {error}; trying again");
                std::thread::sleep(RETRY);
            }
            self.collect();
        }
    }

    /// One bounded turn of the terminal and of each stream.
    fn move_output(&mut self) -> (console::Wait, Vec<Wait>) {
        let console = self
            .console
            .as_mut()
            .map_or(console::Wait::Ended, Console::turn);
        if console == console::Wait::Ended {
            // Closes the pipe behind it, which ends the stream.
            self.console = None;
        }
        let log_file = &mut self.log_file;
        let waits: Vec<Wait> = self
            .streams
            .iter_mut()
            .map(|stream| stream.turn(log_file))
            .collect();
        if self.draining && waits.iter().all(|wait| *wait == Wait::Ended) {
            self.draining = false;
            self.events.push_back(Event::Drained);
        }
        while let Some(client) = self.streams.iter_mut().find_map(Stream::take_lost) {
            eprintln!("<5>a client does not read what the payload writes: detached it");
            self.forget(client);
        }
        (console, waits)
    }

    /// A client is gone, or is to go.
    fn forget(&mut self, number: u32) {
        self.clients.retain(|client| client.number != number);
        for stream in &mut self.streams {
            stream.drop_client(number);
        }
        if number == 0 {
            self.first = None;
        }
    }

    fn wait(&mut self, console: console::Wait, waits: &[Wait]) -> io::Result<()> {
        let mut timeout = self
            .machine
            .deadline()
            .map(|at| at.saturating_sub(boottime()));
        for (token, (stream, wait)) in (STREAMS..).zip(self.streams.iter().zip(waits)) {
            self.poller.remove(token);
            let limit = match wait {
                Wait::Nothing => Some(Duration::ZERO),
                Wait::Later => Some(RETRY),
                Wait::Client if stream.is_impatient() => Some(RETRY),
                Wait::Source | Wait::Client | Wait::Sink | Wait::Ended => None,
            };
            timeout = timeout.into_iter().chain(limit).min();
            if let Some((fd, write)) = stream.wait_on(*wait) {
                let interest = if write {
                    Interest::Write
                } else {
                    Interest::Read
                };
                self.poller.add(token, fd, interest)?;
            }
        }
        let unheard = self.unheard.as_ref();
        let deaf = unheard.map(|unheard| unheard.look_at.saturating_sub(boottime()));
        timeout = timeout.into_iter().chain(deaf).min();
        self.poller.remove(CONSOLE);
        if console == console::Wait::Nothing {
            timeout = Some(Duration::ZERO);
        }
        let terminal = self.console.as_ref();
        if let Some((fd, write)) = terminal.and_then(|terminal| terminal.wait_on(console)) {
            let interest = if write {
                Interest::Write
            } else {
                Interest::Read
            };
            self.poller.add(CONSOLE, fd, interest)?;
        }
        for at in 0..MAX_CLIENTS {
            self.poller.remove(CLIENTS + at as u64);
        }
        for (token, client) in (CLIENTS..).zip(&self.clients) {
            self.poller.add(token, client, Interest::Read)?;
        }
        self.poller.remove(NOTIFY);
        if let Some(proxy) = self.proxy.as_ref().filter(|_| self.payload.is_some()) {
            let rest = proxy.rests();
            timeout = timeout.into_iter().chain(rest).min();
            if rest.is_none() {
                self.poller.add(NOTIFY, proxy, Interest::Read)?;
            }
        }
        self.poller.remove(LAUNCH);
        if let Some(Worker::Prepare {
            report,
            is_runtime: false,
            ..
        }) = &self.worker
        {
            // Its record is small and waits in the pipe: only the end matters.
            self.poller.add(LAUNCH, report.as_fd(), Interest::Urgent)?;
        }
        self.poller.wait(timeout).map(drop)
    }

    /// Everything that happened, as events; signals first.
    pub(super) fn collect(&mut self) {
        self.collect_signals();
        let hung_up = self
            .poller
            .ready()
            .any(|ready| ready.token == LAUNCH && ready.hung_up);
        if hung_up {
            self.note_exec();
        }
        let noticed = std::mem::take(&mut self.noticed);
        if noticed || self.poller.ready().any(|ready| ready.token == RUN_DIR) {
            self.collect_run_dir(noticed);
        }
        if let Some(proxy) = &mut self.proxy
            && self.poller.ready().any(|ready| ready.token == NOTIFY)
        {
            proxy.pass(self.payload.as_ref().map(|payload| payload.pid));
        }
        self.collect_clients();
        self.signal_again();
        if self.machine.deadline().is_some_and(|at| boottime() >= at) {
            self.events.push_back(Event::Tick);
        }
    }

    fn collect_run_dir(&mut self, anything: bool) {
        let (mut recorded, mut asked, mut limited, mut came) = (false, false, false, false);
        let (mut probe, mut progress) = (false, false);
        let limits = &mut self.limits;
        let mut hear = |notice: Notice<'_>| match notice {
            Notice::Written(watch) => {
                limits.note(Some(watch));
                limited = true;
            }
            Notice::Came(name) => {
                recorded |= name == b"exit";
                asked |= name == b"stop-timeout";
                probe |= name == b"probe";
                progress |= name == b"progress";
                came |= name.starts_with(LATER.as_bytes());
            }
            Notice::Any => {
                limits.note(None);
                (recorded, asked, limited, came) = (true, true, true, true);
                (probe, progress) = (true, true);
            }
        };
        self.notices.read(&mut hear);
        if anything {
            hear(Notice::Any);
        }
        if limited {
            self.mirror_limits();
        }
        if came {
            self.meet_clients();
        }
        if progress {
            self.say_progress();
        }
        // systemd sends its signal once: a later `stop -t` is told by its file alone.
        if asked
            && matches!(self.machine.state, State::Stopping { .. })
            && let Some(timeout) = self.requested_timeout()
        {
            self.events.push_back(Event::StopRequested(Some(timeout)));
        }
        if probe && fs::exists(self.context.layout.probe_request(&self.context.id)).unwrap_or(false)
        {
            self.events.push_back(Event::ProbeRequested);
        }
        if recorded && fs::exists(self.context.layout.exit_file(&self.context.id)).unwrap_or(false)
        {
            self.events.push_back(Event::Recorded);
        }
    }

    /// Connects to the clients that wait in the run directory. Before the payload runs there is nothing for them.
    fn meet_clients(&mut self) {
        let directory = fs::read_dir(self.context.run_dir());
        for entry in directory.into_iter().flatten().flatten() {
            if !entry.file_name().as_bytes().starts_with(LATER.as_bytes()) {
                continue;
            }
            let path = entry.path();
            match Client::connect(&path, self.next_client) {
                // One that there is no room or nothing for sees the connection end.
                Ok(Some(_)) if self.clients.len() >= MAX_CLIENTS || self.payload.is_none() => {}
                Ok(Some(client)) => {
                    self.next_client += 1;
                    self.clients.push(client);
                }
                Ok(None) => {}
                Err(error) => eprintln!("<5>client {}: {error}; ignored", path.display()),
            }
        }
    }

    fn collect_clients(&mut self) {
        let mut at = 0;
        while let Some(ready) = self.poller.nth_ready(at) {
            at += 1;
            let place = ready.token.checked_sub(CLIENTS).map(|place| place as usize);
            let Some(client) = place.and_then(|place| self.clients.get(place)) else {
                continue;
            };
            let number = client.number;
            match client.read() {
                client::Said::Hello(ends) => self.attach(number, ends),
                client::Said::Eof => self.stdin = None,
                client::Said::Reload => self.show(number),
                client::Said::Go(change) => self.successor = Some((number, change)),
                client::Said::Gone => self.gone.push(number),
                client::Said::Nothing => {}
            }
        }
        while let Some(number) = self.gone.pop() {
            self.forget(number);
        }
    }
}
