//! Waiting for descriptors: poll(2) under tokens of the caller's.
//!
//! Not epoll(7): a monitor watches about ten descriptors, some of them may be regular files (a
//! redirected standard input), which epoll refuses, and poll needs no descriptor and no calls to
//! register.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::ptr;
use std::time::Duration;

use nix::libc;

use super::check;

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Nothing, not even a hang-up; the token stays.
    Nothing,
    /// Something to read, or the end.
    Read,
    /// Room to write.
    Write,
    /// Both.
    Both,
    /// Urgent data only: changes of cgroup.events, mountinfo and the like (`POLLPRI`).
    Urgent,
}

impl Interest {
    fn bits(self) -> libc::c_short {
        match self {
            Interest::Nothing => 0,
            Interest::Read => libc::POLLIN,
            Interest::Write => libc::POLLOUT,
            Interest::Both => libc::POLLIN | libc::POLLOUT,
            Interest::Urgent => libc::POLLPRI,
        }
    }
}

/// One descriptor that is ready. Several flags may be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The token it was added with.
    pub token: u64,
    /// A read gives data or the end.
    pub readable: bool,
    /// A write takes something.
    pub writable: bool,
    /// Urgent data (`POLLPRI`).
    pub urgent: bool,
    /// The other side is gone; data may still wait.
    pub hung_up: bool,
    /// An error is pending, or the descriptor was closed without being removed.
    pub error: bool,
}

/// A set of watched descriptors. It does not own them: remove a token before closing its
/// descriptor. Waiting does not allocate.
#[derive(Debug, Default)]
pub struct Poller {
    fds: Vec<libc::pollfd>,
    tokens: Vec<u64>,
}

impl Poller {
    /// An empty set.
    pub fn new() -> Poller {
        Poller::default()
    }

    /// Watches a descriptor. `EEXIST` if the token is taken.
    pub fn add(&mut self, token: u64, fd: impl AsFd, interest: Interest) -> io::Result<()> {
        if self.find(token).is_some() {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        let fd = fd.as_fd().as_raw_fd();
        self.fds.push(libc::pollfd {
            fd,
            events: 0,
            revents: 0,
        });
        self.tokens.push(token);
        self.modify(token, interest)
    }

    /// Changes what is waited for. `ENOENT` if the token is not there.
    pub fn modify(&mut self, token: u64, interest: Interest) -> io::Result<()> {
        let at = self
            .find(token)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ENOENT))?;
        let slot = &mut self.fds[at];
        // poll(2) skips negative numbers; without events alone it would still report hang-ups,
        // again and again.
        let muted = slot.fd < 0;
        if muted != (interest == Interest::Nothing) {
            slot.fd = !slot.fd;
        }
        slot.events = interest.bits();
        slot.revents = 0;
        Ok(())
    }

    /// Forgets a token; whether it was there.
    pub fn remove(&mut self, token: u64) -> bool {
        let Some(at) = self.find(token) else {
            return false;
        };
        self.fds.swap_remove(at);
        self.tokens.swap_remove(at);
        true
    }

    /// Waits until something is ready, the time is over (`None`: for ever) or a signal handler ran;
    /// then [`ready`] has what was found, which is nothing in the last two cases. The time does not
    /// count suspends (ppoll(2)): keep deadlines on [`super::time::boottime`] and compute what is
    /// left each turn.
    ///
    /// [`ready`]: Poller::ready
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let limit = timeout.map(|time| libc::timespec {
            tv_sec: libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: time.subsec_nanos().into(),
        });
        let limit = limit.as_ref().map_or(ptr::null(), ptr::from_ref);
        let count = self.fds.len() as libc::nfds_t;
        // SAFETY: pointer and count describe the vector; `limit` is NULL or valid; no mask is
        // given.
        match check(unsafe { libc::ppoll(self.fds.as_mut_ptr(), count, limit, ptr::null()) }) {
            Ok(ready) => Ok(ready as usize),
            Err(err) if err.kind() == io::ErrorKind::Interrupted => {
                self.fds.iter_mut().for_each(|slot| slot.revents = 0);
                Ok(0)
            }
            Err(err) => Err(err),
        }
    }

    /// What the last [`Poller::wait`] found.
    pub fn ready(&self) -> impl Iterator<Item = Ready> + '_ {
        let found = self
            .fds
            .iter()
            .zip(&self.tokens)
            .filter(|(slot, _)| slot.revents != 0);
        found.map(|(slot, &token)| {
            let has = |bit: libc::c_short| slot.revents & bit != 0;
            Ready {
                token,
                readable: has(libc::POLLIN),
                writable: has(libc::POLLOUT),
                urgent: has(libc::POLLPRI),
                hung_up: has(libc::POLLHUP),
                error: has(libc::POLLERR) || has(libc::POLLNVAL),
            }
        })
    }

    /// The number `at` of what is ready, for a caller that changes the set while it goes through.
    pub fn nth_ready(&self, at: usize) -> Option<Ready> {
        self.ready().nth(at)
    }

    fn find(&self, token: u64) -> Option<usize> {
        self.tokens.iter().position(|&other| other == token)
    }
}

#[cfg(test)]
mod tests {
    use super::super::move_data::{pipe, write};
    use super::*;

    #[test]
    fn tokens_tell_what_is_ready() {
        let ((a, feed), (b, _keep)) = (pipe().unwrap(), pipe().unwrap());
        let mut poller = Poller::new();
        poller.add(1, &a, Interest::Read).unwrap();
        poller.add(u64::MAX, &b, Interest::Read).unwrap();
        assert!(poller.add(1, &b, Interest::Read).is_err());
        assert_eq!(poller.wait(Some(Duration::ZERO)).unwrap(), 0);
        write(&feed, b"x").unwrap();
        poller.add(9, &feed, Interest::Write).unwrap();
        assert_eq!(poller.wait(None).unwrap(), 2);
        let tokens: Vec<_> = poller
            .ready()
            .map(|r| (r.token, r.readable, r.writable))
            .collect();
        assert_eq!(tokens, [(1, true, false), (9, false, true)]);
        poller.modify(9, Interest::Nothing).unwrap();
        assert!(poller.remove(9) && !poller.remove(9));
        drop(feed);
        poller.wait(None).unwrap();
        let ready = poller.ready().next().unwrap();
        assert!(ready.readable && ready.hung_up && !ready.error);
    }

    #[test]
    fn a_muted_descriptor_does_not_report_its_hang_up() {
        let (a, feed) = pipe().unwrap();
        let mut poller = Poller::new();
        poller.add(1, &a, Interest::Nothing).unwrap();
        poller.modify(1, Interest::Nothing).unwrap();
        drop(feed);
        assert_eq!(poller.wait(Some(Duration::from_millis(1))).unwrap(), 0);
        poller.modify(1, Interest::Read).unwrap();
        assert_eq!(poller.wait(Some(Duration::from_secs(5))).unwrap(), 1);
        assert!(poller.modify(2, Interest::Read).is_err());
    }

    #[test]
    fn regular_files_and_long_timeouts_work() {
        let file = std::fs::File::open("/proc/self/exe").unwrap();
        let mut poller = Poller::new();
        poller.add(1, &file, Interest::Read).unwrap();
        assert_eq!(poller.wait(Some(Duration::MAX)).unwrap(), 1);
        let start = super::super::time::boottime();
        poller.remove(1);
        assert_eq!(poller.wait(Some(Duration::from_millis(20))).unwrap(), 0);
        assert!(super::super::time::boottime() - start >= Duration::from_millis(20));
    }
}
