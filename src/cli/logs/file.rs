//! Output that is in a file of the k8s-file form.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek, SeekFrom};
use std::path::Path;
use std::thread;

use super::printer::{Piece, Printer, Tail};
use super::{PAUSE, Wanted};
use crate::cli::error::CliError;
use crate::cli::moment::date;

/// Shows what there is, and what comes as long as `goes_on`.
pub(super) fn show(
    path: &Path,
    wanted: Wanted,
    printer: &mut Printer<'_>,
    goes_on: &mut dyn FnMut() -> Result<bool, CliError>,
) -> Result<(), CliError> {
    let failed = |action| CliError::io(action, path.display().to_string());
    let file = loop {
        // Asked before it is opened: what is written until the end is read after it.
        let more = goes_on()?;
        match File::open(path) {
            // Nothing was written yet.
            Err(error) if error.kind() == io::ErrorKind::NotFound => match more {
                true => thread::sleep(PAUSE),
                false => return Ok(()),
            },
            other => break other.map_err(failed("open log"))?,
        }
    };
    let mut log = Reader {
        from: BufReader::new(file),
        at: 0,
        line: Vec::new(),
    };
    if let Some(lines) = wanted.tail {
        let tail = log.tail(lines, wanted).map_err(failed("read log"))?;
        for piece in tail {
            if !printer.print(&piece).map_err(failed("show log"))? {
                return Ok(());
            }
        }
    }
    loop {
        let more = goes_on()?;
        while let Some(piece) = log.next(wanted).map_err(failed("read log"))? {
            if !printer.print(&piece).map_err(failed("show log"))? {
                return Ok(());
            }
        }
        if !more {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
}

struct Reader {
    from: BufReader<File>,
    /// Bytes read.
    at: u64,
    /// The start of a line that is being written.
    line: Vec<u8>,
}

impl Reader {
    /// The next piece of the time that is wanted; none: there is no more for now.
    fn next(&mut self, wanted: Wanted) -> io::Result<Option<Piece>> {
        loop {
            let read = self.from.read_until(b'\n', &mut self.line)?;
            self.at += read as u64;
            if self.line.last() != Some(&b'\n') {
                if read == 0 && self.from.get_ref().metadata()?.len() < self.at {
                    // It was full, and was begun again.
                    self.from.seek(SeekFrom::Start(0))?;
                    (self.at, self.line) = (0, Vec::new());
                    continue;
                }
                return Ok(None);
            }
            let line = std::mem::take(&mut self.line);
            let Some((time, piece)) = parse(&line) else {
                continue;
            };
            let late = wanted.until.is_some_and(|until| time > until);
            let early = wanted.since.is_some_and(|since| time < since);
            if !late && !early {
                return Ok(Some(piece));
            }
        }
    }

    /// The last lines of what there is.
    fn tail(&mut self, lines: usize, wanted: Wanted) -> io::Result<impl Iterator<Item = Piece>> {
        let mut kept: VecDeque<Piece> = VecDeque::new();
        let mut whole = 0;
        while let Some(piece) = self.next(wanted)? {
            whole += usize::from(piece.is_whole);
            kept.push_back(piece);
            // One more than wanted, so that the parts of the first line are there.
            while whole > lines + 1 {
                whole -= usize::from(kept.pop_front().is_some_and(|piece| piece.is_whole));
            }
        }
        let mut tail = Tail::new(lines);
        while let Some(piece) = kept.pop_back() {
            if !tail.take(piece) {
                break;
            }
        }
        Ok(tail.pieces())
    }
}

/// `TIME STREAM F|P TEXT`, the CRI's form; P: the line goes on in the next one of this stream. The time is in
/// microseconds since the epoch too.
fn parse(line: &[u8]) -> Option<(u64, Piece)> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let (time, stream, kind) = (parts.next()?, parts.next()?, parts.next()?);
    let time = std::str::from_utf8(time).ok()?;
    let piece = Piece {
        is_error: stream == b"stderr",
        time: super::short_zone(time),
        text: parts.next().unwrap_or_default().to_vec(),
        is_whole: kind == b"F",
    };
    Some((date(time)?, piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_file_are_read_in_full() {
        let (time, piece) = parse(b"1970-01-01T00:00:01.5+00:00 stderr F a b  c\n").unwrap();
        assert_eq!(
            (time, piece.is_error, piece.is_whole),
            (1_500_000, true, true)
        );
        assert_eq!(
            (piece.text.as_slice(), piece.time.as_str()),
            (&b"a b  c"[..], "1970-01-01T00:00:01.5Z")
        );
        let (_, piece) = parse(b"1970-01-01T00:00:01+00:00 stdout P \xff").unwrap();
        assert!(!piece.is_error && !piece.is_whole && piece.text == b"\xff");
        assert!(parse(b"cut").is_none() && parse(b"x stdout F y").is_none());
    }
}
