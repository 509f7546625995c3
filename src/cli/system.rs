//! Verbs for the shipped units and the monitor: `system restore`, `system settle`, `container cleanup`.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::Host;
use super::args::switch;
use super::error::CliError;
use crate::api::ExitCode;
use crate::container::deploy::{self, Deployment};
use crate::container::{ContainerError, hold, restore};
use crate::host::cgroup::UnitCgroup;
use crate::host::world;
use crate::sys::time::realtime;
use crate::types::{ContainerId, ContainerName, NameError, UnitName, chain};

/// The verb of a monitor, whose standard error nobody reads: what would be said there is printed too.
pub(super) const SETTLE: &str = "settle";

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    if let Some((SETTLE, args)) = args.subcommand() {
        return settle(args, host);
    }
    if let Some((WAIT, args)) = args.subcommand() {
        let unit = args.get_one::<String>("unit").expect("clap demands it");
        hold::wait(unit, args.get_flag("first")).map_err(ContainerError::from)?;
        return Ok(0);
    }
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

/// The verb of a monitor whose container waits for its start.
const WAIT: &str = "wait-for-start";

pub(super) fn wait_command() -> Command {
    Command::new(WAIT)
        .about("End when somebody starts a unit that is being started, for its monitor")
        .arg(Arg::new("unit").long("unit").required(true))
        .arg(switch("first", None, "Cancel the job that it has now"))
}

pub(super) fn settle_command() -> Command {
    let word = |name: &'static str| Arg::new(name).long(name).required(true);
    Command::new(SETTLE)
        .about("Write the container of a unit file down, for its monitor")
        .arg(word("unit").value_parser(|word: &str| word.parse::<UnitName>()))
        .arg(word("id").value_parser(|word: &str| word.parse::<ContainerId>()))
        .arg(
            word("file")
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            Arg::new("name")
                .required(true)
                .value_parser(|word: &str| word.parse::<ContainerName>()),
        )
}

/// A monitor reads what this prints: warnings, and the error with its exit code.
fn settle(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let unit = args.get_one::<UnitName>("unit").expect("clap demands it");
    let files: Vec<PathBuf> = args
        .get_many("file")
        .expect("clap demands it")
        .cloned()
        .collect();
    let deployment = Deployment {
        unit,
        files: &files,
        name: args.get_one("name").expect("clap demands it"),
        id: args.get_one("id").expect("clap demands it"),
        now: u64::try_from(realtime().as_micros()).unwrap_or(u64::MAX),
    };
    let settled = UnitCgroup::enter()
        .map_err(|error| (ExitCode::Error.number(), chain(&error)))
        .and_then(|cgroup| {
            deploy::settle(&host.layout, &deployment, &cgroup, &mut world::Host)
                .map_err(|error| (error.exit_code(), chain(&error)))
        });
    if let Err((code, text)) = settled {
        println!("{}{code} {}", deploy::ERROR, text.replace('\n', "; "));
    }
    Ok(0)
}
