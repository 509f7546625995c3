//! Unix sockets that carry descriptors and credentials: unix(7).

use std::io;
use std::mem::{size_of, zeroed};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;

use nix::libc;

use super::{check, invalid, owned, retry};

/// The kernel carries no more descriptors in one message (`SCM_MAX_FD`, unix(7)).
pub const MAX_FDS: usize = 253;

/// The kind of socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes without boundaries.
    Stream,
    /// Messages with boundaries, over a connection.
    SeqPacket,
    /// Messages with boundaries, without a connection.
    Datagram,
}

impl Kind {
    fn bits(self) -> libc::c_int {
        let kind = match self {
            Kind::Stream => libc::SOCK_STREAM,
            Kind::SeqPacket => libc::SOCK_SEQPACKET,
            Kind::Datagram => libc::SOCK_DGRAM,
        };
        kind | libc::SOCK_CLOEXEC
    }
}

/// The address of a path; `ENAMETOOLONG` above 107 bytes (reach longer ones through /proc/self/fd/N
/// of the directory).
fn address(path: &Path) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    let bytes = path.as_os_str().as_bytes();
    // SAFETY: all-zero is a valid sockaddr_un.
    let mut addr: libc::sockaddr_un = unsafe { zeroed() };
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(invalid());
    }
    if bytes.len() >= addr.sun_path.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    addr.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (slot, &byte) in addr.sun_path.iter_mut().zip(bytes) {
        *slot = byte as libc::c_char;
    }
    Ok((addr, size_of::<libc::sockaddr_un>() as libc::socklen_t))
}

fn socket(kind: Kind, nonblocking: bool) -> io::Result<OwnedFd> {
    let flags = if nonblocking { libc::SOCK_NONBLOCK } else { 0 };
    // SAFETY: integers in, a new descriptor out.
    unsafe { owned(libc::socket(libc::AF_UNIX, kind.bits() | flags, 0)) }
}

/// Connects to a socket by path. With `nonblocking` it never waits, and a listener whose queue is
/// full is `WouldBlock` (connect(2)).
pub fn connect(path: impl AsRef<Path>, kind: Kind, nonblocking: bool) -> io::Result<OwnedFd> {
    let (addr, len) = address(path.as_ref())?;
    let socket = socket(kind, nonblocking)?;
    retry(|| {
        // SAFETY: the address is valid and `len` bytes long.
        check(unsafe { libc::connect(socket.as_raw_fd(), ptr::from_ref(&addr).cast(), len) })
    })?;
    Ok(socket)
}

/// Makes a socket at a path, nonblocking; `EADDRINUSE` if anything is there. Its mode follows the
/// umask: make it in a directory that only the right ones can enter. Datagram sockets are bound,
/// the others listen.
pub fn listen(path: impl AsRef<Path>, kind: Kind, backlog: i32) -> io::Result<OwnedFd> {
    let (addr, len) = address(path.as_ref())?;
    let socket = socket(kind, true)?;
    // SAFETY: the address is valid and `len` bytes long.
    check(unsafe { libc::bind(socket.as_raw_fd(), ptr::from_ref(&addr).cast(), len) })?;
    if kind != Kind::Datagram {
        // SAFETY: integers only.
        check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    }
    Ok(socket)
}

/// Takes the next connection, nonblocking; `None` if there is none, or if the one that was there
/// has gone.
pub fn accept(listener: impl AsFd) -> io::Result<Option<OwnedFd>> {
    let (fd, flags) = (
        listener.as_fd().as_raw_fd(),
        libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK,
    );
    // SAFETY: no address is asked for; a new descriptor comes out.
    match retry(|| unsafe { owned(libc::accept4(fd, ptr::null_mut(), ptr::null_mut(), flags)) }) {
        Ok(socket) => Ok(Some(socket)),
        Err(err) if matches!(err.raw_os_error(), Some(libc::EAGAIN | libc::ECONNABORTED)) => {
            Ok(None)
        }
        Err(err) => Err(err),
    }
}

/// Two connected sockets, blocking (socketpair(2)).
pub fn socketpair(kind: Kind) -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds: [RawFd; 2] = [-1; 2];
    // SAFETY: the array has room for two descriptors.
    check(unsafe { libc::socketpair(libc::AF_UNIX, kind.bits(), 0, fds.as_mut_ptr()) })?;
    // SAFETY: socketpair succeeded: both are new and nobody else owns them.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// Says that nothing more will be read from the socket (shutdown(2)).
