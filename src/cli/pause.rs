//! `pause` and `unpause`.

use clap::{ArgMatches, Command};

use super::error::CliError;
use super::{Host, output, ps, select};
use crate::container::observe::State;
use crate::container::pause;

/// The grammar of both.
pub(super) fn commands() -> [Command; 2] {
    let pause = Command::new("pause").about("Freeze payloads");
    let unpause = Command::new("unpause").about("Thaw payloads");
    [
        select::by_name(pause, "All that run"),
        select::by_name(unpause, "All that are paused"),
    ]
    .map(|command| command.arg(select::cidfile()).arg(ps::filter()))
}

/// `pause`.
pub(super) fn pause(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let chosen = select::choose(args, host, site, |state| state == State::Running)?;
    select::each(&chosen, |one| {
        pause::pause(site, &one.load(host)?)?;
        output::say(&one.shown)
    })
}

/// `unpause`.
pub(super) fn unpause(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let chosen = select::choose(args, host, site, |state| state == State::Paused)?;
    select::each(&chosen, |one| {
        pause::unpause(site, &one.load(host)?)?;
        output::say(&one.shown)
    })
}
