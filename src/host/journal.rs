//! The journal, read by journalctl(1) in its export form (JOURNAL_EXPORT_FORMATS of systemd).

use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use crate::api::event::Event;
use crate::sys::socket::{self, Kind};

/// Longest field that is read, bytes: journald takes no longer line (LineMax=) of us.
const MAX_FIELD: u64 = 64 << 20;

/// One entry.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Entry {
    fields: Vec<(String, Vec<u8>)>,
}

impl Entry {
    /// The first value of a field.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        let found = self.fields.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// The first value of a field that is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// When journald got it, microseconds since the epoch.
    pub fn realtime(&self) -> u64 {
        self.text("__REALTIME_TIMESTAMP")
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    }

    /// Its place, for `--after-cursor=`.
    pub fn cursor(&self) -> Option<&str> {
        self.text("__CURSOR")
    }
}

/// Entries as they come.
#[derive(Debug)]
pub struct Entries<R> {
    from: R,
}

/// Starts journalctl(1) with these arguments; its entries have these fields, and their time and place. Whoever kills
/// the child ends the entries.
///
/// # Errors
/// It cannot be run.
pub fn read(
    fields: &str,
    args: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> io::Result<(Child, Entries<BufReader<ChildStdout>>)> {
    let mut child = Command::new("journalctl")
        .args(["--quiet", "--no-pager", "--output=export"])
        .arg(format!("--output-fields={fields}"))
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let from = child.stdout.take().expect("it was piped");
    Ok((
        child,
        Entries::new(BufReader::with_capacity(64 << 10, from)),
    ))
}

const NATIVE: &str = "/run/systemd/journal/socket";

/// Tells journald of an event. It never waits, and what cannot be told is lost: an event is news, not a record.
pub fn tell(event: &Event<'_>) {
    let sent = socket::connect(NATIVE, Kind::Datagram, true)
        .and_then(|socket| socket::send_with_fds(&socket, event.render().as_bytes(), &[]));
    if let Err(error) = sent {
        tracing::debug!(event = event.kind.word(), %error, "event is not told");
    }
}

/// Waits until journald has written what it got; without journald there is nothing to wait for.
pub fn sync() {
    let mut command = Command::new("journalctl");
    command.arg("--sync").stdin(Stdio::null());
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

impl<R: BufRead> Entries<R> {
    /// Reads what is in export form.
    pub fn new(from: R) -> Self {
        Self { from }
    }

    /// The next entry; none at the end. One that was cut is none.
    ///
    /// # Errors
    /// Reading failed, or it is not in export form.
    pub fn read_next(&mut self) -> io::Result<Option<Entry>> {
        let mut entry = Entry::default();
        let mut line = Vec::new();
        loop {
            line.clear();
            self.from.read_until(b'\n', &mut line)?;
            let Some(text) = line.strip_suffix(b"\n") else {
                return Ok(None);
            };
            if text.is_empty() {
                if entry.fields.is_empty() {
                    continue;
                }
                return Ok(Some(entry));
            }
            let (key, value) = match text.iter().position(|byte| *byte == b'=') {
                Some(at) => (&text[..at], text[at + 1..].to_vec()),
                None => match self.binary()? {
                    Some(value) => (text, value),
                    None => return Ok(None),
                },
            };
            let key = String::from_utf8_lossy(key).into_owned();
            entry.fields.push((key, value));
        }
    }

    /// Eight bytes of length, the value, a newline.
    fn binary(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = [0; 8];
        if !whole(self.from.read_exact(&mut length))? {
            return Ok(None);
        }
        let length = u64::from_le_bytes(length);
        if length > MAX_FIELD {
            return Err(io::Error::other("a field of the journal is too long"));
        }
        let mut value = Vec::new();
        let read = (&mut self.from).take(length + 1).read_to_end(&mut value)? as u64;
        Ok((read == length + 1 && value.pop() == Some(b'\n')).then_some(value))
    }
}

fn whole(read: io::Result<()>) -> io::Result<bool> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        other => other.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_bytes_are_read_and_a_cut_entry_is_none() {
        let mut bytes =
            b"__CURSOR=a\n__REALTIME_TIMESTAMP=7\nMESSAGE=x=y\n\n__CURSOR=b\nMESSAGE\n".to_vec();
        bytes.extend(5_u64.to_le_bytes());
        bytes.extend(b"a\n\n\xffb\nPRIORITY=3\n\n");
        let whole = bytes.len();
        let read = |bytes: &[u8]| {
            let mut entries = Entries::new(bytes);
            let mut found = Vec::new();
            while let Some(entry) = entries.read_next().unwrap() {
                found.push(entry);
            }
            found
        };
        let found = read(&bytes);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].realtime(), found[0].cursor()), (7, Some("a")));
        assert_eq!(found[0].text("MESSAGE"), Some("x=y"));
        assert_eq!(found[1].get("MESSAGE"), Some(&b"a\n\n\xffb"[..]));
        assert_eq!(found[1].text("PRIORITY"), Some("3"));
        for cut in 0..whole {
            let found = read(&bytes[..cut]);
            assert!(found.len() <= 1 || cut == whole, "{cut}");
        }
    }
}
