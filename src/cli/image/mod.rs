//! Verbs on images, alone or behind `image`.

mod filter;
mod history;
mod list;
mod prune;
mod save;
mod tag;

use clap::{ArgMatches, Command};

use super::Host;
use super::error::CliError;
use crate::container::volumes;

pub(super) use list::command as list;
pub(super) use prune::command as prune;

/// Who uses an image, by name.
pub(super) fn users(host: &Host, id: &str) -> Vec<String> {
    let users = volumes::image_users(&host.layout, id).into_iter();
    users.map(|user| user.name.to_string()).collect()
}

/// The grammar of the verbs that may stand alone, or behind `image`.
pub(super) fn verbs() -> Vec<Command> {
    let mut verbs = vec![history::command(), save::command()];
    verbs.extend(tag::commands());
    verbs
}

/// Runs a verb of [`verbs`]; none: it is another.
pub(super) fn run(verb: &str, args: &ArgMatches, host: &Host) -> Option<Result<u8, CliError>> {
    Some(match verb {
        "history" => history::run(args, host),
        "images" | "ls" => list::run(args, host),
        "prune" => prune::run(args, host),
        "save" => save::run(args, host),
        "tag" => tag::tag(args, host),
        "untag" => tag::untag(args, host),
        _ => return None,
    })
}
