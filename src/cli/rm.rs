//! `rm`.

use std::collections::BTreeSet;

use clap::{ArgMatches, Command};

use super::error::CliError;
use super::select::{self, Chosen};
use super::stop::patience;
use super::{Host, args, output, ps};
use crate::api::Layout;
use crate::container::{ContainerError, Site, remove};
use crate::store;
use crate::types::ContainerId;

/// podman-rm(1), "Exit Status": one was not there; one runs.
const MISSING: u8 = 1;
const RUNNING: u8 = 2;

/// The grammar.
pub(super) fn command() -> Command {
    let command = Command::new("rm").about("Remove containers");
    let filter = ps::filter().short(None);
    select::by_name(command, "All of them")
        .arg(select::cidfile())
        .arg(args::switch(
            "depend",
            None,
            "Also those that depend on them",
        ))
        .arg(filter)
        .arg(args::switch(
            "force",
            Some('f'),
            "Stop those that run; ignore those that are not there",
        ))
        .arg(args::switch(
            "ignore",
            Some('i'),
            "One that is not there is no error",
        ))
        .arg(args::switch(
            "volumes",
            Some('v'),
            "Also their anonymous volumes",
        ))
        .arg(args::seconds())
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let chosen = match select::choose(args, host, site, |_| true) {
        Err(error) if error.is_not_found() => {
            let text = error.to_string();
            let text = text.replace("with name or ID", "with ID or name");
            return tell(&CliError::Usage(text), MISSING).map(|()| 0);
        }
        other => other?,
    };
    let mut pending = match args.get_flag("depend") {
        true => with_dependents(&host.layout, chosen),
        false => chosen,
    };
    let mut worst = 0;
    // What others need goes once they are gone, if they are to go too.
    loop {
        let before = pending.len();
        let mut needed = Vec::new();
        for one in pending {
            match remove(args, site, &one) {
                Ok(()) => {}
                Err(CliError::Container(ContainerError::Needed { .. })) => needed.push(one),
                Err(error) => {
                    error.report();
                    worst = worst.max(error.exit_code());
                }
            }
        }
        pending = needed;
        if pending.is_empty() || pending.len() == before {
            break;
        }
    }
    for one in pending {
        if let Err(error) = remove(args, site, &one) {
            error.report();
            worst = worst.max(error.exit_code());
        }
    }
    match worst {
        0 => Ok(0),
        code => Err(CliError::Told(code)),
    }
}

fn remove(args: &ArgMatches, site: Site<'_>, one: &Chosen) -> Result<(), CliError> {
    let (force, volumes) = (args.get_flag("force"), args.get_flag("volumes"));
    match remove::remove(site, &one.id, force, patience(args), volumes) {
        // It removed itself meanwhile.
        Err(error) if error.is_not_found() => output::say(&one.shown),
        Err(error @ ContainerError::State(_)) => tell(&error.into(), RUNNING),
        Err(error) => Err(error.into()),
        Ok(()) => output::say(&one.shown),
    }
}

fn tell(error: &CliError, code: u8) -> Result<(), CliError> {
    error.report();
    Err(CliError::Told(code))
}

/// All that depend on these, each before what it needs.
fn with_dependents(layout: &Layout, chosen: Vec<Chosen>) -> Vec<Chosen> {
    fn visit(
        layout: &Layout,
        id: &ContainerId,
        seen: &mut BTreeSet<ContainerId>,
        out: &mut Vec<ContainerId>,
    ) {
        if seen.insert(id.clone()) {
            for dependent in store::dependents(layout, id) {
                visit(layout, &dependent, seen, out);
            }
            out.push(id.clone());
        }
    }
    let (mut seen, mut ids) = (BTreeSet::new(), Vec::new());
    for one in &chosen {
        visit(layout, &one.id, &mut seen, &mut ids);
    }
    let show = |id: ContainerId| {
        let given = chosen.iter().find(|one| one.id == id);
        let shown = given.map_or_else(|| id.to_string(), |one| one.shown.clone());
        Chosen { id, shown }
    };
    ids.into_iter().map(show).collect()
}
