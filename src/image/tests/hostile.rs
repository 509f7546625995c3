//! Layers that want out, or want all of the machine.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use super::super::Digest;
use super::super::compression::Compression;
use super::super::limits::Limits;
use super::super::sweep::remove_tree;
use super::build::{Head, Tar, gzip};
use super::unpacking::{Bench, root_cause};
use super::{TempDir, picture};

/// Unpacks; the canary beside the layer stays as it is. Gives the error, if any.
fn attack(tar: impl FnOnce(&str) -> Tar) -> Option<String> {
    let bench = Bench::new();
    let canary = bench.dir.join("canary");
    let before = picture(&canary);
    let result = bench.tar(tar(canary.to_str().unwrap()));
    assert_eq!(picture(&canary), before);
    let beside: Vec<_> = fs::read_dir(&bench.dir.0)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(
        beside.len(),
        5,
        "tree, lower, trash, canary, blob; got {beside:?}"
    );
    result.err().map(|err| root_cause(&err))
}

#[test]
fn paths_that_climb_are_refused() {
    for path in [
        "../canary/file",
        "a/../../canary/file",
        "/../canary/file",
        "..",
    ] {
        let error = attack(|_| Tar::new().file(path, b"evil"));
        assert!(error.unwrap().contains(".."), "{path}");
        let error = attack(|_| Tar::new().dir(path, 0o777));
        assert!(error.unwrap().contains(".."), "{path}");
        let error = attack(|_| Tar::new().file("f", b"").link("g", path));
        assert!(error.unwrap().contains(".."), "{path}");
        let error = attack(|_| {
            Tar::new()
                .pax(&[("path", path.as_bytes())])
                .file("f", b"evil")
        });
        assert!(error.unwrap().contains(".."), "{path}");
    }
}

#[test]
fn absolute_paths_stay_inside() {
    assert_eq!(
        attack(|canary| Tar::new().file(&format!("{canary}/file"), b"evil")),
        None
    );
    let error = attack(|canary| Tar::new().link("f", &format!("{canary}/file")));
    assert!(error.unwrap().contains("does not exist"));
}

#[test]
fn files_through_symlinks_stay_inside() {
    let through = |target: fn(&str) -> String| {
        attack(move |canary| {
            Tar::new()
                .symlink("way", &target(canary))
                .file("way/file", b"evil")
        })
    };
    assert!(through(|canary| canary.to_owned()).is_some());
    assert!(through(|_| "../canary".to_owned()).is_some());
    assert!(
        through(|_| "../../../../../../..".to_owned()).is_none(),
        "the layer's own root"
    );
    assert!(through(|_| "/proc/self/root".to_owned()).is_some());
    // Inside the layer a symlink leads where it says.
    let bench = Bench::new();
    let tar = Tar::new()
        .dir("usr/lib", 0o755)
        .symlink("lib", "/usr/lib")
        .file("lib/so", b"x");
    bench.tar(tar).unwrap();
    assert_eq!(fs::read(bench.path("usr/lib/so")).unwrap(), b"x");
}

#[test]
fn writing_over_a_symlink_replaces_it() {
    let over = |head: fn() -> Head<'static>| {
        attack(move |canary| {
            Tar::new()
                .symlink("f", &format!("{canary}/file"))
                .add(head(), b"")
        })
    };
    assert_eq!(
        over(|| Head {
            path: "f",
            mode: 0o4777,
            owner: 5,
            ..Head::default()
        }),
        None
    );
    assert_eq!(
        over(|| Head {
            path: "f",
            kind: b'5',
            owner: 5,
            ..Head::default()
        }),
        None
    );
    assert_eq!(
        over(|| Head {
            path: "f",
            kind: b'6',
            owner: 5,
            ..Head::default()
        }),
        None
    );
    let linked = attack(|canary| {
        Tar::new()
            .symlink("s", &format!("{canary}/file"))
            .link("hard", "s")
            .file("hard", b"evil")
    });
    assert_eq!(linked, None);
    // A directory turned into a symlink gets nothing of the directory's metadata.
    let swapped = attack(|canary| Tar::new().dir("d", 0o777).symlink("d", canary));
    assert_eq!(swapped, None);
}

