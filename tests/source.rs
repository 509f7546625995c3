//! The source of the package, as text, for the tests that read it.

use std::fs;
use std::path::{Path, PathBuf};

/// The directory of the package.
pub(crate) fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a directory of the package: its path from there, and its text.
pub(crate) fn rust_files(directory: &str) -> Vec<(PathBuf, String)> {
    let mut files = Vec::new();
    walk(&package().join(directory), &mut files);
    assert!(!files.is_empty(), "no Rust file below {directory}");
    files.sort();
    files
}

fn walk(directory: &Path, files: &mut Vec<(PathBuf, String)>) {
    let entries = fs::read_dir(directory).expect("a directory of the package can be read");
    for entry in entries {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file is UTF-8");
            let path = path.strip_prefix(package()).expect("it is in the package");
            files.push((path.to_owned(), text));
        }
    }
}
