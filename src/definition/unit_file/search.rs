//! Finds files and drop-ins below directories.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::{FileError, Kind, Position};

/// Where files are looked for, first come first served: made at run time, the administrator's, of packages.
pub const SYSTEM_DIRS: [&str; 3] = ["/run/unitbox.d", "/etc/unitbox", "/usr/share/unitbox"];

/// How deep directories are followed.
const DEPTH: usize = 8;

/// What there is.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// Paths of the files by their names; the first directory wins.
    pub files: BTreeMap<String, PathBuf>,
    /// Directories of drop-ins by their names, in the order of the search.
    drop_ins: BTreeMap<String, Vec<PathBuf>>,
    /// Directories that cannot be read, and names that are no text.
    pub errors: Vec<FileError>,
}

/// Looks through directories and those below them. A directory that is not there is an empty one.
pub fn find(dirs: &[PathBuf]) -> Found {
    let mut found = Found::default();
    let mut seen = BTreeSet::new();
    for dir in dirs {
        walk(dir, 0, &mut seen, &mut found);
    }
    found
}

fn walk(dir: &Path, depth: usize, seen: &mut BTreeSet<PathBuf>, found: &mut Found) {
    // A link to a directory above would go round.
    let real = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    if depth > DEPTH || !seen.insert(real) {
        return;
    }
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return,
        Err(error) => {
            let message = format!("read directory: {error}");
            return found
                .errors
                .push(FileError::new(&Position::whole(dir), message));
        }
    };
    let mut below = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        let kind = Kind::of(&path);
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            if kind.is_some() {
                let error = FileError::new(&Position::whole(&path), "its name is not UTF-8");
                found.errors.push(error);
            }
            continue;
        };
        let is_dir = || match entry.file_type() {
            Ok(kind) if kind.is_symlink() => path.is_dir(),
            kind => kind.is_ok_and(|kind| kind.is_dir()),
        };
        if kind.is_some() {
            found.files.entry(name).or_insert(path);
        } else if name.ends_with(".d") {
            found.drop_ins.entry(name).or_default().push(path);
        } else if !name.starts_with('.') && is_dir() {
            below.push(path);
        }
    }
    below.sort();
    for dir in below {
        walk(&dir, depth + 1, seen, found);
    }
}

/// The drop-ins of a file, in the order in which they are read: by name, the nearest directory's of each name.
pub fn drop_ins(found: &Found, file: &str) -> Vec<PathBuf> {
    let mut by_name: BTreeMap<String, PathBuf> = BTreeMap::new();
    for directory in directories(file) {
        for path in found.drop_ins.get(&directory).into_iter().flatten() {
            for entry in fs::read_dir(path).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.ends_with(".conf") {
                    by_name.entry(name).or_insert_with(|| entry.path());
                }
            }
        }
    }
    by_name.into_values().collect()
}

/// Names of the directories of drop-ins of a file, the nearest first (systemd.unit(5)): `a-b@i.container` has
/// `a-b@i.container.d`, `a-b@.container.d`, `a-.container.d` and `container.d`.
fn directories(file: &str) -> Vec<String> {
    let (stem, suffix) = file.rsplit_once('.').unwrap_or((file, ""));
    let mut all = vec![format!("{file}.d")];
    let (prefix, behind) = match stem.split_once('@') {
        Some((prefix, instance)) => {
            if !instance.is_empty() {
                all.push(format!("{prefix}@.{suffix}.d"));
            }
            (prefix, "@")
        }
        None => (stem, ""),
    };
    let mut rest = prefix;
    while let Some((shorter, _)) = rest.trim_end_matches('-').rsplit_once('-') {
        all.push(format!("{shorter}-{behind}.{suffix}.d"));
        rest = shorter;
    }
    all.push(format!("{suffix}.d"));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drop_in_directories_are_systemds() {
        let all = directories("a-b-c.container");
        let expected = [
            "a-b-c.container.d",
            "a-b-.container.d",
            "a-.container.d",
            "container.d",
        ];
        assert_eq!(all, expected);
        let all = directories("w@i.volume");
        assert_eq!(all, ["w@i.volume.d", "w@.volume.d", "volume.d"]);
    }
}
