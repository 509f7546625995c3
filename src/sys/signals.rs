//! Signals read from a descriptor instead of handled: signalfd(2).

use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use nix::libc;

use super::{check, owned, retry};

/// Signals that a fault of this very process raises; blocked, they would kill it without a word
/// (signal(7)). SIGABRT is systemd's watchdog; abort(3) unblocks it by itself.
const FAULTS: [i32; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGFPE,
    libc::SIGILL,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// The highest signal number of Linux.
pub(super) const LAST: i32 = 64;

/// A set of signals by number, real-time ones included (sigsetops(3)).
#[derive(Clone, Copy)]
pub struct SignalSet(libc::sigset_t);

impl SignalSet {
    /// The set without members.
    pub fn empty() -> SignalSet {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigemptyset initialises the whole set it is given.
        SignalSet(unsafe {
            libc::sigemptyset(set.as_mut_ptr());
            set.assume_init()
        })
    }

    /// Every signal.
    pub fn full() -> SignalSet {
        let mut set = MaybeUninit::uninit();
        // SAFETY: sigfillset initialises the whole set it is given.
        SignalSet(unsafe {
            libc::sigfillset(set.as_mut_ptr());
            set.assume_init()
        })
    }

    /// Exactly these; a number that is no signal is `EINVAL`.
    pub fn of(signals: &[i32]) -> io::Result<SignalSet> {
        let mut set = SignalSet::empty();
        for &signal in signals {
            // SAFETY: the set is initialised; a bad number is refused with EINVAL.
            check(unsafe { libc::sigaddset(&mut set.0, signal) })?;
        }
        Ok(set)
    }

    /// Every signal but those a fault of this process raises (`SIGSEGV` and the like). `SIGKILL`
    /// and `SIGSTOP` cannot be blocked anyway.
    pub fn all_but_faults() -> SignalSet {
        let mut set = SignalSet::full();
        for signal in FAULTS {
            set.remove(signal);
        }
        set
    }

    /// Takes a signal out; a number that is no signal is not in the set.
    pub fn remove(&mut self, signal: i32) {
        // SAFETY: the set is initialised; a bad number changes nothing.
        unsafe { libc::sigdelset(&mut self.0, signal) };
    }

    /// Whether the signal is a member.
    pub fn contains(&self, signal: i32) -> bool {
        // SAFETY: the set is initialised; a bad number gives -1.
        unsafe { libc::sigismember(&self.0, signal) == 1 }
    }
}

fn change_mask(how: i32, set: &SignalSet) -> io::Result<SignalSet> {
    let mut old = SignalSet::empty();
    // SAFETY: both sets are initialised and outlive the call.
    match unsafe { libc::pthread_sigmask(how, &set.0, &mut old.0) } {
        0 => Ok(old),
        errno => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Replaces the mask of this thread and returns the old one (pthread_sigmask(3)).
pub fn set_mask(set: &SignalSet) -> io::Result<SignalSet> {
    change_mask(libc::SIG_SETMASK, set)
}

/// Lets the signals of the set through; the others stay as they are.
pub fn unblock(set: &SignalSet) -> io::Result<SignalSet> {
    change_mask(libc::SIG_UNBLOCK, set)
}

/// Every signal blocked until this is dropped, so that no handler runs between fork and the child's
/// clean-up.
pub(super) struct BlockedAll {
    pub(super) before: SignalSet,
}

impl BlockedAll {
    pub(super) fn new() -> io::Result<BlockedAll> {
        Ok(BlockedAll {
            before: set_mask(&SignalSet::full())?,
        })
    }
}

impl Drop for BlockedAll {
    fn drop(&mut self) {
        // It cannot fail: the mask came from the kernel.
        let _ = set_mask(&self.before);
    }
}

/// The signals that libc keeps for its threads and lets nobody change (nptl(7)).
const LIBCS: [i32; 2] = [32, 33];

/// Gives a signal its default disposition, those of libc's included, which may have come ignored
/// from whoever started this program. Fails for `SIGKILL` and `SIGSTOP`, which have it already.
pub(super) fn set_default(signal: i32) -> io::Result<()> {
    // The kernel's struct has no name in libc; it is shorter than this, and all-zero means SIG_DFL,
    // no flags, empty mask.
    let (action, none, set_size) = ([0u64; 8], ptr::null_mut::<u64>(), 8);
    let action = action.as_ptr();
    // SAFETY: the kernel reads a struct that is shorter than the array, and writes nothing.
    let ret = unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action, none, set_size) };
    check(ret).map(drop)
}

/// Default disposition for every signal but libc's own, as this program goes on using libc.
pub(super) fn set_all_default() {
    for signal in (1..=LAST).filter(|signal| !LIBCS.contains(signal)) {
        // Refused for SIGKILL and SIGSTOP, whose disposition is the default.
        let _ = set_default(signal);
    }
}

/// The same before execve(2), over which ignored signals are inherited; Rust ignores `SIGPIPE`.
pub(super) fn set_all_default_for_exec() {
    set_all_default();
    for signal in LIBCS {
        let _ = set_default(signal);
    }
}

/// What is known of a signal that arrived (signalfd(2), sigaction(2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SigInfo {
    /// The number.
    pub signo: i32,
    /// The sender, or the child that changed state; 0 for the kernel.
    pub pid: i32,
    /// The sender's real user.
    pub uid: u32,
    /// `SI_USER`, `SI_QUEUE`, `SI_KERNEL`, `CLD_EXITED` ...
    pub code: i32,
    /// The integer sent along with sigqueue(3).
    pub value: i32,
}

