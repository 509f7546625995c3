//! What inotify(7) tells: containers made and removed, files of runs, freezing and death of payloads.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use inotify::{Inotify, WatchDescriptor, WatchMask};

use crate::api::Layout;
use crate::container::observe::payload_of;
use crate::types::ContainerId;

#[derive(Clone, Debug)]
enum Target {
    /// The directory of all containers.
    Containers,
    /// The directory of all run directories.
    Runs,
    /// One run directory.
    Run(ContainerId),
    /// cgroup.events of one payload.
    Payload(ContainerId),
}

/// What has to be looked at again.
#[derive(Debug, Default)]
pub(super) struct News {
    /// Containers were made or removed.
    pub(super) list: bool,
    /// Something happened to these.
    pub(super) containers: BTreeSet<ContainerId>,
}

/// The watches.
pub(super) struct Watch {
    inotify: Inotify,
    targets: HashMap<WatchDescriptor, Target>,
}

impl Watch {
    pub(super) fn new(layout: &Layout) -> io::Result<Self> {
        let mut watch = Self {
            inotify: Inotify::init()?,
            targets: HashMap::new(),
        };
        let entries = WatchMask::CREATE | WatchMask::MOVE | WatchMask::DELETE | WatchMask::ONLYDIR;
        watch.add(&layout.containers(), entries, Target::Containers)?;
        watch.add(&layout.run(), entries, Target::Runs)?;
        Ok(watch)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }

    /// Watches the current run of a container; what is watched already stays so.
    pub(super) fn follow(&mut self, layout: &Layout, id: &ContainerId) {
        let files = WatchMask::CREATE | WatchMask::MOVED_TO | WatchMask::ONLYDIR;
        // What is not there yet is told by the directory above it.
        let _ = self.add(&layout.run_container(id), files, Target::Run(id.clone()));
        if let Some(payload) = payload_of(layout, id) {
            let events = payload.cgroup.join("cgroup.events");
            let _ = self.add(&events, WatchMask::MODIFY, Target::Payload(id.clone()));
        }
    }

    fn add(&mut self, path: &Path, mask: WatchMask, target: Target) -> io::Result<()> {
        let descriptor = self.inotify.watches().add(path, mask)?;
        self.targets.insert(descriptor, target);
        Ok(())
    }

    /// Reads what has happened.
    pub(super) fn news(&mut self) -> io::Result<News> {
        let mut news = News::default();
        let mut buffer = [0; 4096];
        loop {
            let events = match self.inotify.read_events(&mut buffer) {
                Ok(events) => events,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(news),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for event in events {
                if event.mask.contains(inotify::EventMask::Q_OVERFLOW) {
                    news.list = true;
                    news.containers.extend(self.targets.values().filter_map(of));
                    continue;
                }
                let name = event.name.and_then(|name| name.to_str());
                match self.targets.get(&event.wd) {
                    Some(Target::Containers) => news.list |= name.is_some_and(is_id),
                    Some(Target::Runs) => {
                        news.containers
                            .extend(name.and_then(|name| name.parse().ok()));
                    }
                    Some(Target::Run(id)) if matches!(name, Some("exit" | "payload")) => {
                        news.containers.insert(id.clone());
                    }
                    Some(Target::Run(_)) | None => {}
                    Some(Target::Payload(id)) => {
                        news.containers.insert(id.clone());
                    }
                }
                if event.mask.contains(inotify::EventMask::IGNORED) {
                    self.targets.remove(&event.wd);
                }
            }
        }
    }
}

fn is_id(name: &str) -> bool {
    name.parse::<ContainerId>().is_ok()
}

fn of(target: &Target) -> Option<ContainerId> {
    match target {
        Target::Containers | Target::Runs => None,
        Target::Run(id) | Target::Payload(id) => Some(id.clone()),
    }
}
