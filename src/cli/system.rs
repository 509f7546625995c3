//! Verbs for the shipped units: `system restore`, `container cleanup`.

use clap::ArgMatches;

use super::Host;
use super::error::CliError;
use crate::container::restore;
use crate::types::NameError;

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    debug_assert_eq!(args.subcommand_name(), Some("restore"));
    let systemd = host.systemd()?;
    restore::restore(host.site(&systemd))?;
    Ok(0)
}

pub(super) fn cleanup(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let name = args.get_one::<String>("name").expect("clap demands a name");
    let refused = |error: NameError| CliError::Usage(error.to_string());
    let systemd = host.systemd()?;
    restore::clean_up(host.site(&systemd), &name.parse().map_err(refused)?)?;
    Ok(0)
}
