//! One look at a container's health: the work of a short-lived worker of the monitor.
//!
//! The command runs in a group below the payload's, so that nothing that it leaves behind can be taken for the payload, and
//! everything can be killed at once, wherever it has gone.

mod enter;

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc::SIGKILL;
use serde::Deserialize;

use super::health::{Check, Record, TIMED_OUT, read};
use crate::api::Layout;
use crate::host::cgroup::{self, PROBE, UnitCgroup};
use crate::host::reason;
use crate::host::runtime::{Command, ExecFiles, Runtime};
use crate::lifecycle::{Health, Probe, ProbeEnd};
use crate::store::{ensure_private, write_atomic};
use crate::sys::move_data::{self, Moved, pipe, set_nonblocking};
use crate::sys::poll::{Interest, Poller};
use crate::sys::process::{Child, How, Pidfd, set_subreaper};
use crate::sys::time::{Stamp, boottime, realtime};
use crate::sys::{self, exec::Exec};
use crate::types::{ContainerId, fits_journal};

/// Most bytes of output that are kept, whoever wants all.
const MOST: usize = 1 << 20;

/// What a check needs.
#[derive(Clone, Debug)]
pub struct Wish<'a> {
    /// Where things are.
    pub layout: &'a Layout,
    /// Whose health.
    pub id: &'a ContainerId,
    /// The unit's cgroups.
    pub cgroup: &'a UnitCgroup,
    /// The container's first process.
    pub payload: &'a Pidfd,
    /// Path of the runtime, for what only that can do.
    pub runtime: &'a Path,
    /// Which command.
    pub probe: Probe,
    /// What is known; the monitor draws the same conclusion from the same end.
    pub health: &'a Health,
    /// Most checks in the log; 0: all.
    pub count: u32,
    /// Most characters of output; 0: all.
    pub size: u64,
    /// The journal gets it too.
    pub journal: bool,
    /// A file in this directory gets it too.
    pub directory: Option<&'a Path>,
}

/// How the command ended.
enum Seen {
    Exited(i32),
    TimedOut,
    /// It could not be run, for a reason that says nothing of the payload's health.
    Nothing(String),
}

/// Runs the command and writes down what is known then.
pub fn run(wish: &Wish<'_>) -> ProbeEnd {
    let start = realtime();
    let mut output = Vec::new();
    let seen = look(wish, &mut output).unwrap_or_else(|error| Seen::Nothing(error.to_string()));
    // Also what it has left behind.
    let group = wish.cgroup.probe_path();
    // A group that was killed is not used again: what is cloned into it dies (Linux 6.14 and later, crun).
    let killed = cgroup::kill(&group).and_then(|()| cgroup::remove(&group));
    if let Err(error) = killed {
        tracing::warn!("kill what a health check has left: {error}; continuing");
    }
    let code = match seen {
        // A frozen payload can tell nothing.
        Seen::TimedOut if wish.cgroup.is_frozen() => return ProbeEnd::Unknown,
        Seen::Nothing(reason) => {
            if wish.cgroup.payload_path().exists() && !wish.cgroup.is_frozen() {
                tracing::warn!("run the health check: {reason}; it does not count");
            }
            return ProbeEnd::Unknown;
        }
        Seen::TimedOut => TIMED_OUT,
        Seen::Exited(code) => code,
    };
    let end = match code {
        0 => ProbeEnd::Passed,
        _ => ProbeEnd::Failed,
    };
    let check = Check {
        start: Stamp::local(start).to_string(),
        end: Stamp::local(realtime()).to_string(),
        exit_code: code,
        output: cut(&output, wish.size),
    };
    write_down(wish, end, check);
    end
}

fn write_down(wish: &Wish<'_>, end: ProbeEnd, check: Check) {
    let mut health = wish.health.clone();
    health.ended(end, boottime());
    let mut record = read(wish.layout, wish.id).unwrap_or_else(|| Record::new(health.status));
    record.status = health.status.to_string();
    record.failing_streak = health.streak;
    if wish.journal {
        let line = check.output.trim_end().replace('\n', " ");
        let (status, code) = (health.status, check.exit_code);
        eprintln!("<6>health check: {status}, exit code {code}: {line}");
    }
    if end == ProbeEnd::Failed {
        let path = wish.layout.health_said(wish.id);
        if let Err(error) = write_atomic(&path, reason_of(&check).as_bytes(), 0o600) {
            tracing::warn!("{}; continuing", crate::types::chain(&error));
        }
    }
    record.add(check, wish.count);
    let text = record.render();
    let own = wish
        .directory
        .map(|directory| directory.join(format!("{}-healthcheck.log", wish.id)));
    for path in own.iter().chain([&wish.layout.health_file(wish.id)]) {
        if let Err(error) = write_atomic(path, text.as_bytes(), 0o600) {
            tracing::warn!("{}; continuing", crate::types::chain(&error));
        }
    }
}

