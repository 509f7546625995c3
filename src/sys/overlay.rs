//! Overlay mounts, whatever the kernel offers: layers one by one (`lowerdir+`, Linux 6.5), or all
//! in one option string below a page.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::libc;

use super::mount::{Attr, Change, DetachedMount, FsContext, mount_classic, mount_setattr};
use super::paths::Root;

/// What an overlay is made of. Paths are absolute.
#[derive(Clone, Debug)]
pub struct Overlay<'a> {
    /// Lower layers, the topmost first; at least one.
    pub lower: &'a [PathBuf],
    /// Upper and work directory, on one file system; without them the mount is read-only.
    pub upper: Option<(&'a Path, &'a Path)>,
    /// Further options: `("userxattr", None)`, `("metacopy", Some("on"))`.
    pub options: &'a [(&'a str, Option<&'a str>)],
    /// Attributes of the mount.
    pub attr: Attr,
}

impl Overlay<'_> {
    /// Mounts it on a directory and returns the descriptor of its root. Tries the layers one by one
    /// first, then one string; the error is that of the last try. `E2BIG` if the string is too long
    /// for an old kernel.
    pub fn attach(&self, target: impl AsFd) -> io::Result<OwnedFd> {
        match self.detached() {
            Ok(mount) => mount.attach(target),
            // Unknown `lowerdir+`, or a path of 256 bytes and more, which the new calls do not
            // take.
            Err(err) if err.raw_os_error() == Some(libc::EINVAL) => self.attach_classic(target),
            Err(err) => Err(err),
        }
    }

    /// Makes it detached; `EINVAL` from kernels before 6.5 and for paths of 256 bytes and more.
    pub fn detached(&self) -> io::Result<DetachedMount> {
        let context = FsContext::open("overlay")?;
        for layer in self.lower {
            context.set("lowerdir+", layer)?;
        }
        if let Some((upper, work)) = self.upper {
            // These two know escapes, `lowerdir+` does not.
            context.set("upperdir", escaped(upper))?;
            context.set("workdir", escaped(work))?;
        }
        for (key, value) in self.options {
            match value {
                Some(value) => context.set(key, value)?,
                None => context.set_flag(key)?,
            }
        }
        context.set("source", "overlay")?;
        context.mount(self.attr)
    }

    /// Mounts it with one option string (mount(2)), on kernels of any age.
    fn attach_classic(&self, target: impl AsFd) -> io::Result<OwnedFd> {
        let data = self.option_string();
        if data.len() >= 4096 {
            return Err(io::Error::from_raw_os_error(libc::E2BIG));
        }
        let target = target.as_fd();
        let path = PathBuf::from(format!("/proc/self/fd/{}", target.as_raw_fd()));
        mount_classic("overlay", &path, Path::new(&data))?;
        // The descriptor stays the directory below the mount; only a name leads to what is on it.
        let root = Root::open(std::fs::read_link(&path)?)?;
        let change = Change {
            set: self.attr,
            ..Change::default()
        };
        if self.attr != Attr::NONE {
            mount_setattr(&root, &change)?;
        }
        Ok(root.into_fd())
    }

    fn option_string(&self) -> OsString {
        let mut data = b"lowerdir=".to_vec();
        for (at, layer) in self.lower.iter().enumerate() {
            if at > 0 {
                data.push(b':');
            }
            data.extend(escaped(layer).as_os_str().as_bytes());
        }
        if let Some((upper, work)) = self.upper {
            for (key, path) in [(&b",upperdir="[..], upper), (b",workdir=", work)] {
                data.extend(key);
                data.extend(escaped(path).as_os_str().as_bytes());
            }
        }
        for (key, value) in self.options {
            data.extend(format!(",{key}").bytes());
            match value {
                // A label has commas of its own.
                Some(value) if value.contains(',') => data.extend(format!("=\"{value}\"").bytes()),
                Some(value) => data.extend(format!("={value}").bytes()),
                None => {}
            }
        }
        OsString::from_vec(data)
    }
}

