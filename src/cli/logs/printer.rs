//! Lines of a container on standard output and standard error.

use std::io::{self, Write};

/// How lines look.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Look {
    /// Stands before each line.
    pub(super) name: Option<String>,
    /// Each line says when it was written.
    pub(super) times: bool,
    /// The number of the container that the colour stands for.
    pub(super) color: Option<usize>,
}

/// Podman's colours, in its order (console_codes(4)): grey, red, yellow, blue, magenta, cyan, green.
const COLORS: [u8; 7] = [37, 31, 33, 34, 35, 36, 32];

/// A line, or a part of one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    /// It came by standard error.
    pub(super) is_error: bool,
    /// RFC 3339.
    pub(super) time: String,
    pub(super) text: Vec<u8>,
    /// The line ends here.
    pub(super) is_whole: bool,
}

/// So many bytes are written at once.
const MANY: usize = 32 << 10;

/// Prints pieces; what goes on a line has nothing before it.
#[derive(Debug)]
pub(super) struct Printer<'a> {
    look: &'a Look,
    /// Standard output and standard error are within a line.
    within: [bool; 2],
    /// What is not written yet, and whether it is for standard error.
    kept: Vec<u8>,
    kept_is_error: bool,
    /// Nothing is kept back: somebody looks at it as it comes.
    eager: bool,
}

impl<'a> Printer<'a> {
    pub(super) fn new(look: &'a Look, eager: bool) -> Self {
        Self {
            look,
            within: [false; 2],
            kept: Vec::new(),
            kept_is_error: false,
            eager,
        }
    }

    /// Whether times are shown.
    pub(super) fn has_times(&self) -> bool {
        self.look.times
    }

    /// Prints a piece; false: nobody reads any more.
    pub(super) fn print(&mut self, piece: &Piece) -> io::Result<bool> {
        // The two streams may lead to the same place: the order stays.
        if self.kept_is_error != piece.is_error && !self.flush()? {
            return Ok(false);
        }
        self.kept_is_error = piece.is_error;
        let bytes = self.render(piece);
        self.kept.extend(bytes);
        match self.eager || self.kept.len() >= MANY {
            true => self.flush(),
            false => Ok(true),
        }
    }

    /// Writes what was kept back; false: nobody reads any more.
    pub(super) fn flush(&mut self) -> io::Result<bool> {
        let kept = std::mem::take(&mut self.kept);
        let written = match self.kept_is_error {
            true => io::stderr().lock().write_all(&kept),
            false => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&kept).and_then(|()| stdout.flush())
            }
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            other => other.map(|()| true),
        }
    }

    fn render(&mut self, piece: &Piece) -> Vec<u8> {
        let within = std::mem::replace(
            &mut self.within[usize::from(piece.is_error)],
            !piece.is_whole,
        );
        let mut bytes = Vec::with_capacity(piece.text.len() + 64);
        if let Some(at) = self.look.color {
            bytes.extend(format!("\x1b[{}m", COLORS[at % COLORS.len()]).bytes());
        }
        if !within {
            if let Some(name) = &self.look.name {
                bytes.extend(name.bytes());
                bytes.push(b' ');
            }
            if self.look.times {
                bytes.extend(piece.time.bytes());
                bytes.push(b' ');
            }
        }
        bytes.extend(&piece.text);
        if self.look.color.is_some() {
            bytes.extend(b"\x1b[0m");
        }
        if piece.is_whole {
            bytes.push(b'\n');
        }
        bytes
    }
}

/// The last lines of what comes, newest first; done when there are enough.
#[derive(Debug)]
pub(super) struct Tail {
    lines: usize,
    left: usize,
    pieces: Vec<Piece>,
}

impl Tail {
    pub(super) fn new(lines: usize) -> Self {
        Self {
            lines,
            left: lines,
            pieces: Vec::new(),
        }
    }

    /// Takes the piece before those that it has; false: there are enough.
    pub(super) fn take(&mut self, piece: Piece) -> bool {
        // A part belongs to the line that goes on with it.
        if piece.is_whole || self.pieces.is_empty() {
            if self.left == 0 {
                return false;
            }
            self.left -= 1;
        }
        self.pieces.push(piece);
        true
    }

    /// The pieces in the order of time.
    pub(super) fn pieces(self) -> impl Iterator<Item = Piece> {
        debug_assert!(self.lines > 0 || self.pieces.is_empty());
        self.pieces.into_iter().rev()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(text: &str, is_whole: bool) -> Piece {
        Piece {
            is_error: false,
            time: "T".to_owned(),
            text: text.into(),
            is_whole,
        }
    }

    #[test]
    fn only_the_start_of_a_line_has_something_before_it() {
        let look = Look {
            name: Some("web".to_owned()),
            times: true,
            color: None,
        };
        let mut printer = Printer::new(&look, true);
        let mut text = Vec::new();
        for (part, is_whole) in [("a", false), ("b", true), ("c", true)] {
            text.extend(printer.render(&piece(part, is_whole)));
        }
        assert_eq!(String::from_utf8(text).unwrap(), "web T ab\nweb T c\n");
    }

    #[test]
    fn colours_are_podmans() {
        let colored = |at| {
            let look = Look {
                color: Some(at),
                ..Look::default()
            };
            String::from_utf8(Printer::new(&look, true).render(&piece("x", true))).unwrap()
        };
        assert_eq!(colored(0), "\x1b[37mx\x1b[0m\n");
        assert_eq!(colored(8), "\x1b[31mx\x1b[0m\n");
    }

    #[test]
    fn a_tail_counts_lines_and_not_their_parts() {
        let backwards = [
            ("e", false),
            ("d2", true),
            ("d1", false),
            ("c", true),
            ("b", true),
        ];
        for (lines, want) in [
            (0, ""),
            (1, "e"),
            (2, "d1 d2 e"),
            (3, "c d1 d2 e"),
            (9, "b c d1 d2 e"),
        ] {
            let mut tail = Tail::new(lines);
            for (text, is_whole) in backwards {
                if !tail.take(piece(text, is_whole)) {
                    break;
                }
            }
            let texts = tail
                .pieces()
                .map(|piece| String::from_utf8(piece.text).unwrap());
            assert_eq!(texts.collect::<Vec<_>>().join(" "), want);
        }
    }
}
