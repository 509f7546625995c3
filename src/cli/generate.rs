//! `generate`: the unit file of a container that is there, of ours or of Podman's.

mod podman;

use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::error::CliError;
use super::{Host, output, targets};
use crate::definition::Definition;
use crate::definition::unit_file::render;
use crate::store;

/// What Podman makes with this verb, for other tools.
const PODMANS: [&str; 3] = ["kube", "spec", "systemd"];

pub(super) fn command() -> Command {
    Command::new("generate")
        .about("Print a .container file that makes a container anew")
        .arg(
            Arg::new("from-podman")
                .long("from-podman")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Of what podman inspect has printed of a container of Podman's; -: standard input"),
        )
        .arg(
            Arg::new("container")
                .value_name("CONTAINER")
                .required_unless_present("from-podman")
                .conflicts_with("from-podman"),
        )
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    if let Some(path) = args.get_one::<PathBuf>("from-podman") {
        return print(&podman::definition(path, host)?);
    }
    let text = args
        .get_one::<String>("container")
        .expect("clap demands one");
    let mut definition = match targets::find(&host.layout, text) {
        Err(error) if error.is_not_found() && PODMANS.contains(&text.as_str()) => {
            let reason = format!(
                "generate {text} is not done by unitbox: every container is a unit; use unitbox generate CONTAINER"
            );
            return Err(CliError::Usage(reason));
        }
        found => found?,
    };
    // Ids are of this host.
    let name_of = |id: &str| match store::lookup(&host.layout, id) {
        Ok(id) => Ok(store::load(&host.layout, &id)?.name.to_string()),
        Err(error) if error.is_not_found() => Ok(id.to_owned()),
        Err(error) => Err(CliError::from(error)),
    };
    definition.options.resolve_dependencies(name_of)?;
    print(&definition)
}

fn print(definition: &Definition) -> Result<u8, CliError> {
    let file = render(definition).map_err(|error| CliError::Usage(error.to_string()))?;
    output::print(&file)?;
    Ok(0)
}