/// Separators of the option string with a backslash before them (overlayfs documentation, "Multiple
/// lower layers").
fn escaped(path: &Path) -> PathBuf {
    let mut text = Vec::new();
    for &byte in path.as_os_str().as_bytes() {
        if matches!(byte, b':' | b',' | b'\\') {
            text.push(b'\\');
        }
        text.push(byte);
    }
    OsString::from_vec(text).into()
}

#[cfg(test)]
mod tests {
    use super::super::mount::unmount_fd;
    use super::super::paths::tests::TempDir;
    use super::super::paths::{OVERLAY_MAGIC, filesystem};
    use super::*;
    use std::fs;

    /// A tmpfs (overlayfs takes no upper on overlayfs) with layers whose names have every
    /// separator.
    struct Lab {
        dir: TempDir,
        mount: OwnedFd,
        layers: Vec<PathBuf>,
    }

    impl Lab {
        fn new(width: usize) -> Lab {
            let dir = TempDir::new();
            let target = Root::open(&dir.path).unwrap();
            let mount = super::super::mount::tmpfs(&[], Attr::NONE)
                .unwrap()
                .attach(target)
                .unwrap();
            let name = |n: usize| dir.path.join(format!("l:{n},\\{}", "x".repeat(width)));
            let layers: Vec<_> = (0..3).map(name).collect();
            for (n, layer) in layers.iter().enumerate() {
                fs::create_dir(layer).unwrap();
                fs::write(layer.join("who"), n.to_string()).unwrap();
                fs::write(layer.join(format!("only{n}")), "").unwrap();
            }
            for name in ["up:,\\", "work:,\\", "merged"] {
                fs::create_dir(dir.path.join(name)).unwrap();
            }
            Lab { dir, mount, layers }
        }

        fn check(&self, mount: impl FnOnce(&Overlay<'_>, Root) -> io::Result<OwnedFd>) {
            let path = |name: &str| self.dir.path.join(name);
            let (upper, work, merged) = (path("up:,\\"), path("work:,\\"), path("merged"));
            let attr = Attr::NODEV;
            let upper_work = Some((upper.as_path(), work.as_path()));
            let options = &[("metacopy", Some("off"))];
            let overlay = Overlay {
                lower: &self.layers,
                upper: upper_work,
                options,
                attr,
            };
            let root = mount(&overlay, Root::open(&merged).unwrap()).unwrap();
            assert_eq!(filesystem(&root).unwrap(), OVERLAY_MAGIC);
            assert_eq!(fs::read_to_string(merged.join("who")).unwrap(), "0");
            assert!((0..3).all(|n| merged.join(format!("only{n}")).exists()));
            fs::write(merged.join("new"), "").unwrap();
            assert!(upper.join("new").exists());
            let infos = super::super::mountinfo::read_mountinfo().unwrap();
            let info = infos
                .iter()
                .find(|info| info.mount_point == merged)
                .unwrap();
            assert!(info.options.contains("nodev"));
            unmount_fd(root).unwrap();
            assert!(!merged.join("who").exists());
        }
    }

    impl Drop for Lab {
        fn drop(&mut self) {
            let _ = unmount_fd(&self.mount);
        }
    }

    #[test]
    fn layers_mount_one_by_one_and_as_one_string() {
        let lab = Lab::new(1);
        lab.check(|overlay, target| overlay.detached()?.attach(target));
        lab.check(|overlay, target| overlay.attach_classic(target));
        lab.check(|overlay, target| overlay.attach(target));
    }

    #[test]
    fn long_paths_fall_back_and_too_long_ones_are_refused() {
        let lab = Lab::new(240);
        lab.check(|overlay, target| {
            assert_eq!(
                overlay.detached().unwrap_err().raw_os_error(),
                Some(libc::EINVAL)
            );
            overlay.attach(target)
        });
        let many = vec![lab.layers[0].clone(); 20];
        let overlay = Overlay {
            lower: &many,
            upper: None,
            options: &[],
            attr: Attr::NONE,
        };
        let target = Root::open(lab.dir.path.join("merged")).unwrap();
        assert_eq!(
            overlay.attach(target).unwrap_err().raw_os_error(),
            Some(libc::E2BIG)
        );
    }
}
