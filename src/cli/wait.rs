//! `wait`.

use clap::ArgMatches;

use super::error::CliError;
use super::{Host, output, targets};
use crate::container::wait;

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    targets::each(targets::texts(args, "containers"), |text| {
        output::say(&wait::wait(site, text)?.code_text())
    })
}
