//! The first contents of a volume: what the image has where the volume is mounted first.
//!
//! The file `fresh` beside the data says that nothing was copied yet. As long as the volume is empty, it belongs to
//! whoever has it next, or has the owner and mode of the image's directory; for the same user, that is done once, and
//! `fresh` holds for whom, or that nobody but whoever made the volume has a say in that. The copy is made beside the data, and then moved: a crash leaves either a copy that counts as
//! none, or entries that are all there and have yet to be moved.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::dir::Dir;
use nix::libc::{O_DIRECTORY, O_NOFOLLOW, O_RDONLY};

use super::copy_tree::{How, Shift, copy_tree, dress};
use super::write_atomic;
use crate::sys::paths::{Lock, Root, chown, lock_file, rename_noreplace, sync_dir};

/// Says that nothing was copied into the volume yet.
pub(super) const FRESH: &str = "fresh";
/// In that file: whoever made the volume said whose it is.
pub(super) const FIXED: &str = "fixed";
/// In that file, as its last word: nothing is to be copied.
pub(super) const NOCOPY: &str = "nocopy";
/// What will be the volume's contents, while it is copied.
const COPY: &str = ".copy";
/// The same once it is whole.
const WHOLE: &str = ".copied";

/// What a volume gets from who uses it first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FirstUse {
    /// User and group that it belongs to where the image has no such directory.
    pub owner: (u32, u32),
    /// Whether the files of the image are copied.
    pub copy: bool,
    /// From the owners in the root to those in the volume.
    pub shift: Shift,
}

