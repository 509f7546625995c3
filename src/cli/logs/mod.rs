//! `logs`.

mod file;
mod journal;
mod printer;

use std::thread;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use super::args::switch;
use super::error::CliError;
use super::moment::{Side, moment};
use super::{Host, ps, targets};
use crate::container::logs::{LogPlace, place};
use crate::container::observe::observe;
use crate::container::{Site, wait};
use crate::definition::Definition;
use crate::sys::time::realtime;
use printer::{Look, Printer};

/// How often it is looked whether anything is there to be shown, where nothing tells.
const PAUSE: Duration = Duration::from_millis(100);

/// The grammar.
pub(super) fn command() -> Command {
    let time = |name: &'static str, help| Arg::new(name).long(name).value_name("TIME").help(help);
    Command::new("logs")
        .about("Show what containers wrote")
        .arg(
            Arg::new("containers")
                .value_name("CONTAINER")
                .action(ArgAction::Append)
                .num_args(0..),
        )
        .arg(switch("color", None, "A colour for each container"))
        .arg(switch("follow", Some('f'), "Go on until they end"))
        .arg(ps::latest())
        .arg(switch(
            "names",
            Some('n'),
            "Several: say which by name, not by id",
        ))
        .arg(
            time(
                "since",
                "From this time on: a date, seconds of the epoch, or so long ago",
            )
            .allow_hyphen_values(true),
        )
        .arg(
            Arg::new("tail")
                .long("tail")
                .value_name("LINES")
                .value_parser(value_parser!(i64))
                .allow_negative_numbers(true)
                .help("The last lines only; -1: all"),
        )
        .arg(switch("timestamps", Some('t'), "Say when it was written"))
        .arg(
            time(
                "until",
                "Up to this time: a date, seconds of the epoch, or in so long",
            )
            .allow_hyphen_values(true),
        )
}

/// What is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Wanted {
    /// Microseconds since the epoch.
    since: Option<u64>,
    until: Option<u64>,
    tail: Option<usize>,
    follow: bool,
}

/// One container's output.
struct Log {
    definition: Definition,
    place: LogPlace,
    look: Look,
}

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let definitions = chosen(args, host)?;
    let now = realtime().as_micros() as u64;
    let at = |name: &str, side| {
        let text = args.get_one::<String>(name);
        let read = |text: &String| {
            moment(text, side, now).ok_or_else(|| {
                let text = format!("parsing --{name} {text:?}: unable to interpret time value");
                CliError::Usage(text)
            })
        };
        text.map(read).transpose()
    };
    let tail = args.get_one::<i64>("tail").copied().unwrap_or(-1);
    let wanted = Wanted {
        since: at("since", Side::Since)?,
        until: at("until", Side::Until)?,
        tail: usize::try_from(tail).ok(),
        follow: args.get_flag("follow"),
    };
    let several = definitions.len() > 1;
    let logs = definitions.into_iter().enumerate().map(|(at, definition)| {
        let id = definition.id.short();
        let name = || match args.get_flag("names") {
            true => definition.name.to_string(),
            false => id.to_owned(),
        };
        let look = Look {
            name: several.then(name),
            times: args.get_flag("timestamps"),
            color: args.get_flag("color").then_some(at),
        };
        let place = place(&host.layout, &definition)?;
        Ok(Log {
            definition,
            place,
            look,
        })
    });
    let logs = logs.collect::<Result<Vec<Log>, CliError>>()?;
    if !(wanted.follow && several) {
        logs.iter().try_for_each(|log| show(log, wanted, host))?;
        return Ok(0);
    }
    let ends: Vec<_> = thread::scope(|scope| {
        let start = |log| scope.spawn(move || show(log, wanted, host));
        let threads: Vec<_> = logs.iter().map(start).collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| {
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        threads.into_iter().map(join).collect()
    });
    ends.into_iter()
        .collect::<Result<(), CliError>>()
        .map(|()| 0)
}

fn chosen(args: &ArgMatches, host: &Host) -> Result<Vec<Definition>, CliError> {
    let texts: Vec<&str> = targets::texts(args, "containers").collect();
    let wrong = |text: &str| Err(CliError::Usage(text.to_owned()));
    match (args.get_flag("latest"), texts.is_empty()) {
        (true, true) => Ok(vec![targets::latest(&host.layout)?]),
        (true, false) => wrong("--latest and containers cannot be used together"),
        (false, true) => wrong("specify at least one container name or ID to log"),
        (false, false) => {
            let find = |text| targets::find(&host.layout, text);
            texts.into_iter().map(find).collect()
        }
    }
}

fn show(log: &Log, wanted: Wanted, host: &Host) -> Result<(), CliError> {
    let mut printer = Printer::new(&log.look, wanted.follow);
    if !wanted.follow {
        let shown = match &log.place {
            LogPlace::Journal(matching) => journal::show(matching, wanted, &mut printer),
            LogPlace::File(path) => file::show(path, wanted, &mut printer, &mut || Ok(false)),
        };
        let flushed = printer.flush().map_err(CliError::io("show", "the log"));
        return shown.and(flushed).map(drop);
    }
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    match &log.place {
        LogPlace::Journal(matching) => {
            journal::follow(matching, wanted, &mut printer, || end(site, log, wanted))
        }
        LogPlace::File(path) => file::show(path, wanted, &mut printer, &mut || {
            goes_on(site, log, wanted)
        }),
    }
}

/// Whether there may come more. A container that was removed has ended.
fn goes_on(site: Site<'_>, log: &Log, wanted: Wanted) -> Result<bool, CliError> {
    if wanted
        .until
        .is_some_and(|until| realtime().as_micros() as u64 >= until)
    {
        return Ok(false);
    }
    let seen = observe(site.layout, site.manager, &log.definition)?;
    site.manager.disconnect();
    Ok(seen.state.has_payload())
}

/// Waits until nothing more can come.
fn end(site: Site<'_>, log: &Log, wanted: Wanted) -> Result<(), CliError> {
    if wanted.until.is_some() {
        while goes_on(site, log, wanted)? {
            thread::sleep(PAUSE);
        }
        return Ok(());
    }
    if !goes_on(site, log, wanted)? {
        return Ok(());
    }
    match wait::wait_for(site, &log.definition.id) {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(()),
    }
}

/// A time of RFC 3339 as Go writes it: UTC is `Z`.
fn short_zone(time: &str) -> String {
    match time.strip_suffix("+00:00") {
        Some(time) => format!("{time}Z"),
        None => time.to_owned(),
    }
}
