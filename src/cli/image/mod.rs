//! Verbs on images, alone or behind `image`.

mod filter;
mod history;
mod list;
mod mount;
mod prune;
mod save;
mod tag;

use clap::{ArgMatches, Command};

use super::Host;
use super::error::CliError;
use crate::container::volumes;
use crate::image::{Images, host_mount};
use crate::types::chain;

pub(super) use filter::is_dangling;
pub(super) use list::command as list;

/// Who uses an image: containers, and whoever has it mounted on the host.
pub(super) fn users(host: &Host, id: &str) -> Vec<String> {
    let users = volumes::image_users(&host.layout, id).into_iter();
    let users = users.map(|user| format!("container {}", user.name));
    users.chain(mounted_at(host, id)).collect()
}

/// A mount of an image; where nobody knows, it is taken to be there.
fn mounted_at(host: &Host, id: &str) -> Option<String> {
    match host_mount::place_of(id, &mount::places(host)) {
        Ok(place) => place.map(|place| format!("the mount {}", place.display())),
        Err(error) => Some(chain(&error)),
    }
}

/// Takes the mount of an image away, if it has one, whoever uses it.
pub(super) fn unmount(host: &Host, images: &Images, id: &str) -> Result<(), CliError> {
    images.unmount(id, &mount::places(host), true)?;
    Ok(())
}

/// The grammar of the verbs that there are behind `image` only.
pub(super) fn own_verbs() -> Vec<Command> {
    let mut verbs = vec![prune::command()];
    verbs.extend(mount::commands());
    verbs
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
        "mount" => mount::mount(args, host),
        "unmount" => mount::unmount(args, host),
        "prune" => prune::run(args, host),
        "save" => save::run(args, host),
        "tag" => tag::tag(args, host),
        "untag" => tag::untag(args, host),
        _ => return None,
    })
}
