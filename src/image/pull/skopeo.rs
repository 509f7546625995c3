//! skopeo(1) as a child: bounded output, a limit on standing still, no trace of it when we are killed.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::libc;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::log_line::{Level, Line, Lines};
use super::stage::{Stage, TEMPORARY};
use crate::image::error::{At, Error, Result};
use crate::sys::exec::Exec;
use crate::sys::move_data::{self, Moved, pipe};
use crate::sys::poll::{Interest, Poller};
use crate::sys::process::{Child, How};
use crate::sys::signals::{SignalFd, SignalSet, set_mask, unblock};

/// How long nothing may be read and nothing grow before we give up.
pub(super) const STANDSTILL: Duration = Duration::from_secs(300);
/// How often growth is looked at.
const TURN: Duration = Duration::from_millis(500);
/// Lines of its log that are passed on.
const MOST_LINES: usize = 100;
/// Directories besides those of PATH.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// What is ours alone in the environment.
const OWN: [&str; 6] = [
    "NOTIFY_SOCKET",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_FDNAMES",
    "WATCHDOG_USEC",
    "WATCHDOG_PID",
];

/// Who is told what it does.
pub(super) trait Watcher {
    /// What it writes to its standard output.
    ///
    /// # Errors
    /// It is too much.
    fn output(&mut self, bytes: &[u8]) -> Result<()>;
    /// A warning.
    fn warning(&mut self, line: &str);
    /// How far it is: anything that changes while something is done.
    fn position(&mut self) -> u64;
}

/// The program.
pub(super) struct Skopeo {
    program: PathBuf,
    standstill: Duration,
}

impl Skopeo {
    /// The program of PATH, or where programs are.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn find() -> Result<Skopeo> {
        let path = std::env::var("PATH").unwrap_or_default();
        let dirs = path.split(':').chain(PATH.split(':'));
        let mut programs = dirs
            .filter(|dir| dir.starts_with('/'))
            .map(|dir| Path::new(dir).join("skopeo"));
        let is_program = |path: &PathBuf| {
            fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
        };
        match programs.find(is_program) {
            Some(program) => Ok(Self::at(program, STANDSTILL)),
            None => Err(Error::NoSkopeo),
        }
    }

    pub(super) fn at(program: PathBuf, standstill: Duration) -> Skopeo {
        Skopeo {
            program,
            standstill,
        }
    }

    /// Runs it with these arguments in the stage's directory. It writes to `terminal` if there is one, else the watcher
    /// gets its output.
    ///
    /// # Errors
    /// It fails, in its own words; it stands still; the user has had enough.
    pub(super) fn run(
        &self,
        args: Vec<OsString>,
        stage: &Stage,
        terminal: Option<BorrowedFd<'_>>,
        watcher: &mut dyn Watcher,
    ) -> Result<()> {
        let at = || &self.program;
        let signals = Interrupts::new().at("watch signals for", at())?;
        let null = OpenOptions::new().read(true).open("/dev/null");
        let null = OwnedFd::from(null.at("open", "/dev/null")?);
        let (out, to_out) = pipe().at("make a pipe for", at())?;
        let (log, to_log) = pipe().at("make a pipe for", at())?;
        for end in [&out, &log] {
            move_data::set_nonblocking(end, true).at("make a pipe for", at())?;
        }
        let child = Exec::new(&self.program)
            .args(args)
            .envs(environment(stage))
            .cwd(&stage.dir)
            .stdin(null.as_fd())
            .stdout(terminal.unwrap_or(to_out.as_fd()))
            .stderr(to_log.as_fd())
            .fd(3, stage.lock())
            .own_group()
            .pdeathsig(libc::SIGKILL)
            .spawn()
            .map_err(io::Error::other)
            .at("run", at())?;
        drop((to_out, to_log));
        let mut run = Run {
            child,
            out: Some(out),
            log: Some(log),
            lines: Lines::default(),
            passed: 0,
            fatal: None,
            is_reaped: false,
            signals,
            watcher,
        };
        let ended = run.until_end(self.standstill);
        if !run.is_reaped {
            run.kill();
        }
        match ended? {
            Some(How::Exited(0)) => Ok(()),
            Some(how) => Err(run.reason(how)),
            None => Err(Error::Pull(format!(
                "skopeo: nothing was received for {} s, gave up",
                self.standstill.as_secs()
            ))),
        }
    }
}

