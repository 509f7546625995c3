//! The files of a volume as an archive, and an archive into a volume: by descriptors below its directory.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Component, Path};

use nix::libc::{O_DIRECTORY, O_RDONLY};

use super::place::{How, Tree};
use super::{Sink, archive, walk};
use crate::api::Layout;
use crate::container::ContainerError;
use crate::image::Limits;
use crate::image::compression::Compression;
use crate::image::meta::Meta;
use crate::image::tar_stream::{Kind, TarStream};
use crate::store::copy_tree::Shift;
use crate::store::{self, volumes};
use crate::sys::paths::{Lock, Root};
use crate::types::VolumeName;

/// Writes the files of a volume as an archive.
///
/// # Errors
/// A file cannot be read, or the archive not written.
pub fn export(
    layout: &Layout,
    name: &VolumeName,
    to: &mut dyn Write,
) -> Result<(), ContainerError> {
    let failed = || ContainerError::io("export volume", name.as_str());
    // Nobody removes it meanwhile.
    let _hold = volumes::hold(layout, Lock::Shared)?;
    let root = Root::open(layout.volume_data(name)).map_err(failed())?;
    let mut sink = archive::Archive::new(to, None);
    let mut walk = walk::Walk::new(&mut sink, Shift::default());
    walk.contents(&root, "".as_ref())
        .and_then(|()| sink.finish())
        .map_err(failed())
}

/// Puts the files of an archive, compressed or not, into a volume; what is there and not in the archive stays. An
/// archive that cannot be read to its end changes nothing.
///
/// # Errors
/// The archive is none, is larger than [`Limits`] allow, or has a path that leads out of it; or a file cannot be made.
pub fn import(
    layout: &Layout,
    name: &VolumeName,
    from: &mut dyn Read,
) -> Result<(), ContainerError> {
    let failed = || ContainerError::io("import into volume", name.as_str());
    let hold = volumes::hold(layout, Lock::Shared)?;
    volumes::load(layout, name)?;
    let stage = volumes::stage(layout, &hold)?;
    let result = staged(&layout.volume_data(name), &stage, from).map_err(failed());
    // The first error is the one to tell; the next removal of a volume sweeps.
    let swept = store::remove_tree(&stage);
    result.and(Ok(swept?))
}

fn staged(data: &Path, stage: &Path, from: &mut dyn Read) -> io::Result<()> {
    let new = Root::open(stage)?;
    let top = unpack(&new, from)?;
    let data = Root::open(data)?;
    let mut tree = tree(&data);
    let mut walk = walk::Walk::new(&mut tree, Shift::default());
    walk.contents(&new, "".as_ref())?;
    tree.finish()?;
    let dir = data.open_beneath(".", O_RDONLY | O_DIRECTORY, 0)?;
    if let Some(top) = top {
        top.apply(&dir)?;
    }
    Ok(nix::unistd::syncfs(&dir)?)
}

fn tree(root: &Root) -> Tree<'_> {
    let how = How {
        follow: true,
        overwrite: true,
        devices: true,
        owner: None,
        shift: Shift::default(),
    };
    Tree::new(root, "".into(), how)
}

/// Unpacks an archive into an empty directory; what it says of its top.
fn unpack(root: &Root, from: &mut dyn Read) -> io::Result<Option<Meta>> {
    let limits = Limits::default();
    let mut from = BufReader::with_capacity(1 << 16, from);
    let compression = Compression::of_content(from.fill_buf()?);
    let content = Bounded {
        inner: compression.reader(from)?,
        left: limits.bytes,
    };
    let mut archive = TarStream::new(content);
    let (mut tree, mut entries, mut top) = (tree(root), 0, None);
    while let Some(entry) = archive.next_entry()? {
        entries += 1;
        if entries > limits.entries {
            return super::refused(format!("more than {} entries", limits.entries));
        }
        let is_top = |part: Component<'_>| matches!(part, Component::CurDir | Component::RootDir);
        if entry.kind == Kind::Directory && entry.path.components().all(is_top) {
            top = Some(Meta::of_entry(&entry));
        }
        let named = |error: io::Error| {
            io::Error::new(error.kind(), format!("{}: {error}", entry.path.display()))
        };
        tree.put(&entry, &mut archive).map_err(named)?;
    }
    // An archive has an end, which is a block of zeros; nothing at all is no archive.
    if entries == 0 && !archive.into_inner().was_read() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    tree.finish()?;
    Ok(top)
}

/// A reader that gives no more than so many bytes.
struct Bounded<R> {
    inner: R,
    left: u64,
}