#[test]
fn hard_links_to_what_a_symlink_shows_stay_inside() {
    let error = attack(|canary| Tar::new().symlink("way", canary).link("stolen", "way/file"));
    assert!(error.unwrap().contains("does not exist"));
    let error = attack(|_| Tar::new().dir("d", 0o755).link("e", "d"));
    assert_eq!(error.unwrap(), "hard link to a directory");
    assert_eq!(attack(|_| Tar::new().file("f", b"").link("f", "f")), None);
    let error = attack(|_| Tar::new().file(".wh.x", b"").link("y", "x"));
    assert_eq!(error.unwrap(), "hard link to a deleted file");
}

#[test]
fn odd_whiteouts_do_no_harm() {
    for name in [".wh.", ".wh..", ".wh...", "d/.wh..."] {
        let error = attack(|_| Tar::new().file(name, b""));
        assert_eq!(error.unwrap(), "whiteout of nothing", "{name}");
    }
    let error = attack(|canary| Tar::new().symlink("way", canary).file("way/.wh.file", b""));
    assert!(error.is_some());
    let error = attack(|canary| {
        Tar::new()
            .symlink("way", canary)
            .file("way/.wh..wh..opq", b"")
    });
    assert!(error.is_some());
    let error = attack(|_| Tar::new().file("a/.wh.b/c", b""));
    assert!(error.unwrap().contains("name of a whiteout"));
    // The root of the layer is a directory and stays one.
    assert!(attack(|_| Tar::new().symlink(".", "/etc")).is_some());
}

#[test]
fn attributes_of_overlayfs_are_dropped() {
    let bench = Bench::new();
    let redirect = ("SCHILY.xattr.trusted.overlay.redirect", &b"/etc"[..]);
    let user = ("SCHILY.xattr.user.overlay.opaque", &b"y"[..]);
    bench
        .tar(Tar::new().pax(&[redirect, user]).dir("d", 0o755))
        .unwrap();
    let dir = crate::sys::paths::Root::open(bench.path("d")).unwrap();
    assert!(
        crate::sys::xattr::list_xattrs(dir)
            .unwrap()
            .iter()
            .all(|n| n == "security.selinux")
    );
}

#[test]
fn extension_headers_are_bounded() {
    // A header that promises 2 GB, with as many bytes to read: no memory is taken for it.
    let head = Head {
        kind: b'x',
        path: "pax",
        size: 2 << 30,
        ..Head::default()
    };
    let error = attack(|_| Tar::new().add(head, b"").file("f", b""));
    assert!(error.unwrap().contains("extension headers"));
    let half = "x".repeat(600_000);
    let record = [("comment", half.as_bytes())];
    let error = attack(|_| Tar::new().pax(&record).pax(&record).file("f", b""));
    assert!(error.unwrap().contains("extension headers"));
    for records in [
        "9 a=b\n",
        "5\n",
        "99 path=x\n",
        "0 \n",
        "6 abcd",
        "-5 a=b\n",
        "7 ab=c\n\n",
    ] {
        let size = records.len() as u64;
        let head = Head {
            kind: b'x',
            path: "pax",
            size,
            ..Head::default()
        };
        assert!(attack(|_| Tar::new().add(head, records.as_bytes()).file("f", b"")).is_some());
    }
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let sparse = [("GNU.sparse.major", &b"1"[..])];
    let error = attack(|_| Tar::new().pax(&sparse).file("GNUSparseFile.0/f", b""));
    assert!(error.unwrap().contains("GNU.sparse"));
    let error = attack(|_| {
        Tar::new().add(
            Head {
                kind: b'M',
                path: "part",
                ..Head::default()
            },
            b"",
        )
    });
    assert!(error.unwrap().contains("entry type 'M'"));
    for (key, value) in [
        ("uid", "4294967296"),
        ("gid", "-1"),
        ("uid", "4294967295"),
        ("size", "x"),
    ] {
        let error = attack(|_| Tar::new().pax(&[(key, value.as_bytes())]).file("f", b""));
        assert!(error.unwrap().contains("out of range"), "{key}={value}");
    }
    let error = attack(|_| Tar::new().long_name(&"a/".repeat(2500)).file("f", b""));
    assert!(error.unwrap().contains("4095"));
    let error = attack(|_| Tar::new().long_name(&"n".repeat(300)).file("f", b""));
    assert!(error.unwrap().to_lowercase().contains("name too long"));
    let error = attack(|_| Tar::new().pax(&[("path", b"a\0b")]).file("f", b""));
    assert!(error.unwrap().contains("NUL"));
}

