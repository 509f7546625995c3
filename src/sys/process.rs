//! Processes: pidfds, children and how they ended, and how to end like one of them.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use nix::libc;

use super::{check, invalid, owned, retry, signals};

/// Makes this process the parent of its orphaned descendants (`PR_SET_CHILD_SUBREAPER`, prctl(2)).
pub fn set_subreaper() -> io::Result<()> {
    // SAFETY: this prctl takes one integer.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Asks for `signal` when the parent THREAD dies (`PR_SET_PDEATHSIG`, prctl(2)); 0 takes it back. A
/// parent that is dead already sends nothing: compare getppid(2) afterwards.
pub fn set_pdeathsig(signal: i32) -> io::Result<()> {
    // SAFETY: this prctl takes one integer and refuses what is no signal.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0) }).map(drop)
}

/// Sets this process's badness for the OOM killer, -1000 to 1000 (proc_pid_oom_score_adj(5)). Going
/// below the lowest value set by root needs `CAP_SYS_RESOURCE`.
pub fn set_oom_score_adj(value: i32) -> io::Result<()> {
    // One write(2): the file takes the whole number at once.
    OpenOptions::new()
        .write(true)
        .open("/proc/self/oom_score_adj")?
        .write_all(value.to_string().as_bytes())
}

/// How a process ended (waitid(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It exited with this code, 0 to 255.
    Exited(i32),
    /// This signal killed it; `core` says whether it dumped core.
    Signaled {
        /// The number; real-time signals included.
        signal: i32,
        /// A core was dumped.
        core: bool,
    },
}

/// A child that ended and was reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its PID, which the kernel may use again from now on.
    pub pid: i32,
    /// How it ended.
    pub how: How,
}

fn wait_id(kind: libc::idtype_t, id: libc::id_t, flags: i32) -> io::Result<Option<Ended>> {
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    retry(|| {
        // SAFETY: `info` is a siginfo_t that outlives the call.
        check(unsafe { libc::waitid(kind, id, info.as_mut_ptr(), flags | libc::WEXITED) })
    })?;
    // SAFETY: it was zeroed, which is a valid siginfo_t; after success waitid filled it, or left
    // si_pid 0 when WNOHANG found nothing, and the two union members read are those of SIGCHLD.
    let (pid, status, code) = unsafe {
        let info = info.assume_init();
        (info.si_pid(), info.si_status(), info.si_code)
    };
    Ok((pid != 0).then_some(Ended {
        pid,
        how: match code {
            libc::CLD_EXITED => How::Exited(status),
            _ => How::Signaled {
                signal: status,
                core: code == libc::CLD_DUMPED,
            },
        },
    }))
}

/// Reaps one ended child, whichever; `None` when none has ended or there are no children. Never
/// blocks. Only for a process that owns all its children: it takes them from `std::process::Child`
/// and [`Child::wait`] too.
pub fn reap() -> io::Result<Option<Ended>> {
    match wait_id(libc::P_ALL, 0, libc::WNOHANG) {
        Err(err) if err.raw_os_error() == Some(libc::ECHILD) => Ok(None),
        other => other,
    }
}

/// A process by descriptor: never another one that got its PID (pidfd_open(2)). Readable when the
/// process ended.
#[derive(Debug)]
pub struct Pidfd {
    fd: OwnedFd,
}

impl Pidfd {
    /// Opens a process by PID. Safe from reuse only for a child not reaped yet; for others check
    /// afterwards that it is the one meant.
    pub fn open(pid: i32) -> io::Result<Pidfd> {
        // SAFETY: two integers go in (pidfd_open(2) sets close-on-exec itself), a new descriptor
        // comes out.
        let fd = unsafe { owned(libc::syscall(libc::SYS_pidfd_open, pid, 0))? };
        Ok(Pidfd { fd })
    }

    /// Takes a pidfd received from elsewhere, as from `runc --pidfd-socket`.
    pub fn from_fd(fd: OwnedFd) -> Pidfd {
        Pidfd { fd }
    }

