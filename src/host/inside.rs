//! What is made inside a directory that a container controls: by descriptors only, so that no link leads out of it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::libc::{O_CREAT, O_EXCL, O_NOFOLLOW, O_PATH, O_WRONLY, S_IFDIR, S_IFMT};

use crate::sys::mount::{Attr, FsContext, bind_mount, tmpfs};
use crate::sys::paths::{MadeDirs, Root, chmod, chown, stat};
use crate::sys::xattr::{get_xattr, set_xattr};

/// What is to be at a path inside a root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inside {
    /// A directory; one that is new belongs to this user and group.
    Directory(u32, u32),
    /// A file.
    File,
}

/// A file that only one container may see.
#[derive(Clone, PartialEq, Eq)]
pub struct PrivateFile {
    /// Path below the mount, without `..`.
    pub path: PathBuf,
    /// Contents.
    pub contents: Vec<u8>,
    /// Owner, group and mode; with `S_IFDIR` in it, it is a directory, which belongs to whom all directories do.
    pub owner: (u32, u32, u32),
}

impl std::fmt::Debug for PrivateFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateFile({})", self.path.display())
    }
}

/// More links than this in one path are a loop (path_resolution(7)).
const LINKS: usize = 40;

/// Makes what is missing at a path inside a root; what is there is left as it is. A link to nothing is followed inside
/// the root, as the payload itself would (CVE-2026-55686).
pub(super) fn make(root: &Path, path: &Path, what: Inside) -> io::Result<()> {
    let root = Root::open(root)?;
    match root.open_in(path, O_PATH, 0) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        other => return other.map(drop),
    }
    match what {
        Inside::Directory(uid, gid) => {
            let made = make_dirs(&root, path)?;
            match made.created.last() {
                // Only what is ours to give away.
                Some(last) => chown(&last.fd, uid, gid),
                None => Ok(()),
            }
        }
        Inside::File => {
            let parent = path.parent().unwrap_or(Path::new("/"));
            let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
            let directory = Root::from_fd(make_dirs(&root, parent)?.dir);
            match directory.open_beneath(name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                other => other.map(drop),
            }
        }
    }
}

fn make_dirs(root: &Root, path: &Path) -> io::Result<MadeDirs> {
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        let error = match root.make_dirs(&path, 0o755) {
            Err(error) if error.kind() == ErrorKind::NotADirectory => error,
            other => return other,
        };
        path = past_dead_link(root, &path).ok_or(error)?;
    }
    Err(io::Error::from_raw_os_error(nix::libc::ELOOP))
}

/// The path with its first link to nothing replaced by where that leads; none if there is no such link.
fn past_dead_link(root: &Root, path: &Path) -> Option<PathBuf> {
    let mut names = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_)));
    let mut so_far = PathBuf::from("/");
    while let Some(name) = names.next() {
        so_far.push(name);
        let Ok(target) = root.read_link(&so_far) else {
            continue;
        };
        if root.open_in(&so_far, O_PATH, 0).is_ok() {
            continue;
        }
        let parent = so_far.parent().unwrap_or(Path::new("/"));
        let whole = parent.join(target).join(names.collect::<PathBuf>());
        return Some(crate::definition::mount::clean(whole.to_str()?).into());
    }
    None
}

/// Binds what is at a path inside a root on `target`, which is made; the path leads nowhere outside.
pub(super) fn bind(root: &Path, path: &Path, target: &Path) -> io::Result<()> {
    let source = Root::open(root)?.open_in(path, O_PATH, 0)?;
    if stat(&source)?.st_mode & S_IFMT == S_IFDIR {
        fs::create_dir_all(target)?;
    } else {
        File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(target)?;
    }
    let target: OwnedFd = open_path(target)?;
    bind_mount(&source, &target, true).map(drop)
}

/// A path as it is, links not followed.
pub(super) fn open_path(path: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    let file = options
        .read(true)
        .custom_flags(O_PATH | O_NOFOLLOW)
        .open(path)?;
    Ok(file.into())
}

