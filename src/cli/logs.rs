//! `logs`.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use clap::ArgMatches;

use super::error::CliError;
use super::{Host, targets};
use crate::container::logs::{LogPlace, place};
use crate::container::observe::observe;
use crate::container::{Site, wait};
use crate::definition::Definition;

/// How long the follower gets to print what journald has after the end of the run.
const LAST_LINES: Duration = Duration::from_millis(300);
/// How often a log file that is followed is looked at.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn run(args: &ArgMatches, host: &Host) -> Result<u8, CliError> {
    let text = args
        .get_one::<String>("container")
        .expect("clap demands one");
    let definition = targets::find(&host.layout, text)?;
    let place = place(&host.layout, &definition)?;
    let systemd = host.systemd()?;
    let site = host.site(&systemd);
    let follow = args.get_flag("follow")
        && observe(&host.layout, site.manager, &definition)?
            .state
            .has_payload();
    match place {
        LogPlace::Journal(matching) => journal(site, &definition, &matching, follow),
        LogPlace::File(path) => file(site, &definition, &path, follow),
    }
}

fn journalctl() -> Command {
    let mut command = Command::new("journalctl");
    command.stdin(Stdio::null());
    command
}

fn journal(
    site: Site<'_>,
    definition: &Definition,
    matching: &[std::ffi::OsString],
    follow: bool,
) -> Result<u8, CliError> {
    let failed = || CliError::io("run", "journalctl");
    let mut command = journalctl();
    command.args(["--quiet", "--no-pager", "--all", "--output=cat"]);
    if !follow {
        // What the payload wrote last may still be on its way.
        sync();
        let status = command.args(matching).status().map_err(failed())?;
        return Ok(u8::from(!status.success()));
    }
    let mut child = command
        .args(["--follow", "--lines=all"])
        .args(matching)
        .spawn()
        .map_err(failed())?;
    let ended = wait::wait_for(site, &definition.id);
    sync();
    thread::sleep(LAST_LINES);
    finish(&mut child).map_err(failed())?;
    // A container that was removed meanwhile has ended too.
    match ended {
        Err(error) if !error.is_not_found() => Err(error.into()),
        _ => Ok(0),
    }
}

/// Waits until journald has written what it got; without journald there is nothing to wait for.
fn sync() {
    let _ = journalctl().arg("--sync").stderr(Stdio::null()).status();
}

fn finish(child: &mut Child) -> io::Result<()> {
    child.kill()?;
    child.wait().map(drop)
}

fn file(
    site: Site<'_>,
    definition: &Definition,
    path: &Path,
    follow: bool,
) -> Result<u8, CliError> {
    let open = File::open(path);
    let file = match open {
        // Nothing was written yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound && !follow => return Ok(0),
        other => other.map_err(CliError::io("open log", path.display().to_string()))?,
    };
    let mut reader = BufReader::new(file);
    loop {
        // Asked before reading: what is written until the end is read after it.
        let goes_on = follow
            && observe(site.layout, site.manager, definition)?
                .state
                .has_payload();
        copy(&mut reader).map_err(CliError::io("read log", path.display().to_string()))?;
        if !goes_on {
            return Ok(0);
        }
        site.manager.disconnect();
        thread::sleep(LOOK);
    }
}

/// Copies whole lines to standard output or standard error, as each says.
fn copy(reader: &mut impl BufRead) -> io::Result<()> {
    let (mut stdout, mut stderr) = (io::stdout().lock(), io::stderr().lock());
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return stdout.flush();
        }
        let Some((stream, text, whole)) = parse(&line) else {
            continue;
        };
        let target: &mut dyn Write = if stream == b"stderr" {
            &mut stderr
        } else {
            &mut stdout
        };
        target.write_all(text)?;
        if whole {
            target.write_all(b"\n")?;
        }
    }
}

/// `TIME STREAM F|P TEXT`, the CRI's form; P: the line goes on in the next one of this stream.
pub(super) fn parse(line: &[u8]) -> Option<(&[u8], &[u8], bool)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let (_, stream, kind) = (parts.next()?, parts.next()?, parts.next()?);
    Some((stream, parts.next().unwrap_or_default(), kind == b"F"))
}
