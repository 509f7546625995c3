//! `stop`.

use clap::{ArgMatches, Command};

use super::error::CliError;
use super::{Host, args, output, ps, select};
use crate::container::stop::{self, Patience};

/// The grammar.
pub(super) fn command() -> Command {
    let command = Command::new("stop").about("Stop containers");
    select::by_name(command, "All that run")
        .arg(select::cidfile())
        .arg(ps::filter())
        .arg(args::switch(
            "ignore",
            Some('i'),
            "One that is not there is no error",
        ))
        .arg(args::seconds())
}

/// `-t`.
pub(super) fn patience(args: &ArgMatches) -> Patience {
    args.get_one::<i64>("time")
        .map_or(Patience::Own, |seconds| Patience::from_seconds(*seconds))
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let chosen = select::choose(args, host, site, |_| true)?;
    select::each(&chosen, |one| {
        match one.load(host) {
            // It removed itself meanwhile.
            Err(error) if error.is_not_found() && args.get_flag("all") => return Ok(()),
            definition => stop::stop(site, &definition?, patience(args))?,
        }
        output::say(&one.shown)
    })
}