/// Most characters of a reason.
const LINE: usize = 200;

/// Why a check has failed: the last line that it has printed, or how it ended.
fn reason_of(check: &Check) -> String {
    let line = check.output.trim_end().lines().next_back();
    let line = line.unwrap_or_default().chars();
    let said: String = line.filter(|c| fits_journal(*c)).take(LINE).collect();
    match check.exit_code {
        TIMED_OUT => "the check took too long".to_owned(),
        code if said.is_empty() => format!("exit code {code}"),
        _ => said,
    }
}

/// So many characters; 0: all.
fn cut(output: &[u8], size: u64) -> String {
    let text = String::from_utf8_lossy(output);
    match usize::try_from(size).unwrap_or(usize::MAX) {
        0 => text.into_owned(),
        size => text.chars().take(size).collect(),
    }
}

fn look(wish: &Wish<'_>, output: &mut Vec<u8>) -> io::Result<Seen> {
    let timeout = wish.health.rhythm(wish.probe).timeout;
    let deadline = boottime().saturating_add(timeout);
    let group = wish.cgroup.probe_path();
    // That of a worker that was killed.
    cgroup::remove(&group)?;
    fs::create_dir(&group)?;
    let (from, to) = pipe()?;
    set_nonblocking(&from, true)?;
    let most = match wish.size {
        0 => MOST,
        // The longest character has four bytes.
        size => usize::try_from(size).map_or(MOST, |size| size.saturating_mul(4).min(MOST)),
    };
    let mut drain = Drain { from, output, most };
    match enter_ourselves(wish, &to, (&mut drain, deadline)) {
        Ok(seen) => Ok(seen),
        Err(reason) => {
            tracing::debug!("{reason}; the runtime runs the health check");
            by_runtime(wish, to, (&mut drain, deadline))
        }
    }
}

