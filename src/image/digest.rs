//! Content addresses: `sha256:<64 hex digits>`.

use std::fmt;
use std::io::{self, Read, Write};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::error::{Error, refused};

/// The sha256 of a blob or of an unpacked layer (the only algorithm that images in the wild use;
/// others are refused by name).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(String);

impl Digest {
    /// The digest of these bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        let mut hasher = Hasher::default();
        hasher.0.update(bytes);
        hasher.finish()
    }

    /// The 64 hex digits.
    pub fn hex(&self) -> &str {
        &self.0
    }

    /// `sha256-<hex>`, as a file name.
    pub(super) fn file_name(&self) -> String {
        format!("sha256-{}", self.0)
    }

    /// The inverse of [`Digest::file_name`].
    pub(super) fn from_file_name(name: &str) -> Option<Digest> {
        let hex = name.strip_prefix("sha256-")?;
        is_hex64(hex).then(|| Digest(hex.to_owned()))
    }
}

fn is_hex64(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl FromStr for Digest {
    type Err = Error;

    fn from_str(text: &str) -> Result<Digest, Error> {
        match text.split_once(':') {
            Some(("sha256", hex)) if is_hex64(hex) => Ok(Digest(hex.to_owned())),
            Some(("sha256", _)) => refused(shown(text), "not 64 hex digits after sha256:"),
            Some((algorithm, _)) => refused(
                shown(text),
                format!("digest algorithm {algorithm:?} is not supported, only sha256"),
            ),
            None => refused(shown(text), "not a digest"),
        }
    }
}

fn shown(text: &str) -> String {
    text.chars()
        .take(100)
        .flat_map(char::escape_default)
        .collect()
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Hashes as it goes.
#[derive(Default)]
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub(super) fn finish(self) -> Digest {
        let mut hex = String::with_capacity(64);
        for byte in self.0.finalize() {
            hex.push(char::from_digit(u32::from(byte >> 4), 16).expect("a nibble is a digit"));
            hex.push(char::from_digit(u32::from(byte & 15), 16).expect("a nibble is a digit"));
        }
        Digest(hex)
    }
}

impl Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A reader that hashes and counts what passes, and stops at a limit.
pub(super) struct Metered<R> {
    inner: R,
    hasher: Hasher,
    seen: u64,
    limit: u64,
}

impl<R: Read> Metered<R> {
    pub(super) fn new(inner: R, limit: u64) -> Self {
        Metered {
            inner,
            hasher: Hasher::default(),
            seen: 0,
            limit,
        }
    }

    /// Reads the rest and gives digest and length of the whole.
    pub(super) fn finish(mut self) -> io::Result<(Digest, u64)> {
        io::copy(&mut self, &mut io::sink())?;
        Ok((self.hasher.finish(), self.seen))
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.inner.read(buf)?;
        self.hasher.0.update(&buf[..len]);
        self.seen += len as u64;
        if self.seen > self.limit {
            return Err(io::Error::other(format!(
                "more than {} bytes of content, the limit for its size",
                self.limit
            )));
        }
        Ok(len)
    }
}