    /// Sends a signal (pidfd_send_signal(2)); `ESRCH` when the process was reaped. 0 only tests.
    pub fn send_signal(&self, signal: i32) -> io::Result<()> {
        let (fd, none) = (self.fd.as_raw_fd(), ptr::null::<libc::siginfo_t>());
        // SAFETY: a NULL siginfo is allowed and means "as kill(2)".
        check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, none, 0) }).map(drop)
    }

    /// Whether the process has ended, reaped or not.
    pub fn has_ended(&self) -> io::Result<bool> {
        let mut poll = libc::pollfd {
            fd: self.fd.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd, which outlives the call.
        retry(|| check(unsafe { libc::poll(&mut poll, 1, 0) })).map(|ready| ready == 1)
    }

    /// The PID in this PID namespace; `None` once the process was reaped, or if it is not visible
    /// from here (`Pid:` in /proc/self/fdinfo, pidfd_open(2)).
    pub fn pid(&self) -> io::Result<Option<i32>> {
        let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", self.fd.as_raw_fd()))?;
        let pid = text
            .lines()
            .find_map(|line| line.strip_prefix("Pid:"))
            .ok_or_else(invalid)?;
        Ok(pid.trim().parse().ok().filter(|&pid: &i32| pid > 0))
    }
}

impl From<Pidfd> for OwnedFd {
    fn from(pidfd: Pidfd) -> OwnedFd {
        pidfd.fd
    }
}

impl AsFd for Pidfd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A child of this process. Dropping it neither kills nor reaps.
#[derive(Debug)]
pub struct Child {
    /// Its PID; its own until it is reaped.
    pub pid: i32,
    /// Its descriptor.
    pub pidfd: Pidfd,
}

impl Child {
    /// Gives a new child its pidfd, or kills and reaps it: a child that nobody watches must not
    /// stay.
    pub(super) fn adopt(pid: i32) -> io::Result<Child> {
        match Pidfd::open(pid) {
            Ok(pidfd) => Ok(Child { pid, pidfd }),
            Err(err) => {
                kill_and_reap(pid);
                Err(err)
            }
        }
    }

    /// Waits for its end and reaps it. `ECHILD` when [`reap`] was faster.
    pub fn wait(&self) -> io::Result<How> {
        wait_id(libc::P_PIDFD, self.pidfd.fd.as_raw_fd() as libc::id_t, 0)?
            .map(|ended| ended.how)
            .ok_or_else(invalid)
    }

    /// Reaps it if it has ended.
    pub fn try_wait(&self) -> io::Result<Option<How>> {
        let fd = self.pidfd.fd.as_raw_fd() as libc::id_t;
        Ok(wait_id(libc::P_PIDFD, fd, libc::WNOHANG)?.map(|ended| ended.how))
    }
}

/// Ends a child that was not reaped yet and cannot be handed to anyone.
pub(super) fn kill_and_reap(pid: i32) {
    // SAFETY: the PID is that of a child not reaped yet, so it cannot be another process.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    let _ = wait_pid(pid);
}

/// Waits for one child by PID and reaps it.
pub(super) fn wait_pid(pid: i32) -> io::Result<Option<Ended>> {
    wait_id(libc::P_PID, pid as libc::id_t, 0)
}

/// When a process was started, clock ticks since boot (`starttime`, proc_pid_stat(5)): with its PID that names one
/// process of this boot.
///
/// # Errors
/// It is gone.
pub fn start_ticks(pid: i32) -> io::Result<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    ticks_of(&stat).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn ticks_of(stat: &str) -> Option<u64> {
    field(stat, 22)?.parse().ok()
}

/// Whether a process is still the fork of another program, and has not begun its own (`PF_FORKNOEXEC` of the flags,
/// proc_pid_stat(5)). What is sent to it then meets the other program's code.
///
/// # Errors
/// It is gone.
pub fn is_before_exec(pid: i32) -> io::Result<bool> {
    const PF_FORKNOEXEC: u64 = 0x40;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let flags: Option<u64> = field(&stat, 9).and_then(|text| text.parse().ok());
    let flags = flags.ok_or(io::ErrorKind::InvalidData)?;
    Ok(flags & PF_FORKNOEXEC != 0)
}

