//! The log of skopeo(1): `time="..." level=fatal msg="..."`.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    /// Nobody has asked.
    Info,
    /// It goes on.
    Warning,
    /// It has given up.
    Fatal,
}

/// One line without the time.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) level: Level,
    pub(super) text: String,
}

/// Bytes of a line that are kept.
const LONGEST: usize = 4096;

/// Cuts what is read into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: Vec<u8>,
}

impl Lines {
    /// The lines that these bytes complete.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LONGEST.saturating_sub(self.begun.len());
            let (text, is_whole) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            self.begun.extend(&text[..text.len().min(room)]);
            if is_whole {
                lines.extend(self.rest());
            }
        }
        lines
    }

    /// A line that has no end.
    pub(super) fn rest(&mut self) -> Option<Line> {
        let bytes = std::mem::take(&mut self.begun);
        let text = String::from_utf8_lossy(&bytes);
        (!text.trim().is_empty()).then(|| parse(&text))
    }
}

/// Reads a line; what has another form is a warning in its own words.
fn parse(line: &str) -> Line {
    let after = |key: &str| line.split_once(key).map(|(_, rest)| rest);
    let level = after("level=").and_then(|rest| rest.split_whitespace().next());
    let level = match level {
        Some("fatal") => Level::Fatal,
        Some("info" | "debug" | "trace") => Level::Info,
        _ => Level::Warning,
    };
    let text = match after(" msg=") {
        Some(text) if line.starts_with("time=") => unquote(text),
        _ => line.to_owned(),
    };
    Line {
        level,
        text: harmless(&text),
    }
}

/// The inverse of Go's `%q`, as far as text has it; a word without quotes is itself.
fn unquote(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.to_owned();
    };
    let mut plain = String::new();
    let mut rest = quoted.chars();
    while let Some(next) = rest.next() {
        match next {
            '"' => break,
            '\\' => match rest.next() {
                Some('n' | 't' | 'r') => plain.push(' '),
                Some(quoted @ ('"' | '\\')) => plain.push(quoted),
                Some(other) => plain.extend(['\\', other]),
                None => {}
            },
            other => plain.push(other),
        }
    }
    plain
}

/// A registry's words go to a terminal and into one line.
fn harmless(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_is_what_counts() {
        let mut lines = Lines::default();
        let text = br#"time="2026-11-29T14:58:27Z" level=warning msg="Failed, retrying in 1s ... (1/1). Error: Get \"http://r/v2/\": refused"
time="2026-11-29T14:58:28Z" level=fatal msg="no\nsuch \x1b thing"
time="x" level=fatal msg=word
time="x" level=info msg="driver"
something else"#;
        let (first, second) = text.split_at(50);
        let mut found = lines.push(first);
        assert_eq!(found, []);
        found.extend(lines.push(second));
        found.extend(lines.rest());
        let found: Vec<_> = found
            .iter()
            .map(|line| (line.level, line.text.as_str()))
            .collect();
        assert_eq!(
            found,
            [
                (
                    Level::Warning,
                    "Failed, retrying in 1s ... (1/1). Error: Get \"http://r/v2/\": refused"
                ),
                (Level::Fatal, "no such \\x1b thing"),
                (Level::Fatal, "word"),
                (Level::Info, "driver"),
                (Level::Warning, "something else"),
            ]
        );
    }

    #[test]
    fn a_line_is_bounded() {
        let mut lines = Lines::default();
        assert_eq!(lines.push(&[b'x'; 10_000]), []);
        let line = lines.push(b"\n\n").remove(0);
        assert_eq!(line.text.len(), LONGEST);
        assert_eq!(lines.rest(), None);
    }
}
