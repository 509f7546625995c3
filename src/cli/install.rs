//! `install`: unit files of a directory, or some, become files of the system; all of them, or none.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::error::CliError;
use super::{Host, output, verify};
use crate::api::ExitCode;
use crate::definition::unit_file::{
    FileError, Found, Loaded, MAX_SIZE, Position, drop_ins, find, host_specifiers,
};
use crate::store;

/// Below the root directory.
const PLACE: &str = "etc/unitbox";

/// Keys whose paths are relative to the file that has them.
const RELATIVE: [&str; 5] = [
    "EnvironmentFile",
    "Mount",
    "Rootfs",
    "SeccompProfile",
    "Volume",
];

pub(super) fn command() -> Command {
    Command::new("install")
        .about("Verify unit files and install them in /etc/unitbox")
        .arg(
            Arg::new("dry-run")
                .long("dry-run")
                .help("Verify, and tell what would be written; write nothing")
                .action(ArgAction::SetTrue),
        )
        .arg(
            Arg::new("replace")
                .long("replace")
                .help("Replace files that are there with other contents")
                .action(ArgAction::SetTrue),
        )
        .arg(
            Arg::new("path")
                .value_name("FILE|DIR")
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .required(true),
        )
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let paths = args.get_many::<PathBuf>("path").into_iter().flatten();
    let paths: Result<Vec<PathBuf>, CliError> = paths
        .map(|path| std::path::absolute(path).map_err(CliError::io("find", path.to_string_lossy())))
        .collect();
    let place = host.layout.root().join(PLACE);
    let plan = match plan(&paths?, &place, args.get_flag("replace"))? {
        Ok(plan) => plan,
        Err(errors) => {
            for error in errors {
                eprintln!("Error: {}", error.long());
            }
            return Err(CliError::Told(ExitCode::Error.number()));
        }
    };
    if !args.get_flag("dry-run") {
        write(&plan)?;
    }
    for target in plan.keys() {
        output::say(&target.to_string_lossy())?;
    }
    Ok(0)
}

/// What is to be written where; a file that is there already with the same contents is not written.
type Plan = BTreeMap<PathBuf, Contents>;

/// What a file has, and who may read it: who keeps a password in a file that only root reads keeps it so.
#[derive(Debug)]
struct Contents {
    text: Vec<u8>,
    mode: u32,
}

/// Reads everything and writes nothing.
fn plan(
    paths: &[PathBuf],
    place: &Path,
    replace: bool,
) -> Result<Result<Plan, Vec<FileError>>, CliError> {
    let host = host_specifiers(Path::new("/"));
    let (mut plan, mut sources, mut errors) = (Plan::new(), BTreeMap::new(), Vec::new());
    for path in paths {
        errors.extend(verify::verify(path, &host)?.errors);
        for (name, file) in files_of(path)? {
            if let Some(other) = sources.insert(name.clone(), file.clone()) {
                if other != file {
                    let message = format!("{} has the same name", other.display());
                    errors.push(FileError::new(&Position::whole(&file), message));
                }
                continue;
            }
            let mut add = |source: &Path, target: PathBuf| match settle(source, &target, replace) {
                Ok(None) => {}
                Ok(Some(text)) => drop(plan.insert(target, text)),
                Err(message) => errors.push(FileError::new(&Position::whole(source), message)),
            };
            add(&file, place.join(&name));
            let own = file.with_file_name(format!("{name}.d"));
            let beside = find(&[file.parent().unwrap_or(&file).to_owned()]);
            let pieces = drop_ins(&beside, &name);
            let (own, others): (Vec<_>, Vec<_>) = pieces
                .iter()
                .partition(|piece| piece.parent() == Some(own.as_path()));
            for piece in &own {
                let below = piece.file_name().unwrap_or_default();
                add(piece, place.join(format!("{name}.d")).join(below));
            }
            errors.extend(others.iter().map(|piece| {
                let message = format!("it is for more files than {name}, and is not installed");
                FileError::new(&Position::whole(piece), message)
            }));
            errors.extend(relative(&file, &pieces));
        }
    }
    errors.sort();
    errors.dedup();
    Ok(match errors.is_empty() {
        true => Ok(plan),
        false => Err(errors),
    })
}

