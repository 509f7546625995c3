//! What a layer looks like once it is unpacked.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::PathBuf;

use super::super::Digest;
use super::super::compression::Compression;
use super::super::error::{Error, Result};
use super::super::limits::Limits;
use super::super::lower::Lowers;
use super::super::meta::OPAQUE;
use super::super::unpack::{Layer, unpack};
use super::TempDir;
use super::build::{Head, Tar, checksum, gzip};
use crate::sys::paths::Root;
use crate::sys::xattr::{get_xattr, set_xattr};

/// A place to unpack in; `lower` is a layer below that tests fill by hand.
pub(super) struct Bench {
    pub(super) dir: TempDir,
    pub(super) tree: PathBuf,
    pub(super) lower: PathBuf,
}

impl Bench {
    pub(super) fn new() -> Bench {
        let dir = TempDir::new();
        let (tree, lower) = (dir.join("tree"), dir.join("lower"));
        for made in [&tree, &lower, &dir.join("trash"), &dir.join("canary")] {
            fs::create_dir(made).unwrap();
        }
        fs::write(dir.join("canary/file"), "untouched").unwrap();
        Bench { dir, tree, lower }
    }

    pub(super) fn stream(&self, bytes: &[u8], how: Compression, diff_id: &Digest) -> Result<u64> {
        self.limited(bytes, how, diff_id, Limits::default())
    }

    pub(super) fn limited(
        &self,
        bytes: &[u8],
        compression: Compression,
        diff_id: &Digest,
        limits: Limits,
    ) -> Result<u64> {
        let blob = self.dir.join("blob");
        fs::write(&blob, bytes).unwrap();
        let blob = File::open(blob).unwrap();
        let layer = Layer {
            blob,
            compression,
            diff_id,
            limits,
        };
        let lowers = Lowers::open(std::slice::from_ref(&self.lower)).unwrap();
        unpack(layer, &self.tree, &self.dir.join("trash"), lowers)
    }

    pub(super) fn tar(&self, tar: Tar) -> Result<u64> {
        let bytes = tar.end();
        self.stream(&bytes, Compression::None, &Digest::of(&bytes))
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.tree.join(name)
    }

    fn about(&self, name: &str) -> fs::Metadata {
        fs::symlink_metadata(self.path(name)).unwrap_or_else(|err| panic!("{name}: {err}"))
    }

    fn is_whiteout(&self, name: &str) -> bool {
        self.about(name).file_type().is_char_device() && self.about(name).rdev() == 0
    }

    fn is_opaque(&self, name: &str) -> bool {
        let dir = Root::open(self.path(name)).unwrap();
        get_xattr(dir, OPAQUE).unwrap().as_deref() == Some(b"y")
    }
}

/// The innermost message.
pub(super) fn root_cause(err: &Error) -> String {
    let mut err: &dyn std::error::Error = err;
    while let Some(source) = err.source() {
        err = source;
    }
    err.to_string()
}

