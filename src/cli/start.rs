//! `start`.

use clap::ArgMatches;

use super::error::CliError;
use super::{Host, output, run, targets};
use crate::container::start;

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    targets::each(targets::texts(args, "containers"), |text| {
        let definition = targets::find(&host.layout, text)?;
        start::start(site, &definition).inspect_err(|_| run::discard(site, &definition))?;
        output::say(text)
    })
}
