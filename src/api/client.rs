//! How a client is attached to a run: from its first instruction on, or later.
//!
//! The client listens (SOCK_SEQPACKET, mode 0600) and makes two pipes; the monitor connects and unlinks the socket. A client
//! of the first instruction listens at [`super::Layout::client_socket`] before it starts the unit, and the monitor connects
//! before it makes the container. A later one listens at a name of its own in the run directory and renames the socket to
//! [`super::Layout::attach_socket`], which the monitor sees. Messages:
//!
//! | from | text | file descriptors | meaning |
//! |---|---|---|---|
//! | client | [`HELLO`]; perhaps [`SIZE`], rows and columns | write ends for standard output and standard error | attach me |
//! | monitor | [`STDIN`] | write end of the container's standard input | only if the definition is interactive |
//! | monitor | [`TERMINAL`] | master of the container's terminal, for input and sizes | only if it has one |
//! | client | [`EOF`] | | close the container's standard input; without it a dead client leaves it open |
//! | monitor | [`EXIT`], a newline, an exit record | | the run has ended; all output is in the pipes |
//!
//! The client's pipes are real pipes: while the first client does not read, the payload blocks as it would in a shell; a
//! later one that has not read for [`PATIENCE`] is dropped. When a client is gone, the payload goes on without it.

use std::time::Duration;

/// First message of the client; version 1.
pub const HELLO: &[u8] = b"ATTACH 1";
/// What follows it if the client has a terminal: rows and columns in decimal, as in `ATTACH 1 SIZE 24 80`.
pub const SIZE: &[u8] = b" SIZE ";
/// The monitor hands over the container's standard input.
pub const STDIN: &[u8] = b"STDIN";
/// The monitor hands over the master of the container's terminal.
pub const TERMINAL: &[u8] = b"TERMINAL";
/// The client's input has ended.
pub const EOF: &[u8] = b"EOF";
/// The run has ended; the exit record follows after a newline.
pub const EXIT: &[u8] = b"EXIT";
/// Longest message, bytes.
pub const MAX_MESSAGE: usize = 4096;
/// What the names of the sockets of later clients begin with.
pub const LATER: &str = "attach-";
/// Most clients at once; a socket of one more is removed.
pub const MAX_CLIENTS: usize = 16;
/// For how long a later client may hold the payload up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The first message of a client whose terminal has this many rows and columns.
pub fn hello(size: Option<(u16, u16)>) -> Vec<u8> {
    let mut text = HELLO.to_vec();
    if let Some((rows, columns)) = size {
        text.extend_from_slice(SIZE);
        text.extend_from_slice(format!("{rows} {columns}").as_bytes());
    }
    text
}

/// Whether that is a client's first message, and the size that it tells.
pub fn parse_hello(text: &[u8]) -> Option<Option<(u16, u16)>> {
    let rest = text.strip_prefix(HELLO)?;
    if rest.is_empty() {
        return Some(None);
    }
    let size = str::from_utf8(rest.strip_prefix(SIZE)?).ok()?;
    let (rows, columns) = size.split_once(' ')?;
    Some(Some((rows.parse().ok()?, columns.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_read_as_it_was_written() {
        for size in [None, Some((24, 80)), Some((0, u16::MAX))] {
            assert_eq!(parse_hello(&hello(size)), Some(size));
        }
        for bad in [
            "",
            "ATTACH 2",
            "ATTACH 1 ",
            "ATTACH 1 SIZE 1",
            "ATTACH 1 SIZE 1 99999",
        ] {
            assert_eq!(parse_hello(bad.as_bytes()), None, "{bad}");
        }
    }
}
