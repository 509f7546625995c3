//! Tests of `mount`; they need root (CAP_SYS_ADMIN), as CI has.

use super::super::mountinfo::{MountInfo, read_mountinfo};
use super::super::paths::tests::TempDir;
use super::super::paths::{Root, TMPFS_MAGIC, filesystem};
use super::*;
use std::fs;

fn find(path: &Path) -> Option<MountInfo> {
    read_mountinfo()
        .unwrap()
        .into_iter()
        .rfind(|info| info.mount_point == path)
}

#[test]
fn a_tmpfs_is_attached_changed_and_unmounted() {
    let dir = TempDir::new();
    let detached = tmpfs(
        &[("size", "1m"), ("mode", "0700")],
        Attr::NOSUID | Attr::NODEV,
    )
    .unwrap();
    assert!(find(&dir.path).is_none());
    let root = detached.attach(Root::open(&dir.path).unwrap()).unwrap();
    assert_eq!(filesystem(&root).unwrap(), TMPFS_MAGIC);
    let info = find(&dir.path).unwrap();
    assert_eq!(
        (info.fs_type.as_str(), info.source.to_str()),
        ("tmpfs", Some("tmpfs"))
    );
    assert!(info.options.contains("nosuid") && info.options.contains("nodev"));
    assert!(info.super_options.to_str().unwrap().contains("size=1024k"));
    let change = Change {
        set: Attr::RDONLY | Attr::NOATIME,
        clear: Attr::NODEV,
        ..Change::default()
    };
    mount_setattr(&root, &change).unwrap();
    assert!(fs::write(dir.path.join("x"), "").is_err());
    let options = find(&dir.path).unwrap().options;
    assert!(
        options.contains("noatime") && !options.contains("nodev"),
        "{options}"
    );
    assert_eq!(
        unmount(&dir.path, false).unwrap_err().raw_os_error(),
        Some(libc::EBUSY)
    );
    unmount(&dir.path, true).unwrap();
    assert!(find(&dir.path).is_none());
    assert_eq!(
        unmount(&dir.path, true).unwrap_err().raw_os_error(),
        Some(libc::EINVAL)
    );
}

#[test]
fn a_bind_mount_of_a_file_is_read_only_from_its_first_moment() {
    let dir = TempDir::new();
    let (source, target) = (dir.path.join("source"), dir.path.join("target"));
    fs::write(&source, "text").unwrap();
    fs::write(&target, "").unwrap();
    let tree = open_tree_clone(fs::File::open(&source).unwrap(), false).unwrap();
    let propagation = Some(Propagation::Private);
    tree.change(&Change {
        set: Attr::RDONLY,
        propagation,
        ..Change::default()
    })
    .unwrap();
    let root = tree.attach(fs::File::open(&target).unwrap()).unwrap();
    assert_eq!(fs::read_to_string(&target).unwrap(), "text");
    assert!(fs::write(&target, "").is_err());
    assert_eq!(find(&target).unwrap().shared, None);
    unmount_fd(&root).unwrap();
    assert!(find(&target).is_none());
}

#[test]
fn a_dropped_mount_leaves_nothing_and_a_recursive_bind_takes_what_is_below() {
    let dir = TempDir::new();
    for name in ["a/below", "b", "c"] {
        fs::create_dir_all(dir.path.join(name)).unwrap();
    }
    let at = |name: &str| Root::open(dir.path.join(name)).unwrap();
    let before = read_mountinfo().unwrap().len();
    drop(tmpfs(&[], Attr::NONE).unwrap());
    let below = tmpfs(&[], Attr::NONE)
        .unwrap()
        .attach(at("a/below"))
        .unwrap();
    fs::write(dir.path.join("a/below/x"), "").unwrap();
    let deep = bind_mount(at("a"), at("b"), true).unwrap();
    let flat = bind_mount(at("a"), at("c"), false).unwrap();
    assert!(dir.path.join("b/below/x").exists() && !dir.path.join("c/below/x").exists());
    make_private(dir.path.join("b")).unwrap();
    for mount in [&flat, &deep, &below] {
        unmount_fd(mount).unwrap();
    }
    assert!(
        read_mountinfo()
            .unwrap()
            .iter()
            .all(|info| !info.mount_point.starts_with(&dir.path)),
        "{before}"
    );
}

#[test]
fn what_the_kernel_does_not_know_is_refused() {
    assert_eq!(
        FsContext::open("nosuchfs").unwrap_err().raw_os_error(),
        Some(libc::ENODEV)
    );
    let context = FsContext::open("tmpfs").unwrap();
    assert_eq!(
        context.set("nosuchkey", "1").unwrap_err().raw_os_error(),
        Some(libc::EINVAL)
    );
    assert!(context.set("size", "x".repeat(256)).is_err());
}
