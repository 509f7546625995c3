//! `volume export` and `volume import`.

use std::fs;
use std::io::{self, BufWriter, IsTerminal};
use std::path::{Path, PathBuf};

use clap::ArgMatches;

use super::error::CliError;
use super::files::{not_opened, written};
use super::{Host, volume};
use crate::container::files::volume as contents;
use crate::store::StoreError;
use crate::store::volumes::Volume;

/// In Podman's words.
fn named(args: &ArgMatches, host: &Host) -> Result<Volume, CliError> {
    volume::named(args, host).map_err(|error| match error {
        CliError::Store(StoreError::NoSuchObject { name, .. }) => {
            CliError::Usage(format!("no such volume {name}"))
        }
        other => other,
    })
}

/// `volume export`.
pub(super) fn export(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let path = args.get_one::<PathBuf>("output");
    if path.is_none() && io::stdout().is_terminal() {
        let text = "refusing to export to terminal. Use -o flag or redirect";
        return Err(CliError::Usage(text.to_owned()));
    }
    let name = named(args, host)?.name;
    let Some(path) = path else {
        let mut to = BufWriter::new(io::stdout().lock());
        let exported = contents::export(&host.layout, &name, &mut to);
        return written(exported, &mut to, "standard output");
    };
    let shown = path.display().to_string();
    let file = fs::File::create(path).map_err(|error| {
        let reason = not_opened(&shown, &error);
        CliError::Usage(format!("could not create tarball file '{shown}': {reason}"))
    })?;
    let mut to = BufWriter::new(file);
    let exported = contents::export(&host.layout, &name, &mut to);
    let exported = written(exported, &mut to, &shown);
    if exported.is_err() && fs::symlink_metadata(path).is_ok_and(|about| about.is_file()) {
        // Half an archive is none.
        let _ = fs::remove_file(path);
    }
    exported
}

/// `volume import`.
pub(super) fn import(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let source = args.get_one::<String>("source").map_or("", String::as_str);
    let name = named(args, host)?.name;
    if source == "-" {
        contents::import(&host.layout, &name, &mut io::stdin().lock())?;
        return Ok(0);
    }
    let file = contents::open_archive(Path::new(source));
    let mut file = file.map_err(|error| not_opened(source, &error))?;
    contents::import(&host.layout, &name, &mut file)?;
    Ok(0)
}