#[test]
fn every_kind_of_entry_keeps_its_metadata() {
    let bench = Bench::new();
    let node = |kind, path, device| Head {
        kind,
        path,
        device,
        mode: 0o640,
        owner: 7,
        ..Head::default()
    };
    let capability = [
        1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let tar = Tar::new()
        .dir("./", 0o711)
        .dir("./ro/", 0o555)
        .pax(&[
            ("SCHILY.xattr.security.capability", &capability),
            ("mtime", b"12.5"),
            ("uid", b"70000"),
        ])
        .add(
            Head {
                path: "./ro/ping",
                mode: 0o4755,
                size: 3,
                ..Head::default()
            },
            b"elf",
        )
        .link("ro/ping2", "./ro/ping")
        .symlink("abs", "/etc/passwd")
        .link("abs2", "abs")
        .add(node(b'3', "null", (1, 3)), b"")
        .add(node(b'4', "disk", (8, 300)), b"")
        .add(node(b'6', "fifo", (0, 0)), b"");
    bench.tar(tar).unwrap();
    assert_eq!(bench.about("").mode() & 0o7777, 0o711);
    let dir = bench.about("ro");
    assert_eq!((dir.mode() & 0o7777, dir.mtime()), (0o555, 1_700_000_000));
    let ping = bench.about("ro/ping");
    assert_eq!(ping.mode() & 0o7777, 0o4755);
    assert_eq!((ping.uid(), ping.gid(), ping.nlink()), (70000, 0, 2));
    assert_eq!((ping.mtime(), ping.mtime_nsec()), (12, 500_000_000));
    let file = File::open(bench.path("ro/ping2")).unwrap();
    assert_eq!(
        get_xattr(&file, "security.capability").unwrap().as_deref(),
        Some(&capability[..])
    );
    assert_eq!(
        fs::read_link(bench.path("abs2")).unwrap(),
        PathBuf::from("/etc/passwd")
    );
    assert_eq!(bench.about("abs").mtime(), 1_700_000_000);
    for (name, device) in [("null", (1, 3)), ("disk", (8, 300)), ("fifo", (0, 0))] {
        let about = bench.about(name);
        assert_eq!(
            (about.mode() & 0o7777, about.uid(), about.mtime()),
            (0o640, 7, 1_700_000_000)
        );
        let device = nix::sys::stat::makedev(device.0, device.1);
        assert_eq!(about.rdev(), device, "{name}");
    }
    assert!(bench.about("disk").file_type().is_block_device());
    assert!(bench.about("fifo").file_type().is_fifo());
}

#[test]
fn whiteouts_become_overlayfs_own() {
    let bench = Bench::new();
    let tar = Tar::new()
        .dir("etc", 0o755)
        .file("etc/.wh.gone", b"")
        .dir("new", 0o755)
        .file("new/.wh..wh..opq", b"")
        .file("new/kept", b"")
        .file(".wh.back", b"")
        .dir("back", 0o700)
        .dir("first", 0o700)
        .file(".wh.first", b"")
        .file("stays", b"x")
        .file(".wh.stays", b"")
        .file(".wh..wh.aufs", b"")
        .file(".wh..wh.plnk/1.2", b"");
    bench.tar(tar).unwrap();
    assert!(bench.is_whiteout("etc/gone"));
    assert!(bench.is_opaque("new") && bench.path("new/kept").exists());
    assert!(bench.is_opaque("back") && bench.is_opaque("first") && !bench.is_opaque("etc"));
    assert_eq!(fs::read(bench.path("stays")).unwrap(), b"x");
    let names = fs::read_dir(&bench.tree).unwrap().count();
    assert_eq!(names, 5, "etc, new, back, first, stays");
}

#[test]
fn a_link_to_a_lower_file_copies_it_up() {
    let bench = Bench::new();
    fs::create_dir_all(bench.lower.join("usr/bin")).unwrap();
    fs::write(bench.lower.join("usr/bin/tool"), "lower").unwrap();
    let usr = File::open(bench.lower.join("usr")).unwrap();
    crate::sys::paths::chmod(&usr, 0o1777).unwrap();
    set_xattr(&usr, "trusted.test", b"v").unwrap();
    bench
        .tar(Tar::new().link("sbin/tool2", "usr/bin/tool"))
        .unwrap();
    assert_eq!(fs::read(bench.path("sbin/tool2")).unwrap(), b"lower");
    assert_eq!(
        bench.about("sbin/tool2").ino(),
        bench.about("usr/bin/tool").ino()
    );
    assert_eq!(bench.about("usr").mode() & 0o7777, 0o1777, "as below");
    let usr = File::open(bench.path("usr")).unwrap();
    assert_eq!(
        get_xattr(usr, "trusted.test").unwrap().as_deref(),
        Some(&b"v"[..])
    );
}

#[test]
fn a_link_to_what_the_layers_below_hide_is_refused() {
    let bench = Bench::new();
    let lower = Root::open(&bench.lower).unwrap();
    let whiteout = nix::sys::stat::SFlag::S_IFCHR;
    nix::sys::stat::mknodat(&lower, "gone", whiteout, nix::sys::stat::Mode::empty(), 0).unwrap();
    let err = bench.tar(Tar::new().link("a", "gone")).unwrap_err();
    assert!(
        root_cause(&err).contains("gone, which does not exist"),
        "{err:?}"
    );
}

#[test]
fn duplicates_replace_and_long_names_work() {
    let bench = Bench::new();
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(250));
    let tar = Tar::new()
        .file("a", b"1")
        .file("a", b"2")
        .dir("d", 0o700)
        .file("d/inner", b"")
        .file("d", b"now a file")
        .symlink("s", "nowhere")
        .file("s", b"now a file")
        .file("t", b"")
        .dir("t", 0o750)
        .long_name(&long)
        .file("ignored", b"gnu")
        .pax(&[("path", "p/\u{e9}".as_bytes())])
        .file("ignored", b"pax");
    bench.tar(tar).unwrap();
    let read = |name: &str| fs::read(bench.path(name)).unwrap();
    assert_eq!(read("a"), b"2");
    assert_eq!(
        (read("d"), read("s")),
        (b"now a file".to_vec(), b"now a file".to_vec())
    );
    assert_eq!(bench.about("t").mode() & 0o7777, 0o750);
    assert_eq!(
        (read(&long), read("p/\u{e9}")),
        (b"gnu".to_vec(), b"pax".to_vec())
    );
}

