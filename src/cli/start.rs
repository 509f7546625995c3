//! `start`.

use clap::{ArgMatches, Command};

use super::error::CliError;
use super::{Host, args, attach, foreground, output, ps, run, select};
use crate::container::attach::Wanted;
use crate::container::observe::{State, observe};
use crate::container::start;

/// The grammar.
pub(super) fn command() -> Command {
    let command = Command::new("start").about("Start containers");
    select::names(command)
        .arg(args::switch("all", None, "All that do not run"))
        .arg(ps::latest())
        .arg(args::switch(
            "attach",
            Some('a'),
            "Connect output and input, and end as the container does",
        ))
        .arg(args::switch("interactive", Some('i'), "The same"))
        .arg(args::toggle(
            "sig-proxy",
            "Send the signals that the client gets to the payload (with --attach)",
        ))
        .arg(attach::keys_arg())
        .arg(ps::filter())
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let attaches = args.get_flag("attach") || args.get_flag("interactive");
    let wrong = |text: &str| Err(CliError::Usage(text.to_owned()));
    let names = args
        .get_many::<String>("containers")
        .map_or(0, Iterator::count);
    let elsewhere = args.get_flag("all") || args.get_flag("latest") || args.contains_id("filter");
    if names == 0 && !elsewhere {
        return wrong("start requires at least one argument");
    }
    if names > 0 && args.get_flag("all") {
        return wrong("either start all containers or the container(s) provided in the arguments");
    }
    if attaches && (names > 1 || args.get_flag("all")) {
        return wrong("you cannot start and attach multiple containers at once");
    }
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let proxied = args.get_one::<bool>("sig-proxy").copied();
    if proxied == Some(true) && !attaches {
        return wrong("you cannot use sig-proxy without --attach");
    }
    // A signal must find somebody who passes it on.
    let signals = attaches.then(foreground::signals).transpose()?;
    let chosen = select::choose(args, host, site, |state| {
        !matches!(state, State::Running | State::Stopping)
    })?;
    if let Some(signals) = signals {
        let Some(one) = chosen.first() else {
            return Ok(0);
        };
        let definition = one.load(host)?;
        let ties = foreground::Ties {
            signals: proxied.unwrap_or(true),
            // As Podman: what --interactive says here, the container was told when it was made.
            input: true,
            wanted: Wanted::OUTPUT,
        };
        let keys = definition.options.tty;
        let keys = keys.then(|| attach::keys_of(args, &host.layout, &definition));
        let keys = keys.transpose()?;
        if observe(&host.layout, &systemd, &definition)?.state == State::Running {
            drop(signals);
            return attach::connect(site, &definition, ties, keys);
        }
        return foreground::run(site, &definition, signals, ties, keys);
    }
    select::each(&chosen, |one| {
        let definition = one.load(host)?;
        start::start(site, &definition).inspect_err(|_| run::discard(site, &definition))?;
        output::say(&one.shown)
    })
}
