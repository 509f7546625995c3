//! `healthcheck run`.

use std::thread;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use super::error::CliError;
use super::{Host, output};
use crate::container::health::{self, Record, TIMED_OUT};
use crate::container::observe::{State, observe_files};
use crate::definition::Definition;
use crate::store::{self, write_atomic};

/// How often it is looked for what the monitor has found.
const LOOK: Duration = Duration::from_millis(5);

/// The grammar.
pub(super) fn command() -> Command {
    Command::new("healthcheck")
        .about("Verbs on health checks")
        .subcommand_required(true)
        .subcommand(
            Command::new("run")
                .about("Run the health check of a container now: ends with 0 if it is healthy, else with 1")
                .arg(Arg::new("name").value_name("CONTAINER").required(true)),
        )
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let (_, args) = args.subcommand().expect("clap demands a verb");
    let name = args.get_one::<String>("name").expect("clap demands one");
    let found = store::lookup(&host.layout, name);
    let unknown = |error| {
        CliError::Usage(format!(
            "unable to look up {name} to perform a health check: {error}"
        ))
    };
    let definition = store::load(&host.layout, &found.map_err(unknown)?)?;
    let before = ready(host, &definition)?;
    let request = host.layout.probe_request(&definition.id);
    write_atomic(&request, b"", 0o600)?;
    let stopped = || not_running(&definition);
    while request.exists() {
        if state(host, &definition)? != State::Running {
            return Err(stopped());
        }
        thread::sleep(LOOK);
    }
    let record = health::read(&host.layout, &definition.id).ok_or_else(stopped)?;
    let check = record.latest().filter(|check| {
        // One that could not be run leaves no trace.
        before.latest() != Some(*check)
    });
    match check {
        None if state(host, &definition)? != State::Running => Err(stopped()),
        None => Err(CliError::Usage(format!(
            "the health check of container {} could not be run",
            definition.id
        ))),
        Some(check) if check.exit_code == 0 => Ok(0),
        Some(check) if check.exit_code == TIMED_OUT => Err(CliError::Usage(
            "healthcheck command exceeded its timeout".to_owned(),
        )),
        Some(_) => {
            let startup = definition.options.health.startup_command.is_some();
            // As in Podman a check that fails is bad health, also where it does not count.
            let word = match record.status.as_str() {
                "starting" if startup && record.failing_streak == 0 => "starting",
                _ => "unhealthy",
            };
            output::say(word)?;
            Ok(1)
        }
    }
}

/// What is known before, of a container that runs and has a check.
fn ready(host: &Host, definition: &Definition) -> Result<Record, CliError> {
    let state = state(host, definition)?;
    let record = health::read(&host.layout, &definition.id);
    match (state, record) {
        (State::Running, Some(record)) => Ok(record),
        (State::Running, None) => Err(CliError::Usage(format!(
            "container {} has no defined healthcheck",
            definition.id
        ))),
        _ => Err(not_running(definition)),
    }
}

fn not_running(definition: &Definition) -> CliError {
    CliError::Usage(format!("container {} is not running", definition.id))
}

/// Its files tell, mostly; else systemd is asked.
fn state(host: &Host, definition: &Definition) -> Result<State, CliError> {
    if let Some(seen) = observe_files(&host.layout, definition) {
        return Ok(seen.state);
    }
    let systemd = host.systemd()?;
    Ok(crate::container::observe::observe(&host.layout, &systemd, definition)?.state)
}
