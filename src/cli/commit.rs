//! `commit`.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::args::{is_on, toggle};
use super::error::CliError;
use super::{Host, output, targets};
use crate::container::commit::{Step, Wish, commit};
use crate::image::Format;
use crate::image::change::{Change, Style, parse};
use crate::image::reference::Reference;

const CONFIG: &str = "use --change";

pub(super) fn command() -> Command {
    let text = |name: &'static str, short, shown: &'static str, help: &'static str| {
        let arg = Arg::new(name).long(name).value_name(shown).help(help);
        arg.short(short)
    };
    Command::new("commit")
        .about("Make an image of what a container has become")
        .arg(text("author", 'a', "TEXT", "Who made it"))
        .arg(change())
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .hide(true)
                .help(CONFIG),
        )
        .arg(text("format", 'f', "FORMAT", "oci (the default) or docker").default_value("oci"))
        .arg(
            Arg::new("iidfile")
                .long("iidfile")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write the image's id to this file"),
        )
        .arg(toggle(
            "include-volumes",
            "What is mounted becomes a volume of the image",
        ))
        .arg(text(
            "message",
            'm',
            "TEXT",
            "What is said of it; with --format=docker only",
        ))
        .arg(toggle("pause", "The payload stands still while its files are read").short('p'))
        .arg(toggle("quiet", "Print the image's id only").short('q'))
        .arg(
            toggle(
                "squash",
                "One layer with all files, instead of one with the changes",
            )
            .short('s'),
        )
        .arg(Arg::new("container").value_name("CONTAINER").required(true))
        .arg(Arg::new("image").value_name("NAME"))
}

/// `--change`.
pub(super) fn change() -> Arg {
    Arg::new("change")
        .long("change")
        .short('c')
        .value_name("CHANGE")
        .action(ArgAction::Append)
        .help("Change its configuration: CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR")
}

/// The values of `--change`.
pub(super) fn changes(args: &ArgMatches, style: Style) -> Result<Vec<Change>, CliError> {
    let parsed = targets::texts(args, "change").map(|text| parse(text, style));
    let parsed: Result<Vec<_>, _> = parsed.collect();
    Ok(parsed
        .map_err(CliError::Usage)?
        .into_iter()
        .flatten()
        .collect())
}

/// A name for a new image.
pub(super) fn name(text: Option<&String>) -> Result<Option<Reference>, CliError> {
    let Some(text) = text else { return Ok(None) };
    let invalid = |_| {
        CliError::Usage(format!(
            "parsing reference {text:?}: invalid reference format"
        ))
    };
    let name: Reference = text.parse().map_err(invalid)?;
    match name.digest {
        None => Ok(Some(name)),
        Some(_) => Err(CliError::Usage(format!(
            "{text}: the digest of a new image is not known before it is made"
        ))),
    }
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    if args.contains_id("config") {
        return Err(CliError::Usage(format!("--config is refused: {CONFIG}")));
    }
    let text = |name: &str| args.get_one::<String>(name);
    let format: Format = text("format")
        .map_or("", String::as_str)
        .parse()
        .map_err(CliError::Usage)?;
    let wish = Wish {
        name: name(text("image"))?,
        format,
        changes: changes(args, Style::Commit)?,
        author: text("author").cloned(),
        message: text("message").cloned(),
        squash: is_on(args, "squash"),
        pause: is_on(args, "pause"),
        include_volumes: is_on(args, "include-volumes"),
    };
    check(&wish)?;
    let definition = targets::find(&host.layout, text("container").map_or("", String::as_str))?;
    let iid = IdFile::reserve(args.get_one::<PathBuf>("iidfile").map(PathBuf::as_path))?;
    let systemd = host.systemd()?;
    let quiet = is_on(args, "quiet");
    let mut told = |step: Step| tell(quiet, &step);
    let id = commit(host.site(&systemd), &definition, &wish, &mut told)?;
    iid.write(&id)?;
    output::say(&id)?;
    Ok(0)
}

/// What only Docker's form has a place for.
fn check(wish: &Wish) -> Result<(), CliError> {
    let refused = |text: &str| Err(CliError::Usage(text.to_owned()));
    if wish.format == Format::Docker {
        return Ok(());
    }
    if wish.message.is_some() {
        return refused("messages are only compatible with the docker image format (-f docker)");
    }
    let onbuild = |change: &Change| matches!(change, Change::Onbuild(_));
    match wish.changes.iter().any(onbuild) {
        true => refused("ONBUILD is only compatible with the docker image format (-f docker)"),
        false => Ok(()),
    }
}

/// As Podman, on standard error.
fn tell(quiet: bool, step: &Step) {
    match step {
        _ if quiet => {}
        Step::Layer(digest) => eprintln!("Copying blob {digest}"),
        Step::Image(id) => {
            eprintln!("Copying config sha256:{id}\nWriting manifest to image destination")
        }
    }
}

/// `--iidfile`: opened before anything is made, and written in the end.
struct IdFile<'a> {
    path: Option<&'a Path>,
    /// It was not there before.
    new: bool,
    done: bool,
}

impl<'a> IdFile<'a> {
    fn reserve(path: Option<&'a Path>) -> Result<Self, CliError> {
        let mut file = Self {
            path,
            new: false,
            done: false,
        };
        if let Some(path) = path {
            file.new = !path.exists();
            let mut options = OpenOptions::new();
            let opened = options.write(true).create(true).truncate(false).open(path);
            opened.map_err(|error| failed(path, &error))?;
        }
        Ok(file)
    }

    fn write(mut self, id: &str) -> Result<(), CliError> {
        if let Some(path) = self.path {
            let file = OpenOptions::new().write(true).truncate(true).open(path);
            let written = file.and_then(|mut file| file.write_all(id.as_bytes()));
            written.map_err(|error| failed(path, &error))?;
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for IdFile<'_> {
    fn drop(&mut self) {
        if let Some(path) = self.path
            && self.new
            && !self.done
        {
            // There is no id in it.
            let _ = fs::remove_file(path);
        }
    }
}

fn failed(path: &Path, error: &std::io::Error) -> CliError {
    let reason = super::files::not_opened(&path.display().to_string(), error);
    CliError::Usage(format!("failed to write image ID: {reason}"))
}
