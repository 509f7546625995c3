//! Shell patterns (glob(7)), as the C library matches them.

use std::ffi::{CStr, CString, OsStr};
use std::os::unix::ffi::OsStrExt;

use nix::libc;

/// Whether a name matches a pattern: `*`, `?`, `[...]`; a leading dot has to be written (fnmatch(3)).
pub fn matches(pattern: &CStr, name: &OsStr) -> bool {
    let Ok(name) = CString::new(name.as_bytes()) else {
        return false;
    };
    // SAFETY: both strings end with NUL and outlive the call.
    unsafe { libc::fnmatch(pattern.as_ptr(), name.as_ptr(), libc::FNM_PERIOD) == 0 }
}

/// Whether a path matches a pattern in which `*` and `?` stand for no slash (FNM_PATHNAME).
pub fn matches_path(pattern: &str, path: &str) -> bool {
    let (Ok(pattern), Ok(path)) = (CString::new(pattern), CString::new(path)) else {
        return false;
    };
    // SAFETY: both strings end with NUL and outlive the call.
    unsafe { libc::fnmatch(pattern.as_ptr(), path.as_ptr(), libc::FNM_PATHNAME) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_the_shells() {
        assert!(matches(c"a*[0-9]", "abc7".as_ref()));
        assert!(!matches(c"*", ".hidden".as_ref()));
        assert!(!matches(c"?", "ab".as_ref()));
        assert!(matches_path("a/*", "a/.b") && !matches_path("*", "a/b"));
    }
}
