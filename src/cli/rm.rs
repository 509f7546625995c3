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
    let results = if args.get_flag("depend") {
        let names: Vec<String> = chosen.iter().map(|one| one.shown.clone()).collect();
        let all = with_dependents(&host.layout, chosen).into_iter();
        let mut results: Vec<_> = all.map(|one| (remove(args, site, &one), one)).collect();
        results.sort_by_key(|(_, one)| !names.contains(&one.shown));
        results
    } else if args.get_flag("all") || args.contains_id("filter") {
        // In which order they are found nobody knows.
        in_passes(chosen, |one| remove(args, site, one))
    } else {
        let all = chosen.into_iter();
        all.map(|one| (remove(args, site, &one), one)).collect()
    };
    let mut worst = 0;
    for (result, one) in results {
        match result {
            Ok(()) => output::say(&one.shown)?,
            Err(error) => {
                error.report();
                worst = worst.max(error.exit_code());
            }
        }
    }
    match worst {
        0 => Ok(0),
        code => Err(CliError::Told(code)),
    }
}

type Outcome = (Result<(), CliError>, Chosen);

/// What others need goes once they are gone, too.
fn in_passes(
    chosen: Vec<Chosen>,
    remove: impl Fn(&Chosen) -> Result<(), CliError>,
) -> Vec<Outcome> {
    let (mut results, mut pending) = (Vec::new(), chosen);
    loop {
        let before = pending.len();
        let mut needed = Vec::new();
        for one in pending {
            match remove(&one) {
                result @ Err(CliError::Container(ContainerError::Needed { .. })) => {
                    needed.push((result, one));
                }
                result => results.push((result, one)),
            }
        }
        if needed.is_empty() || needed.len() == before {
            results.extend(needed);
            return results;
        }
        pending = needed.into_iter().map(|(_, one)| one).collect();
    }
}

fn remove(args: &ArgMatches, site: Site<'_>, one: &Chosen) -> Result<(), CliError> {
    let (force, volumes) = (args.get_flag("force"), args.get_flag("volumes"));
    match remove::remove(site, &one.id, force, patience(args), volumes) {
        // It removed itself meanwhile.
        Err(error) if error.is_not_found() => Ok(()),
        Err(error @ ContainerError::State(_)) => tell(&error.into(), RUNNING),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(()),
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
