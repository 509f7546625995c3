//! `events`: what happened to containers, from the journal.

mod seen;

use std::collections::BTreeMap;
use std::io::BufRead;
use std::thread;
use std::time::Duration;

use clap::{Arg, ArgMatches, Command};

use super::args::{is_on, toggle};
use super::error::CliError;
use super::moment::{Side, moment};
use super::template::Template;
use super::{Host, ps, targets};
use crate::api::event;
use crate::api::journal as fields;
use crate::host::journal::{self, Entries};
use crate::sys::time::realtime;

use seen::{Format, Seen};

/// The grammar.
pub(super) fn command() -> Command {
    let time = |name: &'static str, help| {
        let arg = Arg::new(name).long(name).value_name("TIME").help(help);
        arg.allow_hyphen_values(true)
    };
    Command::new("events")
        .about("Show what happened to containers, and what happens")
        .arg(ps::filter().help("Only events for which this holds"))
        .arg(ps::template().help("json, or a template of Go's"))
        .arg(toggle("no-trunc", "Do not shorten ids").default_value("true"))
        .arg(time(
            "since",
            "From this time on: a date, seconds of the epoch, or so long ago",
        ))
        .arg(toggle("stream", "Go on with what happens").default_value("true"))
        .arg(time(
            "until",
            "Up to this time: a date, seconds of the epoch, or in so long",
        ))
        .arg(Arg::new("words").hide(true).num_args(0..))
}

/// A filter with all its values, one of which must fit.
type Filters = BTreeMap<String, Vec<String>>;

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let wrong = |text: String| CliError::Usage(text);
    if targets::texts(args, "words").next().is_some() {
        return Err(wrong("`unitbox events` takes no arguments".to_owned()));
    }
    let filters = filters(args)?;
    let now = realtime().as_micros() as u64;
    let at = |name: &str, side| {
        let read = |text: &String| {
            moment(text, side, now).ok_or_else(|| {
                wrong(format!(
                    "failed to parse event filters: unable to convert {name} time of {text}: unable to interpret time value"
                ))
            })
        };
        args.get_one::<String>(name).map(read).transpose()
    };
    let (since, until) = (at("since", Side::Since)?, at("until", Side::Until)?);
    let format = format(args)?;
    let follow = is_on(args, "stream") && until.is_none_or(|until| until > now);
    let words = words(since, until, follow);
    let failed = || CliError::io("run", "journalctl");
    let (mut child, mut entries) = journal::read(&FIELDS.join(","), &words).map_err(failed())?;
    let shown = match until.filter(|_| follow) {
        None => show(host, &mut entries, &filters, &format, u64::MAX),
        Some(until) => thread::scope(|scope| {
            let shown = scope.spawn(|| show(host, &mut entries, &filters, &format, until));
            thread::sleep(Duration::from_micros(until.saturating_sub(now)));
            let _ = child.kill();
            shown
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        }),
    };
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().map_err(failed())?;
    shown.map(|()| 0)
}

fn format(args: &ArgMatches) -> Result<Format, CliError> {
    Ok(
        match args.get_one::<String>("format").map_or("", String::as_str) {
            "" => Format::Line {
                whole_ids: is_on(args, "no-trunc"),
            },
            "json" => Format::Json,
            text => Format::Template(Template::of_one("events", text)?),
        },
    )
}

/// What is read of each entry.
const FIELDS: [&str; 9] = [
    "UNIT",
    event::EVENT,
    event::EXIT_CODE,
    event::LABELS,
    event::HEALTH,
    fields::CONTAINER_NAME,
    fields::CONTAINER_ID_FULL,
    fields::IMAGE_NAME,
    "MESSAGE_ID",
];

/// What journalctl(1) is asked for.
fn words(since: Option<u64>, until: Option<u64>, follow: bool) -> Vec<String> {
    let mut words: Vec<String> = event::message_ids()
        .chain([event::RESTART_SCHEDULED])
        .map(|id| format!("MESSAGE_ID={id}"))
        .collect();
    // Nobody else can tell of our containers.
    words.push("_UID=0".to_owned());
    if let Some(since) = since {
        words.push(option("since", since));
    }
    if follow {
        let all = since.is_some() || until.is_some();
        words.push("--follow".to_owned());
        words.push(format!("--lines={}", if all { "all" } else { "0" }));
    } else {
        journal::sync();
        words.extend(until.map(|until| option("until", until)));
    }
    words
}

fn option(name: &str, micros: u64) -> String {
    format!("--{name}=@{}.{:06}", micros / 1_000_000, micros % 1_000_000)
}

fn show(
    host: &Host,
    entries: &mut Entries<impl BufRead>,
    filters: &Filters,
    format: &Format,
    until: u64,
) -> Result<(), CliError> {
    // The last event of each container, by name.
    let mut last: BTreeMap<String, Seen> = BTreeMap::new();
    while let Some(entry) = entries
        .read_next()
        .map_err(CliError::io("read", "the journal"))?
    {
        if entry.realtime() > until {
            return Ok(());
        }
        let Some(mut seen) = Seen::of(&entry) else {
            continue;
        };
        if seen.is_of_systemd {
            let known = last.get(&seen.name).cloned();
            match known.or_else(|| Seen::on_record(host, &seen.name)) {
                Some(known) => seen.belongs_to(known),
                // Nobody knows whose it was.
                None if seen.id.is_empty() => continue,
                None => {}
            }
        }
        last.insert(seen.name.clone(), seen.clone());
        if fits(filters, &seen) && !format.print(&seen)? {
            return Ok(());
        }
    }
    Ok(())
}

