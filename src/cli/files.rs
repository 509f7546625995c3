//! `cp`, `export`, `mount` and `unmount`.

use std::fs::{self, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};

use super::args::{is_on, output_file, switch, toggle};
use super::error::CliError;
use super::template::Value;
use super::{Host, output, select, targets};
use crate::api::event::EventKind;
use crate::container::files::{self, copy, mounted};
use crate::container::{ContainerError, events};
use crate::definition::Definition;
use crate::store::{self, Listed};

pub(super) fn commands() -> [Command; 5] {
    let format = || {
        Arg::new("format")
            .long("format")
            .value_name("FORMAT")
            .help("json")
    };
    let place = |name, shown| Arg::new(name).value_name(shown).required(true);
    let container = || Arg::new("container").value_name("CONTAINER");
    [
        Command::new("cp")
            .about("Copy files between a container and the host, or another container; - is an archive")
            .arg(
                toggle("archive", "What gets into a container belongs to its user")
                    .short('a')
                    .default_value("true"),
            )
            .arg(switch(
                "overwrite",
                None,
                "Let a directory take the place of something else, and the other way round",
            ))
            .arg(place("from", "[CONTAINER:]PATH|-"))
            .arg(place("to", "[CONTAINER:]PATH|-")),
        super::diff::command(),
        Command::new("export")
            .about("Write the files of a container as an archive")
            .arg(output_file("A file instead of standard output, which must be no terminal"))
            .arg(container().required(true)),
        select::by_name(
            Command::new("mount").about("Mount the files of containers, and tell where"),
            "All of them",
        )
        .arg(format())
        .arg(switch("no-trunc", None, "Do not shorten ids").alias("notruncate")),
        select::by_name(
            Command::new("unmount")
                .visible_alias("umount")
                .about("Take away what mount has mounted"),
            "All that are mounted",
        )
        .arg(switch("force", Some('f'), "Also while somebody uses it there")),
    ]
}

pub(super) fn word<'a>(args: &'a ArgMatches, name: &str) -> &'a str {
    args.get_one::<String>(name).map_or("", String::as_str)
}

/// `CONTAINER:PATH`, a path that begins with `.` or `/`, or one without a colon.
fn split(text: &str) -> (Option<&str>, &str) {
    if text.starts_with(['.', '/']) {
        return (None, text);
    }
    match text.split_once(':') {
        Some((container, path)) => (Some(container), path),
        None => (None, text),
    }
}

/// `cp`.
pub(super) fn copy(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let (from, to) = (word(args, "from"), word(args, "to"));
    let sides = [split(from), split(to)];
    if sides.iter().any(|(_, path)| path.is_empty()) {
        return Err(CliError::Usage(format!(
            "invalid arguments {from:?}, {to:?}: you must specify paths"
        )));
    }
    if sides
        .iter()
        .all(|(container, _)| container.unwrap_or("").is_empty())
    {
        return Err(CliError::Usage("name or ID cannot be empty".to_owned()));
    }
    let place = |(container, path): (Option<&str>, &str)| match (container, path) {
        (Some(container), path) => {
            let found = targets::find(&host.layout, container).map_err(|error| {
                match error.is_not_found() {
                    true => CliError::Usage(format!("container {container:?} does not exist")),
                    false => error,
                }
            })?;
            Ok::<_, CliError>(copy::Place::Container(Box::new(found), path.into()))
        }
        (None, "-") => Ok(copy::Place::Stream),
        (None, path) => Ok(copy::Place::Host(path.into())),
    };
    let (from, to) = (place(sides[0])?, place(sides[1])?);
    let options = copy::Options {
        archive: is_on(args, "archive"),
        overwrite: args.get_flag("overwrite"),
    };
    let systemd = host.systemd()?;
    copy::copy(host.site(&systemd), &from, &to, options)?;
    Ok(0)
}

pub(super) fn check_format(
    args: &ArgMatches,
    error: impl Fn(&str) -> String,
) -> Result<bool, CliError> {
    match word(args, "format") {
        "" => Ok(false),
        "json" => Ok(true),
        other => Err(CliError::Usage(error(other))),
    }
}

