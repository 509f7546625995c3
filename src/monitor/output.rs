//! The container's output on its way: pipe to journal, file or nowhere, and to the client of a foreground run.
//!
//! Bytes are spliced, not read, wherever the target is a socket. A client gets them first, by tee(2): what it does not
//! take stays in the container's pipe, so that the payload waits for it as in a shell.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use super::journal;
use super::k8s_file::K8sFile;
use crate::sys::move_data::{Moved, bytes_waiting, read, set_pipe_size, splice, tee};

/// Most bytes moved at once; a turn moves [`ROUNDS`] times as much, so that signals never wait long.
const CHUNK: usize = 64 << 10;
const ROUNDS: usize = 4;
/// Size of a client's pipe for what is left at the end of a run (pipe(7): the most without privilege).
const LAST_PIPE: usize = 1 << 20;

/// What a stream waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    /// Output of the container.
    Source,
    /// Room in the client's pipe.
    Client,
    /// Room in the journal's socket.
    Sink,
    /// Nothing: there is more to move.
    Nothing,
    /// A while: the journal cannot be reached.
    Later,
    /// Nothing any more: the container has closed it and all is moved.
    Ended,
}

/// Where a stream goes.
#[derive(Debug)]
pub(super) enum Sink {
    Journal {
        stream: Option<OwnedFd>,
        unit: String,
        identifier: String,
        priority: u8,
    },
    File,
    Null(OwnedFd),
}

/// One of the container's two outputs.
#[derive(Debug)]
pub(super) struct Stream {
    name: &'static str,
    source: OwnedFd,
    sink: Sink,
    client: Option<OwnedFd>,
    /// Bytes at the start of the source that the client already has.
    ahead: usize,
    ended: bool,
}

impl Stream {
    pub(super) fn new(
        name: &'static str,
        source: OwnedFd,
        client: Option<OwnedFd>,
        sink: Sink,
    ) -> Self {
        Self {
            name,
            source,
            sink,
            client,
            ahead: 0,
            ended: false,
        }
    }

    /// Moves what can be moved now, within bounds, and says what to wait for.
    pub(super) fn turn(&mut self, file: &mut Option<K8sFile>) -> Wait {
        if self.ended {
            return Wait::Ended;
        }
        for _ in 0..ROUNDS {
            let wait = self.move_once(file);
            if wait != Wait::Nothing {
                return wait;
            }
        }
        Wait::Nothing
    }

    fn move_once(&mut self, file: &mut Option<K8sFile>) -> Wait {
        if let (Some(client), 0) = (&self.client, self.ahead) {
            match tee(&self.source, client, CHUNK) {
                Ok(Moved::Bytes(count)) => self.ahead = count,
                Ok(Moved::Eof) => return self.end(),
                Ok(Moved::WouldBlock) if self.is_empty() => return Wait::Source,
                Ok(Moved::WouldBlock) => return Wait::Client,
                // It has closed its end: the container goes on without it.
                Err(_) => self.client = None,
            }
        }
        let limit = if self.ahead > 0 { self.ahead } else { CHUNK };
        match self.drain(limit, file) {
            Ok(Moved::Bytes(count)) => {
                self.ahead = self.ahead.saturating_sub(count);
                Wait::Nothing
            }
            Ok(Moved::Eof) => self.end(),
            Ok(Moved::WouldBlock) if self.is_empty() => Wait::Source,
            Ok(Moved::WouldBlock) => Wait::Sink,
            Err(_) => self.reconnect(),
        }
    }

    fn drain(&mut self, limit: usize, file: &mut Option<K8sFile>) -> io::Result<Moved> {
        match &self.sink {
            Sink::Journal {
                stream: Some(stream),
                ..
            } => splice(&self.source, stream, limit),
            Sink::Journal { stream: None, .. } => Err(io::ErrorKind::NotConnected.into()),
            Sink::Null(null) => splice(&self.source, null, limit),
            Sink::File => to_file(&self.source, limit, self.name, file),
        }
    }

    fn reconnect(&mut self) -> Wait {
        if let Sink::Journal {
            stream,
            unit,
            identifier,
            priority,
        } = &mut self.sink
        {
            *stream = journal::connect(unit, identifier, *priority).ok();
        }
        // Also with a new stream: a journald that has too many closes each at once.
        Wait::Later
    }

    fn end(&mut self) -> Wait {
        self.ended = true;
        self.client = None;
        Wait::Ended
    }

    fn is_empty(&self) -> bool {
        bytes_waiting(&self.source).is_ok_and(|count| count == 0)
    }

    /// The run has ended: makes room so that a client that does not read holds nothing up.
    pub(super) fn last_call(&mut self) {
        if let Some(client) = &self.client {
            // Without privilege the old size stays, and the deadline of the drain holds.
            let _ = set_pipe_size(client, LAST_PIPE);
        }
    }

    /// Throws away what is in the pipe: the words of a runtime that failed, which are reported otherwise.
    pub(super) fn discard(&mut self) {
        let mut buffer = [0; 4096];
        while !self.is_empty() && matches!(read(&self.source, &mut buffer), Ok(Moved::Bytes(_))) {}
    }

    pub(super) fn drop_client(&mut self) {
        self.client = None;
    }

    /// The descriptor to wait on, and whether for writing.
    pub(super) fn wait_on(&self, wait: Wait) -> Option<(BorrowedFd<'_>, bool)> {
        match (wait, &self.sink) {
            (Wait::Source, _) => Some((self.source.as_fd(), false)),
            (Wait::Client, _) => self.client.as_ref().map(|client| (client.as_fd(), true)),
            (
                Wait::Sink,
                Sink::Journal {
                    stream: Some(stream),
                    ..
                },
            ) => Some((stream.as_fd(), true)),
            (Wait::Sink | Wait::Nothing | Wait::Later | Wait::Ended, _) => None,
        }
    }
}

/// Reads what is there and writes it as lines. On its own, so that its buffer is on the stack of this driver only.
#[inline(never)]
fn to_file(
    source: &OwnedFd,
    limit: usize,
    name: &str,
    file: &mut Option<K8sFile>,
) -> io::Result<Moved> {
    let mut buffer = [0; 16 << 10];
    let limit = limit.min(buffer.len());
    // The source blocks on read(2): ask first.
    let moved = match bytes_waiting(source)? {
        0 => tee_probe(source)?,
        _ => read(source, &mut buffer[..limit])?,
    };
    if let (Moved::Bytes(count), Some(file)) = (moved, file) {
        file.write(name, &buffer[..count]);
    }
    Ok(moved)
}

/// Tells an empty pipe from one whose writers are gone, without blocking.
fn tee_probe(source: &OwnedFd) -> io::Result<Moved> {
    let (_keep, write) = crate::sys::move_data::pipe()?;
    tee(source, write, 1)
}