#[test]
fn old_gnu_sparse_files_are_expanded() {
    let bench = Bench::new();
    let mut head = Head {
        kind: b'S',
        path: "holes",
        size: 1024,
        ..Head::default()
    }
    .block();
    head[257..265].copy_from_slice(b"ustar  \0");
    head[345..].fill(0);
    for (at, value) in [
        (386, 512),
        (398, 512),
        (410, 1 << 20),
        (422, 512),
        (483, 1 << 21),
    ] {
        head[at..at + 12].copy_from_slice(format!("{value:011o}\0").as_bytes());
    }
    checksum(&mut head);
    let mut tar = Tar(head.to_vec());
    tar.0.extend([b'a'; 512]);
    tar.0.extend([b'b'; 512]);
    bench.tar(tar.file("next", b"n")).unwrap();
    let content = fs::read(bench.path("holes")).unwrap();
    assert_eq!(content.len(), 1 << 21);
    assert_eq!(
        (content[511], content[512], content[1023], content[1024]),
        (0, b'a', b'a', 0)
    );
    assert_eq!((content[1 << 20], content[(1 << 20) + 512]), (b'b', 0));
    assert!(bench.about("holes").blocks() * 512 < 1 << 20);
    assert_eq!(fs::read(bench.path("next")).unwrap(), b"n");
}

#[test]
fn compressed_layers_are_hashed_to_their_end() {
    let tar = Tar::new().file("f", b"content").end();
    let id = Digest::of(&tar);
    let (one, two) = tar.split_at(700);
    let members = [gzip(one), gzip(two)].concat();
    let zstd = zstd::stream::encode_all(&tar[..], 3).unwrap();
    for (bytes, how) in [(members, Compression::Gzip), (zstd, Compression::Zstd)] {
        let bench = Bench::new();
        assert_eq!(bench.stream(&bytes, how, &id).unwrap(), tar.len() as u64);
        assert_eq!(fs::read(bench.path("f")).unwrap(), b"content");
    }
    let bench = Bench::new();
    let trailing = [&tar[..], b"garbage"].concat();
    let err = bench.stream(&trailing, Compression::None, &id).unwrap_err();
    assert!(matches!(err, Error::Digest { .. }), "{err:?}");
}
