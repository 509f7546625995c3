//! `import` and `image import`.

use std::io;
use std::path::Path;

use clap::{Arg, ArgMatches, Command};

use super::args::switch;
use super::error::CliError;
use super::{Host, commit, files, output};
use crate::container::files::volume::open_archive;
use crate::image::change::Style;
use crate::image::{Images, Imported};
use crate::plan::bundle::rfc3339;
use crate::sys::time::realtime;

pub(super) fn command() -> Command {
    let text = |name: &'static str, shown: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(shown).help(help)
    };
    Command::new("import")
        .about("Make an image of an archive of its files")
        .arg(text(
            "arch",
            "ARCH",
            "Its architecture instead of this machine's",
        ))
        .arg(commit::change())
        .arg(text("message", "TEXT", "What stands in its history").short('m'))
        .arg(text("os", "OS", "linux, which is all there is"))
        .arg(switch("quiet", Some('q'), "Print the image's id only"))
        .arg(text("variant", "VARIANT", "Variant of its architecture"))
        .arg(Arg::new("path").value_name("FILE|-").required(true))
        .arg(Arg::new("name").value_name("NAME"))
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let text = |name: &str| args.get_one::<String>(name).cloned();
    let path = text("path").unwrap_or_default();
    if ["http://", "https://"]
        .iter()
        .any(|scheme| path.starts_with(scheme))
    {
        return Err(CliError::Usage(format!(
            "{path} is refused: import downloads nothing; use curl, and import -"
        )));
    }
    if let Some(os) = text("os").filter(|os| os != "linux") {
        return Err(CliError::Usage(format!(
            "--os {os}: only images for linux can be kept"
        )));
    }
    for option in ["arch", "variant"] {
        let letter = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if let Some(word) = text(option).filter(|word| word.is_empty() || !word.chars().all(letter))
        {
            return Err(CliError::Usage(format!("--{option} {word:?}: not a word")));
        }
    }
    let said = Imported {
        name: commit::name(args.get_one::<String>("name"))?,
        changes: commit::changes(args, Style::Import)?,
        message: text("message"),
        arch: text("arch"),
        variant: text("variant"),
        created: rfc3339(realtime().as_micros() as u64),
    };
    let images = Images::open(&host.layout.state())?;
    let (layer, id) = if path == "-" {
        images.import(&mut io::stdin().lock(), "standard input", said)?
    } else {
        let opened = open_archive(Path::new(&path));
        let mut file = opened.map_err(|error| {
            let reason = files::not_opened(&path, &error);
            CliError::Usage(format!("error opening {path:?}: {reason}"))
        })?;
        images.import(&mut file, &path, said)?
    };
    if !args.get_flag("quiet") {
        eprintln!(
            "Copying blob {layer}\nCopying config sha256:{id}\nWriting manifest to image destination"
        );
    }
    output::say(&format!("sha256:{id}"))?;
    Ok(0)
}
