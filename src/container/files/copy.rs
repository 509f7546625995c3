//! `cp`: from where to where. What is copied is a stream of entries: read from a tree or an archive, put into a tree or
//! an archive.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::fcntl::{OFlag, openat};
use nix::libc;
use nix::sys::stat::Mode;

use super::place::{How, Tree};
use super::root::{Opened, Scope, open};
use super::side::{Side, is_dir, or_here, refuse};
use super::walk::Walk;
use super::{Sink, archive};
use crate::container::{ContainerError, Site, prepare};
use crate::definition::{Definition, Source};
use crate::image::Images;
use crate::image::compression::Compression;
use crate::image::tar_stream::TarStream;
use crate::store::copy_tree::Shift;
use crate::sys::paths::{Root, stat};
use crate::sys::userns::as_owner;

/// Where something is, or shall be.
#[derive(Clone, Debug)]
pub enum Place {
    /// A path of the host.
    Host(PathBuf),
    /// A path in a container; a relative one begins at its root.
    Container(Box<Definition>, PathBuf),
    /// An archive on standard input or output.
    Stream,
}

/// How to copy.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What gets into a container belongs to its user, not to whom it belonged.
    pub archive: bool,
    /// A directory may take the place of something else, and the other way round.
    pub overwrite: bool,
}

const NO_DIRECTORY: &str = "destination must be a directory when copying a directory";
const NO_DIRECTORY_FOR_STREAM: &str = "destination must be a directory when copying from stdin";
const NO_ARCHIVE: &str = "source must be a (compressed) tar archive when copying from stdin";

/// Copies files.
///
/// # Errors
/// A side is not there, or of the wrong kind; or an operation failed, and what was copied so far stays.
pub fn copy(
    site: Site<'_>,
    from: &Place,
    to: &Place,
    options: Options,
) -> Result<(), ContainerError> {
    let definition = |place: &'_ Place| match place {
        Place::Container(definition, _) => Some(definition.clone()),
        _ => None,
    };
    let (first, second) = (definition(from), definition(to));
    let reach = |definition: &Definition| open(site, definition, Scope::Seen);
    let same = matches!((&first, &second), (Some(one), Some(other)) if one.id == other.id);
    // Always in one order, so that two who copy both ways do not wait for each other.
    let second_first = matches!((&first, &second), (Some(one), Some(other)) if other.id < one.id);
    let early = match (&second, second_first && !same) {
        (Some(definition), true) => Some(reach(definition)?),
        _ => None,
    };
    let source = first.as_deref().map(reach).transpose()?;
    let late = match (&second, early.is_none() && !same) {
        (Some(definition), true) => Some(reach(definition)?),
        _ => None,
    };
    let target = match same {
        true => source.as_ref(),
        false => early.as_ref().or(late.as_ref()),
    };
    let from = side(from, source.as_ref());
    let to = side(to, target);
    match (from, to) {
        (Some(from), Some(to)) => tree_to_tree(site, &from, &to, options),
        (Some(from), None) => tree_to_stream(site, &from, options),
        (None, Some(to)) => stream_to_tree(site, &to, options),
        (None, None) => refuse("name or ID cannot be empty"),
    }
}

fn side<'a>(place: &'a Place, opened: Option<&'a Opened>) -> Option<Side<'a>> {
    match place {
        Place::Stream => None,
        Place::Host(path) => Some(Side::Host(path)),
        Place::Container(definition, path) => {
            opened.map(|opened| Side::Container(definition, opened, path))
        }
    }
}

/// What is to be copied.
struct Found {
    node: OwnedFd,
    /// Its own name, behind all links.
    name: OsString,
    directory: bool,
    /// What is in the directory is meant, not the directory.
    contents: bool,
}

