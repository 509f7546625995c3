//! Moving bytes between descriptors without looking at them: splice(2), tee(2), and plain reads and
//! writes in the same terms.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;

use nix::libc;

use super::{check, retry};

/// What one move did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// So many bytes, at least one (or none, if none were asked for).
    Bytes(usize),
    /// The source is at its end: every writer has closed it.
    Eof,
    /// Nothing could be moved now: the source is empty or the target is full. [`bytes_waiting`]
    /// tells which.
    WouldBlock,
}

/// Sorts the result of a system call that moves up to `max` bytes.
fn sort(result: io::Result<i64>, max: usize) -> io::Result<Moved> {
    match result {
        Ok(0) if max > 0 => Ok(Moved::Eof),
        Ok(count) => Ok(Moved::Bytes(count as usize)),
        Err(err) if err.kind() == io::ErrorKind::WouldBlock => Ok(Moved::WouldBlock),
        Err(err) => Err(err),
    }
}

/// Moves up to `max` bytes; one of the two must be a pipe (splice(2)). The pipe never blocks; a
/// socket does unless it is `O_NONBLOCK` itself. `EINVAL` for a target opened with `O_APPEND`, and
/// for some terminals. `EPIPE` comes with SIGPIPE where that is not ignored.
pub fn splice(from: impl AsFd, to: impl AsFd, max: usize) -> io::Result<Moved> {
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
    let none = ptr::null_mut();
    let moved = retry(|| {
        // SAFETY: integers, and NULL for "no offset".
        check(unsafe { libc::splice(from, none, to, none, max, flags) } as i64)
    });
    sort(moved, max)
}

/// Copies up to `max` bytes from one pipe to another and leaves them in the first (tee(2)). Never
/// blocks. It copies from the start of what waits, so drain exactly the count returned before the
/// next call.
pub fn tee(from: impl AsFd, to: impl AsFd, max: usize) -> io::Result<Moved> {
    let (from, to) = (from.as_fd().as_raw_fd(), to.as_fd().as_raw_fd());
    // SAFETY: integers only.
    sort(
        retry(|| check(unsafe { libc::tee(from, to, max, libc::SPLICE_F_NONBLOCK) } as i64)),
        max,
    )
}

/// Reads what is there, at most the buffer's length (read(2)).
pub fn read(from: impl AsFd, buf: &mut [u8]) -> io::Result<Moved> {
    let from = from.as_fd().as_raw_fd();
    // SAFETY: pointer and length describe `buf`.
    let got =
        retry(|| check(unsafe { libc::read(from, buf.as_mut_ptr().cast(), buf.len()) } as i64));
    sort(got, buf.len())
}

/// Writes what fits now (write(2)); never `Eof`.
pub fn write(to: impl AsFd, buf: &[u8]) -> io::Result<Moved> {
    let to = to.as_fd().as_raw_fd();
    // SAFETY: pointer and length describe `buf`.
    let put = retry(|| check(unsafe { libc::write(to, buf.as_ptr().cast(), buf.len()) } as i64));
    match sort(put, buf.len())? {
        Moved::Eof => Ok(Moved::Bytes(0)),
        moved => Ok(moved),
    }
}

/// A pipe, read end first, both ends close-on-exec and blocking (pipe2(2)). [`set_nonblocking`]
/// changes one end.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds: [RawFd; 2] = [-1; 2];
    // SAFETY: the array has room for two descriptors.
    check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: pipe2 succeeded: both are new and nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Switches `O_NONBLOCK` of an open file description (fcntl(2)): for everyone who shares it.
pub fn set_nonblocking(fd: impl AsFd, on: bool) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: integers only.
    let old = check(unsafe { libc::fcntl(fd, libc::F_GETFL) })? as i32;
    let new = if on {
        old | libc::O_NONBLOCK
    } else {
        old & !libc::O_NONBLOCK
    };
    if new != old {
        // SAFETY: integers only.
        check(unsafe { libc::fcntl(fd, libc::F_SETFL, new) })?;
    }
    Ok(())
}

/// Whether the open file description is `O_NONBLOCK`.
pub fn is_nonblocking(fd: impl AsFd) -> io::Result<bool> {
    // SAFETY: integers only.
    let flags = check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFL) })?;
    Ok(flags as i32 & libc::O_NONBLOCK != 0)
}

/// The capacity of a pipe in bytes (`F_GETPIPE_SZ`, fcntl(2)).
pub fn pipe_size(fd: impl AsFd) -> io::Result<usize> {
    // SAFETY: integers only.
    check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETPIPE_SZ) })
        .map(|size| size as usize)
}

