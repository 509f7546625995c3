//! `ps`: the list of containers.

mod row;

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::args::switch;
use super::error::CliError;
use super::filter::Filters;
use super::template::{Template, Value, is_table};
use super::{Host, output, size, table};
use crate::container::Site;
use crate::container::observe::{Bulk, Observation, State};
use crate::definition::{Definition, Source};
use crate::image::Images;
use crate::store::{self, Listed};
use crate::sys::time::realtime;
use crate::types::ContainerId;

pub(super) use row::status;

/// What `--sort` takes.
const ORDERS: [&str; 8] = [
    "command",
    "created",
    "id",
    "image",
    "names",
    "runningfor",
    "size",
    "status",
];

/// The grammar.
pub(super) fn command(name: &'static str) -> Command {
    Command::new(name)
        .about("List containers")
        .arg(switch("all", Some('a'), "Also those that do not run"))
        .arg(switch(
            "external",
            None,
            "Only containers of unitbox are known: changes nothing",
        ))
        .arg(filter())
        .arg(template())
        .arg(
            Arg::new("last")
                .long("last")
                .short('n')
                .value_name("NUMBER")
                .value_parser(value_parser!(i64))
                .allow_negative_numbers(true)
                .help("The so many last made, in any state"),
        )
        .arg(latest())
        .arg(switch("no-trunc", None, "Do not shorten ids and commands"))
        .arg(switch("noheading", None, "Leave the heading out"))
        .arg(switch("ns", None, "Show namespaces").alias("namespace"))
        .arg(switch(
            "pod",
            Some('p'),
            "Show pods, which there are none of",
        ))
        .arg(switch("quiet", Some('q'), "Ids only"))
        .arg(switch("size", Some('s'), "Show sizes of files"))
        .arg(
            Arg::new("sort")
                .long("sort")
                .value_name("ORDER")
                .value_parser(ORDERS)
                .default_value("created")
                .hide_default_value(true)
                .help("Order of the list"),
        )
        .arg(switch(
            "sync",
            None,
            "States are always asked for anew: changes nothing",
        ))
        .arg(
            Arg::new("watch")
                .long("watch")
                .short('w')
                .value_name("SECONDS")
                .value_parser(value_parser!(u64))
                .help("Show it again after so many seconds"),
        )
}

/// `--filter`.
pub(super) fn filter() -> Arg {
    Arg::new("filter")
        .long("filter")
        .short('f')
        .value_name("KEY=VALUE")
        .action(ArgAction::Append)
        .help("Only containers for which this holds")
}

/// `--latest`.
pub(super) fn latest() -> Arg {
    switch("latest", Some('l'), "The container that was made last")
}

/// `--format` of lists.
pub(super) fn template() -> Arg {
    Arg::new("format")
        .long("format")
        .value_name("FORMAT")
        .help("json, table, or a template of Go's")
}

/// One container of the list.
pub(super) struct Entry {
    pub(super) definition: Box<Definition>,
    pub(super) seen: Observation,
    /// The user's command, or the image's.
    pub(super) command: Vec<String>,
    /// Bytes of its own files, and of these with its image.
    pub(super) size: Option<(u64, u64)>,
    /// Namespaces are to be shown.
    pub(super) with_namespaces: bool,
}

/// What there is.
pub(super) struct List {
    pub(super) entries: Vec<Entry>,
    /// Those whose definitions cannot be read.
    pub(super) broken: Vec<ContainerId>,
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    check(args)?;
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let watch = args.get_one::<u64>("watch").copied().unwrap_or(0);
    if watch == 0 {
        output::print(&show(args, host, site)?)?;
        return Ok(0);
    }
    loop {
        let text = show(args, host, site)?;
        // Home, and clear from there on (console_codes(4)).
        output::print(&format!("\x1b[H\x1b[J{text}"))?;
        site.manager.disconnect();
        thread::sleep(Duration::from_secs(watch));
    }
}

