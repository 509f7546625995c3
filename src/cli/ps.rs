//! `ps`.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::ArgMatches;
use serde_json::{Value, json};

use super::error::CliError;
use super::{Host, output, table};
use crate::container::observe::{Observation, State, derive, gather};
use crate::container::{ContainerError, Site};
use crate::definition::{Definition, Source};
use crate::host::systemd::UnitStatus;
use crate::store::{self, Listed};
use crate::sys::time::{Stamp, realtime};
use crate::types::{ContainerId, UnitName};

/// Longest command in the table.
const COMMAND: usize = 20;

/// One container of the list.
pub(super) enum Entry {
    /// As it was observed.
    Good(Box<Definition>, Observation),
    /// Its definition cannot be read.
    Broken(ContainerId),
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let systemd = host.systemd()?;
    let all = args.get_flag("all");
    let entries: Vec<Entry> = entries(host.site(&systemd))?
        .into_iter()
        .filter(|entry| match entry {
            Entry::Good(_, seen) => all || seen.state.is_listed(),
            Entry::Broken(_) => all,
        })
        .collect();
    let whole = args.get_flag("no-trunc");
    let now = realtime().as_micros() as u64;
    let json = args
        .get_one::<String>("format")
        .is_some_and(|format| format == "json");
    let text = if json {
        let list: Vec<Value> = entries.iter().map(|entry| as_json(entry, now)).collect();
        format!("{:#}\n", Value::Array(list))
    } else if args.get_flag("quiet") {
        entries
            .iter()
            .map(|entry| format!("{}\n", id(entry, whole)))
            .collect()
    } else {
        as_table(&entries, whole, now)
    };
    output::print(&text)?;
    Ok(0)
}

/// Observes every container with one question to systemd for all, and one more for each that has a unit to ask about.
fn entries(site: Site<'_>) -> Result<Vec<Entry>, CliError> {
    let listed = store::list(site.layout)?;
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let loaded: BTreeSet<String> = site
        .manager
        .list("unitbox-*.service")?
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    let observe = |definition: Box<Definition>| -> Result<Entry, ContainerError> {
        let unit = UnitName::of(&definition.name);
        let status = match loaded.contains(unit.as_str()) {
            true => site.manager.status(&unit)?,
            // Not loaded: it is inactive, and systemd knows no more of it than its file.
            false => UnitStatus::not_found(),
        };
        let seen = derive(&gather(site.layout, &definition, status));
        Ok(Entry::Good(definition, seen))
    };
    let mut entries = Vec::with_capacity(listed.len());
    for entry in listed {
        entries.push(match entry {
            Listed::Good(definition) => observe(definition)?,
            Listed::Broken { id, error } => {
                tracing::debug!(%id, %error, "container is broken");
                Entry::Broken(id)
            }
        });
    }
    Ok(entries)
}

fn id(entry: &Entry, whole: bool) -> String {
    let id = match entry {
        Entry::Good(definition, _) => &definition.id,
        Entry::Broken(id) => id,
    };
    if whole { id.as_str() } else { id.short() }.to_owned()
}

pub(super) fn as_table(entries: &[Entry], whole: bool, now: u64) -> String {
    let row = |entry: &Entry| match entry {
        Entry::Good(definition, seen) => {
            let command = definition.command.join(" ");
            [
                id(entry, whole),
                definition.source_name().to_owned(),
                if whole {
                    command
                } else {
                    table::shorten(&command, COMMAND)
                },
                ago(definition.created, now),
                status(seen, now),
                String::new(),
                definition.name.to_string(),
            ]
        }
        Entry::Broken(_) => {
            let [image, command, created, ports, names] = [const { String::new() }; 5];
            [
                id(entry, whole),
                image,
                command,
                created,
                "Broken".to_owned(),
                ports,
                names,
            ]
        }
    };
    let rows: Vec<[String; 7]> = entries.iter().map(row).collect();
    table::render(
        [
            "CONTAINER ID",
            "IMAGE",
            "COMMAND",
            "CREATED",
            "STATUS",
            "PORTS",
            "NAMES",
        ],
        &rows,
    )
}

fn ago(then: u64, now: u64) -> String {
    format!("{} ago", table::span(now.saturating_sub(then)))
}

/// The words of the STATUS column.
pub(super) fn status(seen: &Observation, now: u64) -> String {
    match seen.state {
        State::Created => "Created".to_owned(),
        State::Running => format!("Up {}", table::span(now.saturating_sub(seen.started))),
        State::Paused => "Paused".to_owned(),
        State::Stopping => "Stopping".to_owned(),
        State::Removing => "Removing".to_owned(),
        State::Unknown => "Unknown".to_owned(),
        State::Exited => match &seen.exit {
            Some(exit) if exit.finished() != 0 => {
                format!(
                    "Exited ({}) {}",
                    exit.code_text(),
                    ago(exit.finished(), now)
                )
            }
            Some(exit) => format!("Exited, code {}", exit.code_text()),
            None => "Exited".to_owned(),
        },
    }
}

fn as_json(entry: &Entry, now: u64) -> Value {
    let (definition, seen) = match entry {
        Entry::Good(definition, seen) => (definition, seen),
        Entry::Broken(id) => return json!({"Id": id, "State": "broken", "Names": []}),
    };
    let image = match &definition.source {
        Source::Image { id, .. } => id.as_str(),
        Source::Rootfs { .. } => "",
    };
    let exit = seen.exit.as_ref();
    let started = match seen.started {
        0 => exit.map_or(0, |exit| exit.started()),
        started => started,
    };
    let created = Stamp::local(Duration::from_micros(definition.created));
    json!({
        "AutoRemove": definition.options.remove,
        "Command": definition.command,
        "CreatedAt": ago(definition.created, now),
        "Created": definition.created / 1_000_000,
        "CreatedTime": created.as_str(),
        "Exited": seen.state == State::Exited,
        "ExitedAt": exit.map_or(0, |exit| exit.finished() / 1_000_000),
        "ExitCode": exit.map_or(Some(0), |exit| exit.code()),
        "Id": definition.id,
        "Image": definition.source_name(),
        "ImageID": image,
        "IsInfra": false,
        "Labels": definition.options.labels,
        "Mounts": [],
        "Names": [definition.name],
        "Networks": [],
        "Pid": seen.pid.unwrap_or(0),
        "Ports": null,
        "Restarts": seen.restarts,
        "StartedAt": started / 1_000_000,
        "State": seen.state.as_str(),
        "Status": status(seen, now),
        "Unit": UnitName::of(&definition.name).as_str(),
    })
}