/// `export`.
pub(super) fn export(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let path = args.get_one::<PathBuf>("output");
    if path.is_none() && io::stdout().is_terminal() {
        let text = "refusing to export to terminal. Use -o flag or redirect";
        return Err(CliError::Usage(text.to_owned()));
    }
    if let Some(path) = path.filter(|path| path.to_string_lossy().contains(':')) {
        let text = format!("invalid filename (should not contain ':') {path:?}");
        return Err(CliError::Usage(text));
    }
    let definition = targets::find(&host.layout, word(args, "container"))?;
    let code = export_to(path, host, &definition)?;
    // Podman has it mounted for that.
    events::tell(&definition, EventKind::Mount, None);
    Ok(code)
}

fn export_to(path: Option<&PathBuf>, host: &Host, definition: &Definition) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let Some(path) = path else {
        let mut to = BufWriter::new(io::stdout().lock());
        return written(
            files::export(site, definition, &mut to),
            &mut to,
            "standard output",
        );
    };
    let shown = path.display().to_string();
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(true).open(path);
    let mut to = BufWriter::new(file.map_err(|error| not_opened(&shown, &error))?);
    let exported = written(files::export(site, definition, &mut to), &mut to, &shown);
    if exported.is_err() && fs::symlink_metadata(path).is_ok_and(|about| about.is_file()) {
        // Half an archive is none.
        let _ = fs::remove_file(path);
    }
    exported
}

/// In Go's words.
pub(super) fn not_opened(path: &str, error: &io::Error) -> CliError {
    let reason = error.to_string().to_lowercase();
    let reason = reason.split(" (os error").next().unwrap_or_default();
    CliError::Usage(format!("open {path}: {reason}"))
}

pub(super) fn written(
    exported: Result<(), ContainerError>,
    to: &mut dyn Write,
    name: &str,
) -> Result<u8, CliError> {
    exported?;
    to.flush().map_err(CliError::io("write", name))?;
    Ok(0)
}

/// `mount`. As Podman, of all containers only it is an event.
pub(super) fn mount(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let json = check_format(args, |other| {
        format!("unknown --format argument: {other:?}")
    })?;
    let given = args.contains_id("containers") || args.get_flag("latest");
    if !given && !args.get_flag("all") {
        return list(args, host, json);
    }
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let chosen = select::choose(args, host, site, |_| true)?;
    let mut rows = Vec::new();
    let code = select::each(&chosen, |one| {
        let definition = one.load(host)?;
        let path = mounted::mount(site, &definition)?;
        if args.get_flag("all") {
            events::tell(&definition, EventKind::Mount, None);
        }
        match json {
            true => rows.push(row(&definition, &path)),
            false => output::say(&path.display().to_string())?,
        }
        Ok(())
    });
    if json {
        output::say(&Value::List(rows).to_pretty_json(" "))?;
    }
    code
}

fn row(definition: &Definition, path: &Path) -> Value {
    let json = serde_json::json!({
        "id": definition.id.as_str(),
        "Names": [definition.name.as_str()],
        "mountpoint": path.display().to_string(),
    });
    Value::from(json)
}

/// Those that are mounted, the first that was made first.
fn all_mounted(host: &Host) -> Result<Vec<Definition>, CliError> {
    let all = store::list(&host.layout)?.into_iter();
    let good = all.filter_map(|entry| match entry {
        Listed::Good(definition) => Some(*definition),
        Listed::Broken { .. } => None,
    });
    Ok(good
        .filter(|definition| mounted::is_mounted(&host.layout, &definition.id))
        .collect())
}

fn list(args: &ArgMatches, host: &Host, json: bool) -> Result<u8, CliError> {
    let all = all_mounted(host)?;
    let path = |definition: &Definition| host.layout.mounted(&definition.id);
    if json {
        let rows = all.iter().map(|one| row(one, &path(one))).collect();
        output::say(&Value::List(rows).to_pretty_json(" "))?;
        return Ok(0);
    }
    for one in &all {
        let id = one.id.as_str();
        let id = match args.get_flag("no-trunc") {
            true => id,
            false => id.get(..12).unwrap_or(id),
        };
        output::say(&format!("{id}  {}", path(one).display()))?;
    }
    Ok(0)
}

/// `unmount`.
pub(super) fn unmount(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let force = args.get_flag("force");
    let systemd = host.systemd()?;
    let mut chosen = select::choose(args, host, host.site(&systemd), |_| true)?;
    if args.get_flag("all") {
        chosen.retain(|one| mounted::is_mounted(&host.layout, &one.id));
    }
    select::each(&chosen, |one| {
        let definition = one.load(host)?;
        mounted::unmount(&host.layout, &definition, force)?;
        if args.get_flag("all") {
            events::tell(&definition, EventKind::Unmount, None);
        }
        output::say(&one.shown)
    })
}
