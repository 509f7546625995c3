//! How a client is attached to a run from its first instruction on.
//!
//! Before it starts the unit, the client listens at [`super::Layout::client_socket`] (SOCK_SEQPACKET, mode 0600) and
//! makes two pipes. The monitor connects before it makes the container and unlinks the socket. Messages:
//!
//! | from | text | file descriptors | meaning |
//! |---|---|---|---|
//! | client | [`HELLO`] | write ends for standard output and standard error | attach me |
//! | monitor | [`STDIN`] | write end of the container's standard input | only if the definition is interactive |
//! | client | [`EOF`] | | close the container's standard input; without it a dead client leaves it open |
//! | monitor | [`EXIT`], a newline, an exit record | | the run has ended; all output is in the pipes |
//!
//! The client's pipes are real pipes: while it does not read, the payload blocks as it would in a shell; when it is
//! gone, the payload goes on without it.

/// First message of the client; version 1.
pub const HELLO: &[u8] = b"ATTACH 1";
/// The monitor hands over the container's standard input.
pub const STDIN: &[u8] = b"STDIN";
/// The client's input has ended.
pub const EOF: &[u8] = b"EOF";
/// The run has ended; the exit record follows after a newline.
pub const EXIT: &[u8] = b"EXIT";
/// Longest message, bytes.
pub const MAX_MESSAGE: usize = 4096;