fn check(args: &ArgMatches) -> Result<(), CliError> {
    let on = |name| args.get_flag(name);
    let wrong = |text: &str| Err(CliError::Usage(text.to_owned()));
    if on("latest") && last(args).is_some() {
        return wrong("last and latest are mutually exclusive");
    }
    if on("quiet") && (on("size") || on("ns")) {
        return wrong("quiet conflicts with size and namespace");
    }
    if on("size") && on("ns") {
        return wrong("size and namespace options conflict");
    }
    Ok(())
}

fn last(args: &ArgMatches) -> Option<usize> {
    let number = args.get_one::<i64>("last").copied().unwrap_or(-1);
    usize::try_from(number).ok().filter(|number| *number > 0)
}

fn show(args: &ArgMatches, host: &Host, site: Site<'_>) -> Result<String, CliError> {
    let now = realtime().as_micros() as u64;
    let filters = Filters::of(args, &host.layout, now)?;
    let last = if args.get_flag("latest") {
        Some(1)
    } else {
        last(args)
    };
    let all = args.get_flag("all") || last.is_some() || filters.has_status;
    let mut list = list(site)?;
    list.entries.retain(|entry| {
        let listed = all || entry.seen.state == State::Running;
        listed && filters.fit(&entry.definition, &entry.seen)
    });
    if !all || args.contains_id("filter") {
        list.broken.clear();
    }
    if let Some(last) = last {
        let excess = list.entries.len().saturating_sub(last);
        list.entries.drain(..excess);
    }
    let sort = args.get_one::<String>("sort").map_or("", String::as_str);
    if args.get_flag("size") || sort == "size" {
        let images = Images::open(&host.layout.state()).ok();
        for entry in &mut list.entries {
            entry.size = Some(size::of(&host.layout, images.as_ref(), &entry.definition));
        }
    }
    for entry in &mut list.entries {
        entry.with_namespaces = args.get_flag("ns");
    }
    order(&mut list.entries, sort);
    render(args, &list, now)
}

/// Observes every container.
pub(super) fn list(site: Site<'_>) -> Result<List, CliError> {
    let mut list = List {
        entries: Vec::new(),
        broken: Vec::new(),
    };
    let listed = store::list(site.layout)?;
    if listed.is_empty() {
        return Ok(list);
    }
    let bulk = Bulk::new(site.layout, site.manager)?;
    let mut images = None;
    let mut commands: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in listed {
        match entry {
            Listed::Good(definition) => {
                let command = match &definition.source {
                    Source::Image { id, .. } if definition.command.is_empty() => {
                        let images =
                            images.get_or_insert_with(|| Images::open(&site.layout.state()).ok());
                        let find = || {
                            let image = images.as_ref()?.resolve(id).ok()?;
                            Some(image.config.cmd)
                        };
                        let known = commands.entry(id.clone());
                        known.or_insert_with(|| find().unwrap_or_default()).clone()
                    }
                    _ => definition.command.clone(),
                };
                list.entries.push(Entry {
                    seen: bulk.observe(&definition)?,
                    definition,
                    command,
                    size: None,
                    with_namespaces: false,
                });
            }
            Listed::Broken { id, error } => {
                tracing::debug!(%id, %error, "container is broken");
                list.broken.push(id);
            }
        }
    }
    Ok(list)
}

fn order(entries: &mut [Entry], by: &str) {
    match by {
        "command" => entries.sort_by(|a, b| a.command.cmp(&b.command)),
        "id" => entries.sort_by(|a, b| a.definition.id.cmp(&b.definition.id)),
        "image" => {
            entries.sort_by(|a, b| row::image(&a.definition).cmp(row::image(&b.definition)));
        }
        "names" => entries.sort_by(|a, b| a.definition.name.cmp(&b.definition.name)),
        "size" => entries.sort_by_key(|entry| entry.size),
        "status" => entries.sort_by_key(|entry| entry.seen.state.as_str()),
        // By age, as they are.
        _ => {}
    }
}