#[test]
fn damaged_and_cut_archives_are_refused() {
    let whole = Tar::new().file("a", &[1; 3000]).file("b", &[2; 3000]).end();
    let id = Digest::of(&whole);
    for cut in [
        1,
        511,
        512,
        513,
        3000,
        3584,
        4096,
        5000,
        7168,
        whole.len() - 1,
    ] {
        let bench = Bench::new();
        assert!(
            bench.stream(&whole[..cut], Compression::None, &id).is_err(),
            "cut at {cut}"
        );
    }
    for at in [0, 120, 300, 600, 4000] {
        let bench = Bench::new();
        let mut damaged = whole.clone();
        damaged[at] ^= 0x15;
        assert!(
            bench.stream(&damaged, Compression::None, &id).is_err(),
            "damaged at {at}"
        );
    }
    let bench = Bench::new();
    let zipped = gzip(&whole);
    let cut = &zipped[..zipped.len() - 9];
    assert!(bench.stream(cut, Compression::Gzip, &id).is_err());
}

#[test]
fn bombs_stop_at_the_limit() {
    let limits = Limits {
        entries: 100,
        bytes: 8 << 20,
        ratio: 100,
        free: 1 << 20,
    };
    let fail = |bytes: Vec<u8>, how| {
        let bench = Bench::new();
        let err = bench
            .limited(&bytes, how, &Digest::of(b""), limits)
            .unwrap_err();
        root_cause(&err)
    };
    let zeros = vec![0u8; 6 << 20];
    let big = Tar::new().file("big", &zeros).end();
    assert!(fail(gzip(&big), Compression::Gzip).contains("limit"));
    let zstd = zstd::stream::encode_all(&big[..], 3).unwrap();
    assert!(fail(zstd, Compression::Zstd).contains("limit"));
    // All of it behind the end of the archive.
    let tail = [Tar::new().file("a", b"").end(), zeros.clone(), zeros].concat();
    assert!(fail(gzip(&tail), Compression::Gzip).contains("more than"));
    let head = Head {
        path: "huge",
        size: 0o77777777777,
        ..Head::default()
    };
    assert!(fail(Tar::new().add(head, b"").end(), Compression::None).contains("limit"));
    let many = (0..101).fold(Tar::new(), |tar, n| tar.file(&format!("f{n}"), b""));
    assert!(fail(many.end(), Compression::None).contains("more than 100 entries"));
}

#[test]
fn trees_of_any_depth_are_removed() {
    let bench = Bench::new();
    let deep = "d/".repeat(2000);
    let mut tar = Tar::new().long_name(&deep).dir("ignored", 0o755);
    // Each symlink starts where the last one ended: far deeper than any path can say.
    for step in 0..3 {
        let (name, from) = (format!("s{step}"), "d/".repeat(2000));
        tar = tar
            .pax(&[("linkpath", from.as_bytes())])
            .symlink(&name, "ignored");
        tar = tar
            .long_name(&format!("{name}/{}", "e/".repeat(1000)))
            .dir("ignored", 0o755);
    }
    let _ = bench.tar(tar);
    let outside = TempDir::new();
    fs::write(outside.join("kept"), "").unwrap();
    symlink(&outside.0, bench.path("link-out")).unwrap();
    fs::create_dir(bench.path("lifted-1")).unwrap();
    fs::write(bench.path("lifted-1/f"), "").unwrap();
    remove_tree(&bench.tree).unwrap();
    assert!(!bench.tree.exists() && outside.join("kept").exists());
    remove_tree(&bench.tree).unwrap();
}

#[test]
fn reading_stops_at_the_end_of_an_entry() {
    let bytes = Tar::new().file("a", b"abc").file("b", b"de").end();
    let mut archive = super::super::tar_stream::TarStream::new(&bytes[..]);
    let mut text = String::new();
    archive.next_entry().unwrap().unwrap();
    archive.read_to_string(&mut text).unwrap();
    archive.next_entry().unwrap().unwrap();
    archive.read_to_string(&mut text).unwrap();
    assert!(archive.next_entry().unwrap().is_none());
    assert_eq!(text, "abcde");
}
