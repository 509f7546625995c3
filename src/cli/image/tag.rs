//! `tag` and `untag`.

use clap::{Arg, ArgMatches, Command};

use crate::cli::Host;
use crate::cli::error::CliError;
use crate::image::Images;

fn image() -> Arg {
    Arg::new("image").value_name("IMAGE").required(true)
}

/// The grammar of both.
pub(in crate::cli) fn commands() -> [Command; 2] {
    let names = Arg::new("names").value_name("NAME").num_args(1..);
    [
        Command::new("tag")
            .about("Give an image more names")
            .arg(image())
            .arg(names.clone().required(true)),
        Command::new("untag")
            .about("Take names from an image, all of them if none is given; the image stays")
            .arg(image())
            .arg(names),
    ]
}

fn words(args: &ArgMatches) -> (&str, Vec<String>) {
    let image = args.get_one::<String>("image").expect("clap demands it");
    let names = args.get_many::<String>("names").into_iter().flatten();
    (image, names.cloned().collect())
}

/// `tag`.
pub(in crate::cli) fn tag(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let (image, names) = words(args);
    Images::open(&host.layout.state())?.tag(image, &names)?;
    Ok(0)
}

/// `untag`.
pub(in crate::cli) fn untag(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let (image, names) = words(args);
    Images::open(&host.layout.state())?.untag(image, &names)?;
    Ok(0)
}
