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
    /// cgroup.events of one payload; the exit file of the last run, which the next start removes; or the definition, which a
    /// rename replaces.
    File(ContainerId),
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
    /// The run whose cgroup.events is watched. Kernels up to 6.12 at least keep the watch of a cgroup that is gone.
    runs: HashMap<ContainerId, (String, WatchDescriptor)>,
}

impl Watch {
    pub(super) fn new(layout: &Layout) -> io::Result<Self> {
        let mut watch = Self {
            inotify: Inotify::init()?,
            targets: HashMap::new(),
            runs: HashMap::new(),
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
        // Both files are renamed into place; what else a start makes here must not wake anybody.
        let files = WatchMask::MOVED_TO | WatchMask::ONLYDIR;
        // What is not there yet is told by the directory above it.
        let _ = self.add(&layout.run_container(id), files, Target::Run(id.clone()));
        for file in [layout.exit_file(id), layout.definition(id)] {
            let _ = self.add(&file, WatchMask::DELETE_SELF, Target::File(id.clone()));
        }
        let Some(payload) = payload_of(layout, id) else {
            return;
        };
        if self
            .runs
            .get(id)
            .is_some_and(|(run, _)| *run == payload.nonce)
        {
            return;
        }
        self.forget_run(id);
        let events = payload.cgroup.join("cgroup.events");
        if let Ok(watch) = self.add(&events, WatchMask::MODIFY, Target::File(id.clone())) {
            self.runs.insert(id.clone(), (payload.nonce, watch));
        }
    }

    /// Ends the watch of a payload.
    pub(super) fn forget_run(&mut self, id: &ContainerId) {
        if let Some((_, watch)) = self.runs.remove(id) {
            self.targets.remove(&watch);
            // The kernel may have ended it before.
            let _ = self.inotify.watches().remove(watch);
        }
    }

    fn add(&mut self, path: &Path, mask: WatchMask, target: Target) -> io::Result<WatchDescriptor> {
        let descriptor = self.inotify.watches().add(path, mask)?;
        self.targets.insert(descriptor.clone(), target);
        Ok(descriptor)
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
                if event.mask.contains(inotify::EventMask::IGNORED) {
                    self.targets.remove(&event.wd);
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
                    Some(Target::File(id)) => {
                        news.containers.insert(id.clone());
                    }
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
        Target::Run(id) | Target::File(id) => Some(id.clone()),
    }
}
