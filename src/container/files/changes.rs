//! What a container has changed in the files of its image: its layer for changes, read as it is.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::api::Layout;
use crate::container::{ContainerError, prepare};
use crate::definition::{Definition, Source};
use crate::image::Images;
use crate::image::meta::OPAQUE;
use crate::sys::paths::Root;
use crate::sys::xattr::get_xattr;

/// What has become of a file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It is other than in the image, or is a directory in which something is.
    Changed,
    /// It is new.
    Added,
    /// It is gone.
    Deleted,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What has become of it.
    pub kind: Kind,
    /// Absolute path in the container.
    pub path: PathBuf,
}

/// Layers, the topmost first.
#[derive(Clone, Debug)]
pub struct Layers(Vec<PathBuf>);

impl Layers {
    /// What they show at a path, relative to its root.
    fn find(&self, path: &Path) -> Option<fs::Metadata> {
        for layer in &self.0 {
            match fs::symlink_metadata(layer.join(path)) {
                Ok(about) if is_whiteout(&about) => return None,
                Ok(about) => return Some(about),
                Err(_) => {}
            }
            if self.hides(layer, path) {
                return None;
            }
        }
        None
    }

    /// The names that some layer has in a directory; what is deleted may be among them.
    fn names(&self, directory: &Path) -> Vec<OsString> {
        let listed = |layer: &PathBuf| fs::read_dir(layer.join(directory)).into_iter().flatten();
        let entries = self.0.iter().flat_map(listed).flatten();
        entries.map(|entry| entry.file_name()).collect()
    }

    /// Whether a layer says that what lower ones have at a path is gone.
    fn hides(&self, layer: &Path, path: &Path) -> bool {
        path.ancestors()
            .skip(1)
            .any(|parent| match fs::symlink_metadata(layer.join(parent)) {
                Ok(about) if about.is_dir() => is_opaque(&layer.join(parent)),
                Ok(_) => true,
                Err(_) => false,
            })
    }
}

fn is_whiteout(about: &fs::Metadata) -> bool {
    about.file_type().is_char_device() && about.rdev() == 0
}

fn is_opaque(path: &Path) -> bool {
    let value = Root::open(path).and_then(|dir| get_xattr(&dir, OPAQUE));
    value.is_ok_and(|value| value.as_deref() == Some(b"y"))
}

/// What a start itself makes, which nobody has changed.
const OWN: &[&str] = &[
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/run",
    "/run/.containerenv",
    "/run/notify",
    "/run/secrets",
    "/sys",
];

/// Whether a path is a start's own, or a directory that is changed for its sake only.
fn is_own(change: &Change, all: &[Change]) -> bool {
    let own = |path: &Path| OWN.iter().any(|own| path == Path::new(own));
    let below = |other: &&Change| other.path != change.path && other.path.starts_with(&change.path);
    let mut inside = all.iter().filter(below).peekable();
    let for_own =
        change.kind == Kind::Changed && inside.peek().is_some() && inside.all(|c| own(&c.path));
    own(&change.path) || for_own
}

/// What a start has made where the image has nothing, relative to the root.
///
/// # Errors
/// As of [`changes`].
pub(super) fn made_by_starts(
    layout: &Layout,
    definition: &Definition,
) -> Result<Vec<PathBuf>, ContainerError> {
    let upper = prepare::changes_of(layout, &definition.id).0;
    let below = below(layout, definition)?;
    let paths = OWN.iter().map(|own| own.trim_start_matches('/'));
    let made = paths.filter(|path| {
        upper.join(path).symlink_metadata().is_ok()
            && below
                .as_ref()
                .is_none_or(|below| below.find(path.as_ref()).is_none())
    });
    Ok(made.map(PathBuf::from).collect())
}

/// The layers below the changes; none: there are no changes.
fn below(layout: &Layout, definition: &Definition) -> Result<Option<Layers>, ContainerError> {
    Ok(match &definition.source {
        Source::Image { id, .. } => {
            let image = Images::open(&layout.state())?.resolve(id)?;
            Some(Layers(image.lower_dirs()))
        }
        Source::Rootfs { path } if definition.options.files.rootfs_overlay => {
            Some(Layers(vec![path.into()]))
        }
        Source::Rootfs { .. } => None,
    })
}

/// The layers of an image.
///
/// # Errors
/// It is not there, or damaged.
pub fn of_image(layout: &Layout, name: &str) -> Result<Layers, ContainerError> {
    let image = Images::open(&layout.state())?.resolve(name)?;
    Ok(Layers(image.lower_dirs()))
}

/// The layers of a container: its changes, and what is below them. A directory of the host that is the root as it is
/// has one.
///
/// # Errors
/// Its image is gone.
pub fn of_container(layout: &Layout, definition: &Definition) -> Result<Layers, ContainerError> {
    let upper = prepare::changes_of(layout, &definition.id).0;
    Ok(match (below(layout, definition)?, &definition.source) {
        (Some(below), _) => Layers([vec![upper], below.0].concat()),
        (None, Source::Rootfs { path }) => Layers(vec![path.into()]),
        (None, Source::Image { .. }) => Layers(vec![upper]),
    })
}