impl<R> Bounded<R> {
    fn was_read(&self) -> bool {
        self.left < Limits::default().bytes
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let left = self.left.checked_sub(read as u64);
        self.left = left.ok_or_else(|| io::Error::other("the archive is too large"))?;
        Ok(read)
    }
}

/// Opens an archive that a user names.
///
/// # Errors
/// It cannot be opened.
pub fn open_archive(path: &Path) -> io::Result<File> {
    let file = File::open(path)?;
    match file.metadata()?.is_dir() {
        true => Err(io::Error::from(io::ErrorKind::IsADirectory)),
        false => Ok(file),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use std::path::PathBuf;

    struct Case(PathBuf, Layout, VolumeName);

    impl Case {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("unitbox-volume-{}-{name}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("canary"), "unchanged").unwrap();
            let layout = Layout::new(path.join("root"));
            let name: VolumeName = "data".parse().unwrap();
            volumes::ensure(&layout, &name, false).unwrap();
            Self(path, layout, name)
        }

        fn data(&self, path: &str) -> PathBuf {
            self.1.volume_data(&self.2).join(path)
        }

        fn import(&self, mut archive: &[u8]) -> Result<(), ContainerError> {
            let result = import(&self.1, &self.2, &mut archive);
            let left = fs::read_dir(self.1.volumes()).unwrap();
            let left = left.filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_string_lossy()
                    .starts_with(".new")
            });
            assert_eq!(left.count(), 0);
            assert_eq!(
                fs::read_to_string(self.0.join("canary")).unwrap(),
                "unchanged"
            );
            result
        }
    }

    impl Drop for Case {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind, text) in entries {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(0o640);
            header.set_mtime(7);
            header.set_uid(3);
            header.set_gid(4);
            let content = match kind {
                Symlink | Link => {
                    header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
                    ""
                }
                _ => text,
            };
            header.set_size(content.len() as u64);
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    use tar::EntryType::{Directory, Link, Regular, Symlink};

    #[test]
    fn what_is_exported_comes_back_and_the_rest_stays() {
        let case = Case::new("round");
        fs::write(case.data("old"), "stays").unwrap();
        fs::write(case.data("both"), "before").unwrap();
        let text = archive(&[
            ("./", Directory, ""),
            ("sub/both", Regular, "x"),
            ("both", Regular, "after"),
            ("hard", Link, "both"),
        ]);
        case.import(&text).unwrap();
        assert_eq!(fs::read_to_string(case.data("both")).unwrap(), "after");
        assert_eq!(fs::read_to_string(case.data("old")).unwrap(), "stays");
        let about = fs::metadata(case.data("hard")).unwrap();
        assert_eq!(
            (about.uid(), about.gid(), about.mtime(), about.nlink()),
            (3, 4, 7, 2)
        );
        let top = fs::metadata(case.data("")).unwrap();
        assert_eq!((top.mode() & 0o7777, top.uid()), (0o640, 3));

        let mut first = Vec::new();
        export(&case.1, &case.2, &mut first).unwrap();
        let other = Case::new("back");
        other.import(&first).unwrap();
        let mut second = Vec::new();
        export(&other.1, &other.2, &mut second).unwrap();
        assert!(first == second && !first.is_empty());
    }

    #[test]
    fn a_compressed_archive_is_read_and_an_empty_one_is_one() {
        let case = Case::new("zip");
        let mut zip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        zip.write_all(&archive(&[("f", Regular, "x")])).unwrap();
        case.import(&zip.finish().unwrap()).unwrap();
        assert!(case.data("f").exists());
        case.import(&[0; 1024]).unwrap();
    }

    #[test]
    fn nothing_lands_outside_and_a_bad_archive_changes_nothing() {
        let case = Case::new("hostile");
        // Before us, somebody in a container was here.
        symlink(&case.0, case.data("own")).unwrap();
        case.import(&archive(&[("own/canary", Regular, "changed")]))
            .unwrap();
        assert_eq!(
            fs::read_to_string(case.data("own/canary")).unwrap(),
            "changed"
        );
        let target = case.0.display().to_string();
        for bad in [
            archive(&[
                ("good", Regular, "x"),
                ("out", Symlink, &target),
                ("out/canary", Regular, "changed"),
            ]),
            archive(&[("good", Regular, "x"), ("../canary", Regular, "changed")]),
            archive(&[("good", Regular, "x"), ("hard", Link, "../../../canary")]),
            archive(&[("good", Regular, "x"), ("hard", Link, "nothing")]),
            archive(&[("good", Regular, "x"), ("more", Regular, "y")])[..1200].to_vec(),
            b"junk\n".to_vec(),
            Vec::new(),
        ] {
            case.import(&bad).unwrap_err();
            assert!(!case.data("good").exists());
        }
    }
}
