//! `unitbox-generator`: systemd.generator(7) runs it at boot and at each daemon-reload.
//!
//! It reads unit files of deployments and makes units whose main process is the monitor. It runs before anything is
//! mounted and while nothing else does: it talks to nobody, runs nothing, and needs nothing below /var.

mod arguments;
mod output;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::api::Layout;
use crate::definition::unit_file::{
    FileError, FileSet, Found, Kind, Loaded, SYSTEM_DIRS, drop_ins, find, host_specifiers,
};
use crate::plan::unit::{DeployFacts, Deployed, UnitFacts, broken, deploy};

use arguments::Arguments;
use output::Log;

/// Why the generator refuses to run.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeneratorError {
    /// It was not called as systemd calls it.
    #[error("{0} arguments instead of the three directories of systemd.generator(7), or one")]
    Directories(usize),
    /// No such flag.
    #[error("unknown flag {0:?}")]
    Flag(String),
}

/// Runs the generator: `unitbox-generator [--user] [--dryrun] [--no-kmsg-log] [-v] NORMAL-DIR [EARLY-DIR LATE-DIR]`.
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments = match Arguments::parse(args.skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!("unitbox-generator: {error}");
            return ExitCode::FAILURE;
        }
    };
    if arguments.version {
        println!("unitbox-generator {}", env!("CARGO_PKG_VERSION"));
        return ExitCode::SUCCESS;
    }
    let log = Log::open(&arguments);
    let mut good = true;
    for unit in units(&arguments, &log) {
        good &= unit.errors.is_empty();
        match &arguments.directory {
            None => print!("---{}---\n{}\n", unit.service, unit.text),
            Some(directory) => good &= output::write(directory, &unit, &log),
        }
    }
    // systemd has its units, which tell; who asks wants to know.
    match good || !arguments.dry_run {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// All units; the first of two with one name counts.
fn units(arguments: &Arguments, log: &Log) -> Vec<Deployed> {
    let dirs = std::env::var("QUADLET_UNIT_DIRS")
        .ok()
        .filter(|dirs| !dirs.is_empty());
    let dirs: Vec<PathBuf> = match dirs {
        Some(dirs) => dirs.split(':').map(PathBuf::from).collect(),
        None if arguments.user => Vec::new(),
        None => SYSTEM_DIRS.iter().map(PathBuf::from).collect(),
    };
    let found = find(&dirs);
    for error in &found.errors {
        log.error(&error.long());
    }
    let (set, loaded) = load(&found);
    let (monitor, client) = programs();
    let facts = DeployFacts {
        host: UnitFacts {
            systemd: systemd_version(),
            monitor: &monitor,
            layout: &Layout::new("/"),
            dependencies: &[],
        },
        client: &client,
        specifiers: &host_specifiers(Path::new("/")),
        set: &set,
        paths: &|name| {
            let file = found.files.get(name).cloned();
            file.into_iter().chain(drop_ins(&found, name)).collect()
        },
    };
    let mut units: BTreeMap<String, Deployed> = BTreeMap::new();
    for (path, kind, loaded) in &loaded {
        let unit = match loaded {
            _ if arguments.user => broken(*kind, path, vec![no_users(path)], &facts),
            Loaded::File(file) => deploy(*kind, file, &facts),
            Loaded::Broken(errors) => broken(*kind, path, errors.clone(), &facts),
            Loaded::Masked => continue,
        };
        for error in &unit.errors {
            log.error(&error.long());
        }
        if units.contains_key(&unit.service) {
            let text = format!(
                "{}: another file makes {} too",
                path.display(),
                unit.service
            );
            log.error(&text);
        } else {
            log.info(&format!("{} of {}", unit.service, path.display()));
            units.insert(unit.service.clone(), unit);
        }
    }
    units.into_values().collect()
}

type Files = Vec<(PathBuf, Kind, Loaded)>;

fn load(found: &Found) -> (FileSet, Files) {
    let mut set = FileSet::default();
    let mut files = Vec::new();
    for (name, path) in &found.files {
        let kind = Kind::of(path).expect("only such files were found");
        let loaded = Loaded::read(path, &drop_ins(found, name));
        if let Loaded::File(file) = &loaded {
            set.insert(name, file.clone());
        }
        files.push((path.clone(), kind, loaded));
    }
    (set, files)
}

fn no_users(path: &Path) -> FileError {
    let at = crate::definition::unit_file::Position::whole(path);
    FileError::new(&at, "this version runs no containers of users")
}

/// Monitor and client, installed with this program: `PREFIX/lib/systemd/system-generators/unitbox-generator`.
fn programs() -> (PathBuf, PathBuf) {
    let own = std::env::current_exe().ok();
    let prefix = own
        .as_deref()
        .and_then(|own| own.ancestors().nth(4))
        .map(Path::to_owned);
    let prefix = prefix.filter(|prefix| prefix.join("libexec/unitbox/unitbox-monitor").is_file());
    let prefix = prefix.unwrap_or_else(|| "/usr".into());
    (
        prefix.join("libexec/unitbox/unitbox-monitor"),
        prefix.join("bin/unitbox"),
    )
}

/// Whoever reads the units is not asked, as nobody answers yet; its library has the number in its name.
fn systemd_version() -> u32 {
    let below = |dir: PathBuf| std::fs::read_dir(dir).into_iter().flatten().flatten();
    let own = below("/usr/lib".into()).map(|entry| entry.path().join("systemd"));
    let dirs = std::iter::once(PathBuf::from("/usr/lib/systemd")).chain(own);
    let numbers = dirs.flat_map(below).filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        let rest = name.strip_prefix("libsystemd-shared-")?;
        rest.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    });
    numbers.max().unwrap_or(OLDEST)
}

/// The oldest systemd that unitbox runs with.
const OLDEST: u32 = 252;
