//! `kill`.

use clap::ArgMatches;

use super::error::CliError;
use super::{Host, output, targets};
use crate::container::kill;
use crate::types::{Signal, SignalError};

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let text = args.get_one::<String>("signal").expect("it has a default");
    let refused = |error: SignalError| CliError::Usage(format!("kill: {error}"));
    let signal: Signal = text.parse().map_err(refused)?;
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    targets::each(targets::texts(args, "containers"), |text| {
        kill::kill(site, &targets::find(&host.layout, text)?, signal)?;
        output::say(text)
    })
}
