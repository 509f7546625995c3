//! The container's output on its way: pipe to journal, file or nowhere, and to clients.
//!
//! Bytes are spliced, not read, wherever the target is a socket. Clients get them first, by tee(2): what one does not
//! take stays in the container's pipe, so that the payload waits for it as in a shell.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use super::journal;
use super::k8s_file::K8sFile;
use super::kept::{KeptSink, KeptStream, KeptTap};
use crate::api::client::PATIENCE;
use crate::sys::exec::take_inherited;
use crate::sys::move_data::{Moved, bytes_waiting, is_unread, read, set_pipe_size, splice, tee};
use crate::sys::time::boottime;

/// Most bytes moved at once; a turn moves [`ROUNDS`] times as much, so that signals never wait long.
const CHUNK: usize = 64 << 10;
const ROUNDS: usize = 4;
/// Size of a client's pipe for what is left at the end of a run (pipe(7): the most without privilege).
const LAST_PIPE: usize = 1 << 20;

/// Names of the streams in log files.
pub(super) const STDOUT: &str = "stdout";
pub(super) const STDERR: &str = "stderr";

/// What a stream waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wait {
    /// Output of the container.
    Source,
    /// Room in a client's pipe.
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

impl Sink {
    /// What swallows everything.
    pub(super) fn null() -> Self {
        let null = OpenOptions::new().write(true).open("/dev/null");
        null.map_or(Self::File, |null| Self::Null(null.into()))
    }
}

/// A client's copy of the output.
#[derive(Debug)]
struct Tap {
    client: u32,
    pipe: OwnedFd,
    /// Bytes at the start of the source that it already has.
    has: usize,
    /// The payload waits for it, however long.
    patient: bool,
    /// Since when it has held the payload up (CLOCK_BOOTTIME).
    full: Option<Duration>,
}

/// One of the container's two outputs.
#[derive(Debug)]
pub(super) struct Stream {
    name: &'static str,
    source: OwnedFd,
    sink: Sink,
    taps: Vec<Tap>,
    /// A client that has held the payload up for too long.
    lost: Option<u32>,
    ended: bool,
}

impl Stream {
    pub(super) fn new(name: &'static str, source: OwnedFd, sink: Sink) -> Self {
        Self {
            name,
            source,
            sink,
            taps: Vec::new(),
            lost: None,
            ended: false,
        }
    }

    /// For a successor.
    pub(super) fn keep<'a>(&'a self, keep: &mut impl FnMut(&'a OwnedFd) -> RawFd) -> KeptStream {
        KeptStream {
            is_stderr: self.name == STDERR,
            source: keep(&self.source),
            sink: match &self.sink {
                Sink::Journal {
                    stream, priority, ..
                } => KeptSink::Journal(stream.as_ref().map(&mut *keep), *priority),
                Sink::File => KeptSink::File,
                Sink::Null(_) => KeptSink::Null,
            },
            taps: self
                .taps
                .iter()
                .map(|tap| KeptTap {
                    client: tap.client,
                    pipe: keep(&tap.pipe),
                    has: tap.has,
                    patient: tap.patient,
                })
                .collect(),
        }
    }

    /// That of a program before this one; lines in the journal are those of `unit` and `identifier`.
    pub(super) fn again(kept: KeptStream, (unit, identifier): (&str, &str)) -> io::Result<Self> {
        let sink = match kept.sink {
            KeptSink::Journal(stream, priority) => Sink::Journal {
                stream: stream.map(take_inherited).transpose()?,
                unit: unit.to_owned(),
                identifier: identifier.to_owned(),
                priority,
            },
            KeptSink::File => Sink::File,
            KeptSink::Null => Sink::null(),
        };
        let name = match kept.is_stderr {
            true => STDERR,
            false => STDOUT,
        };
        let mut stream = Self::new(name, take_inherited(kept.source)?, sink);
        for tap in kept.taps {
            stream.taps.push(Tap {
                client: tap.client,
                pipe: take_inherited(tap.pipe)?,
                has: tap.has,
                patient: tap.patient,
                full: None,
            });
        }
        Ok(stream)
    }

    /// Copies the output to a client from now on; the payload waits for one that is `patient` as long as it takes.
    pub(super) fn tap(&mut self, client: u32, pipe: OwnedFd, patient: bool) {
        self.taps.push(Tap {
            client,
            pipe,
            has: 0,
            patient,
            full: None,
        });
    }

