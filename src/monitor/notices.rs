//! What is told about the run directory and the limits of the unit.
//!
//! inotify(7) says what has changed. A user has 128 instances of it by default, root too, and everybody on the host lives
//! on them: the monitors take half of them at most. The others are told by dnotify that something has changed, which has
//! no such limit, and look at everything.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};

use crate::sys::dnotify::{self, Change};

/// How many instances a user has, where the kernel does not say.
const INSTANCES: u64 = 128;

/// The source of notices in a run.
#[derive(Debug)]
pub(super) enum Notices {
    Inotify(Inotify),
    /// SIGIO tells; the descriptors keep it coming.
    Signal(Vec<OwnedFd>),
}

/// Something that has happened.
pub(super) enum Notice<'a> {
    /// A file with this name has come into the run directory.
    Came(&'a [u8]),
    /// A file that is watched was written.
    Written(&'a WatchDescriptor),
    /// Anything.
    Any,
}

impl Notices {
    /// Tells of files that come into the run directory.
    pub(super) fn of(run_dir: &Path) -> io::Result<Self> {
        if !are_scarce(run_dir) {
            match Inotify::init() {
                Ok(inotify) => {
                    inotify.watches().add(run_dir, WatchMask::MOVED_TO)?;
                    return Ok(Self::Inotify(inotify));
                }
                Err(error) if error.raw_os_error() == Some(nix::libc::EMFILE) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self::Signal(vec![dnotify::notify(run_dir, Change::Came)?]))
    }

    /// Tells of writes to the files of a directory that `watch_file` was called for.
    pub(super) fn watch_directory(&mut self, directory: &Path) {
        if let Self::Signal(directories) = self
            && let Ok(watch) = dnotify::notify(directory, Change::Written)
        {
            directories.push(watch);
        }
    }

    /// Watches a file, if each is watched by itself; `None` if it cannot be.
    pub(super) fn watch_file(&self, path: &Path) -> Option<Option<WatchDescriptor>> {
        match self {
            Self::Inotify(inotify) => inotify
                .watches()
                .add(path, WatchMask::MODIFY)
                .ok()
                .map(Some),
            Self::Signal(_) => Some(None),
        }
    }

    /// What becomes readable when something happens; otherwise SIGIO comes.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Inotify(inotify) => Some(inotify.as_fd()),
            Self::Signal(_) => None,
        }
    }

    /// Hands on all that has happened.
    pub(super) fn read(&mut self, mut hear: impl FnMut(Notice<'_>)) {
        let Self::Inotify(inotify) = self else {
            return hear(Notice::Any);
        };
        let mut buffer = [0; 4096];
        while let Ok(events) = inotify.read_events(&mut buffer) {
            for event in events {
                if event.mask.contains(EventMask::Q_OVERFLOW) {
                    hear(Notice::Any);
                } else if event.mask.contains(EventMask::MODIFY) {
                    hear(Notice::Written(&event.wd));
                } else if let Some(name) = event.name {
                    hear(Notice::Came(name.as_encoded_bytes()));
                }
            }
        }
    }
}

/// Whether the runs of this host have their half of the instances: each has a directory beside this one.
fn are_scarce(run_dir: &Path) -> bool {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").ok();
    let limit = limit.and_then(|text| text.trim().parse().ok());
    let runs = run_dir.parent().and_then(|runs| fs::metadata(runs).ok());
    runs.is_some_and(|runs| runs.nlink() > limit.unwrap_or(INSTANCES) / 2)
}
