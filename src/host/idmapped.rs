//! Overlays whose files belong to other users than on disk: their layers are mounted with a mapping first.

use std::fs::DirBuilder;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::world::{IdMap, Overlay};
use crate::sys::mount::{Attr, Change, open_tree_clone, tmpfs};
use crate::sys::paths::Root;
use crate::sys::userns::user_namespace;

/// Mounts every layer with the mapping, below one directory so that one unmount ends them all, and gives the overlay to
/// make of them.
///
/// # Errors
/// The kernel (before Linux 5.19) or the file system maps no ids, or the mapping is none.
pub(super) fn stage(overlay: &Overlay, idmap: &IdMap) -> io::Result<Overlay> {
    let namespace = user_namespace(&idmap.uids, &idmap.gids)?;
    let staging = &idmap.staging;
    DirBuilder::new().mode(0o700).create(staging)?;
    let own = tmpfs(&[("mode", "0700"), ("size", "1m")], Attr::NONE)?;
    let own = Root::from_fd(own.attach(Root::open(staging)?)?);
    let mapped = |path: &Path, name: &str| -> io::Result<PathBuf> {
        let layer = open_tree_clone(Root::open(path)?, false)?;
        let change = Change {
            idmap: Some(namespace.as_fd()),
            ..Change::default()
        };
        layer.change(&change).map_err(unmappable)?;
        layer.attach(own.make_dirs(name, 0o700)?.dir)?;
        Ok(staging.join(name))
    };
    let mut lower = Vec::new();
    for (number, path) in overlay.lower.iter().enumerate() {
        lower.push(mapped(path, &number.to_string())?);
    }
    // Both lie in one mount, as overlayfs wants it.
    let parent = overlay.upper.parent().unwrap_or(Path::new("/"));
    let writable = mapped(parent, "own")?;
    let name = |path: &Path| path.file_name().unwrap_or_default().to_owned();
    Ok(Overlay {
        lower,
        upper: writable.join(name(&overlay.upper)),
        work: writable.join(name(&overlay.work)),
        target: overlay.target.clone(),
        empty: mapped(&overlay.empty, "empty")?,
        idmap: None,
        context: overlay.context.clone(),
    })
}

fn unmappable(error: io::Error) -> io::Error {
    let text = format!("map ids (Linux 5.19 and most file systems can): {error}");
    io::Error::new(error.kind(), text)
}
