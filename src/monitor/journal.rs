//! A stream into the journal (systemd-journald.service(8), "/run/systemd/journal/stdout").

use std::io;
use std::os::fd::OwnedFd;

use crate::sys::move_data::{Moved, set_nonblocking, write};
use crate::sys::socket::{self, Kind};

const SOCKET: &str = "/run/systemd/journal/stdout";

/// Opens a stream of its own identifier and priority; `<N>` prefixes are honoured. The unit and with it
/// LogExtraFields= come from the cgroup of whoever connected, and from the unit's name here once that process is gone.
/// It never blocks: a hung journald must not block a stop.
pub(super) fn connect(unit: &str, identifier: &str, priority: u8) -> io::Result<OwnedFd> {
    let stream = socket::connect(SOCKET, Kind::Stream, false)?;
    socket::shutdown_read(&stream)?;
    // Identifier, unit, priority, level prefix, and whether to forward to syslog, kmsg and console.
    let header = format!("{identifier}\n{unit}\n{priority}\n1\n0\n0\n0\n");
    match write(&stream, header.as_bytes())? {
        Moved::Bytes(count) if count == header.len() => {}
        _ => {
            return Err(io::Error::other(
                "journald did not take the stream's header",
            ));
        }
    }
    set_nonblocking(&stream, true)?;
    Ok(stream)
}