/// The unit files that a path means, by their names.
fn files_of(path: &Path) -> Result<BTreeMap<String, PathBuf>, CliError> {
    if !path.is_dir() {
        let name = verify::name_of(path)?;
        return Ok(BTreeMap::from([(name, path.to_owned())]));
    }
    let Found { files, .. } = find(&[path.to_owned()]);
    match files.is_empty() {
        true => Err(CliError::Usage(format!(
            "{}: there are no unit files in it",
            path.display()
        ))),
        false => Ok(files),
    }
}

/// The contents, if they are to be written.
fn settle(source: &Path, target: &Path, replace: bool) -> Result<Option<Contents>, String> {
    let new = read(source).map_err(|error| error.to_string())?;
    match read(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Some(new)),
        Ok(old) if old.text == new.text => Ok(None),
        Ok(_) if replace => Ok(Some(new)),
        Ok(_) => Err(format!(
            "{} is there with other contents; use --replace",
            target.display()
        )),
        Err(error) => Err(format!("{}: {error}", target.display())),
    }
}

/// A regular file that is not too large, without waiting for the writer of a FIFO.
fn read(path: &Path) -> io::Result<Contents> {
    let mut options = OpenOptions::new();
    let options = options.read(true).custom_flags(nix::libc::O_NONBLOCK);
    let file = options.open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    // systemd.unit(5): units can be read by all, mostly.
    let mode = metadata.permissions().mode() & 0o044 | 0o600;
    let mut text = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut text)?;
    match text.len() as u64 > MAX_SIZE {
        true => Err(io::Error::other("larger than 1 MiB")),
        false => Ok(Contents { text, mode }),
    }
}

/// Paths that lead elsewhere once the file has moved.
fn relative(file: &Path, pieces: &[PathBuf]) -> Vec<FileError> {
    // What cannot be read was told.
    let Loaded::File(file) = Loaded::read(file, pieces) else {
        return Vec::new();
    };
    let leaves = |value: &str| {
        let starts = |text: &str| text.starts_with("./") || text.starts_with("../");
        starts(value.trim_start_matches('-')) || value.split('=').skip(1).any(starts)
    };
    let entries = file.sections.iter().flat_map(|section| &section.entries);
    entries
        .filter(|entry| RELATIVE.contains(&entry.key.as_str()) && leaves(&entry.value))
        .map(|entry| {
            entry.error(format!(
                "{}={}: the path is relative to the file, which is to be moved; use an absolute one",
                entry.key, entry.value
            ))
        })
        .collect()
}

/// All files, or those that were there.
fn write(plan: &Plan) -> Result<(), CliError> {
    let mut done: Vec<(&Path, Option<Contents>)> = Vec::new();
    for (target, new) in plan {
        let old = read(target).ok();
        if let Err(error) = put(target, new) {
            for (target, old) in done.into_iter().rev() {
                // What counts is the first error.
                let _ = match old {
                    Some(old) => put(target, &old),
                    None => fs::remove_file(target).map_err(CliError::io("remove", "")),
                };
            }
            return Err(error);
        }
        done.push((target, old));
    }
    Ok(())
}

fn put(target: &Path, contents: &Contents) -> Result<(), CliError> {
    let parent = target.parent().unwrap_or(target);
    fs::create_dir_all(parent).map_err(CliError::io("make", parent.to_string_lossy()))?;
    Ok(store::write_atomic(target, &contents.text, contents.mode)?)
}

#[cfg(test)]
#[path = "install_tests.rs"]
mod install_tests;