pub fn shutdown_read(socket: impl AsFd) -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::shutdown(socket.as_fd().as_raw_fd(), libc::SHUT_RD) }).map(drop)
}

/// Says that nothing more will be written to the socket (shutdown(2)).
pub fn shutdown_write(socket: impl AsFd) -> io::Result<()> {
    // SAFETY: integers only.
    check(unsafe { libc::shutdown(socket.as_fd().as_raw_fd(), libc::SHUT_WR) }).map(drop)
}

/// Room for one control message with the most descriptors, aligned for its header.
struct Control([u64; 130]);

impl Control {
    /// The bytes of a control message with `count` descriptors, without padding after them.
    fn len(count: usize) -> usize {
        // SAFETY: CMSG_LEN computes with its argument only.
        unsafe { libc::CMSG_LEN((count * size_of::<RawFd>()) as u32) as usize }
    }
}

/// Sends one message, with descriptors if there are any (sendmsg(2), `SCM_RIGHTS`). `EINVAL` for
/// more than [`MAX_FDS`]; descriptors need at least one byte to travel with on a stream. No
/// SIGPIPE. On a stream less than all bytes may go; the descriptors go with the first.
pub fn send_with_fds(socket: impl AsFd, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    if fds.len() > MAX_FDS {
        return Err(invalid());
    }
    let mut control = Control([0; 130]);
    let mut data = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { zeroed() };
    message.msg_iov = &mut data;
    message.msg_iovlen = 1;
    if !fds.is_empty() {
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = Control::len(fds.len()) as _;
        // SAFETY: the control buffer is aligned and long enough for a header and MAX_FDS
        // descriptors, so that the header and each of the slots after it may be written.
        unsafe {
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = libc::SOL_SOCKET;
            (*header).cmsg_type = libc::SCM_RIGHTS;
            (*header).cmsg_len = Control::len(fds.len()) as _;
            let slots = libc::CMSG_DATA(header).cast::<RawFd>();
            for (at, fd) in fds.iter().enumerate() {
                slots.add(at).write_unaligned(fd.as_raw_fd());
            }
        }
    }
    let socket = socket.as_fd().as_raw_fd();
    // SAFETY: the message's pointers are valid for the call, and sendmsg does not write to the
    // data.
    retry(|| check(unsafe { libc::sendmsg(socket, &message, libc::MSG_NOSIGNAL) } as i64))
        .map(|sent| sent as usize)
}

/// A message that came in.
#[derive(Debug)]
pub struct Received {
    /// The bytes now in the buffer; 0 at the end of a stream (or for an empty message).
    pub bytes: usize,
    /// The descriptors that came with it, close-on-exec.
    pub fds: Vec<OwnedFd>,
    /// PID of the sender, in this namespace; none without [`pass_credentials`].
    pub sender: Option<i32>,
    /// The message was longer than the buffer; the rest is lost.
    pub truncated: bool,
    /// More descriptors came than were wanted, or than this process may open; the kernel closed the
    /// others.
    pub fds_truncated: bool,
}

