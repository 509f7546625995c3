//! Copies a tree by descriptors: nothing is followed, so that whoever changes the source meanwhile cannot lead the copy
//! out of it, nor make it write anywhere but in the new directory.

use std::collections::HashMap;
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::fcntl::{AtFlags, readlinkat};
use nix::libc::{
    self, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_PATH, O_RDONLY, O_WRONLY,
};
use nix::sys::stat::{Mode, SFlag, UtimensatFlags, fstatat, mkdirat, mknodat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{linkat, symlinkat};

use crate::definition::IdRange;
use crate::sys::paths::{Root, chmod, chown, stat};
use crate::sys::xattr::{get_xattr, list_xattrs, set_xattr};

/// Which owners a copy has instead of those of its source. Without ranges, nothing changes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Shift {
    /// Users: from `container` to `host`.
    pub uids: Vec<IdRange>,
    /// Groups.
    pub gids: Vec<IdRange>,
}

/// Who owns what nobody can own (the kernel's default of `overflowuid`, proc(5)).
const NOBODY: u32 = 65534;

impl Shift {
    /// The way back.
    pub fn back(&self) -> Self {
        let turn = |range: &IdRange| IdRange {
            container: range.host,
            host: range.container,
            size: range.size,
        };
        Self {
            uids: self.uids.iter().map(turn).collect(),
            gids: self.gids.iter().map(turn).collect(),
        }
    }

    /// The owner of a copy.
    pub fn owner(&self, uid: u32, gid: u32) -> (u32, u32) {
        let find = |ranges: &[IdRange], id| match ranges.is_empty() {
            true => id,
            false => (ranges.iter().find_map(|range| range.to_host(id))).unwrap_or(NOBODY),
        };
        (find(&self.uids, uid), find(&self.gids, gid))
    }
}

/// How a tree is copied.
#[derive(Clone, Copy)]
pub(super) struct How<'a> {
    /// Whose the copy is.
    pub(super) shift: &'a Shift,
    /// Attributes of overlayfs and labels are copied too: the copy is a layer as its source is.
    pub(super) layer: bool,
}

/// Copies a layer, or an upper directory of overlayfs, into a new directory, with other owners: whiteouts, opaque
/// directories, capabilities of files, set-id bits, hard links and labels stay what they are.
///
/// # Errors
/// The first operation that failed; what was copied so far stays. All of it is on the disk otherwise.
pub fn copy_shifted(from: &Path, to: &Path, shift: &Shift) -> io::Result<()> {
    std::fs::create_dir(to)?;
    let how = How { shift, layer: true };
    let (from, to) = (Root::open(from)?, Root::open(to)?);
    copy_tree(&from, &to, how)?;
    let flags = O_RDONLY | O_DIRECTORY;
    let made = to.open_in(".", flags, 0)?;
    dress(&from.open_in(".", flags, 0)?, &made, how)?;
    Ok(nix::unistd::syncfs(&made)?)
}

/// Copies what is in one directory into another, which is empty: contents, owners, modes, times, extended attributes,
/// hard links. Sockets are left out. What is copied is not made durable.
///
/// # Errors
/// The first operation that failed; what was copied so far stays.
pub(super) fn copy_tree(from: &Root, to: &Root, how: How) -> io::Result<()> {
    let mut copy = Copy {
        from,
        to,
        how,
        links: HashMap::new(),
        directories: vec![PathBuf::from(".")],
    };
    let mut next = 0;
    while next < copy.directories.len() {
        let directory = copy.directories[next].clone();
        copy.directory(&directory)?;
        next += 1;
    }
    // Innermost first: a mode may close a directory, and a new entry changes the time of the one around it.
    for directory in copy.directories.iter().skip(1).rev() {
        let source = from.open_beneath(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)?;
        let made = to.open_beneath(directory, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)?;
        dress(&source, &made, how)?;
    }
    Ok(())
}

/// Gives what is open the owner, mode, times and extended attributes of something else.
pub(super) fn dress(like: &OwnedFd, made: &OwnedFd, how: How) -> io::Result<()> {
    let about = stat(like)?;
    let (uid, gid) = how.shift.owner(about.st_uid, about.st_gid);
    chown(made, uid, gid)?;
    attributes(like, made, how.layer)?;
    // After chown(2), which clears set-id bits.
    chmod(made, about.st_mode & 0o7777)?;
    let (accessed, modified) = times(&about);
    nix::sys::stat::futimens(made, &accessed, &modified)?;
    Ok(())
}