/// What the topmost layer changes in those below, in the order of the paths.
///
/// # Errors
/// A layer cannot be read.
pub fn of_top(layers: &Layers) -> Result<Vec<Change>, ContainerError> {
    let Some((top, below)) = layers.0.split_first() else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    let seen = visit(
        top,
        &Layers(below.to_vec()),
        Path::new(""),
        false,
        &mut found,
    );
    seen.map_err(ContainerError::io("read", top))?;
    Ok(settled(found))
}

/// What is other in some layers than in others, in the order of the paths.
///
/// # Errors
/// As of [`of_top`].
pub fn between(before: &Layers, now: &Layers) -> Result<Vec<Change>, ContainerError> {
    if now
        .0
        .split_first()
        .is_some_and(|(_, below)| below == before.0)
    {
        return of_top(now);
    }
    let mut found = Vec::new();
    compare(before, now, Path::new(""), &mut found);
    Ok(settled(found))
}

/// Compares what is in a directory of both; whether there is a change.
fn compare(before: &Layers, now: &Layers, directory: &Path, found: &mut Vec<Change>) -> bool {
    let start = found.len();
    let names: BTreeSet<OsString> = (before.names(directory).into_iter())
        .chain(now.names(directory))
        .collect();
    for name in names {
        let path = directory.join(name);
        let at = found.len();
        let kind = match (before.find(&path), now.find(&path)) {
            (None, None) => None,
            (Some(_), None) => Some(Kind::Deleted),
            (None, Some(about)) => {
                if about.is_dir() {
                    compare(before, now, &path, found);
                }
                Some(Kind::Added)
            }
            (Some(old), Some(new)) => {
                let inside = new.is_dir() && compare(before, now, &path, found);
                (inside || is_other(&old, &new)).then_some(Kind::Changed)
            }
        };
        if let Some(kind) = kind {
            let path = Path::new("/").join(path);
            found.insert(at, Change { kind, path });
        }
    }
    found.len() > start
}

/// Size and time of a directory say only what is in it.
fn is_other(old: &fs::Metadata, new: &fs::Metadata) -> bool {
    let key = |about: &fs::Metadata| (about.mode(), about.uid(), about.gid(), about.rdev());
    let content = |about: &fs::Metadata| (about.mtime(), about.len());
    // Archives have whole seconds.
    let (one, other) = (old.mtime_nsec(), new.mtime_nsec());
    let at_once = one == other || one == 0 || other == 0;
    let same = new.is_dir() || (at_once && content(old) == content(new));
    key(old) != key(new) || !same
}

/// All changes, in the order of their paths. A directory of the host that is the root as it is has none.
///
/// # Errors
/// The image is gone, or the layer cannot be read.
pub fn changes(layout: &Layout, definition: &Definition) -> Result<Vec<Change>, ContainerError> {
    let upper = prepare::changes_of(layout, &definition.id).0;
    let Some(below) = below(layout, definition)? else {
        return Ok(Vec::new());
    };
    let mut found = Vec::new();
    match visit(&upper, &below, Path::new(""), false, &mut found) {
        // It never ran.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result.map_err(ContainerError::io("read", upper))?,
    }
    Ok(settled(found))
}

/// Without what starts make, and in order.
fn settled(mut found: Vec<Change>) -> Vec<Change> {
    let all = found.clone();
    // Only the few around what a start makes can be its own.
    found.retain(|change| {
        let around = OWN
            .iter()
            .any(|own| Path::new(own).starts_with(&change.path));
        !(around && is_own(change, &all))
    });
    found.sort_by(|one, other| {
        let bytes = |change: &Change| change.path.as_os_str().as_bytes().to_owned();
        bytes(one).cmp(&bytes(other))
    });
    found
}

fn is_same_directory(before: &fs::Metadata, now: &fs::Metadata) -> bool {
    let key = |about: &fs::Metadata| (about.mode(), about.mtime(), about.mtime_nsec());
    before.is_dir() && now.is_dir() && key(before) == key(now)
}

/// The layer is ours, and links in it are read, never followed.
fn visit(
    upper: &Path,
    below: &Layers,
    directory: &Path,
    new: bool,
    found: &mut Vec<Change>,
) -> io::Result<()> {
    for entry in fs::read_dir(upper.join(directory))? {
        let entry = entry?;
        let path = directory.join(entry.file_name());
        let about = match entry.metadata() {
            Ok(about) => about,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let before = (!new).then(|| below.find(&path)).flatten();
        let mut say = |kind, path: &Path| {
            let path = Path::new("/").join(path);
            found.push(Change { kind, path });
        };
        if is_whiteout(&about) {
            if before.is_some() {
                say(Kind::Deleted, &path);
            }
            continue;
        }
        let opaque = about.is_dir() && is_opaque(&upper.join(&path));
        match &before {
            // Podman's word for what was taken away and made again.
            Some(_) if opaque => say(Kind::Deleted, &path),
            // It is here for what is in it.
            Some(before) if is_same_directory(before, &about) => {}
            Some(_) => say(Kind::Changed, &path),
            None => say(Kind::Added, &path),
        }
        if about.is_dir() {
            let new = opaque || !before.as_ref().is_some_and(fs::Metadata::is_dir);
            visit(upper, below, &path, new, found)?;
        }
    }
    Ok(())
}
