//! `stop`.

use clap::ArgMatches;

use super::error::CliError;
use super::{Host, output, targets};
use crate::container::stop::{self, Patience};

/// `-t`.
pub(super) fn patience(args: &ArgMatches) -> Patience {
    args.get_one::<i64>("time")
        .map_or(Patience::Own, |seconds| Patience::from_seconds(*seconds))
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    targets::each(targets::texts(args, "containers"), |text| {
        let definition = targets::find(&host.layout, text)?;
        stop::stop(site, &definition, patience(args))?;
        output::say(text)
    })
}
