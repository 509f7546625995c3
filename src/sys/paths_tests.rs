//! Tests of `paths`: what a container may have planted, and what must come of it.

use super::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

/// A directory of the test's own.
pub(in super::super) struct TempDir {
    pub(in super::super) path: PathBuf,
}

impl TempDir {
    pub(in super::super) fn new() -> TempDir {
        let id = u64::from_ne_bytes(super::super::id::random_bytes::<8>().unwrap());
        let path = std::env::temp_dir().join(format!("unitbox-sys-{id:016x}"));
        fs::create_dir(&path).unwrap();
        TempDir { path }
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// `out/secret` beside `root`, which has symlinks to it in every way.
fn trap() -> (TempDir, Root) {
    let dir = TempDir::new();
    let (root, out) = (dir.path.join("root"), dir.path.join("out"));
    fs::create_dir_all(root.join("sub/deep")).unwrap();
    fs::create_dir(&out).unwrap();
    fs::write(out.join("secret"), "secret").unwrap();
    symlink(&out, root.join("absolute")).unwrap();
    symlink("../out", root.join("relative")).unwrap();
    symlink("/sub", root.join("inner")).unwrap();
    symlink("/proc/self/root", root.join("magic")).unwrap();
    symlink("nowhere", root.join("dangling")).unwrap();
    let opened = Root::open(&root).unwrap();
    (dir, opened)
}

fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|err| err.raw_os_error())
}

#[test]
fn no_path_leaves_the_root() {
    let (dir, root) = trap();
    for path in [
        "absolute/secret",
        "relative/secret",
        "../out/secret",
        "sub/../../out/secret",
        "/../out/secret",
    ] {
        assert_eq!(
            errno(root.open_in(path, libc::O_RDONLY, 0)),
            Some(libc::ENOENT),
            "{path}"
        );
        assert!(
            root.open_beneath(path, libc::O_RDONLY, 0).is_err(),
            "{path}"
        );
    }
    let inner = root.open_in("inner/deep", DIR, 0).unwrap();
    let wanted = fs::metadata(dir.path.join("root/sub/deep")).unwrap();
    assert_eq!(stat(&inner).unwrap().st_ino, wanted.ino());
    assert_eq!(
        errno(root.open_beneath("inner/deep", DIR, 0)),
        Some(libc::EXDEV)
    );
    let proc = Root::open("/proc").unwrap();
    assert_eq!(
        errno(proc.open_in("self/root/etc", DIR, 0)),
        Some(libc::ELOOP)
    );
    assert_eq!(root.read_link("dangling").unwrap(), Path::new("nowhere"));
    assert_eq!(root.read_link("inner").unwrap(), Path::new("/sub"));
    assert_eq!(errno(root.read_link("sub")), Some(libc::EINVAL));
    assert_eq!(
        stat(root.dir_in("inner/deep").unwrap()).unwrap().st_ino,
        wanted.ino()
    );
}

#[test]
fn directories_are_made_inside_and_reported() {
    let (dir, root) = trap();
    let made = root.make_dirs("/inner/a/b", 0o2777).unwrap();
    let paths: Vec<_> = made
        .created
        .iter()
        .map(|made| made.path.as_path())
        .collect();
    assert_eq!(paths, [Path::new("inner/a"), Path::new("inner/a/b")]);
    let real = fs::metadata(dir.path.join("root/sub/a/b")).unwrap();
    assert_eq!(
        (real.ino(), real.mode() & 0o7777),
        (stat(&made.dir).unwrap().st_ino, 0o2777)
    );
    assert!(
        root.make_dirs("inner/./a/b", 0o755)
            .unwrap()
            .created
            .is_empty()
    );
    assert!(root.make_dirs("", 0o755).unwrap().created.is_empty());
    assert_eq!(root.make_dirs("../../x", 0o755).unwrap().created.len(), 1);
    assert!(dir.path.join("root/x").is_dir() && !dir.path.join("x").exists());
    assert_eq!(errno(root.make_dirs("new/../y", 0o755)), Some(libc::EINVAL));
    assert_eq!(
        errno(root.make_dirs("dangling/y", 0o755)),
        Some(libc::ENOTDIR)
    );
    assert!(!dir.path.join("root/nowhere").exists());
    // An absolute link to outside names a place inside, which is not there.
    assert_eq!(
        errno(root.make_dirs("absolute/y", 0o755)),
        Some(libc::ENOTDIR)
    );
    assert_eq!(fs::read_dir(dir.path.join("out")).unwrap().count(), 1);
    chown(&made.created[0].fd, 12345, 54321).unwrap();
    assert_eq!(stat(&made.created[0].fd).unwrap().st_uid, 12345);
}

