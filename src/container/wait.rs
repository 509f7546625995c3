//! Waits for the end of a run: before it, during it, after it, and after the container was removed.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use inotify::{Inotify, WatchMask};

use super::observe::{Exit, Observation, State, observe};
use super::{ContainerError, Site};
use crate::api::{ExitRecord, Layout};
use crate::store::{self, StoreError};
use crate::sys::poll::{Interest, Poller};
use crate::sys::process::Pidfd;
use crate::types::ContainerId;

/// Whether a container that a user means is there, or was.
///
/// # Errors
/// There is no such container and no record of a removed one.
pub fn is_known(layout: &Layout, text: &str) -> Result<(), ContainerError> {
    match store::lookup(layout, text) {
        Err(error @ StoreError::NoSuchContainer(_)) => match removed(layout, text)? {
            Some(_) => Ok(()),
            None => Err(error.into()),
        },
        found => found.map(drop).map_err(Into::into),
    }
}

/// Waits until the container that a user means is not running, and tells how its run ended; none: it never ran, and
/// no start is being prepared.
///
/// # Errors
/// There is no such container and no record of a removed one, or systemd did not answer.
pub fn wait(site: Site<'_>, text: &str) -> Result<Option<Exit>, ContainerError> {
    match store::lookup(site.layout, text) {
        Ok(id) => match never_ran(site, &id)? {
            true => Ok(None),
            false => wait_for(site, &id).map(Some),
        },
        Err(error @ StoreError::NoSuchContainer(_)) => {
            Ok(Some(removed(site.layout, text)?.ok_or(error)?))
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether a container never ran, and no start is being prepared.
///
/// # Errors
/// Its definition cannot be read, or systemd did not answer.
pub fn never_ran(site: Site<'_>, id: &ContainerId) -> Result<bool, ContainerError> {
    match store::load(site.layout, id) {
        Ok(definition) => {
            let unit = definition.unit();
            // In this order: what starts between the two is seen.
            let over = site.manager.status(&unit)?.active_state.is_over();
            let seen = observe(site.layout, site.manager, &definition)?;
            Ok(over && seen.state == State::Created && seen.exit.is_none() && seen.monitor == 0)
        }
        Err(StoreError::NoSuchContainer(_)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Waits for a container by its id; one that never ran until it has.
///
/// # Errors
/// As [`wait`].
pub fn wait_for(site: Site<'_>, id: &ContainerId) -> Result<Exit, ContainerError> {
    let mut watch = Watch::new(site.layout, id)?;
    let mut run: Option<String> = None;
    loop {
        let seen = match store::load(site.layout, id) {
            Ok(definition) => observe(site.layout, site.manager, &definition)?,
            Err(error @ StoreError::NoSuchContainer(_)) => {
                return Ok(removed(site.layout, id.as_str())?.ok_or(error)?);
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(exit) = end_of(&seen, run.as_deref()) {
            return Ok(exit);
        }
        if run.is_none() && seen.state.has_payload() {
            run = Some(seen.nonce.clone());
        }
        site.manager.disconnect();
        watch.next(site.layout, id, &seen)?;
    }
}

/// How the run that is waited for ended, if it has.
fn end_of(seen: &Observation, run: Option<&str>) -> Option<Exit> {
    match seen.state {
        State::Exited => seen.exit.clone(),
        // A start that failed; one that is being prepared has no end yet.
        State::Created => seen.exit.clone().filter(|exit| match exit {
            Exit::Recorded(record) => record.nonce == seen.nonce || seen.nonce.is_empty(),
            _ => false,
        }),
        State::Running | State::Paused | State::Stopping => {
            // It was restarted while nobody looked.
            let other = run.is_some_and(|run| run != seen.nonce);
            seen.exit.clone().filter(|_| other)
        }
        State::Initialized | State::Removing | State::Unknown => None,
    }
}

/// The exit record of a container that is gone: by id, unique beginning of an id, or the name it had.
///
/// # Errors
/// More than one id begins so.
pub fn removed(layout: &Layout, text: &str) -> Result<Option<Exit>, ContainerError> {
    let mut records: Vec<ExitRecord> = fs::read_dir(layout.exits())
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| {
            let name = entry.file_name();
            name.to_str()
                .is_some_and(|name| name.parse::<ContainerId>().is_ok())
        })
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .filter_map(|text| ExitRecord::parse(&text).ok())
        .collect();
    records.sort_by_key(|record| std::cmp::Reverse(record.finished));
    let exact = |record: &&ExitRecord| record.name.as_str() == text || record.id.as_str() == text;
    if let Some(record) = records.iter().find(exact) {
        return Ok(Some(Exit::Recorded(record.clone())));
    }
    let ids = records.iter().map(|record| record.id.clone());
    match store::unique_prefix(ids, text) {
        Ok(id) => Ok(records
            .into_iter()
            .find(|record| record.id == id)
            .map(Exit::Recorded)),
        Err(StoreError::NoSuchContainer(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What tells that something may have changed: the run directories, and the end of the monitor.
struct Watch {
    /// None where the user has no instance left: then it is looked again and again.
    inotify: Option<Inotify>,
    has_run_directory: bool,
    /// How long a look without a monitor to wait for is good for.
    idle: Duration,
}

/// A unit without a monitor is about to end, or to start: systemd tells of the change to nobody who is not on its bus.
const IDLE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(250));

const INOTIFY: u64 = 0;
const MONITOR: u64 = 1;

impl Watch {
    fn new(layout: &Layout, id: &ContainerId) -> Result<Self, ContainerError> {
        let run = layout.run();
        let exits = layout.exits();
        for directory in [&run, &exits] {
            store::ensure_private(directory)?;
        }
        let inotify = match Inotify::init() {
            Ok(inotify) => Some(inotify),
            Err(error) if error.raw_os_error() == Some(nix::libc::EMFILE) => None,
            Err(error) => return Err(ContainerError::io("watch", &run)(error)),
        };
        let mut watch = Self {
            inotify,
            has_run_directory: false,
            idle: IDLE.0,
        };
        for directory in [&run, &exits] {
            watch
                .add(directory)
                .map_err(ContainerError::io("watch", directory))?;
        }
        watch.add_run_directory(layout, id)?;
        Ok(watch)
    }

    fn add(&mut self, path: &Path) -> io::Result<()> {
        let mask = WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::DELETE;
        match &self.inotify {
            Some(inotify) => inotify.watches().add(path, mask).map(drop),
            None => Ok(()),
        }
    }

    fn add_run_directory(
        &mut self,
        layout: &Layout,
        id: &ContainerId,
    ) -> Result<(), ContainerError> {
        let path = layout.run_container(id);
        match self.add(&path) {
            Ok(()) => self.has_run_directory = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(ContainerError::io("watch", path)(error)),
        }
        Ok(())
    }

    /// Returns when something happened, or when it is to be looked at again at once.
    fn next(
        &mut self,
        layout: &Layout,
        id: &ContainerId,
        seen: &Observation,
    ) -> Result<(), ContainerError> {
        if !self.has_run_directory {
            self.add_run_directory(layout, id)?;
            if self.has_run_directory {
                return Ok(());
            }
        }
        let failed = || ContainerError::io("wait for", id.as_str());
        let pid = i32::try_from(seen.monitor).ok().filter(|pid| *pid > 0);
        // One that ended between the two looks is none.
        if let Some(monitor) = pid.and_then(|pid| Pidfd::open(pid).ok()) {
            self.idle = IDLE.0;
            let time = self.inotify.is_none().then_some(IDLE.1);
            return self.poll(Some(&monitor), time).map_err(failed());
        }
        let time = self.idle;
        self.idle = (time * 2).min(IDLE.1);
        self.poll(None, Some(time)).map_err(failed())
    }

    fn poll(&mut self, monitor: Option<&Pidfd>, time: Option<Duration>) -> io::Result<()> {
        let mut poller = Poller::new();
        if let Some(inotify) = &self.inotify {
            poller.add(INOTIFY, inotify.as_fd(), Interest::Read)?;
        }
        if let Some(monitor) = monitor {
            poller.add(MONITOR, monitor, Interest::Read)?;
        }
        poller.wait(time)?;
        let mut buffer = [0; 4096];
        let Some(inotify) = &mut self.inotify else {
            return Ok(());
        };
        match inotify.read_events(&mut buffer) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(()),
        }
    }
}
