//! `inspect`: podman-inspect(1)'s shape, of containers, images and volumes.

mod config;
mod container;
mod host_config;
mod image;
mod mounts;
mod network;
#[cfg(test)]
mod tests;

use clap::{Arg, ArgMatches, Command};

use super::error::CliError;
use super::ps::latest;
use super::template::{Template, Value};
use super::{Host, output, targets};
use crate::container::observe::Bulk;
use crate::host::systemd::Systemd;
use crate::image::{self as images, Images};
use crate::store::{self, volumes};

#[cfg(test)]
pub(super) use container::state;

/// What `--type` takes; there are no pods, and no networks but those of single containers.
const TYPES: [&str; 6] = ["all", "container", "image", "network", "pod", "volume"];

/// The grammar; with types for the verb that inspects everything.
pub(super) fn command(with_types: bool) -> Command {
    let command = Command::new("inspect")
        .about("Show all that is known of containers, images or volumes")
        .arg(format())
        .arg(latest())
        .arg(super::args::switch(
            "size",
            Some('s'),
            "Show sizes of files",
        ))
        .arg(Arg::new("objects").value_name("NAME").num_args(1..));
    if !with_types {
        return command;
    }
    command.arg(
        Arg::new("type")
            .long("type")
            .short('t')
            .value_name("TYPE")
            .help("What the names are of: all, container, image or volume"),
    )
}

/// `--format` of verbs that show objects.
pub(super) fn format() -> Arg {
    Arg::new("format")
        .long("format")
        .short('f')
        .value_name("FORMAT")
        .help("json, or a template of Go's")
}

/// Shows objects as a user asks for them.
pub(super) fn print(args: &ArgMatches, found: Vec<Value>) -> Result<(), CliError> {
    let found = Value::List(found);
    match args.get_one::<String>("format").map(String::as_str) {
        None | Some("json" | "") => output::say(&found.to_pretty_json("     ")),
        Some(format) => {
            let text = Template::of_rows("inspect", format)?.render(&found)?;
            output::print(&text)
        }
    }
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let kind = args.try_get_one::<String>("type").ok().flatten();
    inspect(args, host, kind.map_or("all", String::as_str))
}

/// `container inspect`.
pub(super) fn containers(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    inspect(args, host, "container")
}

/// `image inspect`.
pub(super) fn images(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    inspect(args, host, "image")
}

fn inspect(args: &ArgMatches, host: &Host, kind: &str) -> Result<u8, CliError> {
    let wrong = |text: String| Err(CliError::Usage(text));
    if !TYPES.contains(&kind) {
        return wrong(format!(
            "invalid type {kind:?}: must be \"image\", \"container\", \"pod\", \"network\", \"volume\", or \"all\""
        ));
    }
    let mut names: Vec<String> = targets::texts(args, "objects").map(str::to_owned).collect();
    if args.get_flag("latest") {
        if !names.is_empty() {
            return wrong("--latest and arguments cannot be used together".to_owned());
        }
        names.push(targets::latest(&host.layout)?.id.to_string());
    }
    if names.is_empty() {
        return wrong("no names or ids specified".to_owned());
    }
    let systemd = host.systemd()?;
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for name in &names {
        match find(host, &systemd, kind, name, args.get_flag("size"))? {
            Some(value) => found.push(value),
            None => missing.push(name),
        }
    }
    let nothing = found.is_empty();
    let has_format = args.get_one::<String>("format").is_some();
    if !nothing || !has_format {
        print(args, found)?;
    }
    for name in &missing {
        let text = match kind {
            "container" | "volume" | "network" | "pod" => format!("no such {kind} {name}"),
            "image" => format!("{name}: image not known"),
            _ => format!("no such object: {name:?}"),
        };
        CliError::Usage(text).report();
    }
    match missing.is_empty() {
        true => Ok(0),
        false => Err(CliError::Told(crate::api::ExitCode::Error.number())),
    }
}

/// The object of this name; none: there is none of this kind.
fn find(
    host: &Host,
    systemd: &Systemd,
    kind: &str,
    name: &str,
    size: bool,
) -> Result<Option<Value>, CliError> {
    let wants = |other| kind == "all" || kind == other;
    if wants("container") {
        match targets::find(&host.layout, name) {
            Ok(definition) => {
                // Half the time of a full question; the files of a run know the rest.
                let seen =
                    Bulk::of_one(&host.layout, systemd, &definition)?.observe(&definition)?;
                let found = container::describe(&host.layout, &definition, &seen, size);
                return Ok(Some(found));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    if wants("image") {
        match Images::open(&host.layout.state())?.resolve(name) {
            Ok(image) => return Ok(Some(image::describe(&image))),
            Err(images::Error::NotFound(_)) => {}
            // A name of another kind of object need not be one of an image.
            Err(_) if kind == "all" => {}
            Err(error) => return Err(error.into()),
        }
    }
    if wants("volume")
        && let Ok(name) = name.parse()
    {
        match volumes::load(&host.layout, &name) {
            Ok(volume) => return Ok(Some(super::volume::describe(&host.layout, &volume))),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(store::StoreError::into(error)),
        }
    }
    Ok(None)
}