fn render(args: &ArgMatches, list: &List, now: u64) -> Result<String, CliError> {
    let whole = args.get_flag("no-trunc");
    let format = args.get_one::<String>("format").map_or("", String::as_str);
    if format == "json" {
        let mut rows: Vec<Value> = list
            .entries
            .iter()
            .map(|entry| row::as_json(entry, Some(now)))
            .collect();
        rows.extend(list.broken.iter().map(broken));
        return Ok(Value::List(rows).to_pretty_json("  ") + "\n");
    }
    if args.get_flag("quiet") {
        let good = list.entries.iter().map(|entry| &entry.definition.id);
        let ids = good.chain(&list.broken);
        return Ok(ids.map(|id| shown(id, whole) + "\n").collect());
    }
    if format.is_empty() || format == "table" {
        let lines = lines(args, list, now);
        return Ok(table::columns(&lines));
    }
    let template = Template::of_rows("ps", format)?;
    let rows = list
        .entries
        .iter()
        .map(|entry| row::as_value(entry, whole, now));
    let text = template.render(&Value::List(rows.collect()))?;
    if !is_table(format) {
        return Ok(text);
    }
    let heading = match args.get_flag("noheading") {
        true => String::new(),
        false => Template::of_rows("ps", format)?.heading(row::HEADINGS)?,
    };
    Ok(table::tabbed(&(heading + &text)))
}

fn shown(id: &ContainerId, whole: bool) -> String {
    if whole { id.as_str() } else { id.short() }.to_owned()
}

fn broken(id: &ContainerId) -> Value {
    let names: [&str; 0] = [];
    Value::fields(
        "entities.ListContainer",
        vec![
            ("Id", id.as_str().into()),
            ("State", "broken".into()),
            ("Names", Value::list(names)),
        ],
    )
}

/// The table, with its heading.
fn lines(args: &ArgMatches, list: &List, now: u64) -> Vec<Vec<String>> {
    let whole = args.get_flag("no-trunc");
    let with = |name| args.get_flag(name);
    let mut lines = Vec::new();
    if with("ns") {
        lines.push(vec!["CONTAINER ID", "NAMES", "PID"]);
        lines[0].extend(row::NAMESPACES.map(|(column, _)| column));
    } else {
        let all = [
            "CONTAINER ID",
            "IMAGE",
            "COMMAND",
            "CREATED",
            "STATUS",
            "PORTS",
            "NAMES",
        ];
        lines.push(all.to_vec());
        if with("pod") {
            lines[0].extend(["POD ID", "PODNAME"]);
        }
        if with("size") {
            lines[0].push("SIZE");
        }
    }
    let count = lines[0].len();
    let owned = |line: Vec<&str>| line.into_iter().map(str::to_owned).collect();
    let mut lines: Vec<Vec<String>> = lines.into_iter().map(owned).collect();
    if with("noheading") {
        lines.clear();
    }
    for entry in &list.entries {
        let (definition, seen) = (&entry.definition, &entry.seen);
        let mut line = vec![shown(&definition.id, whole)];
        if with("ns") {
            line.push(definition.name.to_string());
            line.push(seen.pid.unwrap_or(0).to_string());
            line.extend(row::NAMESPACES.map(|(_, file)| row::namespace(seen.pid, file)));
        } else {
            line.push(row::image(definition).to_owned());
            line.push(row::command(entry, whole));
            line.push(table::ago(definition.created, now));
            line.push(status(seen, now));
            line.push(String::new());
            line.push(definition.name.to_string());
            if with("pod") {
                line.extend([String::new(), String::new()]);
            }
            if with("size") {
                line.push(row::sizes(entry));
            }
        }
        lines.push(line);
    }
    for id in &list.broken {
        let mut line = vec![String::new(); count];
        line[0] = shown(id, whole);
        if !with("ns") {
            line[4] = "Broken".to_owned();
        }
        lines.push(line);
    }
    lines
}

/// The table of a list alone, for tests.
#[cfg(test)]
pub(super) fn as_table(list: &List, words: &[&str], now: u64) -> String {
    let args = command("ps").get_matches_from(words);
    render(&args, list, now).expect("no template can be wrong here")
}
