//! An attached run: a real pipe or a terminal from the payload to the caller, and the caller's signals to the payload.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::libc;

use super::error::CliError;
use super::{INTERRUPT, output, run};
use crate::api::Layout;
use crate::container::attach::{Client, Detached, Keys, Listener, Terminal, Wanted};
use crate::container::observe::{Exit, observe, payload_of};
use crate::container::stop::Patience;
use crate::container::{ContainerError, Site, kill, restore, start, stop, wait};
use crate::definition::Definition;
use crate::store;
use crate::sys::move_data;
use crate::sys::signals::{SignalFd, SignalSet};
use crate::sys::terminal;
use crate::types::ContainerId;

/// Signals a client passes on; those of its own terminal, children and faults stay its own.
const PROXIED: [i32; 10] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGTERM,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGALRM,
    libc::SIGWINCH,
    libc::SIGCONT,
    libc::SIGVTALRM,
];

/// Blocks the signals that are passed on.
pub(super) fn signals() -> Result<SignalFd, CliError> {
    SignalSet::of(&PROXIED)
        .and_then(|set| SignalFd::new(&set))
        .map_err(CliError::io("block", "signals"))
}

/// What a client is connected to.
#[derive(Clone, Copy)]
pub(super) struct Ties<'a> {
    /// Its signals go to the payload.
    pub(super) signals: bool,
    /// Its standard input goes there, if the payload has one.
    pub(super) input: bool,
    /// What it gets of its output, and what the payload gets from it.
    pub(super) wanted: Wanted<'a>,
}

/// Starts a container and serves it until its unit is gone.
pub(super) fn run(
    site: Site<'_>,
    definition: &Definition,
    signals: SignalFd,
    ties: Ties<'_>,
    keys: Option<Keys>,
) -> Result<u8, CliError> {
    let proxy = ties.signals;
    let listener = Listener::new(site.layout, &definition.id)
        .inspect_err(|_| run::discard(site, definition))?;
    let (give_up, keep) = move_data::pipe().map_err(CliError::io("make", "a pipe"))?;
    let started = AtomicBool::new(false);
    let (layout, id) = (site.layout, &definition.id);
    let interactive = definition.options.interactive && ties.input;
    thread::scope(|scope| {
        let pump = scope.spawn(|| {
            let stdin = io::stdin();
            let client = Client {
                stdin: stdin.as_fd(),
                signals: Some(signals),
                interactive,
                terminal: keys.map(|keys| Terminal { keys }),
            };
            let mut signal = |signal| on_signal(layout, id, signal, &started, proxy);
            client.serve(listener, give_up, ties.wanted, &mut signal)
        });
        if let Err(error) = start::start(site, definition) {
            drop(keep);
            return Err(abandon(site, definition, error));
        }
        started.store(true, Ordering::Release);
        if ties.wanted.outputs == [false; 2] {
            output::say(id.as_str())?;
        }
        if INTERRUPT.swap(false, Ordering::AcqRel) {
            // It came when the job had just ended.
            drop(keep);
            return Err(cancel(site, definition));
        }
        // A monitor that could not connect never will: then there is nothing to serve but the end.
        drop(keep);
        let served = pump.join().expect("the pump does not panic");
        match moved(served)? {
            Detached::ByKeys => Ok(0),
            detached => finish(site, definition, detached),
        }
    })
}

/// Starts a container in the background whose payload gets descriptors of ours.
pub(super) fn start_with(
    site: Site<'_>,
    definition: &Definition,
    keep: &[(i32, OwnedFd)],
) -> Result<(), CliError> {
    if keep.is_empty() {
        return Ok(start::start(site, definition)?);
    }
    let listener = Listener::new(site.layout, &definition.id)?;
    let (give_up, stay) = move_data::pipe().map_err(CliError::io("make", "a pipe"))?;
    thread::scope(|scope| {
        let giving = scope.spawn(|| listener.hand_over(keep, give_up));
        let started = start::start(site, definition);
        // A monitor that has not come by now never will.
        drop(stay);
        let given = giving.join().expect("it does not panic");
        started?;
        given.map_err(CliError::io("hand over", "file descriptors"))
    })
}

