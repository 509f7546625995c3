//! `container artifact`: files that are kept beside a container.

use std::fs::File;
use std::io::{self, Read};

use clap::{Arg, ArgMatches, Command};

use super::error::CliError;
use super::{Host, output, targets};
use crate::container::files::artifacts;

pub(super) fn command() -> Command {
    let container = || Arg::new("container").value_name("CONTAINER").required(true);
    let name = || Arg::new("name").value_name("NAME").required(true);
    Command::new("artifact")
        .about("Keep files beside a container")
        .subcommand_required(true)
        .subcommands([
            Command::new("add")
                .about("Keep the contents of a file, - is standard input; one of this name is replaced")
                .arg(container())
                .arg(name())
                .arg(Arg::new("file").value_name("FILE|-").required(true)),
            Command::new("get")
                .about("Write the contents of a kept file to standard output")
                .arg(container())
                .arg(name()),
            Command::new("ls")
                .about("List the names of kept files")
                .arg(container()),
            Command::new("rm")
                .about("Remove a kept file")
                .arg(container())
                .arg(name()),
        ])
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let (verb, args) = args.subcommand().expect("clap demands a verb");
    let word = |name| args.get_one::<String>(name).expect("clap demands it");
    let layout = &host.layout;
    let id = targets::find(layout, word("container"))?.id;
    match verb {
        "add" => {
            let file = word("file");
            let mut content: Box<dyn Read> = match file.as_str() {
                "-" => Box::new(io::stdin().lock()),
                path => Box::new(File::open(path).map_err(CliError::io("open", path))?),
            };
            artifacts::add(layout, &id, word("name"), &mut content)?;
        }
        "get" => {
            let mut file = artifacts::get(layout, &id, word("name"))?;
            match io::copy(&mut file, &mut io::stdout().lock()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(CliError::io("write", "standard output")(error));
                }
                _ => {}
            }
        }
        "ls" => {
            for name in artifacts::list(layout, &id)? {
                output::say(&name)?;
            }
        }
        _ => artifacts::remove(layout, &id, word("name"))?,
    }
    Ok(0)
}
