//! Programs: execve(2) with exactly the environment, descriptors and signals that were asked for.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::ptr;

use nix::libc::{self, c_char};

use super::process::{self, Child, exit_now};
use super::signals::{self, BlockedAll, SignalSet};
use super::{check, move_data};

/// Why a program was not started.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The parent's side: bad strings, no pipe, no process.
    #[error("prepare to run {program}", program = program.display())]
    Prepare {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A step between fork and exec.
    #[error("{what} for {program}", program = program.display())]
    Setup {
        /// What was done.
        what: &'static str,
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// execve(2) itself: `ENOENT` not found, `EACCES` not executable, `ENOEXEC` no program.
    #[error("run {program}", program = program.display())]
    Exec {
        /// The program.
        program: PathBuf,
        /// The cause.
        source: io::Error,
    },
}

/// Which process group the program starts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Group {
    Same,
    Own,
    Session,
}

/// A program to run. Nothing is inherited but what is said here, standard input, output and error
/// where they are not set, the working directory, umask and limits. PATH is not searched.
#[derive(Debug)]
pub struct Exec<'fd> {
    program: PathBuf,
    args: Vec<OsString>,
    env: Vec<OsString>,
    fds: Vec<(RawFd, BorrowedFd<'fd>)>,
    cwd: Option<PathBuf>,
    group: Group,
    pdeathsig: Option<i32>,
    oom_score_adj: Option<i32>,
    keep_signals: bool,
}

/// A descriptor that this process was started with; `EBADF` for one that it was not given.
pub fn inherited(number: RawFd) -> io::Result<BorrowedFd<'static>> {
    // SAFETY: integers only.
    let flags = check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    if flags as i32 & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: it is open, and nobody in this process closes what it was started with.
    Ok(unsafe { BorrowedFd::borrow_raw(number) })
}

/// Makes a descriptor that this process was started with its own, close-on-exec; `EBADF` for one that it was not given, or
/// that was taken before.
pub fn take_inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= libc::STDERR_FILENO {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    inherited(number)?;
    // SAFETY: integers only.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and was nobody's: what somebody in this process owns is close-on-exec.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Closes the descriptors from 3 on that this process was started with: what it has opened itself stays.
pub fn close_inherited() -> io::Result<()> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.parse::<RawFd>().ok()));
    }
    for number in numbers.into_iter().filter(|number| *number > 2) {
        if inherited(number).is_ok() {
            // SAFETY: nobody in this process owns what it was started with.
            check(unsafe { libc::close(number) })?;
        }
    }
    Ok(())
}

