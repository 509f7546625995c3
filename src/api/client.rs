//! How a client is attached to a run: from its first instruction on, or later.
//!
//! The client listens (SOCK_SEQPACKET, mode 0600) and makes two pipes; the monitor connects and unlinks the socket. A client
//! of the first instruction listens at [`super::Layout::client_socket`] before it starts the unit, and the monitor connects
//! before it makes the container. A later one listens at a name of its own in the run directory and renames the socket to
//! [`super::Layout::attach_socket`], which the monitor sees. Messages:
//!
//! | from | text | file descriptors | meaning |
//! |---|---|---|---|
//! | client | [`HELLO`]; perhaps [`SIZE`], rows and columns; perhaps [`KEEP`] and numbers | write ends for standard output and standard error; then one per number | attach me; the payload gets the others under their numbers |
//! | client | [`HELLO`], [`LEAVES`], [`KEEP`] and numbers | one per number | the same, but do not attach me |
//! | monitor | [`STDIN`] | write end of the container's standard input | only if the definition is interactive |
//! | monitor | [`TERMINAL`] | master of the container's terminal, for input and sizes | only if it has one |
//! | client | [`EOF`] | | close the container's standard input; without it a dead client leaves it open |
//! | monitor | [`EXIT`], a newline, an exit record | | the run has ended; all output is in the pipes |
//! | reload | [`RELOAD`] | | show me what you would hand to the program that is installed now |
//! | monitor | [`STATE`] | a file with it | it is version and text of that program's own, which says whether it can read them |
//! | reload | [`GO`] | a file with what is to change | become that program |
//! | monitor | [`RELOADED`] | | it has |
//! | monitor | [`REFUSED`], a space, a reason | | it has not, and goes on as before |
//!
//! The last five are those of `systemctl reload`, whose program comes as a later client does.
//!
//! The client's pipes are real pipes: while the first client does not read, the payload blocks as it would in a shell; a
//! later one that has not read for [`PATIENCE`] is dropped. When a client is gone, the payload goes on without it.

use std::time::Duration;

/// First message of the client; version 1.
pub const HELLO: &[u8] = b"ATTACH 1";
/// What follows it if the client has a terminal: rows and columns in decimal, as in `ATTACH 1 SIZE 24 80`.
pub const SIZE: &[u8] = b" SIZE ";
/// What follows then if the client does not stay.
pub const LEAVES: &[u8] = b" LEAVES";
/// What comes last: the numbers of descriptors for the payload, by commas, as in `ATTACH 1 KEEP 3,5`.
pub const KEEP: &[u8] = b" KEEP ";
/// The monitor hands over the container's standard input.
pub const STDIN: &[u8] = b"STDIN";
/// The monitor hands over the master of the container's terminal.
pub const TERMINAL: &[u8] = b"TERMINAL";
/// The client's input has ended.
pub const EOF: &[u8] = b"EOF";
/// The run has ended; the exit record follows after a newline.
pub const EXIT: &[u8] = b"EXIT";
/// What a monitor would hand to its successor is asked for.
pub const RELOAD: &[u8] = b"RELOAD 1";
/// It comes.
pub const STATE: &[u8] = b"STATE";
/// The monitor is to become its successor.
pub const GO: &[u8] = b"GO";
/// It is the successor that says this.
pub const RELOADED: &[u8] = b"RELOADED";
/// It has not become it; a space and the reason follow.
pub const REFUSED: &[u8] = b"REFUSED";
/// Longest message, bytes.
pub const MAX_MESSAGE: usize = 4096;
/// What the names of the sockets of later clients begin with.
pub const LATER: &str = "attach-";
/// Most descriptors for the payload: those of one message (unix(7), SCM_MAX_FD), but for the client's own.
pub const MAX_KEPT: usize = 251;
/// Most clients at once; a socket of one more is removed.
pub const MAX_CLIENTS: usize = 16;
/// For how long a later client may hold the payload up.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The first message of a client.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Hello {
    /// Rows and columns of its terminal.
    pub size: Option<(u16, u16)>,
    /// It goes as soon as this is said: it has no pipes.
    pub leaves: bool,
    /// Numbers under which the payload gets what comes with the message.
    pub keep: Vec<i32>,
}

impl Hello {
    /// The text of the message.
    pub fn render(&self) -> Vec<u8> {
        let mut text = HELLO.to_vec();
        if let Some((rows, columns)) = self.size {
            text.extend_from_slice(SIZE);
            text.extend_from_slice(format!("{rows} {columns}").as_bytes());
        }
        if self.leaves {
            text.extend_from_slice(LEAVES);
        }
        if !self.keep.is_empty() {
            let numbers: Vec<String> = self.keep.iter().map(i32::to_string).collect();
            text.extend_from_slice(KEEP);
            text.extend_from_slice(numbers.join(",").as_bytes());
        }
        text
    }

    /// What such a text says; none: it is no first message.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = str::from_utf8(text).ok()?;
        let word = |bytes: &'static [u8]| str::from_utf8(bytes).unwrap_or_default();
        let rest = text.strip_prefix(word(HELLO))?;
        let (rest, keep) = match rest.split_once(word(KEEP)) {
            Some((rest, numbers)) => (rest, numbers.split(',').map(str::parse).collect()),
            None => (rest, Ok(Vec::new())),
        };
        let (rest, leaves) = match rest.strip_suffix(word(LEAVES)) {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let size = match rest {
            "" => None,
            rest => {
                let (rows, columns) = rest.strip_prefix(word(SIZE))?.split_once(' ')?;
                Some((rows.parse().ok()?, columns.parse().ok()?))
            }
        };
        Some(Self {
            size,
            leaves,
            keep: keep.ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_read_as_it_was_written() {
        for size in [None, Some((24, 80)), Some((0, u16::MAX))] {
            for leaves in [false, true] {
                for keep in [vec![], vec![3], vec![3, 17, 1023]] {
                    let hello = Hello { size, leaves, keep };
                    assert_eq!(Hello::parse(&hello.render()), Some(hello));
                }
            }
        }
        let plain = Hello::default().render();
        assert_eq!(plain, HELLO);
        for bad in [
            "",
            "ATTACH 2",
            "ATTACH 1 ",
            "ATTACH 1 SIZE 1",
            "ATTACH 1 SIZE 1 99999",
            "ATTACH 1 KEEP ",
            "ATTACH 1 KEEP 3,x",
            "ATTACH 1 LEAVES ",
        ] {
            assert_eq!(Hello::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_longest_hello_is_a_message() {
        let keep = (0..MAX_KEPT as i32).map(|at| 1023 - at).collect();
        let hello = Hello {
            size: Some((u16::MAX, u16::MAX)),
            leaves: true,
            keep,
        };
        assert!(hello.render().len() <= MAX_MESSAGE);
    }
}