/// Whether a signal that a process is sent now would be lost: it is the first one of its PID namespace, and neither handles
/// the signal nor holds it back (pid_namespaces(7)).
///
/// # Errors
/// It is gone.
pub fn is_deaf_to(pid: i32, signal: i32) -> io::Result<bool> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    Ok(is_deaf(&status, signal))
}

/// The same by what proc_pid_status(5) says.
fn is_deaf(status: &str, signal: i32) -> bool {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let has = |name: &str| {
        let set = field(name).and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
        set.is_some_and(|set| set >> (signal - 1) & 1 == 1)
    };
    let pids = field("NSpid:").unwrap_or_default().split_whitespace();
    let is_first = pids.skip(1).last() == Some("1");
    is_first && !has("SigCgt:") && !has("SigBlk:")
}

/// The PID of a process's parent.
///
/// # Errors
/// It is gone.
pub fn parent_of(pid: i32) -> io::Result<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let parent = field(&stat, 4).and_then(|text| text.parse().ok());
    parent.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// A field from the third on; the second may hold anything, so count from its last parenthesis.
fn field(stat: &str, number: usize) -> Option<&str> {
    let (_, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(number - 3)
}

/// Ends the process at once: no destructors, no atexit handlers, no flushing (_exit(2)).
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit takes any integer and does not return.
    unsafe { libc::_exit(code) }
}

/// Whether the default action of the signal ends a process; the others would be ignored or stop it
/// (signal(7)).
fn is_deadly(signal: i32) -> bool {
    let harmless = [
        libc::SIGCHLD,
        libc::SIGCONT,
        libc::SIGURG,
        libc::SIGWINCH,
        libc::SIGSTOP,
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
    ];
    (1..=signals::LAST).contains(&signal) && !harmless.contains(&signal)
}

/// Ends this process by the signal, without a core, so that whoever waits sees the same end as the
/// payload's. Exits with 128 + signal where that cannot be (no deadly signal, or PID 1 of a
/// namespace).
pub fn die_like(signal: i32) -> ! {
    if is_deadly(signal) {
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // The limit stops a core file, "not dumpable" also a core_pattern that pipes to a program
        // (core(5)). All of it is best effort: what counts is the end.
        // SAFETY: the limit is valid for the call; this prctl takes one integer.
        unsafe {
            libc::setrlimit(libc::RLIMIT_CORE, &none);
            libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0);
        }
        let _ = signals::set_default(signal);
        if let Ok(set) = signals::SignalSet::of(&[signal]) {
            let _ = signals::unblock(&set);
        }
        // Not raise(3), which refuses the two signals that libc keeps for itself.
        // SAFETY: integers only; the disposition is the default one, no handler runs.
        unsafe { libc::kill(libc::getpid(), signal) };
    }
    exit_now(128 + signal)
}

#[cfg(test)]
mod tests {
    use super::super::worker::fork_worker;
    use super::*;

    fn end_of(work: impl FnOnce() -> i32) -> How {
        fork_worker(work).unwrap().wait().unwrap()
    }

    #[test]
    fn who_is_deaf() {
        let status = |pids: &str, blocked: u64, caught: u64| {
            format!(
                "Name:\ta\nNSpid:\t{pids}\nSigBlk:\t{blocked:016x}\nSigIgn:\t{:016x}\nSigCgt:\t{caught:016x}\n",
                u64::MAX
            )
        };
        let term = 1 << (libc::SIGTERM - 1);
        for (pids, blocked, caught, deaf) in [
            ("77\t1", 0, 0, true),
            ("77\t1", 0, term, false),
            ("77\t1", term, 0, false),
            ("77\t1", !term, !term, true),
            ("77\t5", 0, 0, false),
            ("77\t5\t1", 0, 0, true),
            ("1", 0, 0, false),
        ] {
            let status = status(pids, blocked, caught);
            assert_eq!(is_deaf(&status, libc::SIGTERM), deaf, "{status}");
        }
        assert!(!is_deaf_to(std::process::id() as i32, libc::SIGTERM).unwrap());
        assert!(!is_deaf("", libc::SIGTERM));
    }

