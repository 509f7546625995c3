//! Tests with archives made by hand; they need root (chown, mknod, trusted attributes).

mod build;
mod checking;
mod hostile;
mod naming;
mod saving;
mod store;
mod unpacking;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that is gone at the end of the test.
pub(super) struct TempDir(pub(super) PathBuf);

impl TempDir {
    pub(super) fn new() -> TempDir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("unitbox-image-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    pub(super) fn join(&self, path: &str) -> PathBuf {
        self.0.join(path)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        super::sweep::remove_tree(&self.0).unwrap();
    }
}

/// Everything below a directory: path, kind, mode, owner, size, content of small files.
pub(super) fn picture(dir: &Path) -> Vec<String> {
    use std::os::unix::fs::MetadataExt;
    let mut lines = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let about = fs::symlink_metadata(&path).unwrap();
            let content = if about.is_file() {
                fs::read(&path).unwrap()
            } else {
                Vec::new()
            };
            lines.push(format!(
                "{} {:o} {}:{} {} {} {:?}",
                path.display(),
                about.mode(),
                about.uid(),
                about.gid(),
                about.nlink(),
                about.mtime(),
                super::Digest::of(&content),
            ));
            if about.is_dir() {
                todo.push(path);
            }
        }
    }
    lines.sort();
    lines
}
