//! `run`: `create`, then `start`, in the background or attached.

use std::io::IsTerminal;

use clap::ArgMatches;

use super::create::{self, CidFile};
use super::error::CliError;
use super::{Host, args, attach, foreground, output, pull, streams};
use crate::container::attach::Wanted;
use crate::container::stop::Patience;
use crate::container::{Site, create as make, remove};
use crate::definition::Definition;

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    // Before anything of ours has their numbers.
    let keep = streams::inherited_ones(args)?;
    let outputs = streams::attached(args)?;
    let mut wish = args::wish(args, &host.layout)?;
    pull::ensure(host, &mut wish)?;
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    create::replace(args, site, &wish)?;
    let cid = CidFile::reserve(args)?;
    let detached = args::is_on(args, "detach");
    let (tty, interactive) = (wish.options.tty && !detached, wish.options.interactive);
    let keys = tty.then(|| attach::keys(args, &wish.conf));
    let keys = keys.transpose()?;
    if tty && interactive && !std::io::stdin().is_terminal() {
        tracing::warn!(
            "standard input is not a terminal: --tty and --interactive may not do what is expected"
        );
    }
    // From here on a signal must find somebody who clears away what was made.
    let signals = (!detached).then(foreground::signals).transpose()?;
    let (definition, lock) = make::create(site, wish)?;
    drop(lock);
    cid.write(site, &definition)?;
    match signals {
        Some(signals) => {
            let ties = foreground::Ties {
                signals: args::is_on(args, "sig-proxy"),
                input: true,
                wanted: Wanted {
                    outputs,
                    keep: &keep,
                },
            };
            foreground::run(site, &definition, signals, ties, keys)
        }
        None => {
            foreground::start_with(site, &definition, &keep)
                .inspect_err(|_| discard(site, &definition))?;
            output::say(definition.id.as_str())?;
            Ok(0)
        }
    }
}

/// Removes what is left of a `--rm` container whose start failed; a kept one stays.
pub(super) fn discard(site: Site<'_>, definition: &Definition) {
    if !definition.options.remove {
        return;
    }
    match remove::remove(site, &definition.id, true, Patience::Seconds(0), true) {
        Err(error) if !error.is_not_found() => {
            tracing::warn!(name = %definition.name, %error, "not removed");
        }
        _ => forget(site, definition),
    }
}

/// Makes systemd forget the failure of a `--rm` container at once: its own collection waits for the cleanup unit, and
/// until then the machine would count as degraded.
pub(super) fn forget(site: Site<'_>, definition: &Definition) {
    let unit = definition.unit();
    if let Err(error) = site.manager.reset_failed(&unit) {
        tracing::warn!(%unit, %error, "failure is not reset");
    }
}
