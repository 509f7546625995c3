//! A reader of tar streams that trusts nothing: POSIX.1-2001 (pax), ustar, v7 and GNU.
//!
//! Written here because the extension headers are attacker-controlled memory: their size is bounded
//! before a byte of them is read, and what is not understood is refused by name.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

const BLOCK: usize = 512;
/// Extension headers of one entry: names, links and extended attributes together.
const MAX_EXTENSIONS: u64 = 1 << 20;
/// Segments of one sparse file.
const MAX_SEGMENTS: usize = 100_000;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One member of an archive, its extension headers applied.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// As written; may be absolute or climb.
    pub(crate) path: PathBuf,
    /// The target of a link.
    pub(crate) link: PathBuf,
    /// Permission bits, setuid and the like included.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    /// Seconds and nanoseconds.
    pub(crate) mtime: (i64, i64),
    /// Length of the file once it is written, holes included.
    pub(crate) size: u64,
    /// Offset and length of the data in a sparse file; `None` if it has no holes.
    pub(crate) segments: Option<Vec<(u64, u64)>>,
    /// Major and minor number of a device.
    pub(crate) device: (u32, u32),
    /// Extended attributes, in the order of the archive.
    pub(crate) xattrs: Vec<(OsString, Vec<u8>)>,
}

/// What the extension headers before an entry said.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<i64>,
    gid: Option<i64>,
    mtime: Option<(i64, i64)>,
    xattrs: Vec<(OsString, Vec<u8>)>,
    bytes: u64,
}

/// An archive that is read once, front to back; reading it gives the content of the entry that
/// [`TarStream::next_entry`] gave last.
pub(crate) struct TarStream<R> {
    inner: R,
    /// Content of this entry still to read, and the padding behind it.
    left: u64,
    padding: u64,
}

fn bad<T>(why: impl Into<String>) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidData, why.into()))
}

impl<R: Read> TarStream<R> {
    pub(crate) fn new(inner: R) -> Self {
        TarStream {
            inner,
            left: 0,
            padding: 0,
        }
    }

    pub(crate) fn into_inner(self) -> R {
        self.inner
    }