impl<'fd> Exec<'fd> {
    /// The program at this path, also its `argv[0]`, with an empty environment.
    pub fn new(program: impl Into<PathBuf>) -> Exec<'fd> {
        let program = program.into();
        Exec {
            args: vec![program.clone().into_os_string()],
            program,
            env: Vec::new(),
            fds: Vec::new(),
            cwd: None,
            group: Group::Same,
            pdeathsig: None,
            oom_score_adj: None,
            keep_signals: false,
        }
    }

    /// Replaces `argv[0]`.
    pub fn arg0(mut self, name: impl Into<OsString>) -> Self {
        self.args[0] = name.into();
        self
    }

    /// Appends an argument.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// Appends arguments.
    pub fn args<S: Into<OsString>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Appends a variable; one that is already there is not replaced.
    pub fn env(mut self, key: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        let mut pair = key.as_ref().to_os_string();
        pair.push("=");
        pair.push(value);
        self.env.push(pair);
        self
    }

    /// Appends variables.
    pub fn envs<K: AsRef<OsStr>, V: AsRef<OsStr>>(
        self,
        vars: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        vars.into_iter()
            .fold(self, |exec, (key, value)| exec.env(key, value))
    }

    /// Standard input.
    pub fn stdin(self, fd: BorrowedFd<'fd>) -> Self {
        self.fd(libc::STDIN_FILENO, fd)
    }

    /// Standard output.
    pub fn stdout(self, fd: BorrowedFd<'fd>) -> Self {
        self.fd(libc::STDOUT_FILENO, fd)
    }

    /// Standard error.
    pub fn stderr(self, fd: BorrowedFd<'fd>) -> Self {
        self.fd(libc::STDERR_FILENO, fd)
    }

    /// Gives the program this descriptor under the number `target`. Any order and overlap works;
    /// `target` may be the descriptor's own number, which keeps it open.
    pub fn fd(mut self, target: RawFd, fd: BorrowedFd<'fd>) -> Self {
        self.fds.push((target, fd));
        self
    }

    /// Lets the program have a descriptor that this process was started with, under its own number; `EBADF` for one that
    /// it was not given: what it has opened itself is nobody else's.
    pub fn keep(self, number: RawFd) -> io::Result<Self> {
        let fd = inherited(number)?;
        Ok(self.fd(number, fd))
    }

    /// Gives the program `filler` under every number from 3 on that is less than the highest one named and has no
    /// descriptor: for programs that hand all of them on, and would open their own files there.
    pub fn fill(mut self, filler: BorrowedFd<'fd>) -> Self {
        let named: Vec<RawFd> = self.fds.iter().map(|(target, _)| *target).collect();
        let most = named.iter().copied().max().unwrap_or(0);
        let holes = (3..most).filter(|number| !named.contains(number));
        self.fds.extend(holes.map(|number| (number, filler)));
        self
    }

    /// Its working directory; relative to this process's.
    pub fn cwd(mut self, dir: impl Into<PathBuf>) -> Self {
        self.cwd = Some(dir.into());
        self
    }

    /// A process group of its own (setpgid(2)), so that it can be killed with its children.
    pub fn own_group(mut self) -> Self {
        self.group = Group::Own;
        self
    }

    /// A session of its own, without controlling terminal (setsid(2)).
    pub fn own_session(mut self) -> Self {
        self.group = Group::Session;
        self
    }

    /// The signal it gets when the thread that spawned it dies (`PR_SET_PDEATHSIG`, prctl(2)).
    pub fn pdeathsig(mut self, signal: i32) -> Self {
        self.pdeathsig = Some(signal);
        self
    }

    /// Its badness for the OOM killer; otherwise it inherits this process's.
    pub fn oom_score_adj(mut self, value: i32) -> Self {
        self.oom_score_adj = Some(value);
        self
    }

    /// Leaves mask and ignored signals as they are, so that pending signals survive a program's
    /// exec of itself.
    pub fn keep_signals(mut self) -> Self {
        self.keep_signals = true;
        self
    }

    /// Becomes the program; returns only if that failed, with parts of the set-up done: signals
    /// reset, close-on-exec set on every descriptor from 3 on, named ones in their places.
    pub fn exec_now(self) -> ExecError {
        let mut ready = match self.prepare() {
            Ok(ready) => ready,
            Err(err) => return self.prepare_error(err),
        };
        let failed = ready.run(None);
        ready.close_moved();
        ready.take_back();
        self.step_error(failed)
    }

    /// Runs the program as a child. A failure up to and including execve(2) is this function's
    /// error, and the child is gone then. Blocks until the program has been loaded. Safe in a
    /// process with threads.
    pub fn spawn(self) -> Result<Child, ExecError> {
        self.try_spawn()
            .map_err(|err| self.prepare_error(err))?
            .map_err(|failed| self.step_error(failed))
    }

    fn try_spawn(&self) -> io::Result<Result<Child, Failed>> {
        let mut ready = self.prepare()?;
        let (read, write) = move_data::pipe()?;
        let blocked = BlockedAll::new()?;
        // SAFETY: the child calls only async-signal-safe functions, allocates nothing, and leaves
        // by execve or _exit.
        let pid = match check(unsafe { libc::fork() })? {
            0 => {
                let failed = ready.run(Some((write.as_raw_fd(), &blocked.before)));
                ready.report(failed)
            }
            pid => pid as i32,
        };
        drop((blocked, write));
        let mut message = [0; 8];
        let mut report = std::fs::File::from(read);
        match report.read_exact(&mut message) {
            // The program was loaded, which closed the pipe.
            Err(err) if err.kind() == io::ErrorKind::UnexpectedEof => Child::adopt(pid).map(Ok),
            Err(err) => {
                process::kill_and_reap(pid);
                Err(err)
            }
            Ok(()) => {
                process::wait_pid(pid)?;
                Ok(Err(Failed::from_bytes(message)))
            }
        }
    }

    /// Everything that allocates, so that nothing has to between fork and exec.
    fn prepare(&self) -> io::Result<Prepared> {
        let strings = |list: &[OsString]| -> io::Result<Vec<CString>> {
            list.iter()
                .map(|s| Ok(CString::new(s.as_bytes())?))
                .collect()
        };
        let pointers = |list: &[CString]| -> Vec<*const c_char> {
            list.iter()
                .map(|s| s.as_ptr())
                .chain([ptr::null()])
                .collect()
        };
        let (args, env) = (strings(&self.args)?, strings(&self.env)?);
        let fds: Vec<_> = self
            .fds
            .iter()
            .map(|(target, fd)| (*target, fd.as_raw_fd()))
            .collect();
        if fds.iter().any(|(target, _)| *target < 0) {
            return Err(super::invalid());
        }
        Ok(Prepared {
            program: super::c_path(&self.program)?,
            argv: pointers(&args),
            envp: pointers(&env),
            _strings: (args, env),
            above: fds
                .iter()
                .map(|(target, _)| target + 1)
                .max()
                .unwrap_or(0)
                .max(3),
            moved: Vec::with_capacity(fds.len()),
            fds,
            cwd: self.cwd.as_ref().map(super::c_path).transpose()?,
            group: self.group,
            pdeathsig: self.pdeathsig,
            parent: std::process::id() as i32,
            oom_score_adj: self.oom_score_adj.map(|value| value.to_string()),
            keep_signals: self.keep_signals,
            report_to: -1,
        })
    }

    fn prepare_error(&self, source: io::Error) -> ExecError {
        ExecError::Prepare {
            program: self.program.clone(),
            source,
        }
    }

    fn step_error(&self, failed: Failed) -> ExecError {
        let (program, source) = (
            self.program.clone(),
            io::Error::from_raw_os_error(failed.errno),
        );
        match STEPS.get(failed.step as usize) {
            Some(what) => ExecError::Setup {
                what,
                program,
                source,
            },
            None => ExecError::Exec { program, source },
        }
    }
}

