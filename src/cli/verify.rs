//! `verify`: reads unit files as the start of their units would, and tells everything that is wrong with them.

use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::error::CliError;
use super::output;
use crate::definition::unit_file::{
    FileError, FileSet, Found, Kind, Loaded, Position, SYSTEM_DIRS, Specifiers, check, drop_ins,
    find, host_specifiers, notes,
};

/// A file has errors.
const WRONG: u8 = 1;

pub(super) fn command() -> Command {
    Command::new("verify")
        .about("Tell what is wrong with unit files")
        .arg(
            Arg::new("path")
                .value_name("FILE|DIR")
                .action(ArgAction::Append)
                .value_parser(value_parser!(PathBuf))
                .required(true),
        )
}

pub(super) fn run(args: &ArgMatches) -> Result<u8, CliError> {
    let host = host_specifiers(Path::new("/"));
    let mut errors = 0;
    for path in args.get_many::<PathBuf>("path").into_iter().flatten() {
        let path =
            std::path::absolute(path).map_err(CliError::io("find", path.to_string_lossy()))?;
        let report = verify(&path, &host)?;
        errors += report.errors.len();
        let lines = report.errors.iter().map(FileError::long);
        let lines = lines.chain(
            report
                .notes
                .iter()
                .map(|note| format!("{} (a note)", note.long())),
        );
        for line in lines {
            output::say(&line)?;
        }
    }
    Ok(if errors == 0 { 0 } else { WRONG })
}

/// What there is to say of a file or a directory.
pub(super) struct Report {
    pub(super) errors: Vec<FileError>,
    notes: Vec<FileError>,
}

pub(super) fn verify(path: &Path, host: &Specifiers) -> Result<Report, CliError> {
    // Who refers to other files means those beside him, or those of the system.
    let system = SYSTEM_DIRS.iter().map(PathBuf::from);
    let (own, names) = match path.metadata() {
        Ok(data) if data.is_dir() => {
            let own = find(&[path.to_owned()]);
            let names: Vec<String> = own.files.keys().cloned().collect();
            (path, names)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(CliError::io("read", path.to_string_lossy())(error));
        }
        // Whatever it is, to read it tells.
        _ => (path.parent().unwrap_or(path), vec![name_of(path)?]),
    };
    let dirs: Vec<PathBuf> = std::iter::once(own.to_owned()).chain(system).collect();
    let mut found = find(&dirs);
    if !path.is_dir() {
        // Also one that lies deeper, or has the name of another.
        found.files.insert(name_of(path)?, path.to_owned());
    }
    let set = load(&found);
    let mut report = Report {
        errors: Vec::new(),
        notes: Vec::new(),
    };
    if path.is_dir() {
        report.errors.append(&mut found.errors);
        report
            .errors
            .retain(|error| error.at.path.starts_with(path));
    }
    for name in names {
        let file = Path::new(&found.files[&name]);
        let kind = Kind::of(file).expect("only such files were found");
        match Loaded::read(file, &drop_ins(&found, &name)) {
            Loaded::File(file) => {
                report.errors.extend(check(kind, &file, host, &set));
                report.notes.extend(notes(kind, &file));
            }
            Loaded::Masked => {}
            Loaded::Broken(errors) => report.errors.extend(errors),
        }
    }
    Ok(report)
}

pub(super) fn name_of(path: &Path) -> Result<String, CliError> {
    let name = path.file_name().and_then(|name| name.to_str());
    match name.filter(|_| Kind::of(path).is_some()) {
        Some(name) => Ok(name.to_owned()),
        None => {
            let suffixes = Kind::ALL
                .map(|kind| format!(".{}", kind.suffix()))
                .join(", ");
            let error = FileError::new(&Position::whole(path), format!("none of {suffixes}"));
            Err(CliError::Usage(error.long()))
        }
    }
}

/// All files that can be read: one that cannot is missed by those that refer to it.
fn load(found: &Found) -> FileSet {
    let mut set = FileSet::default();
    for (name, path) in &found.files {
        if let Loaded::File(file) = Loaded::read(path, &drop_ins(found, name)) {
            set.insert(name, file);
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_directory_is_told_file_by_file() {
        let dir = std::env::temp_dir().join(format!("unitbox-verify-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let write = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
        write(
            "a.container",
            "[Container]\nImage=x\nVolume=b.volume:/d\nAutoUpdate=local\n",
        );
        write("b.volume", "[Volume]\n");
        write("c.container", "[Container]\nImage=x\nExce=y\n");
        let told = |path: &Path| {
            let report = verify(path, &Specifiers::default()).unwrap();
            let prefix = format!("{}/", dir.display());
            let texts = |list: &[FileError]| -> Vec<String> {
                list.iter()
                    .map(|error| error.long().replace(&prefix, ""))
                    .collect()
            };
            (texts(&report.errors), texts(&report.notes))
        };
        let all = told(&dir);
        let one = told(&dir.join("a.container"));
        let wrong = verify(&dir.join("x.txt"), &Specifiers::default());
        write("d.txt", "");
        let other = verify(&dir.join("d.txt"), &Specifiers::default());
        fs::remove_dir_all(&dir).unwrap();
        let expected = "c.container:3: unknown key \"Exce\" (did you mean Exec?)";
        assert_eq!(all.0, [expected]);
        assert_eq!(all.1.len(), 1, "{:?}", all.1);
        assert!(one.0.is_empty(), "{:?}", one.0);
        assert!(wrong.is_err());
        assert!(other.is_err_and(|error| error.to_string().contains("none of .container")));
    }
}