/// Mounts a new tmpfs that only root may enter, with these files in it: nobody sees it before it is complete, and what
/// an earlier container may have left in its place is out of reach (CVE-2025-9566).
pub(super) fn mount_private(
    target: &Path,
    files: &[PrivateFile],
    owner: (u32, u32),
    context: Option<&str>,
) -> io::Result<()> {
    let bytes: usize = files
        .iter()
        .map(|file| file.contents.len().next_multiple_of(4096))
        .sum();
    // As much again for the directories and their entries, and never so little that rounding hurts.
    let size = (bytes + (files.len() + 16) * 4096).to_string();
    let attr = Attr::NOSUID | Attr::NODEV | Attr::NOEXEC;
    let mut options = vec![("mode", "0700"), ("size", size.as_str())];
    options.extend(context.map(|context| ("context", context)));
    let mount = tmpfs(&options, attr)?;
    let root = Root::open(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&mount))
    ))?;
    let make_dirs = |path: &Path, mode: u32| -> io::Result<()> {
        let made = root.make_dirs(path, mode)?.created;
        made.iter()
            .try_for_each(|dir| chown(&dir.fd, owner.0, owner.1))
    };
    for file in files {
        let (uid, gid, mode) = file.owner;
        make_dirs(file.path.parent().unwrap_or(Path::new("")), 0o755)?;
        if mode & S_IFDIR != 0 {
            make_dirs(&file.path, mode & 0o7777)?;
            continue;
        }
        let made =
            root.open_beneath(&file.path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)?;
        let mut made = File::from(made);
        made.write_all(&file.contents)?;
        chown(&made, uid, gid)?;
        chmod(&made, mode)?;
    }
    let target = open_path(target)?;
    mount.attach(target).map(drop)
}

/// Mounts a new tmpfs for shared memory; 0 bytes are no limit. The owner is that of the directory only: said as an option
/// of the mount, it would be seen inside.
pub(super) fn mount_shm(
    target: &Path,
    size: u64,
    owner: (u32, u32),
    context: Option<&str>,
) -> io::Result<()> {
    fs::create_dir_all(target)?;
    let new = FsContext::open("tmpfs")?;
    new.set("mode", "1777")?;
    new.set("size", size.to_string())?;
    new.set("source", "shm")?;
    // A label of SELinux for all that is in it.
    if let Some(context) = context {
        new.set("context", context)?;
    }
    let mount = new.mount(Attr::NOSUID | Attr::NODEV | Attr::NOEXEC)?;
    let root = mount.attach(open_path(target)?)?;
    chown(root, owner.0, owner.1)
}

/// Gives a file or tree to a user and group; links are not followed.
pub(super) fn chown_tree(path: &Path, uid: u32, gid: u32) -> io::Result<()> {
    walk(path, |found, about| {
        if (about.st_uid, about.st_gid) != (uid, gid) {
            chown(found, uid, gid)?;
            if about.st_mode & S_IFMT == nix::libc::S_IFREG {
                // chown(2) takes them away; the owner is who the user wanted.
                chmod(found, about.st_mode & 0o7777)?;
            }
        }
        Ok(())
    })
}

/// The attribute with the label of SELinux; its value ends with NUL.
const LABEL: &str = "security.selinux";

/// Gives a file or tree a label of SELinux; links are not followed. A file system without labels is left as it is.
pub(super) fn relabel(path: &Path, label: &str) -> io::Result<()> {
    let value = [label.as_bytes(), b"\0"].concat();
    walk(path, |found, _| {
        if get_xattr(found, LABEL)?.as_ref() == Some(&value) {
            return Ok(());
        }
        match set_xattr(found, LABEL, &value) {
            Err(error) if error.raw_os_error() == Some(nix::libc::EOPNOTSUPP) => Ok(()),
            other => other,
        }
    })
}

