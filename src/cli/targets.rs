//! Verbs on several targets: each is tried, each error is told, the worst exit code counts.

use clap::ArgMatches;

use super::error::CliError;
use crate::api::Layout;
use crate::definition::Definition;
use crate::store::{self, Listed};

/// The names or ids given.
pub(super) fn texts<'a>(args: &'a ArgMatches, of: &str) -> impl Iterator<Item = &'a str> {
    args.get_many::<String>(of)
        .into_iter()
        .flatten()
        .map(String::as_str)
}

/// Does something for each target.
pub(super) fn each<'a>(
    targets: impl Iterator<Item = &'a str>,
    mut action: impl FnMut(&'a str) -> Result<(), CliError>,
) -> Result<u8, CliError> {
    let mut worst = 0;
    for target in targets {
        if let Err(error) = action(target) {
            error.report();
            worst = worst.max(error.exit_code());
        }
    }
    if worst == 0 {
        Ok(0)
    } else {
        Err(CliError::Told(worst))
    }
}

/// The container that was made last.
pub(super) fn latest(layout: &Layout) -> Result<Definition, CliError> {
    let all = store::list(layout)?.into_iter();
    let good = all.filter_map(|entry| match entry {
        Listed::Good(definition) => Some(*definition),
        Listed::Broken { .. } => None,
    });
    good.last()
        .ok_or_else(|| CliError::Usage("no containers: no such container".to_owned()))
}

/// Finds a container and reads its definition.
pub(super) fn find(layout: &Layout, text: &str) -> Result<Definition, CliError> {
    Ok(store::load(layout, &store::lookup(layout, text)?)?)
}

/// The one container meant: by name or id, or the latest.
pub(super) fn one(args: &ArgMatches, layout: &Layout) -> Result<Definition, CliError> {
    let text = args.get_one::<String>("container");
    match (text, args.get_flag("latest")) {
        (Some(text), false) => find(layout, text),
        (None, true) => latest(layout),
        (Some(_), true) => Err(CliError::Usage(
            "--latest and a container cannot be used together".to_owned(),
        )),
        (None, false) => Err(CliError::Usage(
            "name a container, or use --latest".to_owned(),
        )),
    }
}
