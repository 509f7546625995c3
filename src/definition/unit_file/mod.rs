//! Unit files for deployments: `.container` and its friends, read as systemd (systemd.syntax(7)) and Quadlet
//! (podman-systemd.unit(5)) read them.
//!
//! The generator and the worker that prepares a run read the same files with this, so that they cannot disagree.

mod check;
mod container;
mod expand;
mod install;
mod keys;
mod kind;
mod load;
mod parse;
mod references;
mod render;
mod search;
mod service;
mod specifiers;
mod suggest;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::path::Path;
use std::rc::Rc;

pub use check::{check, notes};
pub use container::{Container, From, Reload, Setting};
pub use expand::Expander;
pub use install::{id_of, links, passes, wants_network};
pub use keys::known as known_keys;
pub use kind::Kind;
pub use load::{FileSet, Loaded, MAX_SIZE, host_specifiers};
pub use parse::parse;
pub use references::{image_of, service_of, volume_of};
pub use render::{RenderError, render};
pub use search::{Found, SYSTEM_DIRS, drop_ins, find};
pub use specifiers::{INSTANCE, Specifiers, is_template};
pub use words::{split, word};

/// A place in a file.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Position {
    /// The file.
    pub path: Rc<Path>,
    /// The line, counted from 1; 0 is the file as a whole.
    pub line: usize,
}

impl Position {
    /// The file as a whole.
    pub fn whole(path: &Path) -> Self {
        Self {
            path: path.into(),
            line: 0,
        }
    }

    /// The file's own name, that of a drop-in behind the one of its directory.
    pub fn short(&self) -> String {
        let name = |path: &Path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let file = name(&self.path).unwrap_or_default();
        let directory = self.path.parent().and_then(name);
        match directory.filter(|_| file.ends_with(".conf")) {
            Some(directory) => format!("{directory}/{file}"),
            None => file,
        }
    }
}

/// What is wrong with a file, and where.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, thiserror::Error)]
pub struct FileError {
    /// Where.
    pub at: Position,
    /// What.
    pub message: String,
}

impl FileError {
    /// An error at a place.
    pub fn new(at: &Position, message: impl Into<String>) -> Self {
        Self {
            at: at.clone(),
            message: message.into(),
        }
    }

    /// With the whole path, as editors want it: `/etc/unitbox/web.container:7: unknown key "Imgae"`.
    pub fn long(&self) -> String {
        self.text(&self.at.path.display().to_string())
    }

    fn text(&self, file: &str) -> String {
        match self.at.line {
            0 => format!("{file}: {}", self.message),
            line => format!("{file}:{line}: {}", self.message),
        }
    }
}

impl fmt::Display for FileError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text(&self.at.short()))
    }
}

/// One assignment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// What stands before the `=`.
    pub key: String,
    /// What stands behind it, continued lines joined.
    pub value: String,
    /// Where.
    pub at: Position,
}

impl Entry {
    /// An error at this assignment.
    pub fn error(&self, message: impl Into<String>) -> FileError {
        FileError::new(&self.at, message)
    }
}

/// A section with the assignments of all its pieces, drop-ins last.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// What stands between the brackets.
    pub name: String,
    /// Where it first begins.
    pub at: Position,
    /// Its assignments.
    pub entries: Vec<Entry>,
}

impl Section {
    /// The last assignment of a key, unless that is empty.
    pub fn last(&self, key: &str) -> Option<&Entry> {
        let mut all = self.entries.iter().filter(|entry| entry.key == key);
        all.next_back().filter(|entry| !entry.value.is_empty())
    }

    /// The assignments of a key since the last empty one.
    pub fn all(&self, key: &str) -> Vec<&Entry> {
        let mut all = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.key == key) {
            match entry.value.is_empty() {
                true => all.clear(),
                false => all.push(entry),
            }
        }
        all
    }
}

/// A file with its drop-ins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnitFile {
    /// Its path.
    pub path: Rc<Path>,
    /// Its sections, in the order in which they first appear.
    pub sections: Vec<Section>,
}

impl UnitFile {
    /// A section by its name.
    pub fn section(&self, name: &str) -> Option<&Section> {
        self.sections.iter().find(|section| section.name == name)
    }

    /// Adds the assignments of a drop-in behind those that are there.
    pub fn extend(&mut self, drop_in: UnitFile) {
        for section in drop_in.sections {
            match self
                .sections
                .iter_mut()
                .find(|own| own.name == section.name)
            {
                Some(own) => own.entries.extend(section.entries),
                None => self.sections.push(section),
            }
        }
    }

    /// The file as a whole, for errors.
    pub fn whole(&self) -> Position {
        Position {
            path: self.path.clone(),
            line: 0,
        }
    }
}