/// Without the runtime; the reason if that cannot be, and nothing has been run then.
fn enter_ourselves(
    wish: &Wish<'_>,
    to: &OwnedFd,
    (drain, deadline): (&mut Drain<'_>, Duration),
) -> Result<Seen, String> {
    let (layout, id) = (wish.layout, wish.id);
    let process = layout.probe_process(id, wish.probe == Probe::Startup);
    let entrant = enter::entrant(layout, id, &process, &wish.cgroup.probe_path())?;
    let text = |error: io::Error| error.to_string();
    let entered = sys::enter::enter(wish.payload, &entrant, to).map_err(text)?;
    let how = drain.until_ended(&entered.child, deadline).map_err(text)?;
    match (how, entered.failure()) {
        (None, _) => Ok(Seen::TimedOut),
        (Some(_), Some(reason)) => Err(reason),
        (Some(how), None) => Ok(ended(how)),
    }
}

fn ended(how: How) -> Seen {
    Seen::Exited(match how {
        How::Exited(code) => code & 0xff,
        How::Signaled { signal, .. } => 128 + signal,
    })
}

fn by_runtime(
    wish: &Wish<'_>,
    to: OwnedFd,
    (drain, deadline): (&mut Drain<'_>, Duration),
) -> io::Result<Seen> {
    let directory = wish.layout.run_container(wish.id).join("probes");
    ensure_private(&directory).map_err(io::Error::other)?;
    let mut files = ExecFiles::new(&directory, "probe");
    files.process = wish
        .layout
        .probe_process(wish.id, wish.probe == Probe::Startup);
    // An earlier one's.
    let _ = fs::remove_file(&files.log);
    // The command becomes a child of ours when the runtime has started it.
    set_subreaper()?;
    let runtime = Runtime {
        program: PathBuf::from(wish.runtime),
    };
    let command = runtime.exec_in(wish.layout, wish.id, &files, PROBE);
    let process: Badness = serde_json::from_slice(&fs::read(&files.process)?)?;
    let child = spawn(&command, &to, process.oom_score_adj.unwrap_or(0))?;
    drop(to);
    match drain.until_ended(&child, deadline)? {
        None => {
            child.pidfd.send_signal(SIGKILL)?;
            child.wait()?;
            return Ok(Seen::TimedOut);
        }
        Some(How::Exited(0)) => {}
        Some(How::Exited(_)) => {
            let (code, reason) = reason::of_exec(&files.log);
            return Ok(not_started(code, reason, drain.output));
        }
        Some(How::Signaled { .. }) => {
            return Ok(Seen::Nothing("the runtime was killed".to_owned()));
        }
    }
    let pid = fs::read_to_string(&files.pid)?;
    let pid = pid.trim().parse().map_err(io::Error::other)?;
    let command = Child {
        pid,
        pidfd: Pidfd::open(pid)?,
    };
    Ok(match drain.until_ended(&command, deadline)? {
        None => Seen::TimedOut,
        Some(how) => ended(how),
    })
}

/// A command that is not there, or no program, is a failed check; its reason is the output. Anything else is between the
/// runtime and the payload, which may be ending.
fn not_started(code: u8, reason: String, output: &mut Vec<u8>) -> Seen {
    match code {
        126 | 127 => {
            // Mostly the runtime has said it there too.
            if output.is_empty() {
                output.extend_from_slice(reason.as_bytes());
            }
            Seen::Exited(code.into())
        }
        _ => Seen::Nothing(reason),
    }
}

/// What the runtime leaves to whoever runs it; the monitor's own is for nobody else.
#[derive(Deserialize)]
struct Badness {
    #[serde(rename = "oomScoreAdj")]
    oom_score_adj: Option<i32>,
}

fn spawn(command: &Command, to: &OwnedFd, oom_score_adj: i32) -> io::Result<Child> {
    let null = fs::File::open("/dev/null")?;
    Exec::new(&command.program)
        .args(command.args.iter().cloned())
        .envs(Command::ENV)
        .stdin(null.as_fd())
        .stdout(to.as_fd())
        .stderr(to.as_fd())
        .pdeathsig(SIGKILL)
        .oom_score_adj(oom_score_adj)
        .spawn()
        .map_err(io::Error::other)
}

/// Reads what is printed, and keeps the begin of it.
struct Drain<'a> {
    from: OwnedFd,
    output: &'a mut Vec<u8>,
    most: usize,
}

impl Drain<'_> {
    /// Reads until this child has ended, which reaps it; none at the deadline.
    fn until_ended(&mut self, child: &Child, deadline: Duration) -> io::Result<Option<How>> {
        const CHILD: u64 = 0;
        const OUTPUT: u64 = 1;
        let mut poller = Poller::new();
        poller.add(CHILD, &child.pidfd, Interest::Read)?;
        poller.add(OUTPUT, &self.from, Interest::Read)?;
        loop {
            let left = deadline.saturating_sub(boottime());
            if left.is_zero() {
                return Ok(None);
            }
            poller.wait(Some(left))?;
            // It may be printed faster than it is read.
            if !self.take()? {
                poller.remove(OUTPUT);
            }
            if let Some(how) = child.try_wait()? {
                self.take()?;
                return Ok(Some(how));
            }
        }
    }

    /// Reads what is there, a bounded part of it; whether more may come.
    fn take(&mut self) -> io::Result<bool> {
        let mut part = [0; 16 << 10];
        for _ in 0..64 {
            match move_data::read(&self.from, &mut part)? {
                Moved::Bytes(count) => {
                    let room = self.most.saturating_sub(self.output.len()).min(count);
                    self.output.extend_from_slice(&part[..room]);
                }
                Moved::WouldBlock => return Ok(true),
                Moved::Eof => return Ok(false),
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_short_line() {
        for (exit_code, output, expected) in [
            (1, "a\ncurl: (7)\u{1b}[0m\n\n", "curl: (7)[0m"),
            (3, "\n", "exit code 3"),
            (TIMED_OUT, "so far", "the check took too long"),
        ] {
            let check = Check {
                start: String::new(),
                end: String::new(),
                exit_code,
                output: output.to_owned(),
            };
            assert_eq!(reason_of(&check), expected);
        }
    }

    #[test]
    fn output_is_cut_by_characters() {
        for (output, size, expected) in [
            ("hällo", 2, "hä"),
            ("hällo", 0, "hällo"),
            ("hällo", 500, "hällo"),
        ] {
            assert_eq!(cut(output.as_bytes(), size), expected);
        }
        assert_eq!(cut(&[b'a', 0xff], 9), "a\u{fffd}");
    }
}