fn find(from: &Side) -> Result<Found, ContainerError> {
    let node = match from.open(from.path()) {
        Ok(node) => node,
        Err(error) => return from.missing(error),
    };
    let failed = || ContainerError::io("look at", from.path());
    let directory = is_dir(&node).map_err(failed())?;
    let text = from.path().as_os_str().as_bytes();
    let contents = directory && (text == b"." || text == b"/" || text.ends_with(b"/."));
    // The kernel's word for where it is; the name, at least, is that in the container too. Of a link of the host the
    // name is its own, of one of a container that of its target, as in Podman.
    let link = fs::read_link(format!("/proc/self/fd/{}", node.as_raw_fd())).map_err(failed())?;
    let (typed, real) = (from.path().file_name(), link.file_name());
    let name = match from {
        Side::Host(_) => typed.or(real),
        Side::Container(..) => real.or(typed),
    };
    let name = name.unwrap_or(OsStr::new("")).to_owned();
    Ok(Found {
        node,
        name,
        directory,
        contents,
    })
}

/// Which directory takes it, and under which name; without one, only its contents go there.
fn aim(to: &Side, found: &Found) -> Result<(PathBuf, PathBuf), ContainerError> {
    let path = to.path();
    match to.open(path) {
        Ok(there) => {
            let failed = ContainerError::io("look at", path);
            match is_dir(&there).map_err(failed)? {
                true if found.contents => Ok((path.to_owned(), PathBuf::new())),
                true => Ok((path.to_owned(), PathBuf::from(&found.name))),
                false if found.directory => refuse(NO_DIRECTORY),
                false => {
                    let behind = to
                        .behind_links()
                        .map_err(ContainerError::io("find", path))?;
                    split(&behind)
                }
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let slash = path.as_os_str().as_bytes().ends_with(b"/");
            if slash && !found.directory {
                return to.missing(error);
            }
            let (parent, name) = split(path)?;
            match to.open(&parent).and_then(|parent| is_dir(&parent)) {
                Ok(true) => Ok((parent, name)),
                Ok(false) => to.missing(error),
                Err(error) => to.missing(error),
            }
        }
        Err(error) => to.missing(error),
    }
}

fn split(path: &Path) -> Result<(PathBuf, PathBuf), ContainerError> {
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => Ok((or_here(parent).to_owned(), name.into())),
        _ => refuse(format!("{}: nothing can be put there", path.display())),
    }
}

fn tree_to_tree(
    site: Site<'_>,
    from: &Side,
    to: &Side,
    options: Options,
) -> Result<(), ContainerError> {
    let found = find(from)?;
    let (directory, name) = aim(to, &found)?;
    let failed = || ContainerError::io("copy", from.path());
    let into = to.open(&directory).map_err(failed())?;
    if found.directory && is_within(&into, &found.node).map_err(failed())? {
        return refuse(format!(
            "{}: a directory cannot be copied into itself",
            from.path().display()
        ));
    }
    let kind = stat(&found.node).map_err(failed())?.st_mode & libc::S_IFMT;
    if matches!(to, Side::Host(_)) && matches!(kind, libc::S_IFCHR | libc::S_IFBLK) {
        return refuse(format!(
            "{}: a device is not copied to the host",
            from.path().display()
        ));
    }
    let back = match (from, options.archive) {
        (Side::Container(_, opened, _), false) if matches!(to, Side::Container(..)) => {
            opened.shift().back()
        }
        _ => Shift::default(),
    };
    with_tree(site, to, (into, &directory), options, |tree| {
        let mut walk = Walk::new(tree, back);
        if name.as_os_str().is_empty() {
            let node = found.node.try_clone()?;
            walk.contents(&Root::from_fd(node), &name)?;
        } else {
            walk.item(&found.node, &name)?;
        }
        tree.finish()
    })?
    .map_err(failed())
}

fn tree_to_stream(site: Site<'_>, from: &Side, options: Options) -> Result<(), ContainerError> {
    let found = find(from)?;
    let owner = match (from, options.archive) {
        (Side::Container(definition, opened, _), true) => Some(user(site, definition, opened)?),
        _ => None,
    };
    let failed = || ContainerError::io("copy", from.path());
    let mut sink = archive::Archive::new(io::BufWriter::new(io::stdout().lock()), owner);
    let mut walk = Walk::new(&mut sink, Shift::default());
    let walked = match found.contents {
        true => {
            let node = found.node.try_clone().map_err(failed())?;
            walk.contents(&Root::from_fd(node), Path::new(""))
        }
        false => walk.item(&found.node, Path::new(&found.name)),
    };
    walked.and_then(|()| sink.finish()).map_err(failed())
}

