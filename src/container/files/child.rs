//! A child that mounts in a namespace of its own, tells, and stays until it is let go.

use std::io::{self, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;

use crate::container::ContainerError;
use crate::sys::process::Child;
use crate::sys::worker::fork_worker;
use crate::types::chain;

/// The child.
pub(super) struct Helper {
    child: Child,
    told: String,
    release: PipeWriter,
}

impl Helper {
    /// Starts it and waits until its work is done, well or not.
    pub(super) fn start(work: impl FnOnce() -> Result<String, ContainerError>) -> io::Result<Self> {
        let (mut told, mut tell) = io::pipe()?;
        let (mut hold, release) = io::pipe()?;
        let (telling, releasing) = (tell.as_raw_fd(), release.as_raw_fd());
        let child = fork_worker(|| {
            let text = match work() {
                Ok(text) => format!("+{text}"),
                Err(error) => format!("-{}", chain(&error)),
            };
            // The parent sees the end of the pipe in any case.
            let _ = tell.write_all(text.as_bytes());
            let _ = nix::unistd::close(telling);
            let _ = nix::unistd::close(releasing);
            let _ = hold.read(&mut [0]);
            0
        })?;
        drop((tell, hold));
        let mut text = String::new();
        // What cannot be read is no answer.
        let _ = told.read_to_string(&mut text);
        Ok(Self {
            child,
            told: text,
            release,
        })
    }

    /// Its process, as long as it is not let go.
    pub(super) fn pid(&self) -> i32 {
        self.child.pid
    }

    /// What it told.
    pub(super) fn text(&self) -> io::Result<&str> {
        let failed = |reason: &str| Err(io::Error::other(reason.to_owned()));
        match (self.told.strip_prefix('+'), self.told.strip_prefix('-')) {
            (Some(text), _) => Ok(text),
            (_, Some(reason)) => failed(reason),
            _ => failed("the helper has ended without a word"),
        }
    }

    /// Lets it go, and waits for it.
    pub(super) fn end(self) {
        drop(self.release);
        // How it ended says nothing that it did not tell.
        let _ = self.child.wait();
    }
}