fn environment(stage: &Stage) -> Vec<(OsString, OsString)> {
    let mut all: Vec<_> = std::env::vars_os()
        .filter(|(key, _)| !OWN.iter().any(|own| key == own) && key != "TMPDIR")
        .collect();
    // What it leaves when it is killed goes with the stage.
    all.push(("TMPDIR".into(), stage.dir.join(TEMPORARY).into()));
    all
}

/// One run of it.
struct Run<'a> {
    child: Child,
    out: Option<OwnedFd>,
    log: Option<OwnedFd>,
    lines: Lines,
    passed: usize,
    fatal: Option<String>,
    is_reaped: bool,
    signals: Interrupts,
    watcher: &'a mut dyn Watcher,
}

impl Run<'_> {
    /// How it ended; nothing if it stands still.
    fn until_end(&mut self, standstill: Duration) -> Result<Option<How>> {
        let (mut last, mut position) = (Instant::now(), self.watcher.position());
        loop {
            self.wait().at("wait for", "skopeo")?;
            if self.signals.came() {
                return Err(Error::Cancelled);
            }
            // Before it is read: what it has written until its end is all there then.
            let ended = self.child.try_wait().at("wait for", "skopeo")?;
            self.is_reaped = ended.is_some();
            let read = self.read()?;
            if let Some(how) = ended {
                return Ok(Some(how));
            }
            let now = self.watcher.position();
            if read || now != position {
                (last, position) = (Instant::now(), now);
            } else if last.elapsed() >= standstill {
                return Ok(None);
            }
        }
    }

    fn wait(&self) -> io::Result<()> {
        let mut poller = Poller::new();
        poller.add(0, &self.child.pidfd, Interest::Read)?;
        poller.add(1, &self.signals.fd, Interest::Read)?;
        for (token, fd) in [(2, &self.out), (3, &self.log)] {
            if let Some(fd) = fd {
                poller.add(token, fd, Interest::Read)?;
            }
        }
        poller.wait(Some(TURN)).map(drop)
    }

    /// Reads all that is there; whether there was something.
    fn read(&mut self) -> Result<bool> {
        let mut some = false;
        let mut buffer = [0; 8192];
        while let Some(length) = take(&mut self.out, &mut buffer)? {
            some = true;
            self.watcher.output(&buffer[..length])?;
        }
        while let Some(length) = take(&mut self.log, &mut buffer)? {
            some = true;
            for line in self.lines.push(&buffer[..length]) {
                self.line(line);
            }
        }
        Ok(some)
    }

    fn line(&mut self, Line { level, text }: Line) {
        match level {
            Level::Fatal => return self.fatal = Some(text),
            Level::Info => return,
            Level::Warning => {}
        }
        self.passed += 1;
        if self.passed <= MOST_LINES {
            self.watcher.warning(&text);
        }
    }

    fn reason(&mut self, how: How) -> Error {
        if let Some(line) = self.lines.rest() {
            self.line(line);
        }
        Error::Pull(match (self.fatal.take(), how) {
            (Some(text), _) => text,
            (None, How::Exited(code)) => format!("skopeo ended with {code}"),
            (None, How::Signaled { signal, .. }) => format!("skopeo was killed by signal {signal}"),
        })
    }

    fn kill(&self) {
        // With the helpers that it asks for passwords; one that is gone already is no error.
        let _ = killpg(Pid::from_raw(self.child.pid), Signal::SIGKILL);
        let _ = self.child.wait();
    }
}

/// Some bytes, if there are any now; closes what is at its end.
fn take(from: &mut Option<OwnedFd>, buffer: &mut [u8]) -> Result<Option<usize>> {
    let Some(fd) = from else {
        return Ok(None);
    };
    match move_data::read(fd.as_fd(), buffer).at("read the output of", "skopeo")? {
        Moved::Bytes(length) => Ok(Some(length)),
        Moved::WouldBlock => Ok(None),
        Moved::Eof => {
            *from = None;
            Ok(None)
        }
    }
}

/// The signals that ask us to stop, held back so that we can clear up first.
struct Interrupts {
    fd: SignalFd,
    before: SignalSet,
}

impl Interrupts {
    fn new() -> io::Result<Interrupts> {
        let before = unblock(&SignalSet::empty())?;
        let set = SignalSet::of(&[libc::SIGINT, libc::SIGTERM, libc::SIGHUP])?;
        let fd = SignalFd::new(&set)?;
        Ok(Interrupts { fd, before })
    }

    fn came(&self) -> bool {
        matches!(self.fd.read(), Ok(Some(_)))
    }
}

impl Drop for Interrupts {
    fn drop(&mut self) {
        // It is the mask that this thread had.
        let _ = set_mask(&self.before);
    }
}
