//! `push`.

use std::io::{self, IsTerminal};
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

use super::args::{is_on, toggle};
use super::error::CliError;
use super::{Host, pull};
use crate::image::Images;
use crate::image::pull::{Origin, SendRequest};
use crate::image::reference::Reference;

/// What skopeo compresses with.
const COMPRESSIONS: [&str; 3] = ["gzip", "zstd", "zstd:chunked"];

pub(super) fn command() -> Command {
    let text = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    Command::new("push")
        .about("Send an image to a registry or another place")
        .args(pull::access())
        .arg(pull::cert_dir())
        .arg(text("compression-format", "FORMAT", "Compress layers so").value_parser(COMPRESSIONS))
        .arg(
            text(
                "compression-level",
                "LEVEL",
                "From fast to small, as the format has it",
            )
            .value_parser(value_parser!(i64)),
        )
        .arg(pull::credentials())
        .arg(
            text(
                "digestfile",
                "FILE",
                "Write the digest of what was sent to this file",
            )
            .value_parser(value_parser!(PathBuf)),
        )
        .arg(pull::content_trust())
        .arg(
            text(
                "format",
                "FORMAT",
                "oci, v2s2 or v2s1 instead of the image's own form",
            )
            .short('f')
            .value_parser(["oci", "v2s2", "v2s1"]),
        )
        .arg(toggle("quiet", "Print nothing").short('q'))
        .arg(toggle("remove-signatures", "Send no signatures"))
        .arg(Arg::new("image").value_name("IMAGE").required(true))
        .arg(
            Arg::new("destination")
                .value_name("DESTINATION")
                .help("A name or TRANSPORT:DETAILS; without it, the image's name"),
        )
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let name = args.get_one::<String>("image").expect("clap demands it");
    let images = Images::open(&host.layout.state())?;
    let to = match args.get_one::<String>("destination") {
        Some(text) => Origin::parse(text)?,
        None => own_place(&images, name)?,
    };
    if let Origin::Registry(to) = &to
        && to.domain.is_none()
    {
        let text = format!("destination {to}: it names no registry");
        return Err(CliError::Usage(text));
    }
    let file = args.get_one::<PathBuf>("digestfile");
    let absolute = |path: &PathBuf| {
        let shown = format!("--digestfile {}", path.display());
        std::path::absolute(path).map_err(CliError::io("find", shown))
    };
    let quiet = is_on(args, "quiet");
    let request = SendRequest {
        access: pull::access_of(args)?,
        format: args.get_one::<String>("format").cloned(),
        compression: args.get_one::<String>("compression-format").cloned(),
        level: args.get_one("compression-level").copied(),
        remove_signatures: is_on(args, "remove-signatures"),
        digest_file: file.map(absolute).transpose()?,
        quiet,
        terminal: !quiet && io::stderr().is_terminal(),
    };
    images.send(name, &to, &request, &mut pull::tell)?;
    Ok(0)
}

/// The name under which an image is here is where it goes.
fn own_place(images: &Images, name: &str) -> Result<Origin, CliError> {
    let image = images.resolve(name)?;
    let meant = name.parse::<Reference>().map(|name| name.candidates());
    let meant = meant.unwrap_or_default();
    let full = image.names.iter().find(|full| meant.contains(full));
    match full.or(image.names.first()) {
        Some(full) => Ok(Origin::parse(full)?),
        None => Err(CliError::Usage(format!(
            "image {name} has no name: say where it is to be sent"
        ))),
    }
}