    /// The next member; `None` at the end of the archive.
    pub(crate) fn next_entry(&mut self) -> io::Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        loop {
            let Some(header) = self.header()? else {
                if extensions.bytes > 0 {
                    return bad("archive ends after an extension header");
                }
                return Ok(None);
            };
            let size = header.unsigned(124..136, "size")?;
            match header.0[156] {
                b'x' => {
                    let data = self.extension(&mut extensions, size)?;
                    extensions.read_pax(&data)?;
                }
                // Defaults for the archive; what writes layers puts comments there (git archive).
                b'g' => self.extension(&mut extensions, size).map(drop)?,
                b'L' => extensions.path = Some(self.gnu_long(&mut extensions, size)?),
                b'K' => extensions.link = Some(self.gnu_long(&mut extensions, size)?),
                _ => return self.entry(&header, extensions, size).map(Some),
            }
        }
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        self.skip_content()?;
        let mut block = [0u8; BLOCK];
        let mut filled = 0;
        while filled < BLOCK {
            match self.inner.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(None),
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                len => filled += len,
            }
        }
        if block.iter().all(|&byte| byte == 0) {
            return Ok(None);
        }
        let header = Header(block);
        header.check()?;
        Ok(Some(header))
    }

    fn skip_content(&mut self) -> io::Result<()> {
        let all = self.left + self.padding;
        let skipped = io::copy(&mut (&mut self.inner).take(all), &mut io::sink())?;
        (self.left, self.padding) = (0, 0);
        if skipped < all {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    fn begin_content(&mut self, size: u64) {
        self.left = size;
        self.padding = size.wrapping_neg() % BLOCK as u64;
    }

    fn extension(&mut self, extensions: &mut Extensions, size: u64) -> io::Result<Vec<u8>> {
        extensions.bytes = extensions.bytes.saturating_add(size).saturating_add(1);
        if extensions.bytes > MAX_EXTENSIONS {
            return bad(format!(
                "extension headers of {} bytes, the limit is {MAX_EXTENSIONS}",
                extensions.bytes
            ));
        }
        self.begin_content(size);
        let mut data = vec![0; usize::try_from(size).expect("bounded above")];
        self.read_exact(&mut data)?;
        Ok(data)
    }

    fn gnu_long(&mut self, extensions: &mut Extensions, size: u64) -> io::Result<Vec<u8>> {
        let mut text = self.extension(extensions, size)?;
        text.truncate(text.iter().position(|&b| b == 0).unwrap_or(text.len()));
        Ok(text)
    }

    fn entry(&mut self, header: &Header, ext: Extensions, size: u64) -> io::Result<Entry> {
        let path = ext.path.unwrap_or_else(|| header.path());
        let kind = header.kind(&path)?;
        let mut stored = match kind {
            Kind::File => ext.size.unwrap_or(size),
            _ => 0,
        };
        if stored > i64::MAX as u64 {
            return bad("size does not fit a file");
        }
        let mut segments = None;
        let real = if header.0[156] == b'S' {
            let (list, real) = self.gnu_sparse(header)?;
            let data: u64 = list.iter().map(|&(_, len)| len).sum();
            if data != stored {
                return bad("sparse map does not match the size");
            }
            segments = Some(list);
            real
        } else {
            stored
        };
        if kind != Kind::File {
            stored = 0;
        }
        self.begin_content(stored);
        Ok(Entry {
            kind,
            path: OsString::from_vec(path).into(),
            link: OsString::from_vec(ext.link.unwrap_or_else(|| header.text(157..257))).into(),
            mode: header.unsigned(100..108, "mode")? as u32 & 0o7777,
            uid: owner(ext.uid.map_or_else(|| header.number(108..116, "uid"), Ok)?)?,
            gid: owner(ext.gid.map_or_else(|| header.number(116..124, "gid"), Ok)?)?,
            mtime: match ext.mtime {
                Some(time) => time,
                None => (header.number(136..148, "mtime")?, 0),
            },
            size: real,
            segments,
            device: header.device(kind)?,
            xattrs: ext.xattrs,
        })
    }

    /// The map of an old-GNU sparse file (tar manual, "Old GNU Format"): four segments in the
    /// header, 21 in each extension block.
    fn gnu_sparse(&mut self, header: &Header) -> io::Result<(Vec<(u64, u64)>, u64)> {
        let real = header.unsigned(483..495, "real size")?;
        let mut segments = Vec::new();
        let mut end = 0u64;
        let mut block = Header(header.0);
        let (mut at, mut slots, mut more) = (386, 4, header.0[482] != 0);
        loop {
            for slot in 0..slots {
                let offset = at + slot * 24;
                let start = block.unsigned(offset..offset + 12, "sparse offset")?;
                let len = block.unsigned(offset + 12..offset + 24, "sparse length")?;
                if len == 0 {
                    continue;
                }
                let stop = start.saturating_add(len);
                if start < end || stop > real || segments.len() >= MAX_SEGMENTS {
                    return bad("sparse map is out of order, too long or beyond the end");
                }
                segments.push((start, len));
                end = stop;
            }
            if !more {
                return Ok((segments, real));
            }
            self.inner.read_exact(&mut block.0)?;
            (at, slots, more) = (0, 21, block.0[504] != 0);
        }
    }
}

impl<R: Read> Read for TarStream<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let want = usize::try_from(self.left).map_or(buf.len(), |left| left.min(buf.len()));
        if want == 0 {
            return Ok(0);
        }
        match self.inner.read(&mut buf[..want])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                self.left -= len as u64;
                Ok(len)
            }
        }
    }
}

/// Refuses what does not fit, `-1` ("leave as it is") included, instead of wrapping round to root.
fn owner(id: i64) -> io::Result<u32> {
    match u32::try_from(id) {
        Ok(id) if id != u32::MAX => Ok(id),
        _ => bad(format!("owner {id} is out of range")),
    }
}

struct Header([u8; BLOCK]);

impl Header {
    fn check(&self) -> io::Result<()> {
        let sum: u64 = self.0[..148]
            .iter()
            .chain([b' '; 8].iter())
            .chain(&self.0[156..])
            .map(|&byte| u64::from(byte))
            .sum();
        if self.unsigned(148..156, "checksum")? != sum {
            return bad("header checksum does not match, not a tar archive or damaged");
        }
        Ok(())
    }

    fn text(&self, range: std::ops::Range<usize>) -> Vec<u8> {
        let field = &self.0[range];
        let len = field.iter().position(|&b| b == 0).unwrap_or(field.len());
        field[..len].to_vec()
    }

    /// The name; ustar has a prefix, GNU uses those bytes for times.
    fn path(&self) -> Vec<u8> {
        let name = self.text(0..100);
        let prefix = match &self.0[257..263] {
            b"ustar\0" => self.text(345..500),
            _ => Vec::new(),
        };
        if prefix.is_empty() {
            return name;
        }
        [prefix, name].join(&b'/')
    }

    fn kind(&self, path: &[u8]) -> io::Result<Kind> {
        Ok(match self.0[156] {
            b'\0' | b'0' | b'7' if path.ends_with(b"/") => Kind::Directory,
            b'\0' | b'0' | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::CharDevice,
            b'4' => Kind::BlockDevice,
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            other => {
                let path = String::from_utf8_lossy(path);
                return bad(format!(
                    "entry type {:?} of {path:?} is not supported",
                    char::from(other)
                ));
            }
        })
    }