/// Lets a socket tell who has sent a message (`SO_PASSCRED`, unix(7)).
pub fn pass_credentials(socket: impl AsFd) -> io::Result<()> {
    let on: libc::c_int = 1;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: pointer and length describe `on`.
    let set = unsafe {
        libc::setsockopt(
            fd,
            libc::SOL_SOCKET,
            libc::SO_PASSCRED,
            ptr::from_ref(&on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    check(set).map(drop)
}

/// Receives one message with at most `max_fds` descriptors (recvmsg(2)). `WouldBlock` as usual.
pub fn recv_with_fds(socket: impl AsFd, buf: &mut [u8], max_fds: usize) -> io::Result<Received> {
    let room = match max_fds {
        0 => 0,
        // CMSG_SPACE would round up and let one more descriptor in than wanted.
        _ => Control::len(max_fds.min(MAX_FDS)),
    };
    receive(socket, buf, room)
}

/// The same on a socket with [`pass_credentials`].
pub fn recv_with_sender(socket: impl AsFd, buf: &mut [u8], max_fds: usize) -> io::Result<Received> {
    // SAFETY: CMSG_SPACE computes with its argument only.
    let credentials = unsafe { libc::CMSG_SPACE(size_of::<libc::ucred>() as u32) } as usize;
    // Half of what there is room for: the kernel puts the credentials first.
    let room = Control::len(max_fds.min(MAX_FDS / 2));
    receive(socket, buf, credentials + room)
}

fn receive(socket: impl AsFd, buf: &mut [u8], room: usize) -> io::Result<Received> {
    let mut control = Control([0; 130]);
    let mut data = libc::iovec {
        iov_base: buf.as_mut_ptr().cast(),
        iov_len: buf.len(),
    };
    // SAFETY: all-zero is a valid msghdr.
    let mut message: libc::msghdr = unsafe { zeroed() };
    let fd = socket.as_fd().as_raw_fd();
    let bytes = retry(|| {
        message.msg_iov = &mut data;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = room as _;
        // SAFETY: the message's pointers are valid for the call and describe buffers of these
        // lengths.
        check(unsafe { libc::recvmsg(fd, &mut message, libc::MSG_CMSG_CLOEXEC) } as i64)
    })?;
    Ok(Received {
        bytes: bytes as usize,
        fds: take_fds(&message),
        sender: sender(&message),
        truncated: message.msg_flags & libc::MSG_TRUNC != 0,
        fds_truncated: message.msg_flags & libc::MSG_CTRUNC != 0,
    })
}

/// Takes ownership of every descriptor in a received message, so that none leaks, whatever came.
fn take_fds(message: &libc::msghdr) -> Vec<OwnedFd> {
    let mut fds = Vec::new();
    // SAFETY: recvmsg filled the control buffer with whole headers and set its length; the macros
    // stay within, and each SCM_RIGHTS slot is a new descriptor that nobody else owns.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                let count = ((*header).cmsg_len as usize - Control::len(0)) / size_of::<RawFd>();
                let slots = libc::CMSG_DATA(header).cast::<RawFd>();
                fds.extend(
                    (0..count).map(|at| OwnedFd::from_raw_fd(slots.add(at).read_unaligned())),
                );
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    fds
}

/// The sender's PID, if the kernel has told it.
fn sender(message: &libc::msghdr) -> Option<i32> {
    // SAFETY: recvmsg filled the control buffer with whole headers and set its length; the macros stay within, and data of
    // the length of credentials is theirs.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(message);
        while !header.is_null() {
            let found = (*header).cmsg_level == libc::SOL_SOCKET
                && (*header).cmsg_type == libc::SCM_CREDENTIALS
                && (*header).cmsg_len as usize
                    == libc::CMSG_LEN(size_of::<libc::ucred>() as u32) as usize;
            if found {
                let credentials = libc::CMSG_DATA(header).cast::<libc::ucred>();
                return Some(credentials.read_unaligned().pid);
            }
            header = libc::CMSG_NXTHDR(message, header);
        }
    }
    None
}

/// Who is at the other end, as of connect(2), listen(2) or socketpair(2) (`SO_PEERCRED`, unix(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// PID in this namespace; 0 if it is not visible from here.
    pub pid: i32,
    /// Effective user.
    pub uid: u32,
    /// Effective group.
    pub gid: u32,
}

/// The peer's credentials.
pub fn peer(socket: impl AsFd) -> io::Result<Peer> {
    let mut cred = libc::ucred {
        pid: 0,
        uid: 0,
        gid: 0,
    };
    let mut len = size_of::<libc::ucred>() as libc::socklen_t;
    let fd = socket.as_fd().as_raw_fd();
    // SAFETY: pointer and length describe `cred`.
    let got = unsafe {
        let into = ptr::from_mut(&mut cred).cast();
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_PEERCRED, into, &mut len)
    };
    check(got)?;
    Ok(Peer {
        pid: cred.pid,
        uid: cred.uid,
        gid: cred.gid,
    })
}

#[cfg(test)]
mod tests {
    use super::super::move_data::{self, Moved};
    use super::*;

    fn is_open(fd: RawFd) -> bool {
        std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok()
    }

    #[test]
    fn descriptors_travel_close_on_exec() {
        let (a, b) = socketpair(Kind::SeqPacket).unwrap();
        let (read, write) = move_data::pipe().unwrap();
        assert_eq!(
            send_with_fds(&a, b"hi", &[write.as_fd(), read.as_fd()]).unwrap(),
            2
        );
        drop(write);
        let mut buf = [0; 16];
        let got = recv_with_fds(&b, &mut buf, 2).unwrap();
        assert_eq!((&buf[..got.bytes], got.fds.len()), (&b"hi"[..], 2));
        assert!(!got.truncated && !got.fds_truncated);
        // SAFETY: integers only.
        let flags = unsafe { libc::fcntl(got.fds[0].as_raw_fd(), libc::F_GETFD) };
        assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
        move_data::write(&got.fds[0], b"x").unwrap();
        assert_eq!(move_data::read(&read, &mut buf).unwrap(), Moved::Bytes(1));
        let raw = got.fds[0].as_raw_fd();
        drop(got);
        assert!(!is_open(raw) || move_data::read(&read, &mut buf).unwrap() == Moved::Eof);
    }

