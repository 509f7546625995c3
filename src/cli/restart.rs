//! `restart`.

use clap::{ArgMatches, Command};

use super::error::CliError;
use super::stop::patience;
use super::{Host, args, output, ps, select};
use crate::container::observe::{State, observe};
use crate::container::restart;

/// The grammar.
pub(super) fn command() -> Command {
    let command = Command::new("restart").about("Stop and start containers");
    select::by_name(command, "All of them, those that do not run, too")
        .arg(select::cidfile())
        .arg(ps::filter())
        .arg(args::switch("running", None, "Only those that run"))
        .arg(args::seconds())
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let running = args.get_flag("running");
    let mut chosen = select::choose(args, host, site, |_| true)?;
    let nothing_else = chosen.is_empty() && args.get_many::<String>("containers").is_none();
    if running && nothing_else && !args.contains_id("filter") && !args.get_flag("all") {
        let list = ps::list(site)?.entries.into_iter();
        let ids = list.map(|entry| entry.definition.id.clone());
        chosen = ids
            .map(|id| select::Chosen {
                shown: id.to_string(),
                id,
            })
            .collect();
    }
    select::each(&chosen, |one| {
        let definition = one.load(host)?;
        if running && observe(&host.layout, &systemd, &definition)?.state != State::Running {
            return Ok(());
        }
        restart::restart(site, &definition, patience(args))?;
        output::say(&one.shown)
    })
}
