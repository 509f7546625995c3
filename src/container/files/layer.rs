//! What a container has changed, or all that it has, as a layer of an image (image-spec, layer.md).

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use nix::libc::{O_NOFOLLOW, O_PATH};

use super::archive::Archive;
use super::walk::Walk;
use super::{Sink, changes, refused};
use crate::api::Layout;
use crate::container::{ContainerError, prepare};
use crate::definition::Definition;
use crate::image::meta::{ELSEWHERE, OPAQUE};
use crate::image::tar_stream::{Entry, Kind};
use crate::store::copy_tree::Shift;
use crate::sys::paths::Root;
use crate::sys::xattr::get_xattr;

/// What of a container gets into a layer.
#[derive(Debug)]
pub(in crate::container) struct Contents {
    root: Option<Root>,
    shift: Shift,
    /// What a start has made, which is no change.
    left_out: HashSet<PathBuf>,
    /// The root is a directory of changes: it has overlayfs' marks.
    marks: bool,
}

impl Contents {
    /// The changes alone; one that never ran has none.
    pub(in crate::container) fn changes(
        layout: &Layout,
        definition: &Definition,
    ) -> Result<Self, ContainerError> {
        let (upper, shift) = prepare::changes_of(layout, &definition.id);
        let root = match Root::open(&upper) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            other => Some(other.map_err(ContainerError::io("open", upper))?),
        };
        Ok(Self {
            root,
            shift,
            left_out: left_out(layout, definition)?,
            marks: true,
        })
    }

    /// All files, as they are seen without what is mounted.
    pub(in crate::container) fn whole(
        layout: &Layout,
        definition: &Definition,
        opened: &super::Opened,
    ) -> Result<Self, ContainerError> {
        let root = opened.root().dir_in(".");
        Ok(Self {
            root: Some(root.map_err(ContainerError::io("open root of", definition.name.as_str()))?),
            shift: opened.shift().back(),
            left_out: left_out(layout, definition)?,
            marks: false,
        })
    }

    /// Writes the layer; `go_on` is asked before each file.
    pub(in crate::container) fn write(
        &self,
        to: &mut dyn Write,
        go_on: &dyn Fn() -> io::Result<()>,
    ) -> io::Result<()> {
        let mut sink = Layer {
            archive: Archive::new(to, None),
            contents: self,
            go_on,
        };
        if let Some(root) = &self.root {
            Walk::new(&mut sink, self.shift.clone()).contents(root, "".as_ref())?;
        }
        sink.finish()
    }
}

fn left_out(layout: &Layout, definition: &Definition) -> Result<HashSet<PathBuf>, ContainerError> {
    Ok(changes::made_by_starts(layout, definition)?
        .into_iter()
        .collect())
}

/// An archive in which what is gone is said in the words of the specification.
struct Layer<'a, W: Write> {
    archive: Archive<W>,
    contents: &'a Contents,
    go_on: &'a dyn Fn() -> io::Result<()>,
}

impl<W: Write> Layer<'_, W> {
    /// An empty file that says something.
    fn say(&mut self, like: &Entry, path: PathBuf) -> io::Result<()> {
        let entry = Entry {
            kind: Kind::File,
            path,
            mode: 0,
            device: (0, 0),
            xattrs: Vec::new(),
            ..like.clone()
        };
        self.archive.put(&entry, &mut io::empty())
    }

    fn attribute(&self, path: &Path, name: &str) -> io::Result<Option<Vec<u8>>> {
        let Some(root) = &self.contents.root else {
            return Ok(None);
        };
        match root.open_beneath(path, O_PATH | O_NOFOLLOW, 0) {
            Ok(node) => get_xattr(&node, name),
            // It went meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl<W: Write> Sink for Layer<'_, W> {
    fn put(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        (self.go_on)()?;
        if self.contents.left_out.contains(&entry.path) {
            return Ok(());
        }
        let name = entry.path.file_name().unwrap_or_default();
        if name.as_encoded_bytes().starts_with(b".wh.") {
            let path = entry.path.display();
            return refused(format!(
                "/{path}: a name that begins with .wh. cannot be in a layer"
            ));
        }
        if self.contents.marks && entry.kind == Kind::CharDevice && entry.device == (0, 0) {
            let mut gone = OsString::from(".wh.");
            gone.push(name);
            return self.say(entry, entry.path.with_file_name(gone));
        }
        let has_marks = self.contents.marks && matches!(entry.kind, Kind::File | Kind::Directory);
        for name in ELSEWHERE.into_iter().filter(|_| has_marks) {
            if self.attribute(&entry.path, name)?.is_some() {
                let path = entry.path.display();
                return refused(format!(
                    "/{path} is in a layer below, under another name or owner: use --squash"
                ));
            }
        }
        self.archive.put(entry, content)?;
        if !has_marks || entry.kind != Kind::Directory {
            return Ok(());
        }
        match self.attribute(&entry.path, OPAQUE)?.as_deref() {
            Some(b"y") => self.say(entry, entry.path.join(".wh..wh..opq")),
            _ => Ok(()),
        }
    }

    fn keeps_holes(&self) -> bool {
        false
    }

    fn finish(&mut self) -> io::Result<()> {
        self.archive.finish()
    }
}
