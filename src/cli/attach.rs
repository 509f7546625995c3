//! `attach`: a client of a run that goes on.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::AtomicBool;

use clap::{Arg, ArgMatches, Command};

use super::error::CliError;
use super::foreground::Ties;
use super::{Host, args, foreground, ps, targets};
use crate::api::Layout;
use crate::container::attach::{Client, DEFAULT_KEYS, Detached, Keys, Listener, Terminal, Wanted};
use crate::container::observe::{State, observe};
use crate::container::{ContainerError, Site, conf, wait};
use crate::definition::{Definition, LogDriver, OptionError};
use crate::plan::conf::Conf;
use crate::store;
use crate::sys::process::Pidfd;

/// The grammar.
pub(super) fn command() -> Command {
    Command::new("attach")
        .about("Attach to a container that runs")
        .arg(keys_arg())
        .arg(ps::latest())
        .arg(args::toggle("no-stdin", "Do not send it any input"))
        .arg(
            args::toggle(
                "sig-proxy",
                "Send the signals that the client gets to the payload",
            )
            .default_value("true"),
        )
        .arg(Arg::new("container").value_name("CONTAINER"))
}

/// `--detach-keys`.
pub(super) fn keys_arg() -> Arg {
    Arg::new("detach-keys")
        .long("detach-keys")
        .value_name("KEYS")
        .allow_hyphen_values(true)
        .help("Keys that detach from a terminal (ctrl-p,ctrl-q); none: nothing does")
}

/// The keys: those of the command line, of containers.conf(5), or Podman's.
pub(super) fn keys(args: &ArgMatches, conf: &Conf) -> Result<Keys, CliError> {
    let wish = args.get_one::<String>("detach-keys");
    let text = wish.or(conf.engine.detach_keys.as_ref());
    let text = text.map_or_else(|| DEFAULT_KEYS.to_owned(), Clone::clone);
    let keys = Keys::parse(&text).map_err(|reason| OptionError {
        option: "--detach-keys".to_owned(),
        value: text,
        reason,
    });
    Ok(keys?)
}

/// The same for a container that is there.
pub(super) fn keys_of(
    args: &ArgMatches,
    layout: &Layout,
    definition: &Definition,
) -> Result<Keys, CliError> {
    let conf = conf::load(layout, &definition.options.conf);
    keys(args, &conf.map_err(ContainerError::from)?)
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let definition = targets::one(args, &host.layout)?;
    let systemd = host.systemd()?;
    let ties = Ties {
        signals: args::is_on(args, "sig-proxy"),
        input: !args::is_on(args, "no-stdin"),
        wanted: Wanted::OUTPUT,
    };
    let keys = definition.options.tty;
    let keys = keys.then(|| keys_of(args, &host.layout, &definition));
    connect(host.site(&systemd), &definition, ties, keys.transpose()?)
}

/// Serves a container that runs until it ends, or until the keys are pressed.
pub(super) fn connect(
    site: Site<'_>,
    definition: &Definition,
    ties: Ties<'_>,
    keys: Option<Keys>,
) -> Result<u8, CliError> {
    let options = &definition.options;
    let seen = observe(site.layout, site.manager, definition)?;
    if !matches!(seen.state, State::Running | State::Stopping) {
        let text = format!(
            "attaching to container {}: you can only attach to running containers",
            definition.id
        );
        return Err(CliError::Usage(text));
    }
    if options.log_driver == LogDriver::Passthrough {
        let text = format!(
            "container {}: attach: with --log-driver=passthrough its output is the journal's",
            definition.name
        );
        return Err(CliError::Usage(text));
    }
    let gone = || {
        CliError::Usage(format!(
            "container {}: its monitor is gone",
            definition.name
        ))
    };
    let monitor = i32::try_from(seen.monitor).map_err(|_| gone())?;
    let monitor: OwnedFd = Pidfd::open(monitor).map_err(|_| gone())?.into();
    let signals = foreground::signals()?;
    let listener = Listener::call(site.layout, &definition.id)?;
    site.manager.disconnect();
    let stdin = io::stdin();
    let client = Client {
        stdin: stdin.as_fd(),
        signals: Some(signals),
        interactive: options.interactive && ties.input,
        terminal: keys.map(|keys| Terminal { keys }),
    };
    let proxy = ties.signals;
    let started = AtomicBool::new(true);
    let (layout, id) = (site.layout, &definition.id);
    let mut signal = |signal| foreground::on_signal(layout, id, signal, &started, proxy);
    match foreground::moved(client.serve(listener, monitor, ties.wanted, &mut signal))? {
        Detached::ByKeys => Ok(0),
        Detached::Exit(record) => Ok(record.shell_code()),
        Detached::Lost | Detached::GivenUp => lost(site, definition),
    }
}

/// The monitor has hung up without telling the end: it has too many clients, or it is gone.
fn lost(site: Site<'_>, definition: &Definition) -> Result<u8, CliError> {
    let id = &definition.id;
    let exit = match store::load(site.layout, id) {
        Ok(_) => {
            let seen = observe(site.layout, site.manager, definition)?;
            if seen.state.has_payload() {
                let text = format!(
                    "container {}: attach: its monitor takes no more clients, or has dropped one that does not read",
                    definition.name
                );
                return Err(CliError::Usage(text));
            }
            seen.exit
        }
        Err(_) => wait::removed(site.layout, id.as_str())?,
    };
    exit.and_then(|exit| exit.code())
        .ok_or_else(|| CliError::Ended {
            name: definition.name.to_string(),
            reason: "monitor killed".to_owned(),
            code: 137,
        })
}