fn stream_to_tree(site: Site<'_>, to: &Side, options: Options) -> Result<(), ContainerError> {
    let into = match to.open(to.path()) {
        Ok(into) if is_dir(&into).is_ok_and(|is| is) => into,
        Ok(_) => return refuse(NO_DIRECTORY_FOR_STREAM),
        Err(_) => return refuse(NO_DIRECTORY_FOR_STREAM),
    };
    let failed = || ContainerError::io("copy from standard input to", to.path());
    let mut input = BufReader::new(io::stdin().lock());
    let start = input.fill_buf().map_err(failed())?;
    if start.is_empty() {
        return refuse(NO_ARCHIVE);
    }
    let compression = Compression::of_content(start);
    let reader = compression.reader(input).map_err(failed())?;
    let mut stream = TarStream::new(reader);
    let mut next = match stream.next_entry() {
        Ok(entry) => entry,
        Err(_) => return refuse(NO_ARCHIVE),
    };
    with_tree(site, to, (into, to.path()), options, |tree| {
        while let Some(entry) = next {
            tree.put(&entry, &mut stream).map_err(|error| {
                let text = format!("{}: {error}", entry.path.display());
                io::Error::new(error.kind(), text)
            })?;
            next = stream.next_entry()?;
        }
        tree.finish()?;
        // Whoever writes it shall not find a closed pipe.
        io::copy(&mut stream.into_inner(), &mut io::sink()).map(drop)
    })?
    .map_err(failed())
}

/// Does something with the tree that takes the entries.
fn with_tree(
    site: Site<'_>,
    to: &Side,
    (into, directory): (OwnedFd, &Path),
    options: Options,
    work: impl FnOnce(&mut Tree) -> io::Result<()>,
) -> Result<io::Result<()>, ContainerError> {
    let overwrite = options.overwrite;
    match to {
        Side::Host(_) => {
            let root = Root::from_fd(into);
            let how = How {
                follow: false,
                overwrite,
                devices: false,
                owner: Some((
                    nix::unistd::geteuid().as_raw(),
                    nix::unistd::getegid().as_raw(),
                )),
                shift: Shift::default(),
            };
            Ok(work(&mut Tree::new(&root, PathBuf::from("."), how)))
        }
        Side::Container(definition, opened, _) => {
            let owner = match options.archive {
                true => Some(user(site, definition, opened)?),
                false => None,
            };
            let how = How {
                follow: true,
                overwrite,
                devices: true,
                owner,
                shift: opened.shift().clone(),
            };
            let below = or_here(directory).to_owned();
            let mut tree = Tree::new(opened.root(), below, how);
            // Where ids are mapped, who has none there can make nothing.
            Ok(match opened.shift().owner(0, 0) {
                (0, 0) => work(&mut tree),
                (uid, gid) => as_owner(uid, gid, || work(&mut tree)),
            })
        }
    }
}

/// Who owns what is copied into a container, on the host.
fn user(
    site: Site<'_>,
    definition: &Definition,
    opened: &Opened,
) -> Result<(u32, u32), ContainerError> {
    let named = match (&definition.options.user, &definition.source) {
        (Some(user), _) => user.clone(),
        (None, Source::Image { id, .. }) => {
            let image = Images::open(&site.layout.state())?.resolve(id)?;
            image.config.user
        }
        (None, Source::Rootfs { .. }) => String::new(),
    };
    let root = format!("/proc/self/fd/{}", opened.root().as_fd().as_raw_fd());
    let [facts] = prepare::look_up(Path::new(&root), [&named]).map_err(|error| {
        ContainerError::Files(format!(
            "container {}: user {named}: {error}",
            definition.name
        ))
    })?;
    Ok(opened.shift().owner(facts.uid, facts.gid))
}

/// Whether a directory is another, or lies in it.
fn is_within(directory: &OwnedFd, top: &OwnedFd) -> io::Result<bool> {
    let key = |fd: &OwnedFd| stat(fd).map(|about| (about.st_dev, about.st_ino));
    let top = key(top)?;
    let mut at = directory.try_clone()?;
    loop {
        let own = key(&at)?;
        if own == top {
            return Ok(true);
        }
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let around = openat(&at, "..", flags, Mode::empty())?;
        if key(&around)? == own {
            return Ok(false);
        }
        at = around;
    }
}