/// Sets the capacity and returns what the kernel made of it, at least what was asked for; `EBUSY`
/// when more is in it, `EPERM` above /proc/sys/fs/pipe-max-size.
pub fn set_pipe_size(fd: impl AsFd, bytes: usize) -> io::Result<usize> {
    let bytes = i32::try_from(bytes).map_err(|_| super::invalid())?;
    // SAFETY: integers only.
    check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_SETPIPE_SZ, bytes) })
        .map(|size| size as usize)
}

/// How many bytes wait to be read (`FIONREAD`, ioctl_pipe(2), unix(7)).
pub fn bytes_waiting(fd: impl AsFd) -> io::Result<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, which outlives the call.
    check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD, &mut count) })?;
    Ok(count.max(0) as usize)
}

/// Whether the other end of a stream socket has not read all yet (`SIOCOUTQ`, unix(7)); false for what is none.
pub fn is_unread(fd: impl AsFd) -> bool {
    let mut count: libc::c_int = 0;
    // SAFETY: TIOCOUTQ, the same number as SIOCOUTQ, writes one int, which outlives the call.
    let asked = unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCOUTQ, &mut count) };
    asked == 0 && count > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_stream_is_unread_until_the_other_end_has_all() {
        use std::io::{Read, Write};
        let (mut writer, mut reader) = UnixStream::pair().unwrap();
        assert!(!is_unread(&writer));
        writer.write_all(b"some").unwrap();
        assert!(is_unread(&writer));
        reader.read_exact(&mut [0; 4]).unwrap();
        assert!(!is_unread(&writer));
        assert!(!is_unread(pipe().unwrap().1));
    }

    #[test]
    fn splice_moves_tells_empty_from_full_and_sees_the_end() {
        let (source, feed) = pipe().unwrap();
        let (sink, mut far) = UnixStream::pair().unwrap();
        sink.set_nonblocking(true).unwrap();
        assert_eq!(splice(&source, &sink, 4096).unwrap(), Moved::WouldBlock);
        assert_eq!(bytes_waiting(&source).unwrap(), 0);
        assert_eq!(write(&feed, b"hello").unwrap(), Moved::Bytes(5));
        assert_eq!(bytes_waiting(&source).unwrap(), 5);
        assert_eq!(splice(&source, &sink, 3).unwrap(), Moved::Bytes(3));
        assert_eq!(splice(&source, &sink, 4096).unwrap(), Moved::Bytes(2));
        assert_eq!(splice(&source, &sink, 0).unwrap(), Moved::Bytes(0));
        let mut text = [0; 5];
        io::Read::read_exact(&mut far, &mut text).unwrap();
        assert_eq!(&text, b"hello");

        // A reader that hangs: the socket fills up, nothing blocks, nothing is lost.
        loop {
            write(&feed, &[7; 4096]).unwrap();
            if splice(&source, &sink, 1 << 20).unwrap() == Moved::WouldBlock {
                break;
            }
        }
        assert_eq!(bytes_waiting(&source).unwrap(), 4096);
        drop(far);
        assert_eq!(
            splice(&source, &sink, 4096).unwrap_err().raw_os_error(),
            Some(libc::EPIPE)
        );
        drop(feed);
        let mut rest = [0; 8192];
        while read(&source, &mut rest).unwrap() != Moved::Eof {}
        assert_eq!(splice(&source, &sink, 4096).unwrap(), Moved::Eof);
    }

    #[test]
    fn tee_copies_and_leaves_the_bytes() {
        let ((a, feed), (b, copy)) = (pipe().unwrap(), pipe().unwrap());
        write(&feed, b"twice").unwrap();
        assert_eq!(tee(&a, &copy, 4096).unwrap(), Moved::Bytes(5));
        for end in [&a, &b] {
            let mut text = [0; 9];
            assert_eq!(read(end, &mut text).unwrap(), Moved::Bytes(5));
            assert_eq!(&text[..5], b"twice");
        }
        assert_eq!(tee(&a, &copy, 4096).unwrap(), Moved::WouldBlock);
        drop(feed);
        assert_eq!(tee(&a, &copy, 4096).unwrap(), Moved::Eof);
    }

    #[test]
    fn ends_are_switched_apart_and_pipes_resized() {
        let (read_end, write_end) = pipe().unwrap();
        set_nonblocking(&read_end, true).unwrap();
        assert!(is_nonblocking(&read_end).unwrap() && !is_nonblocking(&write_end).unwrap());
        assert_eq!(read(&read_end, &mut [0; 4]).unwrap(), Moved::WouldBlock);
        set_nonblocking(&read_end, false).unwrap();
        assert!(!is_nonblocking(&read_end).unwrap());
        assert_eq!(set_pipe_size(&write_end, 5000).unwrap(), 8192);
        assert_eq!(pipe_size(&read_end).unwrap(), 8192);
        assert!(set_pipe_size(&write_end, usize::MAX).is_err());
    }
}
