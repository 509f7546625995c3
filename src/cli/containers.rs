//! `rename`, `port`, and the verbs behind `container`.

use clap::{Arg, ArgMatches, Command};

use super::error::CliError;
use super::{
    Host, args, artifact, commit, diff, files, inspect, prune, ps, stats, system, targets, top,
};
use crate::api::ExitCode;
use crate::container::rename;
use crate::store;
use crate::types::{ContainerName, NameError};

/// `rename` and `port`.
pub(super) fn verbs() -> Vec<Command> {
    let name = |name: &'static str, shown: &'static str| Arg::new(name).value_name(shown);
    vec![
        Command::new("rename")
            .about("Give a container another name")
            .arg(name("container", "CONTAINER").required(true))
            .arg(name("name", "NAME").required(true)),
        Command::new("port")
            .about("Show published ports, which there are none of")
            .arg(name("container", "CONTAINER"))
            .arg(name("port", "PORT"))
            .arg(args::switch("all", Some('a'), "Of all containers"))
            .arg(ps::latest()),
    ]
}

/// The verbs that there are only behind `container`.
pub(super) fn own_verbs() -> Vec<Command> {
    let name = || Arg::new("name").value_name("CONTAINER").required(true);
    vec![
        artifact::command(),
        system::cleanup_command(),
        Command::new("exists")
            .about("End with 0 if the container is there, else with 1")
            .arg(args::switch(
                "external",
                None,
                "Only containers of unitbox are known: changes nothing",
            ))
            .arg(name()),
        ps::command("list").visible_alias("ls"),
        Command::new("prune")
            .about("Remove the containers that do not run")
            .arg(ps::filter().short(None))
            .arg(args::switch("force", Some('f'), "Do not ask")),
    ]
}

/// `container VERB`; none: a verb that there is without `container`, too.
pub(super) fn own(verb: &str, args: &ArgMatches, host: &Host) -> Option<Result<u8, CliError>> {
    Some(match verb {
        "artifact" => artifact::run(args, host),
        "cleanup" => system::cleanup(args, host),
        "exists" => exists(args, host),
        "inspect" => inspect::containers(args, host),
        "list" => ps::run(args, host),
        "prune" => prune::containers(args, host),
        _ => return None,
    })
}

/// `rename`, `port`, `top`, `stats` and the verbs on files; none: another verb.
pub(super) fn run(verb: &str, args: &ArgMatches, host: &Host) -> Option<Result<u8, CliError>> {
    Some(match verb {
        "commit" => commit::run(args, host),
        "cp" => files::copy(args, host),
        "diff" => diff::run(args, host),
        "export" => files::export(args, host),
        "mount" => files::mount(args, host),
        "unmount" => files::unmount(args, host),
        "port" => port(args, host),
        "rename" => renamed(args, host),
        "stats" => stats::run(args, host),
        "top" => top::run(args, host),
        _ => return None,
    })
}

fn renamed(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let word = |name| args.get_one::<String>(name).expect("clap demands both");
    let definition = targets::find(&host.layout, word("container"))?;
    let refused = |_: NameError| {
        let text = "names must match [a-zA-Z0-9][a-zA-Z0-9_.-]*: invalid argument";
        CliError::Usage(text.to_owned())
    };
    let name: ContainerName = word("name").parse().map_err(refused)?;
    let systemd = host.systemd()?;
    rename::rename(host.site(&systemd), &definition, &name)?;
    Ok(0)
}

/// Nothing is published yet; but names must be right.
fn port(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let name = args.get_one::<String>("container");
    match (name, args.get_flag("latest"), args.get_flag("all")) {
        (Some(_), _, true) => Err(CliError::Usage(
            "no arguments are needed with --all".to_owned(),
        )),
        (Some(name), ..) => targets::find(&host.layout, name).map(|_| 0),
        (None, true, _) => targets::latest(&host.layout).map(|_| 0),
        (None, _, true) => Ok(0),
        (None, false, false) => Err(CliError::Usage(
            "you must supply a running container name or id".to_owned(),
        )),
    }
}

fn exists(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let name = args.get_one::<String>("name").expect("clap demands one");
    match store::lookup(&host.layout, name) {
        Ok(_) => Ok(0),
        Err(error) if error.is_not_found() => Ok(ExitCode::Failure.number()),
        Err(error) => Err(error.into()),
    }
}
