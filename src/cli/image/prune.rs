//! `image prune`.

use clap::{ArgMatches, Command};

use super::filter::{ImageFilters, is_dangling};
use crate::cli::args::switch;
use crate::cli::error::CliError;
use crate::cli::prune::{is_sure, now};
use crate::cli::{Host, output, ps};
use crate::container::volumes;
use crate::image::Images;

/// Flags of Podman's that are refused, and why.
const REFUSED: [(&str, &str); 2] = [
    ("build-cache", "there are no builds here; use buildah prune"),
    (
        "external",
        "there are no containers of others in the store; use buildah rm",
    ),
];

/// The grammar.
pub(in crate::cli) fn command() -> Command {
    Command::new("prune")
        .about("Remove the images that have no name and no container")
        .arg(switch("all", Some('a'), "Also images that have names"))
        .arg(
            ps::filter()
                .short(None)
                .help("Only images for which this holds"),
        )
        .arg(switch("force", Some('f'), "Do not ask"))
        .args(REFUSED.map(|(name, reason)| switch(name, None, reason).hide(true)))
}

pub(in crate::cli) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let refused = REFUSED.iter().find(|(name, _)| args.get_flag(name));
    if let Some((name, reason)) = refused {
        return Err(CliError::Usage(format!("--{name} is refused: {reason}")));
    }
    let all = args.get_flag("all");
    let store = Images::open(&host.layout.state())?;
    let texts = args.get_many::<String>("filter").into_iter().flatten();
    let filters = ImageFilters::parse(texts.map(String::as_str), &store, now())?;
    let asks = match all {
        true => "all images without at least one container associated with them",
        false => "all dangling images",
    };
    let asks = format!("WARNING! This command removes {asks}.\n");
    if !args.get_flag("force") && !is_sure(&asks)? {
        return Ok(0);
    }
    let used = |id: &str| !volumes::image_users(&host.layout, id).is_empty();
    let removed = store.prune(
        &|image, others| (all || is_dangling(image, others)) && filters.fit(image, others, &used),
        &|id| super::users(host, id),
    )?;
    for image in removed {
        output::say(&image.id)?;
    }
    Ok(0)
}
