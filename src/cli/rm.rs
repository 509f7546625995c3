//! `rm`.

use clap::ArgMatches;

use super::error::CliError;
use super::stop::patience;
use super::{Host, output, targets};
use crate::container::{ContainerError, remove};
use crate::store;

/// podman-rm(1), "Exit Status": one was not there; one runs.
const MISSING: u8 = 1;
const RUNNING: u8 = 2;

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let force = args.get_flag("force");
    targets::each(targets::texts(args, "containers"), |text| {
        let id = match store::lookup(&host.layout, text) {
            Err(error) if error.is_not_found() && force => return Ok(()),
            Err(error) if error.is_not_found() => return tell(&error.into(), MISSING),
            other => other?,
        };
        match remove::remove(site, &id, force, patience(args), args.get_flag("volumes")) {
            // It removed itself meanwhile.
            Err(error) if error.is_not_found() => output::say(text),
            Err(error @ ContainerError::State { .. }) => tell(&error.into(), RUNNING),
            Err(error) => Err(error.into()),
            Ok(()) => output::say(text),
        }
    })
}

fn tell(error: &CliError, code: u8) -> Result<(), CliError> {
    error.report();
    Err(CliError::Told(code))
}