/// The steps between fork and exec, by [`Step`]; what comes after the last is the exec itself.
const STEPS: [&str; 6] = [
    "make a process group",
    "set the parent death signal",
    "set oom_score_adj",
    "change the working directory",
    "move the file descriptors",
    "restore the signal mask",
];

#[derive(Clone, Copy)]
#[repr(u32)]
enum Step {
    Group,
    DeathSignal,
    OomScore,
    Cwd,
    Descriptors,
    Mask,
    Exec,
}

struct Failed {
    step: u32,
    errno: i32,
}

impl Failed {
    fn at(step: Step) -> impl Fn(io::Error) -> Failed {
        move |err| Failed {
            step: step as u32,
            errno: err.raw_os_error().unwrap_or(libc::EINVAL),
        }
    }

    fn from_bytes(bytes: [u8; 8]) -> Failed {
        let [a, b, c, d, e, f, g, h] = bytes;
        Failed {
            step: u32::from_ne_bytes([a, b, c, d]),
            errno: i32::from_ne_bytes([e, f, g, h]),
        }
    }
}

/// An [`Exec`] in the kernel's terms. Its methods run between fork and exec: system calls only, no
/// allocation.
struct Prepared {
    program: CString,
    argv: Vec<*const c_char>,
    envp: Vec<*const c_char>,
    _strings: (Vec<CString>, Vec<CString>),
    /// The lowest number above all targets.
    above: RawFd,
    fds: Vec<(RawFd, RawFd)>,
    moved: Vec<RawFd>,
    cwd: Option<CString>,
    group: Group,
    pdeathsig: Option<i32>,
    parent: i32,
    oom_score_adj: Option<String>,
    keep_signals: bool,
    report_to: RawFd,
}

impl Prepared {
    /// `child`: where a forked child reports to, and the mask its parent had.
    fn run(&mut self, child: Option<(RawFd, &SignalSet)>) -> Failed {
        self.report_to = child.map_or(-1, |(fd, _)| fd);
        match self.steps(child.map(|(_, mask)| mask)) {
            Err(failed) => failed,
        }
    }