    /// One bounded turn; what the stream then waits for.
    pub(super) fn turn(&mut self, file: &mut Option<K8sFile>) -> Wait {
        for _ in 0..ROUNDS {
            match self.round(file) {
                Wait::Nothing => {}
                other => return other,
            }
        }
        Wait::Nothing
    }

    fn round(&mut self, file: &mut Option<K8sFile>) -> Wait {
        if self.ended {
            return Wait::Ended;
        }
        if let Some(wait) = self.feed() {
            return wait;
        }
        let limit = self.taps.iter().map(|tap| tap.has).min();
        match self.drain(limit.unwrap_or(CHUNK), file) {
            Ok(Moved::Bytes(count)) => {
                for tap in &mut self.taps {
                    tap.has = tap.has.saturating_sub(count);
                }
                Wait::Nothing
            }
            Ok(Moved::Eof) => self.end(),
            Ok(Moved::WouldBlock) if self.is_empty() => Wait::Source,
            Ok(Moved::WouldBlock) => Wait::Sink,
            Err(_) => self.reconnect(),
        }
    }

    /// Gives every client the start of what waits, those that have a part of it already excepted: tee(2) copies from the
    /// start only. What then prevents that it is moved on.
    fn feed(&mut self) -> Option<Wait> {
        let mut wait = None;
        let mut at = 0;
        while at < self.taps.len() {
            let tap = &mut self.taps[at];
            let copied = match tap.has {
                0 => tee(&self.source, &tap.pipe, CHUNK),
                have => Ok(Moved::Bytes(have)),
            };
            match copied {
                Ok(Moved::Bytes(count)) => (tap.has, tap.full) = (count, None),
                Ok(Moved::Eof) => return Some(self.end()),
                Ok(Moved::WouldBlock)
                    if bytes_waiting(&self.source).is_ok_and(|count| count == 0) =>
                {
                    return Some(Wait::Source);
                }
                Ok(Moved::WouldBlock) => {
                    let now = boottime();
                    let since = *tap.full.get_or_insert(now);
                    if !tap.patient && now.saturating_sub(since) >= PATIENCE {
                        self.lost = Some(tap.client);
                        self.taps.remove(at);
                        continue;
                    }
                    wait = Some(Wait::Client);
                }
                // It has closed its end: the container goes on without it.
                Err(_) => {
                    self.taps.remove(at);
                    continue;
                }
            }
            at += 1;
        }
        wait
    }

    /// A client that was dropped since the last call.
    pub(super) fn take_lost(&mut self) -> Option<u32> {
        self.lost.take()
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
        self.taps.clear();
        Wait::Ended
    }

    fn is_empty(&self) -> bool {
        bytes_waiting(&self.source).is_ok_and(|count| count == 0)
    }

    /// The run has ended: makes room so that a client that does not read holds nothing up.
    pub(super) fn last_call(&mut self) {
        for tap in &self.taps {
            // Without privilege the old size stays, and the deadline of the drain holds.
            let _ = set_pipe_size(&tap.pipe, LAST_PIPE);
        }
    }

    /// Throws away what is in the pipe: the words of a runtime that failed, which are reported otherwise.
    pub(super) fn discard(&mut self) {
        let mut buffer = [0; 4096];
        while !self.is_empty() && matches!(read(&self.source, &mut buffer), Ok(Moved::Bytes(_))) {}
    }

    pub(super) fn drop_clients(&mut self) {
        self.taps.clear();
    }

    /// Whether journald has yet to read what it was given.
    pub(super) fn is_unread(&self) -> bool {
        match &self.sink {
            Sink::Journal { stream, .. } => stream.as_ref().is_some_and(is_unread),
            Sink::File | Sink::Null(_) => false,
        }
    }

    pub(super) fn drop_client(&mut self, client: u32) {
        self.taps.retain(|tap| tap.client != client);
    }

    /// Whether a client that the stream waits for may lose the payload's patience.
    pub(super) fn is_impatient(&self) -> bool {
        self.taps.iter().any(|tap| tap.has == 0 && !tap.patient)
    }

    /// The descriptor to wait on, and whether for writing.
    pub(super) fn wait_on(&self, wait: Wait) -> Option<(BorrowedFd<'_>, bool)> {
        match (wait, &self.sink) {
            (Wait::Source, _) => Some((self.source.as_fd(), false)),
            (Wait::Client, _) => {
                let mut waiting = self.taps.iter().filter(|tap| tap.has == 0);
                waiting.next().map(|tap| (tap.pipe.as_fd(), true))
            }
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