#[test]
fn a_directory_that_is_swapped_for_a_symlink_never_leads_out() {
    let (dir, root) = trap();
    let (base, stop) = (dir.path.join("root"), AtomicBool::new(false));
    fs::create_dir(base.join("flip")).unwrap();
    symlink(dir.path.join("out"), base.join("link")).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (flip, link) = (
                c_path(base.join("flip")).unwrap(),
                c_path(base.join("link")).unwrap(),
            );
            while !stop.load(Ordering::Relaxed) {
                let (at, exchange) = (libc::AT_FDCWD, libc::RENAME_EXCHANGE);
                // SAFETY: both paths end with NUL.
                unsafe {
                    libc::syscall(
                        libc::SYS_renameat2,
                        at,
                        flip.as_ptr(),
                        at,
                        link.as_ptr(),
                        exchange,
                    )
                };
            }
        });
        for round in 0..3000 {
            let _ = root.make_dirs(format!("flip/{}", round % 50), 0o755);
            assert!(root.open_in("flip/secret", libc::O_RDONLY, 0).is_err());
            assert!(
                root.open_in("flip/../../out/secret", libc::O_RDONLY, 0)
                    .is_err()
            );
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(fs::read_dir(dir.path.join("out")).unwrap().count(), 1);
}

#[test]
fn a_new_name_is_taken_once() {
    let (dir, root) = trap();
    let made = root
        .open_in("one", libc::O_CREAT | libc::O_EXCL | libc::O_WRONLY, 0o600)
        .unwrap();
    assert_eq!(stat(&made).unwrap().st_mode & 0o777, 0o600);
    root.open_in("two", libc::O_CREAT | libc::O_WRONLY, 0o600)
        .unwrap();
    assert_eq!(
        errno(rename_noreplace(&root, "two", &root, "one")),
        Some(libc::EEXIST)
    );
    rename_noreplace(&root, "two", &root, "three").unwrap();
    assert!(dir.path.join("root/three").exists());
    sync_dir(&root).unwrap();
}

#[test]
fn locks_exclude_each_other() {
    let dir = TempDir::new();
    let open = || fs::File::create(dir.path.join("lock")).unwrap();
    let (a, b) = (open(), open());
    assert!(
        lock_file(&a, Lock::Shared, true).unwrap() && lock_file(&b, Lock::Shared, false).unwrap()
    );
    assert!(!lock_file(&a, Lock::Exclusive, false).unwrap());
    unlock_file(&b).unwrap();
    assert!(lock_file(&a, Lock::Exclusive, true).unwrap());
    assert!(!lock_file(&b, Lock::Shared, false).unwrap());
    drop(a);
    assert!(lock_file(&b, Lock::Exclusive, false).unwrap());
}

#[test]
fn file_systems_are_told_apart() {
    let proc = filesystem(Root::open("/proc").unwrap()).unwrap();
    assert_eq!(proc, libc::PROC_SUPER_MAGIC as u32);
    assert_ne!(proc, CGROUP2_MAGIC);
    assert_eq!(CGROUP2_MAGIC, 0x6367_7270);
    assert_eq!((OVERLAY_MAGIC, TMPFS_MAGIC), (0x794c_7630, 0x0102_1994));
}
