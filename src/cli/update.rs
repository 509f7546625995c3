//! `update`: changes limits, restart policy and health checks of a container that is there, and of one that runs.

use clap::{ArgMatches, Command};

use super::error::CliError;
use super::{Host, output};
use crate::container::{ContainerError, update};
use crate::definition::{Changes, options};
use crate::store;

/// Every option of `create`, so that those which cannot be changed are refused by name; only the others are shown.
pub(super) fn command(option: fn(&'static crate::definition::OptionSpec) -> clap::Arg) -> Command {
    let mut all: Vec<_> = options().collect();
    all.sort_unstable_by_key(|spec| spec.flag);
    let args = all
        .into_iter()
        .map(|spec| option(spec).hide(!Changes::can_have(spec)));
    Command::new("update")
        .about("Change limits, restart policy or health checks of a container")
        .disable_help_flag(true)
        .arg(
            clap::Arg::new("help")
                .long("help")
                .action(clap::ArgAction::Help)
                .help("Print help"),
        )
        .args(args)
        .arg(
            clap::Arg::new("container")
                .value_name("CONTAINER")
                .required(true),
        )
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let mut changes = Changes::default();
    for spec in options() {
        if let Some(values) = args.get_many::<String>(spec.flag) {
            let added = changes.add(spec, values.cloned());
            added.map_err(ContainerError::from)?;
        }
    }
    let systemd = host.systemd()?;
    let text = args
        .get_one::<String>("container")
        .expect("clap demands it");
    let id = store::lookup(&host.layout, text)?;
    let definition = update::update(host.site(&systemd), &id, &changes)?;
    output::say(definition.id.as_str())?;
    Ok(0)
}
