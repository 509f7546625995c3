//! Verbs for the shipped units and the monitor: `system restore`, `system settle`, `container cleanup`.

use std::fs;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::args::switch;
use super::error::CliError;
use super::{Host, images, output, prune, select, targets};
use crate::api::{ExitCode, Payload};
use crate::container::deploy::{self, Deployment};
use crate::container::stop::Patience;
use crate::container::{ContainerError, hold, pull, remove, restore};
use crate::host::cgroup::UnitCgroup;
use crate::host::machined;
use crate::host::world;
use crate::store;
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
    if let Some((REGISTER, args)) = args.subcommand() {
        return register(args, host);
    }
    if let Some(("check", args)) = args.subcommand() {
        return super::check::run(args, host);
    }
    if let Some(("prune", args)) = args.subcommand() {
        return prune::system(args, host);
    }
    debug_assert_eq!(args.subcommand_name(), Some("restore"));
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    match args.subcommand_matches("restore") {
        Some(args) if args.get_flag("early") => restore::restore_early(site)?,
        _ => restore::restore(site)?,
    }
    Ok(0)
}

/// The grammar of `container cleanup`.
pub(super) fn cleanup_command() -> Command {
    let command = Command::new("cleanup").about("Clean up behind a monitor that was killed");
    select::by_name(command, "Behind all of them")
        .arg(
            Arg::new("exec")
                .long("exec")
                .value_name("SESSION")
                .help("Refused: a process of exec leaves nothing to clean up"),
        )
        .arg(switch("rm", None, "Remove the container then"))
        .arg(switch("rmi", None, "Remove its image then"))
}

pub(super) fn cleanup(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    if args.contains_id("exec") {
        let text = "--exec is refused: a process of exec leaves nothing to clean up; use container cleanup alone";
        return Err(CliError::Usage(text.to_owned()));
    }
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let texts: Vec<&str> = targets::texts(args, "containers").collect();
    let missing =
        |text: &&&str| store::lookup(&host.layout, text).is_err_and(|error| error.is_not_found());
    if let Some(text) = texts.iter().find(missing) {
        // It removed itself, perhaps not to the end: this is how units call it, and no error for Podman either.
        let refused = |error: NameError| CliError::Usage(error.to_string());
        restore::clean_up(site, &text.parse().map_err(refused)?)?;
        return Ok(0);
    }
    let chosen = select::choose(args, host, site, |_| true)?;
    select::each(&chosen, |one| {
        let definition = one.load(host)?;
        restore::clean_up(site, &definition.name)?;
        if args.get_flag("rm") && store::load(&host.layout, &one.id).is_ok() {
            remove::remove(site, &one.id, false, Patience::Own, true)?;
        }
        if args.get_flag("rmi") {
            images::remove_of(host, &definition)?;
        }
        output::say(&one.shown)
    })
}

/// The verb of a monitor whose container waits for its start.
const WAIT: &str = "wait-for-start";

pub(super) fn wait_command() -> Command {
    Command::new(WAIT)
        .hide(true)
        .about("End when somebody starts a unit that is being started, for its monitor")
        .arg(Arg::new("unit").long("unit").required(true))
        .arg(switch("first", None, "Cancel the job that it has now"))
}

/// The verb of units whose containers are in the list of systemd-machined.
const REGISTER: &str = "register";

pub(super) fn register_command() -> Command {
    let name = Arg::new("name").required(true);
    Command::new(REGISTER)
        .hide(true)
        .about("Have systemd-machined list a container that runs, for its unit")
        .arg(name.value_parser(|word: &str| word.parse::<ContainerName>()))
}

fn register(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let name = args
        .get_one::<ContainerName>("name")
        .expect("clap demands it");
    let id = store::lookup(&host.layout, name.as_str())?;
    let text = fs::read_to_string(host.layout.payload_file(&id)).ok();
    let payload = text.and_then(|text| Payload::parse(&text).ok());
    // One that has ended already needs no place in a list.
    let leader = payload.and_then(|payload| u32::try_from(payload.pid).ok());
    if let Some(leader) = leader {
        machined::register(host.layout.root(), name.as_str(), &id, leader)?;
    }
    Ok(0)
}

pub(super) fn settle_command() -> Command {
    let word = |name: &'static str| Arg::new(name).long(name).required(true);
    Command::new(SETTLE)
        .hide(true)
        .about("Write the container of a unit file down, for its monitor")
        .arg(word("unit").value_parser(|word: &str| word.parse::<UnitName>()))
        .arg(word("id").value_parser(|word: &str| word.parse::<ContainerId>()))
        .arg(switch("runs", None, "Only what may change while it runs"))
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
    let failed = |error: ContainerError| (error.exit_code(), chain(&error));
    let settled = match args.get_flag("runs") {
        true => deploy::change(&host.layout, &deployment).map_err(failed),
        false => UnitCgroup::enter()
            .map_err(|error| (ExitCode::Error.number(), chain(&error)))
            .and_then(|cgroup| {
                let mut status = pull::Status::of(&host.layout, deployment.id);
                let mut report = |note| {
                    if let Some(warning) = status.tell(note) {
                        println!("{warning}");
                    }
                };
                let (layout, world) = (&host.layout, &mut world::Host);
                deploy::settle(layout, &deployment, &cgroup, world, &mut report).map_err(failed)
            }),
    };
    if let Err((code, text)) = settled {
        println!("{}{code} {}", deploy::ERROR, text.replace('\n', "; "));
    }
    Ok(0)
}
