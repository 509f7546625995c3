//! Output that is in the journal.

use std::ffi::OsString;
use std::io::{self, BufRead};
use std::process::Child;
use std::thread;
use std::time::Duration;

use super::Wanted;
use super::printer::{Piece, Printer, Tail};
use crate::api::journal::{OWN_FACILITY, STDERR_FACILITY};
use crate::cli::error::CliError;
use crate::host::journal::{self, Entries, Entry};
use crate::sys::time::Stamp;

const FIELDS: &str = "MESSAGE,SYSLOG_FACILITY,_LINE_BREAK";

fn failed() -> impl FnOnce(io::Error) -> CliError {
    CliError::io("run", "journalctl")
}

/// Shows what there is.
pub(super) fn show(
    matching: &[OsString],
    wanted: Wanted,
    printer: &mut Printer<'_>,
) -> Result<(), CliError> {
    // What the payload wrote last may still be on its way.
    journal::sync();
    past(matching, wanted, printer).map(drop).map_err(failed())
}

/// Shows what there is, or its tail; the place of the last entry.
fn past(
    matching: &[OsString],
    wanted: Wanted,
    printer: &mut Printer<'_>,
) -> io::Result<Option<String>> {
    let Some(lines) = wanted.tail else {
        let (child, mut entries) = start(matching, wanted, &[])?;
        let last = print_all(&mut entries, printer);
        return end(child).and(last);
    };
    let (child, mut entries) = start(matching, wanted, &["--reverse".into()])?;
    let mut tail = Tail::new(lines);
    let mut last = None;
    while let Some(entry) = entries.read_next()? {
        if last.is_none() {
            last = entry.cursor().map(str::to_owned);
        }
        if !piece(&entry, printer.has_times()).is_none_or(|piece| tail.take(piece)) {
            break;
        }
    }
    end(child)?;
    for piece in tail.pieces() {
        if !printer.print(&piece)? {
            break;
        }
    }
    Ok(last)
}

fn start(
    matching: &[OsString],
    wanted: Wanted,
    more: &[OsString],
) -> io::Result<(Child, Entries<impl BufRead + Send + use<>>)> {
    let at = |name, time: Option<u64>| {
        time.map(|micros| {
            let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
            OsString::from(format!("--{name}=@{seconds}.{rest:06}"))
        })
    };
    // journalctl refuses --until= with --follow: what came too late is left out here then.
    let until = match more.iter().any(|word| word == "--follow") {
        true => None,
        false => at("until", wanted.until),
    };
    let args = at("since", wanted.since).into_iter().chain(until);
    journal::read(
        FIELDS,
        args.chain(more.iter().cloned())
            .chain(matching.iter().cloned()),
    )
}

/// Prints entries to their end; the place of the last one.
fn print_all(
    entries: &mut Entries<impl BufRead>,
    printer: &mut Printer<'_>,
) -> io::Result<Option<String>> {
    let mut last = None;
    while let Some(entry) = entries.read_next()? {
        if let Some(piece) = piece(&entry, printer.has_times())
            && !printer.print(&piece)?
        {
            break;
        }
        last = entry.cursor().map(str::to_owned).or(last);
    }
    Ok(last)
}

fn end(mut child: Child) -> io::Result<()> {
    // It may have ended by itself.
    let _ = child.kill();
    child.wait().map(drop)
}

/// What the container wrote; none: what the monitor said.
fn piece(entry: &Entry, with_time: bool) -> Option<Piece> {
    let facility = entry.text("SYSLOG_FACILITY");
    if facility == Some(OWN_FACILITY) {
        return None;
    }
    let time = || Stamp::local(Duration::from_micros(entry.realtime()));
    Some(Piece {
        is_error: facility == Some(STDERR_FACILITY),
        time: match with_time {
            true => super::short_zone(time().as_str()),
            false => String::new(),
        },
        text: entry.get("MESSAGE").unwrap_or_default().to_vec(),
        // The journal says so where a line did not end with a newline.
        is_whole: !matches!(entry.text("_LINE_BREAK"), Some("eof" | "line-max")),
    })
}

/// Shows what there is and what comes, until `wait` returns.
pub(super) fn follow(
    matching: &[OsString],
    wanted: Wanted,
    printer: &mut Printer<'_>,
    wait: impl FnOnce() -> Result<(), CliError>,
) -> Result<(), CliError> {
    let mut last = match wanted.tail {
        Some(_) => past(matching, wanted, printer).map_err(failed())?,
        None => None,
    };
    let from = |last: &Option<String>| {
        last.as_ref()
            .map(|cursor| OsString::from(format!("--after-cursor={cursor}")))
    };
    let mut more: Vec<OsString> = vec!["--follow".into(), "--lines=all".into()];
    more.extend(from(&last));
    let before = Wanted {
        // A place is exacter than a time, and journalctl takes one of the two only.
        since: wanted.since.filter(|_| last.is_none()),
        ..wanted
    };
    let (mut child, mut entries) = start(matching, before, &more).map_err(failed())?;
    let waited = thread::scope(|scope| {
        let reader = scope.spawn(|| print_until(&mut entries, wanted.until, printer));
        let waited = wait();
        let _ = child.kill();
        let read = reader
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if let Some(cursor) = read.map_err(failed())? {
            last = Some(cursor);
        }
        waited
    });
    child.wait().map_err(failed())?;
    waited?;
    // What came between the last entry and the end.
    journal::sync();
    let rest = Wanted {
        since: before.since.filter(|_| last.is_none()),
        ..wanted
    };
    let more: Vec<OsString> = from(&last).into_iter().collect();
    let (child, mut entries) = start(matching, rest, &more).map_err(failed())?;
    let printed = print_all(&mut entries, printer);
    end(child).and(printed).map(drop).map_err(failed())
}

fn print_until(
    entries: &mut Entries<impl BufRead>,
    until: Option<u64>,
    printer: &mut Printer<'_>,
) -> io::Result<Option<String>> {
    let mut last = None;
    while let Some(entry) = entries.read_next()? {
        if until.is_some_and(|until| entry.realtime() > until) {
            break;
        }
        if let Some(piece) = piece(&entry, printer.has_times())
            && !printer.print(&piece)?
        {
            // Nobody reads: there is nothing to wait for.
            std::process::exit(0);
        }
        last = entry.cursor().map(str::to_owned).or(last);
    }
    Ok(last)
}
