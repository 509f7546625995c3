//! What is known to be wrong with the host's runtime.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::api::Layout;
use crate::host::filter::Filter;
use crate::host::runtime::Runtime;
use crate::host::world::{Durability, World};

/// Longest time that a runtime may take to tell its version.
const TIME: Duration = Duration::from_secs(5);
/// The first versions of runc that have no way out by mounts, /dev/console and LSM labels, one for each branch.
const FIXED: [(u32, u32, u32); 3] = [(1, 2, 8), (1, 3, 3), (1, 4, 0)];

/// A warning about a runc with known ways out of a container: once each boot, and once for each new program, since to ask
/// costs as much as a start.
pub(super) fn escapes(layout: &Layout, runtime: &Runtime, world: &mut dyn World) -> Option<String> {
    let name = runtime.program.file_name()?.to_str()?;
    if !name.starts_with("runc") {
        return None;
    }
    let about = fs::metadata(&runtime.program).ok()?;
    let (path, mark) = (runtime.program.display(), layout.runtime_check());
    let seen = format!(
        "{path} {}:{} {} {}\n",
        about.dev(),
        about.ino(),
        about.size(),
        about.mtime()
    );
    if fs::read_to_string(&mark).is_ok_and(|text| text == seen) {
        return None;
    }
    let filter = Filter {
        program: runtime.program.clone(),
        args: vec![name.to_owned(), "--version".to_owned()],
        env: Vec::new(),
        time: TIME,
    };
    // One that cannot tell fails by itself when it is to do more.
    let text = world.run_filter(&filter, "").ok()?;
    // Without the mark it is asked again, which harms nothing.
    let _ = world.write_file(Path::new(&mark), &seen, 0o600, Durability::Cached);
    let version = vulnerable(&text)?;
    Some(format!(
        "{path} is runc {version}, which has known ways out of a container (CVE-2025-31133, CVE-2025-52565, \
         CVE-2025-52881) unless its distribution has closed them: use runc 1.2.8, 1.3.3 or later, or crun"
    ))
}

/// The version that `--version` tells, if it is one of those.
fn vulnerable(text: &str) -> Option<&str> {
    let version = text.lines().next()?.strip_prefix("runc version ")?;
    let numbers = version.split(['-', '+', '~']).next()?;
    let mut numbers = numbers.split('.').map(|number| number.parse::<u32>().ok());
    let version_numbers = (
        numbers.next()??,
        numbers.next()??,
        numbers.next().flatten().unwrap_or(0),
    );
    let (major, minor, _) = version_numbers;
    // What comes before 1.4.0 has the fix from its third candidate on.
    let candidate = version
        .split_once("-rc.")
        .and_then(|(_, number)| number.parse::<u32>().ok());
    if version_numbers == (1, 4, 0) && candidate.is_some_and(|number| number < 3) {
        return Some(version);
    }
    let fixed = FIXED.iter().find(|(a, b, _)| (*a, *b) == (major, minor));
    let bad = match fixed {
        Some(fixed) => version_numbers < *fixed,
        None => (major, minor) < (1, 2),
    };
    bad.then_some(version)
}

#[cfg(test)]
mod tests {
    use super::vulnerable;

    #[test]
    fn versions_are_known_by_branch() {
        for (version, bad) in [
            ("1.0.0-rc93", true),
            ("1.1.15+ds1", true),
            ("1.2.7", true),
            ("1.2.8", false),
            ("1.2.10", false),
            ("1.3.2", true),
            ("1.3.3", false),
            ("1.4.0-rc.2", true),
            ("1.4.0-rc.3", false),
            ("1.4.0", false),
            ("1.5.0", false),
            ("2.0.0", false),
            ("nonsense", false),
        ] {
            let text = format!("runc version {version}\ncommit: x\n");
            assert_eq!(vulnerable(&text), bad.then_some(version), "{version}");
        }
        assert_eq!(vulnerable("crun version 1.0"), None);
        assert_eq!(vulnerable(""), None);
    }
}