/// A set of signals blocked in this thread and delivered by a descriptor, which never blocks.
#[derive(Debug)]
pub struct SignalFd {
    fd: OwnedFd,
}

impl SignalFd {
    /// Blocks the set and opens the descriptor. Children of fork inherit the mask; `exec` and
    /// `worker` reset it.
    pub fn new(set: &SignalSet) -> io::Result<SignalFd> {
        change_mask(libc::SIG_BLOCK, set)?;
        // SAFETY: the set is initialised; the returned descriptor is new.
        let fd = unsafe {
            owned(libc::signalfd(
                -1,
                &set.0,
                libc::SFD_CLOEXEC | libc::SFD_NONBLOCK,
            ))?
        };
        Ok(SignalFd { fd })
    }

    /// The next pending signal; `None` if there is none.
    pub fn read(&self) -> io::Result<Option<SigInfo>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::zeroed();
        let size = size_of::<libc::signalfd_siginfo>();
        let got = retry(|| {
            // SAFETY: the buffer is `size` bytes long and outlives the call.
            check(unsafe { libc::read(self.fd.as_raw_fd(), info.as_mut_ptr().cast(), size) } as i64)
        });
        match got {
            Ok(_) => {}
            Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(err) => return Err(err),
        }
        // SAFETY: it was zeroed, and all-zero is a valid value; the kernel writes whole records
        // only.
        let info = unsafe { info.assume_init() };
        Ok(Some(SigInfo {
            signo: info.ssi_signo as i32,
            pid: info.ssi_pid as i32,
            uid: info.ssi_uid,
            code: info.ssi_code,
            value: info.ssi_int,
        }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_are_read_in_order_with_their_sender() {
        let realtime = libc::SIGRTMIN() + 3;
        let signals = SignalFd::new(&SignalSet::of(&[libc::SIGUSR2, realtime]).unwrap()).unwrap();
        assert_eq!(signals.read().unwrap(), None);
        for signal in [realtime, libc::SIGUSR2, realtime] {
            // SAFETY: raising a blocked signal in this thread only makes it pending.
            assert_eq!(unsafe { libc::raise(signal) }, 0);
        }
        let mut got = Vec::new();
        while let Some(info) = signals.read().unwrap() {
            assert_eq!(info.pid, std::process::id() as i32);
            got.push(info.signo);
        }
        assert_eq!(got, [libc::SIGUSR2, realtime, realtime]);
    }

    #[test]
    fn sets_know_their_members_and_refuse_what_is_no_signal() {
        let set = SignalSet::all_but_faults();
        assert!(set.contains(libc::SIGTERM) && set.contains(libc::SIGRTMAX()));
        assert!(set.contains(libc::SIGABRT) && !set.contains(libc::SIGSEGV));
        assert!(SignalSet::of(&[0]).is_err() && SignalSet::of(&[65]).is_err());
        assert!(!SignalSet::empty().contains(libc::SIGTERM));
    }
}