    #[test]
    fn who_has_sent_it_is_told() {
        let (a, b) = socketpair(Kind::Datagram).unwrap();
        let (read, write) = move_data::pipe().unwrap();
        pass_credentials(&b).unwrap();
        send_with_fds(&a, b"hi", &[write.as_fd()]).unwrap();
        send_with_fds(&a, b"many", &[write.as_fd(); 5]).unwrap();
        drop(write);
        let mut buf = [0; 16];
        for (bytes, truncated) in [(2, false), (4, true)] {
            let got = recv_with_sender(&b, &mut buf, 1).unwrap();
            assert_eq!(got.sender, Some(std::process::id() as i32));
            assert_eq!((got.bytes, got.fds.len()), (bytes, 1));
            assert_eq!(got.fds_truncated, truncated);
        }
        assert_eq!(move_data::read(&read, &mut buf).unwrap(), Moved::Eof);
        send_with_fds(&b, b"back", &[]).unwrap();
        assert_eq!(recv_with_fds(&a, &mut buf, 1).unwrap().sender, None);
    }

    #[test]
    fn what_does_not_fit_is_said_and_nothing_leaks() {
        let (a, b) = socketpair(Kind::SeqPacket).unwrap();
        let (read, write) = move_data::pipe().unwrap();
        send_with_fds(&a, b"12345678", &[write.as_fd(); 5]).unwrap();
        drop(write);
        let got = recv_with_fds(&b, &mut [0; 4], 3).unwrap();
        assert_eq!(
            (got.bytes, got.fds.len(), got.truncated, got.fds_truncated),
            (4, 3, true, true)
        );
        drop(got);
        assert_eq!(
            move_data::read(&read, &mut [0; 4]).unwrap(),
            Moved::Eof,
            "a copy of the write end leaked"
        );
        send_with_fds(&a, b"1", &[read.as_fd()]).unwrap();
        let got = recv_with_fds(&b, &mut [0; 4], 0).unwrap();
        assert_eq!((got.fds.len(), got.fds_truncated), (0, true));
        send_with_fds(&a, b"1", &[read.as_fd(); MAX_FDS]).unwrap();
        assert_eq!(
            recv_with_fds(&b, &mut [0; 4], 1000).unwrap().fds.len(),
            MAX_FDS
        );
        assert!(send_with_fds(&a, b"1", &[read.as_fd(); MAX_FDS + 1]).is_err());
    }

    #[test]
    fn listeners_accept_and_know_their_peer() {
        let dir = super::super::paths::tests::TempDir::new();
        let path = dir.path.join("s");
        for kind in [Kind::Stream, Kind::SeqPacket] {
            let listener = listen(&path, kind, 4).unwrap();
            assert!(accept(&listener).unwrap().is_none());
            let client = connect(&path, kind, true).unwrap();
            let server = accept(&listener).unwrap().unwrap();
            // SAFETY: no arguments, cannot fail.
            let uid = unsafe { libc::geteuid() };
            let seen = peer(&server).unwrap();
            assert_eq!((seen.pid, seen.uid), (std::process::id() as i32, uid));
            assert!(move_data::is_nonblocking(&server).unwrap());
            shutdown_read(&client).unwrap();
            send_with_fds(&client, b"x", &[]).unwrap();
            shutdown_write(&client).unwrap();
            assert_eq!(recv_with_fds(&server, &mut [0; 4], 0).unwrap().bytes, 1);
            assert_eq!(recv_with_fds(&server, &mut [0; 4], 0).unwrap().bytes, 0);
            assert!(listen(&path, kind, 4).is_err());
            drop(listener);
            assert!(connect(&path, kind, true).is_err());
            std::fs::remove_file(&path).unwrap();
        }
        let long = "x".repeat(108);
        assert_eq!(
            connect(long, Kind::Stream, true)
                .unwrap_err()
                .raw_os_error(),
            Some(libc::ENAMETOOLONG)
        );
    }
}
