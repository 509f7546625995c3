//! Bytes from systemd's private socket.
//!
//! systemd puts its well-known name into the sender field there (sd_bus_set_sender(3)), which the D-Bus specification
//! does not allow ("SENDER: Unique name of the sending connection") and zbus panics on. Its first letter is replaced by
//! a colon on the way in, which makes it a unique name. Whole headers only are handed on.

use std::io::{self, Read};

const FIXED: usize = 16;
/// A header larger than this is nothing that systemd would send.
const HEADER_MAX: usize = 1 << 20;
const CHUNK: usize = 8192;

/// What has come and is not handed on yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    /// So many of them may be handed on.
    clean: usize,
    /// So many bytes of the message's body are still to come.
    body: usize,
}

impl Inbox {
    /// As read(2), from the inbox or from the socket below.
    pub(super) fn read(&mut self, mut socket: impl Read, buf: &mut [u8]) -> io::Result<usize> {
        while self.clean == 0 {
            let mut chunk = [0; CHUNK];
            let count = socket.read(&mut chunk)?;
            if count == 0 {
                return Ok(0);
            }
            self.bytes.extend_from_slice(&chunk[..count]);
            self.advance()?;
        }
        let count = buf.len().min(self.clean);
        buf[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes.drain(..count);
        self.clean -= count;
        Ok(count)
    }

    fn advance(&mut self) -> io::Result<()> {
        loop {
            let rest = &mut self.bytes[self.clean..];
            let taken = if self.body > 0 {
                let taken = self.body.min(rest.len());
                self.body -= taken;
                taken
            } else if rest.first().is_some_and(|byte| b"lB".contains(byte)) {
                let Some((header, body)) = sizes(rest)? else {
                    return Ok(());
                };
                if rest.len() < header {
                    return Ok(());
                }
                mend_sender(&mut rest[..header]);
                self.body = body;
                header
            } else {
                // A line of the handshake: OK, REJECTED, ERROR, DATA, AGREE_UNIX_FD.
                rest.iter()
                    .position(|byte| *byte == b'\n')
                    .map_or(0, |at| at + 1)
            };
            if taken == 0 {
                return Ok(());
            }
            self.clean += taken;
        }
    }
}

/// Sizes of header and body (D-Bus specification, "Message Format"); `None`: too few bytes yet.
fn sizes(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    if bytes.len() < FIXED {
        return Ok(None);
    }
    let number = |at: usize| {
        let word = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
        let number = match bytes[0] {
            b'l' => u32::from_le_bytes(word),
            _ => u32::from_be_bytes(word),
        };
        usize::try_from(number).unwrap_or(usize::MAX)
    };
    let (fields, body) = (number(12), number(4));
    if fields > HEADER_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(Some(((FIXED + fields).next_multiple_of(8), body)))
}

fn mend_sender(header: &mut [u8]) {
    const NAME: &[u8] = b"org.freedesktop.systemd1";
    // Field 7 of type `s`, the name's length, the name; each field begins at a multiple of 8.
    let mut field = vec![7, 1, b's', 0];
    let length = u32::try_from(NAME.len()).expect("the name is short");
    field.extend_from_slice(&match header[0] {
        b'l' => length.to_le_bytes(),
        _ => length.to_be_bytes(),
    });
    field.extend_from_slice(NAME);
    for at in (FIXED..header.len()).step_by(8) {
        if header[at..].starts_with(&field) {
            header[at + 8] = b':';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handshake and two signals as systemd sends them.
    fn traffic() -> Vec<u8> {
        let mut bytes = b"OK 0123\r\nAGREE_UNIX_FD\r\n".to_vec();
        for body in ["", "org.freedesktop.systemd1"] {
            let message = zbus::Message::signal("/a", "b.c", "d")
                .and_then(|builder| builder.sender(":rg.freedesktop.systemd1"))
                .and_then(|builder| builder.build(&body))
                .unwrap();
            bytes.extend_from_slice(message.data());
        }
        bytes
    }

    #[test]
    fn the_sender_becomes_a_unique_name_however_the_bytes_come() {
        let wanted = traffic();
        let mut sent = wanted.clone();
        while let Some(at) = sent.windows(8).position(|bytes| bytes == b":rg.free") {
            sent[at] = b'o';
        }
        for chunk in [1, 3, 16, 50, 1000] {
            let mut inbox = Inbox::default();
            let mut got = Vec::new();
            for piece in sent.chunks(chunk) {
                let mut piece = io::Cursor::new(piece);
                let mut buf = [0; 7];
                loop {
                    let count = inbox.read(&mut piece, &mut buf).unwrap();
                    if count == 0 {
                        break;
                    }
                    got.extend_from_slice(&buf[..count]);
                }
            }
            assert_eq!(got, wanted, "chunks of {chunk}");
        }
    }

    #[test]
    fn a_header_without_end_is_refused() {
        let mut bytes = [0xff; 32];
        bytes[0] = b'l';
        let mut inbox = Inbox::default();
        assert!(inbox.read(&bytes[..], &mut [0; 8]).is_err());
    }
}