/// Fills a volume that is still empty with what a root has at a path, and gives it the owner and mode of that directory;
/// any other volume is left alone (CVE-2020-1726). `volume` is the directory that holds `_data`.
///
/// # Errors
/// A file operation that failed; the next call begins again where this one ended.
pub fn copy_up(volume: &Path, root: &Path, target: &Path, first: &FirstUse) -> io::Result<()> {
    let fresh = volume.join(FRESH);
    // The common case needs no lock: what is not fresh never will be.
    if !fresh.exists() {
        return Ok(());
    }
    let directory = File::open(volume)?;
    lock_file(&directory, Lock::Exclusive, true)?;
    let whole = volume.join(WHOLE);
    // What was not whole when somebody died.
    let copy = volume.join(COPY);
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    let settled = match whole.exists() {
        true => true,
        false => !fresh.exists() || stage(volume, root, target, first)?,
    };
    if whole.exists() {
        settle(volume, &whole)?;
    }
    if !settled {
        return Ok(());
    }
    remove(&fresh)?;
    sync_dir(&directory)
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Copies, unless there is nothing to copy or the volume has contents; whether that was the last time.
fn stage(volume: &Path, root: &Path, target: &Path, first: &FirstUse) -> io::Result<bool> {
    let data = volume.join("_data");
    if fs::read_dir(&data)?.next().is_some() {
        return Ok(true);
    }
    let fresh = volume.join(FRESH);
    let (uid, gid) = first.owner;
    let said = fs::read_to_string(&fresh)?;
    let no_copy = said.ends_with(NOCOPY);
    let done = match no_copy {
        true => format!("owned {uid} {gid} {NOCOPY}"),
        false => format!("owned {uid} {gid}"),
    };
    let owned = said == done || said.starts_with(FIXED);
    let root = Root::open(root)?;
    let flags = O_RDONLY | O_DIRECTORY;
    let source = match root.open_in(target, flags, 0) {
        Ok(source) => source,
        // Not in the image, or no directory there: an empty volume it is.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            if !owned {
                chown(open_dir(&data)?, uid, gid)?;
            }
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let how = How {
        shift: &first.shift,
        layer: false,
    };
    let same = How {
        shift: &Shift::default(),
        layer: false,
    };
    let entries = Dir::from_fd(source.try_clone()?)?.iter().count();
    // `.` and `..` are always there.
    if no_copy || !first.copy || entries <= 2 {
        if !owned {
            dress(&source, &open_dir(&data)?.into(), how)?;
            write_atomic(&fresh, done.as_bytes(), 0o600).map_err(io::Error::other)?;
        }
        return Ok(false);
    }
    let copy = volume.join(COPY);
    fs::create_dir(&copy)?;
    let made = open_dir(&copy)?;
    let to = Root::from_fd(made.try_clone()?.into());
    copy_tree(&Root::from_fd(source.try_clone()?), &to, how)?;
    match owned {
        true => dress(&open_dir(&data)?.into(), &made.into(), same)?,
        false => dress(&source, &made.into(), how)?,
    }
    fs::rename(&copy, volume.join(WHOLE))?;
    Ok(true)
}

fn open_dir(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(O_DIRECTORY | O_NOFOLLOW);
    options.open(path)
}

/// Moves what was copied into the volume. The directory itself stays the one it was: somebody may have it mounted.
fn settle(volume: &Path, whole: &Path) -> io::Result<()> {
    let (from, to) = (open_dir(whole)?, open_dir(&volume.join("_data"))?);
    let names: Vec<PathBuf> = fs::read_dir(whole)?
        .map(|entry| entry.map(|entry| entry.file_name().into()))
        .collect::<io::Result<_>>()?;
    for name in names {
        rename_noreplace(&from, &name, &to, &name)?;
    }
    let same = How {
        shift: &Shift::default(),
        layer: false,
    };
    dress(&from.into(), &to.into(), same)?;
    fs::remove_dir(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    struct Case(PathBuf);

    impl Case {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("unitbox-copy-up-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            for dir in ["volume/_data", "root/srv/sub"] {
                fs::create_dir_all(path.join(dir)).unwrap();
            }
            fs::write(path.join("volume/fresh"), "").unwrap();
            fs::write(path.join("root/srv/sub/file"), "image").unwrap();
            fs::set_permissions(path.join("root/srv"), fs::Permissions::from_mode(0o1770)).unwrap();
            Self(path)
        }
        fn copy_up(&self) -> io::Result<()> {
            self.used("/srv", (0, 0), true)
        }
        fn used(&self, target: &str, owner: (u32, u32), copy: bool) -> io::Result<()> {
            copy_up(
                &self.0.join("volume"),
                &self.0.join("root"),
                Path::new(target),
                &FirstUse {
                    owner,
                    copy,
                    shift: Shift::default(),
                },
            )
        }
        fn owner(&self) -> u32 {
            fs::metadata(self.data("")).unwrap().uid()
        }
        fn data(&self, name: &str) -> PathBuf {
            self.0.join("volume/_data").join(name)
        }
    }

    impl Drop for Case {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_new_volume_gets_what_the_image_has_once() {
        let case = Case::new("once");
        case.copy_up().unwrap();
        assert_eq!(fs::read_to_string(case.data("sub/file")).unwrap(), "image");
        assert_eq!(fs::metadata(case.data("")).unwrap().mode() & 0o7777, 0o1770);
        fs::remove_dir_all(case.data("sub")).unwrap();
        case.copy_up().unwrap();
        assert!(
            !case.data("sub").exists(),
            "what the user has removed stays removed"
        );
    }

    #[test]
    fn a_volume_with_contents_is_left_alone() {
        let case = Case::new("full");
        fs::write(case.data("own"), "user").unwrap();
        case.copy_up().unwrap();
        assert!(case.data("own").exists() && !case.data("sub").exists());
    }

    #[test]
    fn a_copy_that_was_cut_off_is_begun_again_or_ended() {
        let case = Case::new("cut");
        let volume = case.0.join("volume");
        fs::create_dir_all(volume.join(".copy/half")).unwrap();
        case.copy_up().unwrap();
        assert!(case.data("sub/file").exists() && !case.data("half").exists());
        let case = Case::new("moved");
        let volume = case.0.join("volume");
        fs::create_dir_all(volume.join(".copied/late")).unwrap();
        fs::create_dir(case.data("early")).unwrap();
        case.copy_up().unwrap();
        assert!(case.data("early").exists() && case.data("late").exists());
        let left: Vec<_> = fs::read_dir(volume)
            .unwrap()
            .flatten()
            .map(|entry| entry.file_name())
            .collect();
        assert_eq!(left, ["_data"]);
    }

    /// What Podman 5.4.2 does.
    #[test]
    fn an_empty_volume_belongs_to_who_has_it_next_until_the_image_says_whose_it_is() {
        let case = Case::new("next");
        fs::create_dir(case.0.join("root/empty")).unwrap();
        chown(open_dir(&case.0.join("root/empty")).unwrap(), 3, 3).unwrap();
        for uid in [5, 6] {
            case.used("/nowhere", (uid, uid), true).unwrap();
            assert_eq!(case.owner(), uid);
        }
        case.used("/empty", (7, 7), true).unwrap();
        assert_eq!(case.owner(), 3);
        case.used("/nowhere", (7, 7), true).unwrap();
        assert_eq!(case.owner(), 3);
        case.used("/nowhere", (8, 8), true).unwrap();
        assert_eq!(case.owner(), 8);
        case.used("/empty", (9, 9), false).unwrap();
        assert_eq!(case.owner(), 3);
        // Its contents come when there are some, and its owner stays.
        case.used("/srv", (9, 9), true).unwrap();
        assert_eq!(case.owner(), 3);
        assert!(case.data("sub/file").exists());
        let case = Case::new("written");
        case.used("/nowhere", (5, 5), true).unwrap();
        fs::write(case.data("own"), "").unwrap();
        case.used("/nowhere", (6, 6), true).unwrap();
        fs::remove_file(case.data("own")).unwrap();
        case.used("/nowhere", (7, 7), true).unwrap();
        assert_eq!(case.owner(), 5);
    }

    #[test]
    fn a_link_in_the_image_leads_nowhere_outside() {
        let case = Case::new("link");
        fs::remove_dir_all(case.0.join("root/srv")).unwrap();
        symlink("/etc", case.0.join("root/srv")).unwrap();
        case.copy_up().unwrap();
        assert_eq!(fs::read_dir(case.data("")).unwrap().count(), 0);
    }
}
