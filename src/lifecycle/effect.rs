//! What the state machine asks the monitor to do.

use std::time::Duration;

use super::{Finish, Probe};
use crate::types::Signal;

/// One thing to do; none of them can fail in a way that the state machine would have to know at once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Fork the prepare worker, which becomes `runc run --detach`.
    Prepare,
    /// Tell that the container is made and waits, and fork the worker that waits for a start.
    Hold,
    /// Fork `runc start` of a container that waits.
    Release,
    /// Tell that the container runs, and systemd READY=1.
    Ready,
    /// Tell that the container runs; that it is ready is told later, or by others.
    Started,
    /// Tell systemd READY=1.
    Announce,
    /// Tell systemd's watchdog that all is well.
    Ping,
    /// Tell systemd that a stop is going on, and how long the payload has.
    Stopping(Option<Duration>),
    /// Tell systemd that the current state may last this much longer.
    Extend(Duration),
    /// The same of a start, if what prepares it is at work.
    ExtendStart(Duration),
    /// Send the payload's first process a signal.
    Signal(Signal),
    /// Thaw the payload's cgroup: a frozen payload ignores signals.
    Thaw,
    /// Kill every process of the payload's cgroup (cgroup.kill).
    KillPayload,
    /// Kill the worker or runtime that runs.
    AbortWorker,
    /// Fork the worker that runs this command.
    Probe(Probe),
    /// Tell what is known of the health; whether its status is another than before.
    TellHealth(bool),
    /// Kill the probe that runs.
    AbortProbe,
    /// Ask systemd to end this run as one that has failed its watchdog, and to begin another.
    AskForRestart,
    /// Write the exit file.
    WriteRecord,
    /// Fork the cleanup worker.
    Cleanup,
    /// Move what output is left; report [`super::Event::Drained`] when it is out.
    Drain,
    /// End the monitor.
    Finish(Finish),
}