/// Visits a file, or a directory and all below it, by descriptors.
fn walk(
    path: &Path,
    mut visit: impl FnMut(&OwnedFd, &nix::libc::stat) -> io::Result<()>,
) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    // The path is the administrator's: a link at its end is followed, as by the mount.
    let top = File::options()
        .read(true)
        .custom_flags(O_PATH)
        .open(path)?
        .into();
    let about = stat(&top)?;
    visit(&top, &about)?;
    if about.st_mode & S_IFMT != S_IFDIR {
        return Ok(());
    }
    let root = Root::from_fd(top);
    let mut todo = vec![PathBuf::from(".")];
    while let Some(directory) = todo.pop() {
        let flags = nix::libc::O_RDONLY | nix::libc::O_DIRECTORY | O_NOFOLLOW;
        let readable = root.open_beneath(&directory, flags, 0)?;
        for entry in nix::dir::Dir::from_fd(readable)?.iter() {
            let entry = entry?;
            let name = std::os::unix::ffi::OsStrExt::from_bytes(entry.file_name().to_bytes());
            let name: &std::ffi::OsStr = name;
            if name == "." || name == ".." {
                continue;
            }
            let path = directory.join(name);
            let found = match root.open_beneath(&path, O_PATH | O_NOFOLLOW, 0) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                other => other?,
            };
            let about = stat(&found)?;
            visit(&found, &about)?;
            if about.st_mode & S_IFMT == S_IFDIR {
                todo.push(path);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("unitbox-inside-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(path.join("root")).unwrap();
            Self(path)
        }
        fn make(&self, path: &str, what: Inside) -> io::Result<()> {
            make(&self.0.join("root"), Path::new(path), what)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    const DIRECTORY: Inside = Inside::Directory(0, 0);

    #[test]
    fn a_link_out_of_the_root_leads_into_it() {
        let dir = Dir::new("link");
        symlink("../../../../../../../../../esc", dir.0.join("root/w")).unwrap();
        symlink("/abs/olute", dir.0.join("root/v")).unwrap();
        dir.make("/w/a/b", DIRECTORY).unwrap();
        dir.make("/v/f", Inside::File).unwrap();
        assert!(dir.0.join("root/esc/a/b").is_dir());
        assert!(dir.0.join("root/abs/olute/f").is_file());
        assert!(!Path::new("/esc").exists() && !Path::new("/abs").exists());
        symlink("loop", dir.0.join("root/loop")).unwrap();
        assert!(dir.make("/loop/a", DIRECTORY).is_err());
    }

    #[test]
    fn a_label_reaches_all_of_a_tree_and_nothing_beyond() {
        let dir = Dir::new("label");
        let root = dir.0.join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        for file in ["a/b/f", "../outside"] {
            fs::write(root.join(file), "x").unwrap();
        }
        symlink("../../../outside", root.join("a/b/out")).unwrap();
        symlink("/nowhere", root.join("a/dead")).unwrap();
        let label = "system_u:object_r:container_file_t:s0";
        relabel(&root, label).unwrap();
        let of = |path: &str| {
            let fd = open_path(&root.join(path)).unwrap();
            get_xattr(&fd, LABEL).unwrap()
        };
        let expected = format!("{label}\0").into_bytes();
        for path in ["", "a", "a/b", "a/b/f", "a/b/out", "a/dead"] {
            assert_eq!(of(path).as_ref(), Some(&expected), "{path}");
        }
        assert_ne!(of("../outside"), Some(expected));
        // A single file, too.
        relabel(&root.join("../outside"), "x_u:x_r:x_t:s0").unwrap();
        assert_eq!(of("../outside"), Some(b"x_u:x_r:x_t:s0\0".to_vec()));
    }

    #[test]
    fn what_is_there_is_left_as_it_is() {
        use std::os::unix::fs::MetadataExt;
        let dir = Dir::new("there");
        fs::create_dir(dir.0.join("root/d")).unwrap();
        fs::write(dir.0.join("root/f"), "x").unwrap();
        let before = fs::metadata(dir.0.join("root/d")).unwrap().uid();
        dir.make("/d", Inside::Directory(12345, 12345)).unwrap();
        dir.make("/f", Inside::File).unwrap();
        assert_eq!(fs::metadata(dir.0.join("root/d")).unwrap().uid(), before);
        assert_eq!(fs::read_to_string(dir.0.join("root/f")).unwrap(), "x");
    }
}
