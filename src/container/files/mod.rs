//! Verbs that touch a container's files: by descriptors inside its root, never along its links out of it.

mod archive;
pub mod artifacts;
pub mod changes;
mod child;
pub mod copy;
pub(in crate::container) mod layer;
pub mod mounted;
mod place;
mod root;
mod side;
pub mod volume;
mod walk;

use std::io;

use super::ContainerError;
use crate::definition::Definition;
use crate::image::tar_stream::Entry;
use crate::store::copy_tree::Shift;

pub use root::{Opened, Scope, open};

/// Where entries of a tree go: an archive, or another tree.
trait Sink {
    /// Takes one entry; of a file, the contents of its segments follow.
    fn put(&mut self, entry: &Entry, content: &mut dyn io::Read) -> io::Result<()>;

    /// Whether holes of files can be told.
    fn keeps_holes(&self) -> bool;

    /// What is left to be done after the last entry.
    fn finish(&mut self) -> io::Result<()>;
}

/// Writes the files of a container, without what is mounted in it, as an archive.
///
/// # Errors
/// The root cannot be reached, a file cannot be read, or the archive not written.
pub fn export(
    site: super::Site<'_>,
    definition: &Definition,
    to: &mut dyn io::Write,
) -> Result<(), ContainerError> {
    let opened = open(site, definition, Scope::Root)?;
    let failed = || ContainerError::io("export", definition.name.as_str());
    let mut sink = archive::Archive::new(to, None);
    let mut walk = walk::Walk::new(&mut sink, Shift::default());
    walk.contents(opened.root(), "".as_ref())
        .and_then(|()| sink.finish())
        .map_err(failed())
}

/// An error of what a user gave, in one line.
fn refused<T>(text: impl Into<String>) -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::InvalidInput, text.into()))
}
