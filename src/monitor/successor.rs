//! A reload: this program becomes the one that is installed now, with the same process, children and descriptors.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use super::client::Client;
use super::console::Console;
use super::engine::{Monitor, Payload};
use super::health::Looking;
use super::k8s_file::K8sFile;
use super::kept::{self, Kept, KeptError, Open};
use super::launch::{self, Launch, Said};
use super::output::Stream;
use super::proxy::Proxy;
use super::setup::{Context, RESUME, RunRequest, SetupError};
use crate::definition::LogDriver;
use crate::lifecycle::Run;
use crate::sys::exec::{Exec, take_inherited};
use crate::sys::process::{Child, Pidfd};
use crate::sys::time::boottime;
use crate::types::{StopKind, chain};

impl Monitor {
    /// Shows a client what a successor would get.
    pub(super) fn show(&self, number: u32) {
        let Some(client) = self.clients.iter().find(|client| client.number == number) else {
            return;
        };
        if self.is_ending() {
            return client.tell_reloaded(None);
        }
        let shown = self.keep(number, None).and_then(|(kept, _)| {
            let file = kept::to_file(&kept.render())?;
            Ok(client.give_state(file.as_fd())?)
        });
        if let Err(error) = shown {
            client.tell_reloaded(Some(&chain(&*error)));
        }
    }

    /// Becomes the successor; the client hears why not.
    pub(super) fn succeed(&mut self, number: u32, change: OwnedFd) {
        let refused = match self.is_ending() {
            true => None,
            false => {
                let Err(error) = self.become_successor(number, &change);
                let reason = chain(&*error);
                eprintln!("<4>reload: {reason}; going on as before");
                Some(reason)
            }
        };
        if let Some(client) = self.clients.iter().find(|client| client.number == number) {
            client.tell_reloaded(refused.as_deref());
        }
    }

    /// Whether there is to be no successor, and nothing that a reload could change.
    fn is_ending(&self) -> bool {
        self.machine.stop != StopKind::None || self.machine.ended.is_some()
    }

    fn become_successor(
        &self,
        number: u32,
        change: &OwnedFd,
    ) -> Result<Infallible, Box<dyn Error>> {
        let (kept, open) = self.keep(number, Some(change))?;
        let state = kept::to_file(&kept.render())?;
        let mut open = open;
        let resume = format!("{RESUME}={}", open.keep(&state));
        let mut args = std::env::args_os();
        let program = args.next().ok_or("the program's own path is not known")?;
        let args = args.filter(|arg| !arg.to_string_lossy().starts_with(RESUME));
        let program = Exec::new(program)
            .arg(resume)
            .args(args)
            .envs(std::env::vars_os())
            .keep_signals();
        let program = open
            .into_inner()
            .into_iter()
            .fold(program, |program, fd| program.fd(fd.as_raw_fd(), fd));
        Err(program.exec_now().into())
    }

    /// What a successor gets, and the descriptors that it finds open. There is none while anything but the payload goes on.
    fn keep<'a>(
        &'a self,
        caller: u32,
        change: Option<&'a OwnedFd>,
    ) -> Result<(Kept, Open<'a>), Box<dyn Error>> {
        let (Some(run), Some(launch), Some(payload), None) = (
            self.machine.render(),
            &self.launch,
            &self.payload,
            &self.worker,
        ) else {
            return Err("the container is being started or stopped".into());
        };
        let mut open = Open::default();
        let mut keep = |fd: &'a OwnedFd| open.keep(fd);
        let kept = Kept {
            id: self.context.id.clone(),
            nonce: self.context.nonce.clone(),
            run,
            launch: launch.clone(),
            payload: (payload.pid, payload.started),
            looking: self
                .looking
                .as_ref()
                .map(|looking| (looking.child.pid, looking.since)),
            took: self.took,
            streams: self
                .streams
                .iter()
                .map(|stream| stream.keep(&mut keep))
                .collect(),
            stdin: self.stdin.as_ref().map(&mut keep),
            console: self.console.as_ref().map(|console| console.keep(&mut keep)),
            proxy: self.proxy.as_ref().map(|proxy| keep(proxy.socket())),
            clients: self
                .clients
                .iter()
                .map(|client| (client.number, keep(client.socket())))
                .collect(),
            next_client: self.next_client,
            caller,
            limits: self.limits.keep(),
            change: change.map(&mut keep),
        };
        Ok((kept, open))
    }

    /// Goes on with a run that a program before this one has begun.
    pub(super) fn resume(request: &RunRequest, state: RawFd) -> Result<Self, SetupError> {
        let take = SetupError::system("take over the container");
        let text = take_inherited(state).and_then(kept::from_file);
        let kept = Kept::parse(&text.map_err(take)?)?;
        let mut monitor = Self::empty(Context::resume(request, &kept)?)?;
        let caller = kept.caller;
        monitor
            .take(kept)
            .map_err(SetupError::system("take over the container"))?;
        // What has happened since the other one looked last.
        monitor.noticed = true;
        monitor.collect();
        if let Some(client) = monitor
            .clients
            .iter()
            .find(|client| client.number == caller)
        {
            client.tell_reloaded(None);
        }
        Ok(monitor)
    }

    fn take(&mut self, kept: Kept) -> io::Result<()> {
        let bad = |field| io::Error::other(KeptError::Field(field));
        let mut launch = kept.launch;
        self.machine = Run::resume(&kept.run, launch.policy).ok_or_else(|| bad("RUN"))?;
        self.machine.watchdog = self.context.watchdog.map(|time| time / 2);
        let (pid, started) = kept.payload;
        // Both are children of ours that nobody else waits for: the numbers are their own.
        self.payload = Some(Payload {
            pid,
            pidfd: Some(Pidfd::open(pid)?),
            started,
        });
        if let Some((pid, since)) = kept.looking {
            let pidfd = Pidfd::open(pid)?;
            let child = Child { pid, pidfd };
            self.looking = Some(Looking { child, since });
        }
        self.took = kept.took;
        let named = (self.context.cgroup.name(), self.context.name.as_str());
        for stream in kept.streams {
            self.streams.push(Stream::again(stream, named)?);
        }
        self.stdin = kept.stdin.map(take_inherited).transpose()?;
        self.console = kept.console.map(Console::again).transpose()?;
        let proxy = kept.proxy.map(take_inherited).transpose()?;
        self.proxy = proxy.map(|socket| Proxy::of(socket, &self.context.cgroup));
        for (number, socket) in kept.clients {
            let socket = take_inherited(socket)?;
            self.clients.push(Client::of(number, socket));
        }
        self.next_client = kept.next_client;
        self.limits.resume(&kept.limits);
        if launch.driver == LogDriver::K8sFile
            && let Some(path) = &launch.log_file
        {
            // One that cannot be opened any more loses lines, as one that cannot be written does.
            self.log_file = K8sFile::open(path, launch.log_max).ok();
        }
        let change = kept
            .change
            .map(|fd| take_inherited(fd).and_then(kept::from_file));
        if let Some(text) = change.transpose()? {
            launch = self.change(&text).ok_or_else(|| bad("CHANGE"))?;
        }
        self.launch = Some(launch);
        Ok(())
    }

    /// Takes over what has changed in the definition.
    fn change(&mut self, text: &str) -> Option<Launch> {
        let Said::Ready(launch) = launch::parse(text) else {
            return None;
        };
        let effects = self
            .machine
            .change(launch.policy, launch.restart, boottime());
        self.perform(effects);
        Some(*launch)
    }
}