    #[test]
    fn a_fork_is_told_from_a_program() {
        let (read, write) = super::super::move_data::pipe().unwrap();
        let worker = fork_worker(|| {
            let _ = super::super::move_data::read(&read, &mut [0]);
            0
        });
        let worker = worker.unwrap();
        assert!(is_before_exec(worker.pid).unwrap());
        drop(write);
        worker.pidfd.send_signal(libc::SIGKILL).unwrap();
        worker.wait().unwrap();
        assert!(is_before_exec(worker.pid).is_err());
        let program = super::super::exec::Exec::new("/bin/sleep").arg("60");
        let program = program.spawn().unwrap();
        assert!(!is_before_exec(program.pid).unwrap());
        program.pidfd.send_signal(libc::SIGKILL).unwrap();
        program.wait().unwrap();
    }

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest: Vec<String> = (3..=52).map(|field| field.to_string()).collect();
        let stat = format!("7 (a) R) 1 2 (x) {}", rest.join(" "));
        assert_eq!(ticks_of(&stat), Some(22));
        assert_eq!(ticks_of(""), None);
    }

    #[test]
    fn dies_by_the_same_signal_without_a_core() {
        let realtime = libc::SIGRTMIN() + 5;
        for signal in [
            libc::SIGSEGV,
            libc::SIGKILL,
            libc::SIGTERM,
            libc::SIGABRT,
            realtime,
            32,
            33,
        ] {
            let how = end_of(|| {
                let _ = signals::set_mask(&signals::SignalSet::full());
                die_like(signal)
            });
            assert_eq!(
                how,
                How::Signaled {
                    signal,
                    core: false
                }
            );
        }
    }

    #[test]
    fn signals_that_do_not_kill_become_an_exit_code() {
        for signal in [libc::SIGSTOP, libc::SIGCHLD, libc::SIGTTIN, 0, 65] {
            assert_eq!(end_of(|| die_like(signal)), How::Exited(128 + signal));
        }
    }

    #[test]
    fn a_subreaper_reaps_children_and_orphans_and_then_nothing() {
        let how = end_of(|| {
            set_subreaper().unwrap();
            let child = fork_worker(|| {
                fork_worker(|| 7).unwrap();
                9
            })
            .unwrap();
            let mut codes = Vec::new();
            while codes.len() < 2 {
                match reap().unwrap() {
                    Some(Ended {
                        pid,
                        how: How::Exited(code),
                    }) => codes.push((pid == child.pid, code)),
                    Some(_) => return 1,
                    None => std::thread::yield_now(),
                }
            }
            codes.sort_unstable();
            i32::from(codes != [(false, 7), (true, 9)] || reap().unwrap().is_some())
        });
        assert_eq!(how, How::Exited(0));
    }

    #[test]
    fn a_pidfd_signals_and_tells_the_end() {
        let child = fork_worker(|| {
            loop {
                std::thread::sleep(std::time::Duration::from_secs(10));
            }
        })
        .unwrap();
        assert!(!child.pidfd.has_ended().unwrap());
        assert_eq!(child.try_wait().unwrap(), None);
        assert_eq!(child.pidfd.pid().unwrap(), Some(child.pid));
        child.pidfd.send_signal(0).unwrap();
        child.pidfd.send_signal(libc::SIGTERM).unwrap();
        assert_eq!(
            child.wait().unwrap(),
            How::Signaled {
                signal: libc::SIGTERM,
                core: false
            }
        );
        assert!(child.pidfd.has_ended().unwrap());
        assert_eq!(child.pidfd.pid().unwrap(), None);
        let gone = child.pidfd.send_signal(libc::SIGTERM).unwrap_err();
        assert_eq!(gone.raw_os_error(), Some(libc::ESRCH));
        assert_eq!(child.wait().unwrap_err().raw_os_error(), Some(libc::ECHILD));
        assert!(Pidfd::open(0).is_err() && Pidfd::open(-1).is_err());
    }

    #[test]
    fn the_death_signal_and_the_oom_score_are_set() {
        let how = end_of(|| {
            set_pdeathsig(libc::SIGTERM).unwrap();
            set_oom_score_adj(500).unwrap();
            let score = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
            i32::from(score.trim() != "500" || set_oom_score_adj(1001).is_ok())
        });
        assert_eq!(how, How::Exited(0));
        assert!(set_pdeathsig(65).is_err());
    }
}