fn times(about: &libc::stat) -> (TimeSpec, TimeSpec) {
    (
        TimeSpec::new(about.st_atime, about.st_atime_nsec),
        TimeSpec::new(about.st_mtime, about.st_mtime_nsec),
    )
}

fn attributes(like: impl AsFd, made: impl AsFd, layer: bool) -> io::Result<()> {
    let (like, made) = (like.as_fd(), made.as_fd());
    for name in list_xattrs(like)? {
        // Those of overlayfs are its own business, and a label is given to the volume as a whole.
        let text = name.to_string_lossy();
        if !layer && (text.starts_with("trusted.") || text == "security.selinux") {
            continue;
        }
        let Some(value) = get_xattr(like, &name)? else {
            continue;
        };
        match set_xattr(made, &name, &value) {
            // A file system that has none, as some that volumes are on.
            Err(error) if error.raw_os_error() == Some(libc::EOPNOTSUPP) => {}
            other => other?,
        }
    }
    Ok(())
}

struct Copy<'a> {
    from: &'a Root,
    to: &'a Root,
    how: How<'a>,
    /// Where the first of several names of a file went.
    links: HashMap<(u64, u64), PathBuf>,
    /// Directories to be copied, in the order they were found.
    directories: Vec<PathBuf>,
}

impl Copy<'_> {
    fn directory(&mut self, path: &Path) -> io::Result<()> {
        let readable = self
            .from
            .open_beneath(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0)?;
        let parent = self
            .from
            .open_beneath(path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0)?;
        let made = self
            .to
            .open_beneath(path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0)?;
        for entry in Dir::from_fd(readable)?.iter() {
            let name: CString = entry?.file_name().to_owned();
            if name.as_bytes() != b"." && name.as_bytes() != b".." {
                self.entry(path, &name, &parent, &made)?;
            }
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: &Path,
        name: &CString,
        from: &OwnedFd,
        to: &OwnedFd,
    ) -> io::Result<()> {
        use std::os::unix::ffi::OsStrExt;
        let about = fstatat(from, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        let path = directory.join(std::ffi::OsStr::from_bytes(name.as_bytes()));
        let kind = SFlag::from_bits_truncate(about.st_mode & libc::S_IFMT);
        if kind == SFlag::S_IFDIR {
            mkdirat(to, name.as_c_str(), Mode::S_IRWXU)?;
            self.directories.push(path);
            return Ok(());
        }
        let key = (about.st_dev, about.st_ino);
        if about.st_nlink > 1
            && let Some(first) = self.links.get(&key)
        {
            return Ok(linkat(
                self.to,
                first,
                to,
                name.as_c_str(),
                AtFlags::empty(),
            )?);
        }
        match kind {
            SFlag::S_IFREG => self.file(&path)?,
            SFlag::S_IFLNK => {
                let target = readlinkat(from, name.as_c_str())?;
                symlinkat(target.as_os_str(), to, name.as_c_str())?;
                self.special(&path, &about)?;
            }
            SFlag::S_IFCHR | SFlag::S_IFBLK | SFlag::S_IFIFO => {
                mknodat(to, name.as_c_str(), kind, Mode::S_IRUSR, about.st_rdev)?;
                self.special(&path, &about)?;
                let made = self.to.open_beneath(&path, O_PATH | O_NOFOLLOW, 0)?;
                chmod(&made, about.st_mode & 0o7777)?;
            }
            _ => return Ok(()),
        }
        if about.st_nlink > 1 {
            self.links.insert(key, path);
        }
        Ok(())
    }

    fn file(&self, path: &Path) -> io::Result<()> {
        // It was a regular file; a FIFO that took its place must not stop us.
        let source = self
            .from
            .open_beneath(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, 0)?;
        if stat(&source)?.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(io::Error::other(format!(
                "{} changed while it was copied",
                path.display()
            )));
        }
        let flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW;
        let made = self.to.open_beneath(path, flags, 0o600)?;
        let mut target = File::from(made);
        let mut source = File::from(source);
        io::copy(&mut source, &mut target)?;
        dress(&OwnedFd::from(source), &OwnedFd::from(target), self.how)
    }

    /// Owner and times of what cannot be opened.
    fn special(&self, path: &Path, about: &libc::stat) -> io::Result<()> {
        let made = self.to.open_beneath(path, O_PATH | O_NOFOLLOW, 0)?;
        let (uid, gid) = self.how.shift.owner(about.st_uid, about.st_gid);
        chown(&made, uid, gid)?;
        let (accessed, modified) = times(about);
        utimensat(
            self.to,
            path,
            &accessed,
            &modified,
            UtimensatFlags::NoFollowSymlink,
        )?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::process::Command;

    #[test]
    fn a_tree_is_copied_as_it_is_and_nothing_is_followed() {
        let base = std::env::temp_dir().join(format!("unitbox-copy-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(base.join("from/sub/deep")).unwrap();
        fs::create_dir_all(base.join("to")).unwrap();
        let script = "cd from; echo a >f; chmod 4751 f; ln f sub/hard; ln -s /etc/passwd sub/link; ln -s .. sub/up
            mkfifo sub/pipe; echo b >sub/deep/g; chmod 1550 sub/deep; touch -d @5 sub/deep f";
        let made = Command::new("sh")
            .args(["-c", script])
            .current_dir(&base)
            .status();
        assert!(made.unwrap().success());
        let open = |name: &str| Root::open(base.join(name)).unwrap();
        let how = How {
            shift: &Shift::default(),
            layer: false,
        };
        copy_tree(&open("from"), &open("to"), how).unwrap();
        let list = |name: &str| {
            let find = "cd $0; find . -mindepth 1 -printf '%P %y %m %U %G %n %l %T@\\n' | sort; cat f sub/deep/g";
            let output = Command::new("sh")
                .args(["-c", find])
                .arg(base.join(name))
                .output()
                .unwrap();
            String::from_utf8(output.stdout).unwrap()
        };
        let mtime = |name: &str| fs::metadata(base.join(name)).unwrap().mtime();
        assert_eq!(list("to"), list("from"));
        assert_eq!(mtime("to/sub/deep"), 5);
        let _ = fs::set_permissions(base.join("to/sub/deep"), fs::Permissions::from_mode(0o700));
        fs::remove_dir_all(&base).unwrap();
    }
    #[test]
    fn a_layer_is_copied_with_other_owners_and_all_that_it_says() {
        let base = std::env::temp_dir().join(format!("unitbox-shifted-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(base.join("from/opaque")).unwrap();
        let script = "cd from; echo a >f; chown 7:8 f; chmod 6755 f; ln f hard; ln -s f link; chown -h 7:8 link
            mknod gone c 0 0; mkfifo pipe; echo x >stranger; chown 999999 stranger; chmod 1777 opaque; chown 5:5 .";
        let made = Command::new("sh")
            .args(["-c", script])
            .current_dir(&base)
            .status();
        assert!(made.unwrap().success());
        // cap_net_raw+ep (capabilities(7), version 2).
        let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let open = |name: &str| File::open(base.join(name)).unwrap();
        set_xattr(open("from/f"), "security.capability", &capability).unwrap();
        set_xattr(open("from/opaque"), "trusted.overlay.opaque", b"y").unwrap();
        let range = IdRange {
            container: 0,
            host: 100_000,
            size: 1000,
        };
        let shift = Shift {
            uids: vec![range],
            gids: vec![range],
        };
        copy_shifted(&base.join("from"), &base.join("to"), &shift).unwrap();
        let about = |name: &str| fs::symlink_metadata(base.join("to").join(name)).unwrap();
        let owner = |name: &str| (about(name).uid(), about(name).gid());
        assert_eq!(owner("."), (100_005, 100_005));
        assert_eq!(owner("f"), (100_007, 100_008));
        assert_eq!(owner("link"), (100_007, 100_008));
        assert_eq!(owner("gone"), (100_000, 100_000));
        assert_eq!(owner("pipe"), (100_000, 100_000));
        assert_eq!(owner("stranger"), (NOBODY, 100_000));
        assert_eq!(about("f").mode() & 0o7777, 0o6755);
        assert_eq!(about("opaque").mode() & 0o7777, 0o1777);
        assert_eq!(
            (about("f").ino(), about("f").nlink()),
            (about("hard").ino(), 2)
        );
        assert_eq!(
            (about("gone").mode() & libc::S_IFMT, about("gone").rdev()),
            (libc::S_IFCHR, 0)
        );
        let kept = get_xattr(open("to/f"), "security.capability").unwrap();
        assert_eq!(kept.as_deref(), Some(&capability[..]));
        let kept = get_xattr(open("to/opaque"), "trusted.overlay.opaque").unwrap();
        assert_eq!(kept.as_deref(), Some(&b"y"[..]));
        // And the way back.
        copy_shifted(&base.join("to"), &base.join("back"), &shift.back()).unwrap();
        let about = fs::symlink_metadata(base.join("back/f")).unwrap();
        assert_eq!((about.uid(), about.gid()), (7, 8));
        fs::remove_dir_all(&base).unwrap();
    }
}