/// What came of moving bytes. A reader that is gone ends us as it ends any program; the container goes on without us.
pub(super) fn moved(served: io::Result<Detached>) -> Result<Detached, CliError> {
    if matches!(&served, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
        crate::sys::process::die_like(libc::SIGPIPE);
    }
    served.map_err(CliError::io("move", "output"))
}

/// Before the payload runs a signal that ends programs cancels the start; later it is the payload's.
pub(super) fn on_signal(
    layout: &Layout,
    id: &ContainerId,
    signal: i32,
    started: &AtomicBool,
    proxy: bool,
) {
    let ending = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT].contains(&signal);
    if !started.load(Ordering::Acquire) {
        if ending {
            INTERRUPT.store(true, Ordering::Release);
        }
        return;
    }
    if !proxy {
        if ending {
            // As without a handler: the client goes, the container stays.
            terminal::restore();
            crate::sys::process::die_like(signal);
        }
        return;
    }
    let sent = payload_of(layout, id)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
        .and_then(|payload| kill::open(&payload))
        .and_then(|pidfd| pidfd.send_signal(signal));
    if let Err(error) = sent {
        tracing::info!(signal, %error, "signal found no payload");
    }
}

/// A start that failed or was given up: nothing of a `--rm` container stays.
fn abandon(site: Site<'_>, definition: &Definition, error: ContainerError) -> CliError {
    if let ContainerError::GivenUp { .. } = error {
        // The run that ends is not ours, and takes its time without us.
        if !site.layout.last_start(&definition.id).exists() {
            run::discard(site, definition);
        }
        return cancelled(definition);
    }
    if error.is_interrupted() {
        return cancel(site, definition);
    }
    run::discard(site, definition);
    error.into()
}

fn cancel(site: Site<'_>, definition: &Definition) -> CliError {
    if let Err(error) = stop::stop(site, definition, Patience::Seconds(0)) {
        tracing::warn!(name = %definition.name, %error, "not stopped");
    }
    run::discard(site, definition);
    cancelled(definition)
}

fn cancelled(definition: &Definition) -> CliError {
    CliError::Cancelled(format!("container {}: start", definition.name))
}

fn finish(site: Site<'_>, definition: &Definition, detached: Detached) -> Result<u8, CliError> {
    settle(site, definition)?;
    if definition.options.remove {
        run::forget(site, definition);
    }
    if let Detached::Exit(record) = detached {
        return Ok(record.shell_code());
    }
    let exit = match store::load(site.layout, &definition.id) {
        Ok(_) => observe(site.layout, site.manager, definition)?.exit,
        Err(_) => wait::removed(site.layout, definition.id.as_str())?,
    };
    if definition.options.remove {
        restore::clean_up(site, &definition.name)?;
    }
    match exit {
        Some(exit @ Exit::Recorded(_)) => Ok(exit.code().expect("a record has a code")),
        Some(exit @ (Exit::Told { .. } | Exit::MonitorKilled { .. })) => Err(CliError::Ended {
            name: definition.name.to_string(),
            reason: "monitor killed".to_owned(),
            code: exit.code().unwrap_or(137),
        }),
        Some(Exit::Unknown { .. }) | None => Err(CliError::Ended {
            name: definition.name.to_string(),
            reason: "monitor killed".to_owned(),
            code: 137,
        }),
    }
}

/// Waits until the unit is over: the monitor has told the end and has next to nothing left to do.
fn settle(site: Site<'_>, definition: &Definition) -> Result<(), CliError> {
    let unit = definition.unit();
    let first = site.manager.status(&unit)?;
    let (mut status, mut pause) = (first.clone(), Duration::from_millis(1));
    while !status.active_state.is_over()
        && status.invocation_id == first.invocation_id
        && !status.sub_state.starts_with("auto-restart")
    {
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
        status = site.manager.status(&unit)?;
    }
    Ok(())
}
