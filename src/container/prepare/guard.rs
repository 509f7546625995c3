//! What a root directory must not have.

use std::io;
use std::path::Path;

use super::error::PrepareError;
use crate::sys::paths::Root;

/// The runtimes mount here, and runc up to 1.2 makes links and devices in /dev by path: a link of the image would lead
/// them to the host (CVE-2019-19921, CVE-2023-27561, CVE-2025-31133).
const SYSTEM: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Refuses a root in which a directory of the system is a symbolic link.
pub(super) fn check(rootfs: &Path) -> Result<(), PrepareError> {
    let failed = |path: &str, source| PrepareError::Rootfs {
        path: rootfs.join(path.trim_start_matches('/')),
        source,
    };
    let root = Root::open(rootfs).map_err(|source| failed("/", source))?;
    for path in SYSTEM {
        if root.read_link(path).is_ok() {
            let error = io::Error::other("is a symbolic link, which the runtime would follow");
            return Err(failed(path, error));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_place_of_a_system_directory_is_refused() {
        let dir = std::env::temp_dir().join(format!("unitbox-guard-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("proc")).unwrap();
        check(&dir).unwrap();
        std::os::unix::fs::symlink("/nowhere", dir.join("dev")).unwrap();
        let text = check(&dir).unwrap_err().to_string();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(text.ends_with("/dev"), "{text}");
    }
}
