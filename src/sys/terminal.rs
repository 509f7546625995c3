//! Terminals: sizes (ioctl_tty(2)), the far end of a pseudoterminal (pty(7)), raw mode (termios(3)).

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use nix::libc;

use super::{check, owned};

/// How many characters a terminal shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// The size of a terminal (`TIOCGWINSZ`); `ENOTTY` for anything else.
pub fn size(terminal: impl AsFd) -> io::Result<Size> {
    let mut found = MaybeUninit::<libc::winsize>::zeroed();
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: the call writes one winsize, which was zeroed before.
    let found = unsafe {
        check(libc::ioctl(fd, libc::TIOCGWINSZ, found.as_mut_ptr()))?;
        found.assume_init()
    };
    Ok(Size {
        rows: found.ws_row,
        columns: found.ws_col,
    })
}

/// Changes it (`TIOCSWINSZ`): the processes in the terminal's foreground get SIGWINCH if it is another one.
pub fn set_size(terminal: impl AsFd, size: Size) -> io::Result<()> {
    let size = libc::winsize {
        ws_row: size.rows,
        ws_col: size.columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    let fd = terminal.as_fd().as_raw_fd();
    // SAFETY: the call reads one winsize, which outlives it.
    check(unsafe { libc::ioctl(fd, libc::TIOCSWINSZ, &size) }).map(drop)
}

/// The other end of a pseudoterminal's master, without a path and without becoming anybody's controlling terminal
/// (`TIOCGPTPEER`). While it is open the master reports no hang-up.
pub fn peer(master: impl AsFd) -> io::Result<OwnedFd> {
    let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
    let fd = master.as_fd().as_raw_fd();
    // SAFETY: integers in, a new descriptor out.
    unsafe { owned(libc::ioctl(fd, libc::TIOCGPTPEER, flags)) }
}

/// The one terminal that is raw now, and what it was before. Not part of the guard: whoever ends the process at once has
/// none at hand.
static RAW: Mutex<Option<(OwnedFd, libc::termios)>> = Mutex::new(None);

/// A terminal in raw mode: every key is a byte, nothing is echoed. It is as before when this is dropped, and when the
/// process panics.
#[derive(Debug)]
pub struct Raw(());

impl Raw {
    /// Makes a terminal raw; one at a time.
    pub fn enter(terminal: BorrowedFd<'_>) -> io::Result<Raw> {
        let kept = terminal.try_clone_to_owned()?;
        let mut before = MaybeUninit::<libc::termios>::zeroed();
        // SAFETY: the call writes one termios, which was zeroed before.
        let before = unsafe {
            check(libc::tcgetattr(kept.as_raw_fd(), before.as_mut_ptr()))?;
            before.assume_init()
        };
        let mut raw = before;
        // SAFETY: cfmakeraw changes the termios that it is given, and nothing else.
        unsafe { libc::cfmakeraw(&mut raw) };
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            report(info);
        }));
        // Before the change: whatever happens in between finds what to put back.
        *RAW.lock().map_err(|_| super::invalid())? = Some((kept, before));
        set(terminal, &raw).inspect_err(|_| restore())?;
        Ok(Raw(()))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        restore();
    }
}

/// Puts a terminal that is raw back. For those who end the process without unwinding.
pub fn restore() {
    // Who holds the lock is this thread (a panic in between) or about to do the same.
    let Ok(mut kept) = RAW.try_lock() else { return };
    if let Some((terminal, before)) = kept.take() {
        // A terminal that is gone needs nothing.
        let _ = set(terminal.as_fd(), &before);
    }
}

fn set(terminal: BorrowedFd<'_>, to: &libc::termios) -> io::Result<()> {
    // SAFETY: the call reads one termios, which outlives it.
    check(unsafe { libc::tcsetattr(terminal.as_raw_fd(), libc::TCSANOW, to) }).map(drop)
}

#[cfg(test)]
mod tests {
    use super::super::move_data::{Moved, bytes_waiting, read, set_nonblocking, write};
    use super::*;
    use std::os::fd::FromRawFd;

    /// A master whose other end can be opened.
    pub(crate) fn master() -> OwnedFd {
        // SAFETY: integers in, a new descriptor out; the second call takes that descriptor.
        unsafe {
            let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
            let master = owned(libc::posix_openpt(flags)).unwrap();
            check(libc::unlockpt(master.as_raw_fd())).unwrap();
            OwnedFd::from_raw_fd(std::os::fd::IntoRawFd::into_raw_fd(master))
        }
    }

    fn flags(terminal: &OwnedFd) -> libc::tcflag_t {
        let mut now = MaybeUninit::<libc::termios>::zeroed();
        // SAFETY: the call writes one termios, which was zeroed before.
        unsafe {
            check(libc::tcgetattr(terminal.as_raw_fd(), now.as_mut_ptr())).unwrap();
            now.assume_init().c_lflag
        }
    }

    #[test]
    fn a_size_goes_through_and_a_pipe_has_none() {
        let master = master();
        let peer = peer(&master).unwrap();
        let wanted = Size {
            rows: 33,
            columns: 101,
        };
        set_size(&master, wanted).unwrap();
        assert_eq!(size(&peer).unwrap(), wanted);
        let (pipe, _keep) = super::super::move_data::pipe().unwrap();
        assert_eq!(size(&pipe).unwrap_err().raw_os_error(), Some(libc::ENOTTY));
    }

    #[test]
    fn the_last_bytes_come_before_the_hang_up_and_not_while_the_peer_is_kept() {
        let master = master();
        set_nonblocking(&master, true).unwrap();
        let (payload, kept) = (peer(&master).unwrap(), peer(&master).unwrap());
        write(&payload, b"last\n").unwrap();
        drop(payload);
        let mut text = [0; 64];
        assert_eq!(read(&master, &mut text).unwrap(), Moved::Bytes(6));
        assert_eq!(&text[..6], b"last\r\n");
        assert_eq!(read(&master, &mut text).unwrap(), Moved::WouldBlock);
        drop(kept);
        assert_eq!(
            read(&master, &mut text).unwrap_err().raw_os_error(),
            Some(libc::EIO)
        );
        assert_eq!(bytes_waiting(&master).unwrap_or(0), 0);
    }

    #[test]
    fn raw_mode_ends_with_its_guard_and_by_word() {
        let master = master();
        let terminal = peer(&master).unwrap();
        let before = flags(&terminal);
        let raw = Raw::enter(terminal.as_fd()).unwrap();
        assert_eq!(flags(&terminal) & (libc::ECHO | libc::ISIG), 0);
        drop(raw);
        assert_eq!(flags(&terminal), before);
        let raw = Raw::enter(terminal.as_fd()).unwrap();
        restore();
        assert_eq!(flags(&terminal), before);
        std::mem::forget(raw);
        let (pipe, _keep) = super::super::move_data::pipe().unwrap();
        assert!(Raw::enter(pipe.as_fd()).is_err());
    }
}
