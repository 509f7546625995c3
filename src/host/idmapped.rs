//! Overlays whose files belong to other users than on disk: their layers are mounted with a mapping first.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use nix::libc;

use super::inside::open_path;
use super::world::{IdMap, MappedBind, Overlay};
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
        volatile: overlay.volatile,
    })
}

/// Binds a path on a new file or directory with a mapping; mounts below it keep their own.
pub(super) fn bind(source: &Path, target: &Path, bind: &MappedBind) -> io::Result<()> {
    let namespace = user_namespace(&bind.uids, &bind.gids)?;
    // A link of the host leads where the user meant.
    let tree = open_tree_clone(open_path(&fs::canonicalize(source)?)?, bind.recursive)?;
    let change = Change {
        idmap: Some(namespace.as_fd()),
        ..Change::default()
    };
    tree.change(&change).map_err(unmappable)?;
    match fs::metadata(source)?.is_dir() {
        true => fs::create_dir_all(target)?,
        false => fs::write(target, "")?,
    }
    tree.attach(open_path(target)?).map(drop)
}

/// Which file systems map ids, and since when, mount_setattr(2) tells; EINVAL is all that it says of the others.
fn unmappable(error: io::Error) -> io::Error {
    let text = format!("map ids (Linux 5.19 and most file systems can): {error}");
    let cannot = [libc::EINVAL, libc::EOPNOTSUPP, libc::ENOSYS].map(Some);
    let kind = match cannot.contains(&error.raw_os_error()) {
        true => io::ErrorKind::Unsupported,
        false => error.kind(),
    };
    io::Error::new(kind, text)
}