    fn steps(&mut self, parent_mask: Option<&SignalSet>) -> Result<Infallible, Failed> {
        if !self.keep_signals {
            signals::set_all_default_for_exec();
        }
        self.set_group().map_err(Failed::at(Step::Group))?;
        self.set_death_signal(parent_mask.is_some())
            .map_err(Failed::at(Step::DeathSignal))?;
        self.set_oom_score().map_err(Failed::at(Step::OomScore))?;
        if let Some(dir) = &self.cwd {
            // SAFETY: a NUL-terminated string that outlives the call.
            check(unsafe { libc::chdir(dir.as_ptr()) }).map_err(Failed::at(Step::Cwd))?;
        }
        self.place_fds().map_err(Failed::at(Step::Descriptors))?;
        let mask = if self.keep_signals {
            parent_mask.copied()
        } else {
            Some(SignalSet::empty())
        };
        if let Some(mask) = mask {
            signals::set_mask(&mask).map_err(Failed::at(Step::Mask))?;
        }
        // SAFETY: both arrays end with NULL and point to strings that `self` owns.
        let ret = unsafe {
            libc::execve(
                self.program.as_ptr(),
                self.argv.as_ptr(),
                self.envp.as_ptr(),
            )
        };
        check(ret).map_err(Failed::at(Step::Exec))?;
        Err(Failed {
            step: Step::Exec as u32,
            errno: libc::EINVAL,
        })
    }

    fn set_group(&self) -> io::Result<()> {
        let changed = match self.group {
            Group::Same => return Ok(()),
            // SAFETY: integers only.
            Group::Own => unsafe { libc::setpgid(0, 0) },
            // SAFETY: no arguments.
            Group::Session => unsafe { libc::setsid() },
        };
        check(changed).map(drop)
    }

    fn set_death_signal(&self, forked: bool) -> io::Result<()> {
        let Some(signal) = self.pdeathsig else {
            return Ok(());
        };
        process::set_pdeathsig(signal)?;
        // SAFETY: getppid has no arguments and cannot fail.
        if forked && unsafe { libc::getppid() } != self.parent {
            exit_now(127);
        }
        Ok(())
    }

    fn set_oom_score(&self) -> io::Result<()> {
        let Some(value) = &self.oom_score_adj else {
            return Ok(());
        };
        // SAFETY: a literal path; the descriptor is closed below.
        let fd = check(unsafe {
            libc::open(
                c"/proc/self/oom_score_adj".as_ptr(),
                libc::O_WRONLY | libc::O_CLOEXEC,
            )
        })?;
        // SAFETY: pointer and length describe `value`.
        let wrote =
            check(unsafe { libc::write(fd as RawFd, value.as_ptr().cast(), value.len()) } as i64);
        // SAFETY: the descriptor was opened above and is not used again.
        unsafe { libc::close(fd as RawFd) };
        wrote.map(drop)
    }

    /// First every source goes above every target, so that no target overwrites a source that is
    /// still needed.
    fn place_fds(&mut self) -> io::Result<()> {
        for at in 0..self.fds.len() {
            let copy = copy_above(self.fds[at].1, self.above)?;
            self.moved.push(copy);
        }
        if self.report_to >= 0 {
            self.report_to = copy_above(self.report_to, self.above)?;
        }
        // SAFETY: integers only; nothing is closed before the exec.
        check(unsafe {
            libc::syscall(
                libc::SYS_close_range,
                3,
                u32::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            )
        })?;
        for (&copy, &(target, _)) in self.moved.iter().zip(&self.fds) {
            // SAFETY: replaces the target on the caller's order; dup2 leaves close-on-exec off.
            check(unsafe { libc::dup2(copy, target) })?;
        }
        Ok(())
    }

    /// No later program gets what this one was to have.
    fn take_back(&self) {
        for &(target, _) in self.fds.iter().filter(|(target, _)| *target > 2) {
            // SAFETY: integers only.
            unsafe { libc::fcntl(target, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }

    fn close_moved(&mut self) {
        for fd in self.moved.drain(..) {
            // SAFETY: place_fds made these copies, nobody else knows them.
            unsafe { libc::close(fd) };
        }
    }

    fn report(&self, failed: Failed) -> ! {
        let mut message = [0; 8];
        message[..4].copy_from_slice(&failed.step.to_ne_bytes());
        message[4..].copy_from_slice(&failed.errno.to_ne_bytes());
        // SAFETY: pointer and length describe `message`. A lost report cannot be reported.
        unsafe { libc::write(self.report_to, message.as_ptr().cast(), message.len()) };
        exit_now(127)
    }
}

fn copy_above(fd: RawFd, lowest: RawFd) -> io::Result<RawFd> {
    // SAFETY: integers only; the copy is the caller's.
    check(unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, lowest) }).map(|fd| fd as RawFd)
}

#[cfg(test)]
#[path = "exec_tests.rs"]
mod tests;
