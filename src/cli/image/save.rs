//! `save`.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Command};

use crate::cli::args::{output_file, switch};
use crate::cli::error::CliError;
use crate::cli::{Host, targets};
use crate::image::save::{Saved, directory, docker_archive, oci_archive};
use crate::image::{self, Digest, Images};
use crate::sys::id::random_bytes;

/// What `--format` takes.
const FORMATS: [&str; 4] = ["oci-dir", "oci-archive", "docker-dir", "docker-archive"];

/// The grammar.
pub(in crate::cli) fn command() -> Command {
    Command::new("save")
        .about("Write images as an archive or a directory")
        .arg(
            switch(
                "compress",
                None,
                "Refused: layers are written as they are kept",
            )
            .hide(true),
        )
        .arg(
            Arg::new("format")
                .long("format")
                .value_name("FORMAT")
                .default_value("docker-archive")
                .help("docker-archive, oci-archive, oci-dir or docker-dir"),
        )
        .arg(switch(
            "multi-image-archive",
            Some('m'),
            "All words are images, and not names of the first",
        ))
        .arg(output_file(
            "A file or directory instead of standard output, which must be no terminal",
        ))
        .arg(switch("quiet", Some('q'), "Do not tell what is copied"))
        .arg(switch(
            "uncompressed",
            None,
            "Take plain layers, too, as is always done",
        ))
        .arg(
            Arg::new("images")
                .value_name("IMAGE")
                .num_args(1..)
                .required(true),
        )
}

fn refused<T>(text: impl Into<String>) -> Result<T, CliError> {
    Err(CliError::Usage(text.into()))
}

pub(in crate::cli) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let format = args.get_one::<String>("format").expect("it has a default");
    let output = args.get_one::<PathBuf>("output").map(PathBuf::as_path);
    let several = args.get_flag("multi-image-archive");
    let names: Vec<String> = targets::texts(args, "images").map(str::to_owned).collect();
    if !FORMATS.contains(&format.as_str()) {
        return refused(format!("format value must be one of {}", FORMATS.join(" ")));
    }
    if args.get_flag("compress") {
        return refused(
            "--compress is refused: layers are written as they are kept; use skopeo copy",
        );
    }
    if let Some(path) = output.filter(|path| path.to_string_lossy().contains(':')) {
        return refused(format!(
            "invalid filename (should not contain ':') {path:?}"
        ));
    }
    if format != "docker-archive" && names.len() > 1 {
        return refused(format!(
            "unsupported format {format:?} for saving multiple images or names (only docker-archive)"
        ));
    }
    if output.is_none() && io::stdout().is_terminal() {
        return refused("refusing to save to terminal. Use -o flag or redirect");
    }
    let is_dir = format.ends_with("-dir");
    if is_dir && output.is_none() {
        return refused(format!("--format {format} needs a directory: use -o"));
    }
    let saved = Images::open(&host.layout.state())?.open_saved(&names, several)?;
    let told = output.is_some() && !args.get_flag("quiet");
    let mut report = |what: &str, digest: &Digest| {
        if told {
            eprintln!("Copying {what} {digest}");
        }
    };
    match output {
        Some(path) if is_dir => to_directory(path, &saved[0], format == "docker-dir", &mut report)?,
        Some(path) => to_file(path, format, &saved, &mut report)?,
        None => {
            let mut to = BufWriter::with_capacity(1 << 16, io::stdout().lock());
            write(format, &saved, &mut to, &mut report)?;
        }
    }
    if told {
        eprintln!("Writing manifest to image destination");
    }
    Ok(0)
}

fn write(
    format: &str,
    saved: &[Saved],
    to: &mut dyn Write,
    report: &mut dyn FnMut(&str, &Digest),
) -> Result<(), image::Error> {
    match format {
        "oci-archive" => oci_archive(&saved[0], to, report),
        _ => docker_archive(saved, to, report),
    }
}

/// A name beside a path, for what is not complete.
fn beside(path: &Path) -> Result<PathBuf, CliError> {
    let shown = path.display().to_string();
    let Some(name) = path.file_name() else {
        return refused(format!("opening file {shown:?}: it has no name"));
    };
    let random = random_bytes::<8>().map_err(CliError::io("draw a name beside", shown))?;
    let random = u64::from_ne_bytes(random);
    let name = format!(".{}.part-{random:016x}", name.to_string_lossy());
    Ok(path.with_file_name(name.chars().take(200).collect::<String>()))
}

/// A file takes the place of an older one only when it is whole; what is no file is written to.
fn to_file(
    path: &Path,
    format: &str,
    saved: &[Saved],
    report: &mut dyn FnMut(&str, &Digest),
) -> Result<(), CliError> {
    let shown = path.display().to_string();
    let about = fs::metadata(path).ok();
    if about.as_ref().is_some_and(fs::Metadata::is_dir) {
        return refused(format!("opening file {shown:?}: is a directory"));
    }
    let full = about
        .as_ref()
        .is_some_and(|about| about.is_file() && about.len() > 0);
    if full && format == "docker-archive" {
        return refused(format!(
            "{shown}: docker-archive doesn't support modifying existing images"
        ));
    }
    if about.is_some_and(|about| !about.is_file()) {
        let file = File::options().write(true).open(path);
        let file = file.map_err(CliError::io("open", shown))?;
        return Ok(write(format, saved, &mut BufWriter::new(file), report)?);
    }
    // A link stays, and what it leads to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let part = beside(&path)?;
    let result = to_part(&part, &path, format, saved, report);
    if result.is_err() {
        let _ = fs::remove_file(&part);
    }
    result
}

fn to_part(
    part: &Path,
    path: &Path,
    format: &str,
    saved: &[Saved],
    report: &mut dyn FnMut(&str, &Digest),
) -> Result<(), CliError> {
    let shown = path.display().to_string();
    let file = File::create_new(part).map_err(CliError::io("open", &shown))?;
    let mut to = BufWriter::with_capacity(1 << 16, &file);
    write(format, saved, &mut to, report)?;
    drop(to);
    file.sync_all().map_err(CliError::io("write", &shown))?;
    fs::rename(part, path).map_err(CliError::io("write", shown))
}

/// The directory is there when it is whole; one that is there already must be empty.
fn to_directory(
    path: &Path,
    saved: &Saved,
    docker: bool,
    report: &mut dyn FnMut(&str, &Digest),
) -> Result<(), CliError> {
    let shown = path.display().to_string();
    match fs::read_dir(path).map(|mut entries| entries.next().is_some()) {
        Ok(true) => return refused(format!("{shown}: the directory is not empty")),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(CliError::io("open directory", shown)(error));
        }
        _ => {}
    }
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let part = beside(&path)?;
    let made = DirBuilder::new().mode(0o755).create(&part);
    made.map_err(CliError::io("make directory", &shown))?;
    let written = directory(saved, docker, &part, report)
        .map_err(CliError::from)
        .and_then(|()| fs::rename(&part, &path).map_err(CliError::io("write", shown)));
    if written.is_err() {
        let _ = fs::remove_dir_all(&part);
    }
    written
}
