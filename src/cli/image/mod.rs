//! Verbs on images, alone or behind `image`.

mod tag;

use clap::{ArgMatches, Command};

use super::Host;
use super::error::CliError;

/// The grammar of the verbs that may stand alone, or behind `image`.
pub(super) fn verbs() -> Vec<Command> {
    tag::commands().into()
}

/// Runs a verb of [`verbs`]; none: it is another.
pub(super) fn run(verb: &str, args: &ArgMatches, host: &Host) -> Option<Result<u8, CliError>> {
    Some(match verb {
        "tag" => tag::tag(args, host),
        "untag" => tag::untag(args, host),
        _ => return None,
    })
}
