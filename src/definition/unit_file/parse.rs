//! From text to sections and assignments.

use std::path::Path;
use std::rc::Rc;

use super::{Entry, FileError, Position, Section, UnitFile};

/// Longest key or section name that a message repeats.
const SHOWN: usize = 60;

/// Reads the text of a file.
///
/// # Errors
/// All lines that are neither comment, section nor assignment.
pub fn parse(path: &Path, text: &str) -> Result<UnitFile, Vec<FileError>> {
    let path: Rc<Path> = path.into();
    let mut reader = Reader {
        file: UnitFile {
            path: path.clone(),
            sections: Vec::new(),
        },
        current: None,
        errors: Vec::new(),
    };
    // A byte order mark is none of the text (systemd skips it too).
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut continued: Option<(Position, String)> = None;
    for (number, line) in (1..).zip(text.split('\n')) {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let at = || Position {
            path: path.clone(),
            line: number,
        };
        let bare = line.trim_start_matches([' ', '\t']);
        if bare.starts_with(['#', ';']) {
            // Also within a continued line, which goes on behind it.
            continue;
        }
        let (at, mut whole) = continued.take().unwrap_or_else(|| (at(), String::new()));
        let slashes = line.bytes().rev().take_while(|byte| *byte == b'\\').count();
        if slashes % 2 == 1 {
            whole.push_str(&line[..line.len() - 1]);
            whole.push(' ');
            continued = Some((at, whole));
        } else {
            whole.push_str(line);
            reader.line(at, &whole);
        }
    }
    if let Some((at, whole)) = continued {
        reader.line(at, &whole);
    }
    match reader.errors.is_empty() {
        true => Ok(reader.file),
        false => Err(reader.errors),
    }
}

struct Reader {
    file: UnitFile,
    current: Option<usize>,
    errors: Vec<FileError>,
}

impl Reader {
    fn line(&mut self, at: Position, line: &str) {
        let line = line.trim_matches([' ', '\t']);
        if line.is_empty() {
            return;
        }
        if line.contains('\0') {
            return self.wrong(&at, "a NUL", line);
        }
        if let Some(rest) = line.strip_prefix('[') {
            match rest.strip_suffix(']') {
                Some(name) if !name.is_empty() && !name.contains(['[', ']']) => {
                    self.current = Some(self.section(name, &at));
                }
                _ => self.wrong(&at, "a section is [NAME]", line),
            }
            return;
        }
        let Some((key, value)) = line.split_once('=') else {
            return self.wrong(&at, "neither [SECTION] nor KEY=VALUE", line);
        };
        let key = key.trim_end_matches([' ', '\t']);
        if key.is_empty() {
            return self.wrong(&at, "no key before =", line);
        }
        let Some(current) = self.current else {
            return self.wrong(&at, "an assignment before any section", line);
        };
        let value = value.trim_start_matches([' ', '\t']);
        self.file.sections[current].entries.push(Entry {
            key: key.to_owned(),
            value: value.to_owned(),
            at,
        });
    }

    fn section(&mut self, name: &str, at: &Position) -> usize {
        let sections = &mut self.file.sections;
        if let Some(found) = sections.iter().position(|section| section.name == name) {
            return found;
        }
        sections.push(Section {
            name: name.to_owned(),
            at: at.clone(),
            entries: Vec::new(),
        });
        sections.len() - 1
    }

    fn wrong(&mut self, at: &Position, what: &str, line: &str) {
        let shown: String = line.chars().take(SHOWN).collect();
        self.errors
            .push(FileError::new(at, format!("{what}: {shown:?}")));
    }
}