fn filters(args: &ArgMatches) -> Result<Filters, CliError> {
    const KINDS: [&str; 10] = [
        "container",
        "event",
        "image",
        "label",
        "network",
        "pod",
        "status",
        "type",
        "volume",
        "artifact",
    ];
    let mut filters = Filters::new();
    for text in targets::texts(args, "filter") {
        let refused = || {
            let text = format!("failed to parse event filters: {text} is an invalid filter");
            CliError::Usage(text)
        };
        let (key, value) = text.split_once('=').ok_or_else(refused)?;
        let key = key.to_lowercase();
        if !KINDS.contains(&key.as_str()) {
            let text = format!("failed to parse event filters: {key} is an invalid filter");
            return Err(CliError::Usage(text));
        }
        filters.entry(key).or_default().push(value.to_owned());
    }
    Ok(filters)
}

fn fits(filters: &Filters, seen: &Seen) -> bool {
    let one = |key: &str, value: &String| match key {
        "container" => seen.name == *value || seen.id.starts_with(value.as_str()),
        "event" | "status" => {
            let value = if value == "die" { "died" } else { value };
            seen.status == value
        }
        "type" => value == "container",
        "label" => match value.split_once('=') {
            Some((key, value)) => seen.labels.get(key).is_some_and(|own| own == value),
            None => seen.labels.contains_key(value),
        },
        // Of these there are no events.
        _ => false,
    };
    let any = |(key, values): (&String, &Vec<String>)| values.iter().any(|value| one(key, value));
    filters.iter().all(any)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        let export = b"__REALTIME_TIMESTAMP=1795876373491533\nUNITBOX_EVENT=died\nUNITBOX_EXIT_CODE=7\n\
            CONTAINER_NAME=web\nCONTAINER_ID_FULL=0123456789abcdef\nIMAGE_NAME=localhost/b:latest\nUNITBOX_LABELS={\"a\":\"1\"}\n\n";
        let entry = Entries::new(&export[..]).read_next().unwrap().unwrap();
        Seen::of(&entry).unwrap()
    }

    #[test]
    fn an_event_is_said_as_podman_says_it() {
        let line = seen().line(false);
        let want = " container died 0123456789ab (image=localhost/b:latest, name=web, a=1)";
        assert!(
            line.starts_with("2026-11-28 ") && line.ends_with(want),
            "{line}"
        );
        let want = r#"{"ContainerExitCode":7,"ID":"0123456789abcdef","Image":"localhost/b:latest","Name":"web","Status":"died","time":1795876373,"timeNano":1795876373491533000,"Type":"container","Attributes":{"a":"1"}}"#;
        assert_eq!(seen().value().to_json(), want);
        let text = "{{.Status}} {{.ContainerExitCode}} {{.Attributes}} {{.Type}} {{.Time}}";
        let text = Template::of_one("events", text).unwrap();
        let text = text.render(&seen().value()).unwrap();
        assert_eq!(text, "died 7 map[a:1] container 1795876373\n");
    }

    #[test]
    fn filters_of_one_kind_add_and_kinds_must_all_hold() {
        let found = |words: &[&str]| {
            let words: Vec<String> = words
                .iter()
                .map(|word| format!("--filter={word}"))
                .collect();
            let args =
                command().try_get_matches_from(["events".to_owned()].into_iter().chain(words));
            filters(&args.unwrap()).map(|filters| fits(&filters, &seen()))
        };
        for good in [
            &["container=web"][..],
            &["container=0123"],
            &["event=create", "event=died"],
            &["event=die"],
            &["label=a", "type=container"],
            &["LABEL=a=1"],
        ] {
            assert!(found(good).unwrap(), "{good:?}");
        }
        for bad in [
            &["container=we"][..],
            &["event=create"],
            &["event=died", "container=db"],
            &["label=a=2"],
            &["type=volume"],
            &["image=localhost/b:latest"],
        ] {
            assert!(!found(bad).unwrap(), "{bad:?}");
        }
        let error = found(&["bad=bad"]).unwrap_err().to_string();
        assert_eq!(
            error,
            "failed to parse event filters: bad is an invalid filter"
        );
        assert!(found(&["nothing"]).is_err());
    }

    #[test]
    fn systemds_own_entry_is_a_restart() {
        let export = b"__REALTIME_TIMESTAMP=1\nMESSAGE_ID=5eb03494b6584870a536b337290809b3\nUNIT=unitbox-web.service\n\n\
            __REALTIME_TIMESTAMP=1\nMESSAGE_ID=5eb03494b6584870a536b337290809b3\nUNIT=app.service\nCONTAINER_NAME=web\nCONTAINER_ID_FULL=ab\n\n\
            __REALTIME_TIMESTAMP=1\nMESSAGE_ID=5eb03494b6584870a536b337290809b3\nUNIT=other.service\n\n";
        let mut entries = Entries::new(&export[..]);
        let mut next = || Seen::of(&entries.read_next().unwrap().unwrap());
        // systemd 252 tells the unit only.
        let mut old = next().unwrap();
        assert_eq!((old.status.as_str(), old.name.as_str()), ("restart", "web"));
        old.belongs_to(seen());
        assert_eq!((old.id, old.labels), (seen().id, seen().labels));
        let mut other = next().unwrap();
        other.belongs_to(seen());
        assert_eq!((other.id.as_str(), other.labels.len()), ("ab", 0));
        assert_eq!(next(), None);
    }
}
