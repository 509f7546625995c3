//! `diff` and `image diff`.

use std::path::Path;

use clap::{Arg, ArgMatches, Command};

use super::error::CliError;
use super::files::{check_format, word};
use super::{Host, output, ps, targets};
use crate::container::ContainerError;
use crate::container::files::changes::{self, Change, Kind, Layers};
use crate::image;

fn format() -> Arg {
    Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .help("json")
}

pub(super) fn command() -> Command {
    Command::new("diff")
        .about("Show what a container has changed in the files of its image, or what is other than in something else")
        .arg(format())
        .arg(ps::latest())
        .arg(Arg::new("container").value_name("CONTAINER|IMAGE"))
        .arg(Arg::new("other").value_name("CONTAINER|IMAGE"))
}

/// `image diff`.
pub(super) fn of_image() -> Command {
    Command::new("diff")
        .about(
            "Show what the last layer of an image changes, or what is other than in another image",
        )
        .arg(format())
        .arg(Arg::new("image").value_name("IMAGE").required(true))
        .arg(Arg::new("other").value_name("IMAGE"))
}

fn is_json(args: &ArgMatches) -> Result<bool, CliError> {
    check_format(args, |_| {
        "only supported value for '--format' is 'json'".to_owned()
    })
}

/// `image diff`.
pub(super) fn images(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let json = is_json(args)?;
    let layers = |name: &str| {
        changes::of_image(&host.layout, name)
            .map_err(|error| not_found(error, name, |name| format!("{name}: image not known")))
    };
    let now = layers(word(args, "image"))?;
    let found = match args.get_one::<String>("other") {
        Some(other) => changes::between(&layers(other)?, &now)?,
        None => changes::of_top(&now)?,
    };
    show(&found, json)
}

/// In Podman's words, for who looks for them.
fn not_found(error: ContainerError, name: &str, why: impl Fn(&str) -> String) -> CliError {
    match &error {
        ContainerError::Image(image::Error::NotFound(_)) => {
            CliError::Usage(format!("{name} not found: {}", why(name)))
        }
        _ => error.into(),
    }
}

/// The layers of a container, or else of an image.
fn layers_of(host: &Host, name: &str) -> Result<(Layers, bool), CliError> {
    match targets::find(&host.layout, name) {
        Ok(definition) => Ok((changes::of_container(&host.layout, &definition)?, true)),
        Err(error) if error.is_not_found() => {
            let layers = changes::of_image(&host.layout, name);
            let layers =
                layers.map_err(|error| not_found(error, name, |_| "layer not known".to_owned()));
            Ok((layers?, false))
        }
        Err(error) => Err(error),
    }
}

/// `diff`.
pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let json = is_json(args)?;
    let (name, latest) = (args.get_one::<String>("container"), args.get_flag("latest"));
    let found = match (name, args.get_one::<String>("other")) {
        (None, _) if !latest => {
            return Err(CliError::Usage(
                "\"unitbox diff\" requires a name, id, or the \"--latest\" flag".to_owned(),
            ));
        }
        (Some(name), Some(other)) => {
            let (now, before) = (layers_of(host, name)?.0, layers_of(host, other)?.0);
            changes::between(&before, &now)?
        }
        (Some(name), None)
            if !latest
                && targets::find(&host.layout, name).is_err_and(|error| error.is_not_found()) =>
        {
            changes::of_top(&layers_of(host, name)?.0)?
        }
        _ => changes::changes(&host.layout, &targets::one(args, &host.layout)?)?,
    };
    show(&found, json)
}

fn show(found: &[Change], json: bool) -> Result<u8, CliError> {
    let text = |path: &Path| path.to_string_lossy().into_owned();
    if json {
        let mut fields = Vec::new();
        for (name, kind) in [
            ("changed", Kind::Changed),
            ("added", Kind::Added),
            ("deleted", Kind::Deleted),
        ] {
            let own = found.iter().filter(|change| change.kind == kind);
            let own: Vec<serde_json::Value> = own.map(|change| text(&change.path).into()).collect();
            if !own.is_empty() {
                fields.push((name, own));
            }
        }
        return output::print(&as_json(&fields)).map(|()| 0);
    }
    for change in found {
        let letter = match change.kind {
            Kind::Changed => 'C',
            Kind::Added => 'A',
            Kind::Deleted => 'D',
        };
        output::say(&format!("{letter} {}", text(&change.path)))?;
    }
    Ok(0)
}

/// As Podman has it: five blanks a step, and no end of line.
fn as_json(fields: &[(&str, Vec<serde_json::Value>)]) -> String {
    let lists: Vec<String> = fields
        .iter()
        .map(|(name, values)| {
            let values: Vec<String> = values
                .iter()
                .map(|value| format!("          {value}"))
                .collect();
            format!("     \"{name}\": [\n{}\n     ]", values.join(",\n"))
        })
        .collect();
    match lists.is_empty() {
        true => "{}".to_owned(),
        false => format!("{{\n{}\n}}", lists.join(",\n")),
    }
}