    /// Only devices have numbers; GNU tar leaves the fields of others empty.
    fn device(&self, kind: Kind) -> io::Result<(u32, u32)> {
        if !matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
            return Ok((0, 0));
        }
        let number = |range, what| {
            let number = self.unsigned(range, what)?;
            u32::try_from(number).or_else(|_| bad(format!("{what} number is out of range")))
        };
        Ok((number(329..337, "major")?, number(337..345, "minor")?))
    }

    fn unsigned(&self, range: std::ops::Range<usize>, what: &str) -> io::Result<u64> {
        let number = self.number(range, what)?;
        u64::try_from(number).or_else(|_| bad(format!("negative {what}")))
    }

    /// Octal digits, or big-endian two's complement if the first bit is set (GNU). Empty is zero.
    fn number(&self, range: std::ops::Range<usize>, what: &str) -> io::Result<i64> {
        let field = &self.0[range];
        if field[0] & 0x80 != 0 {
            let negative = field[0] & 0x40 != 0;
            let first = if negative { field[0] } else { field[0] & 0x7f };
            let mut value = i128::from(first as i8);
            for &byte in &field[1..] {
                value = value << 8 | i128::from(byte);
            }
            return i64::try_from(value).or_else(|_| bad(format!("{what} is out of range")));
        }
        let digits = field.split(|&b| b == 0).next().unwrap_or_default();
        let digits = digits.trim_ascii();
        let value = digits.iter().try_fold(0i64, |value, &digit| match digit {
            b'0'..=b'7' => value.checked_mul(8)?.checked_add(i64::from(digit - b'0')),
            _ => None,
        });
        value.map_or_else(|| bad(format!("{what} in the header is not a number")), Ok)
    }
}

impl Extensions {
    /// pax records: `LENGTH KEY=VALUE\n`, the length counting all of it.
    fn read_pax(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let space = data.iter().position(|&b| b == b' ');
            let len = space
                .and_then(|at| std::str::from_utf8(&data[..at]).ok())
                .and_then(|text| text.parse::<usize>().ok());
            let (Some(space), Some(len)) = (space, len) else {
                return bad("malformed pax record");
            };
            if len <= space + 1 || len > data.len() || data[len - 1] != b'\n' {
                return bad("malformed pax record length");
            }
            let record = &data[space + 1..len - 1];
            let Some(equals) = record.iter().position(|&b| b == b'=') else {
                return bad("pax record without =");
            };
            self.set(&record[..equals], &record[equals + 1..])?;
            data = &data[len..];
        }
        Ok(())
    }

    fn set(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        match key {
            b"path" => self.path = Some(value.to_vec()),
            b"linkpath" => self.link = Some(value.to_vec()),
            b"size" => self.size = Some(decimal(value)?),
            b"uid" => self.uid = Some(decimal(value)?),
            b"gid" => self.gid = Some(decimal(value)?),
            b"mtime" => self.mtime = Some(timestamp(value)?),
            _ if key.starts_with(b"GNU.sparse.") => {
                return bad("sparse files in pax format (GNU.sparse) are not supported");
            }
            _ => {
                if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                    let name = OsString::from_vec(name.to_vec());
                    self.xattrs.push((name, value.to_vec()));
                }
            }
        }
        Ok(())
    }
}

fn decimal<T: std::str::FromStr>(text: &[u8]) -> io::Result<T> {
    let text = std::str::from_utf8(text).ok();
    text.and_then(|text| text.parse().ok()).map_or_else(
        || bad("number in a pax record is wrong or out of range"),
        Ok,
    )
}

/// `[-]SECONDS[.FRACTION]`.
fn timestamp(text: &[u8]) -> io::Result<(i64, i64)> {
    let dot = text.iter().position(|&b| b == b'.');
    let (whole, fraction) = match dot {
        Some(dot) => (&text[..dot], &text[dot + 1..]),
        None => (text, &[][..]),
    };
    let seconds: i64 = decimal(whole)?;
    let mut nanos = 0;
    for at in 0..9 {
        let digit = *fraction.get(at).unwrap_or(&b'0');
        if !digit.is_ascii_digit() {
            return bad("time in a pax record is wrong");
        }
        nanos = nanos * 10 + i64::from(digit - b'0');
    }
    if whole.starts_with(b"-") && nanos > 0 {
        let below = seconds.checked_sub(1);
        return below.map_or_else(
            || bad("time out of range"),
            |s| Ok((s, 1_000_000_000 - nanos)),
        );
    }
    Ok((seconds, nanos))
}
