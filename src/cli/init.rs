//! `init`.

use clap::{ArgMatches, Command};

use super::error::CliError;
use super::{Host, output, select};
use crate::api::ExitCode;
use crate::container::observe::State;
use crate::container::{ContainerError, hold};

/// The grammar.
pub(super) fn command() -> Command {
    let about = "Make containers ready: all but their programs is started, which `start` does";
    select::by_name(Command::new("init").about(about), "All of them")
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let all = args.get_flag("all");
    let chosen = select::choose(args, host, site, |state| state != State::Unknown)?;
    select::each(&chosen, |one| {
        match hold::init(site, &one.load(host)?) {
            // Of all only those that can are meant.
            Err(ContainerError::State(_)) if all => {}
            // The codes of programs are for who starts them, as in Podman.
            Err(ContainerError::Start { name, reason, .. }) => {
                let code = ExitCode::Error.number();
                Err(ContainerError::Start { name, code, reason })?;
            }
            done => done?,
        }
        output::say(&one.shown)
    })
}
