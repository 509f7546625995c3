//! Extended attributes by descriptor, `O_PATH` and symlinks included (setxattr(2) and friends).

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;

use nix::libc;

use super::{c_path, check};

/// The object behind the descriptor as a path: the kernel jumps straight to it, so that no symlink
/// is followed even if it is one.
fn object(fd: &impl AsFd) -> CString {
    let text = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    CString::new(text).expect("digits and slashes hold no NUL")
}

/// Sets an attribute, whether it is there or not.
pub fn set_xattr(fd: impl AsFd, name: impl AsRef<OsStr>, value: &[u8]) -> io::Result<()> {
    let (path, name) = (object(&fd), c_path(name.as_ref())?);
    // SAFETY: both strings end with NUL; pointer and length describe `value`.
    check(unsafe {
        libc::setxattr(
            path.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            0,
        )
    })
    .map(drop)
}

/// The value of an attribute; `None` if it is not set or the file system has none.
pub fn get_xattr(fd: impl AsFd, name: impl AsRef<OsStr>) -> io::Result<Option<Vec<u8>>> {
    let (path, name) = (object(&fd), c_path(name.as_ref())?);
    let read = grow(|buffer| {
        // SAFETY: both strings end with NUL; pointer and length describe `buffer`.
        check(unsafe {
            libc::getxattr(
                path.as_ptr(),
                name.as_ptr(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
            )
        } as i64)
    });
    match read {
        Ok(value) => Ok(Some(value)),
        Err(err) if matches!(err.raw_os_error(), Some(libc::ENODATA | libc::EOPNOTSUPP)) => {
            Ok(None)
        }
        Err(err) => Err(err),
    }
}

/// The names of all attributes.
pub fn list_xattrs(fd: impl AsFd) -> io::Result<Vec<OsString>> {
    let path = object(&fd);
    let read = grow(|buffer| {
        // SAFETY: the path ends with NUL; pointer and length describe `buffer`.
        check(
            unsafe { libc::listxattr(path.as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()) }
                as i64,
        )
    });
    let names = match read {
        Ok(names) => names,
        Err(err) if err.raw_os_error() == Some(libc::EOPNOTSUPP) => return Ok(Vec::new()),
        Err(err) => return Err(err),
    };
    let names = names
        .split(|&byte| byte == 0)
        .filter(|name| !name.is_empty());
    Ok(names
        .map(|name| OsString::from_vec(name.to_vec()))
        .collect())
}

/// Reads into ever larger buffers; 64 KiB is what the kernel allows for values and lists.
fn grow(mut read: impl FnMut(&mut [u8]) -> io::Result<i64>) -> io::Result<Vec<u8>> {
    for size in [256, 65536] {
        let mut buffer = vec![0; size];
        match read(&mut buffer) {
            Err(err) if err.raw_os_error() == Some(libc::ERANGE) => {}
            Err(err) => return Err(err),
            Ok(len) => {
                buffer.truncate(usize::try_from(len).expect("a length is not negative"));
                return Ok(buffer);
            }
        }
    }
    Err(io::Error::from_raw_os_error(libc::ERANGE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn attributes_of_a_file_are_set_read_and_listed() {
        let path = std::env::temp_dir().join(format!("unitbox-xattr-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        let long = vec![b'x'; 1000];
        set_xattr(&file, "trusted.unitbox.a", &long).unwrap();
        set_xattr(&file, "trusted.unitbox.b", b"").unwrap();
        assert_eq!(get_xattr(&file, "trusted.unitbox.a").unwrap(), Some(long));
        assert_eq!(get_xattr(&file, "trusted.unitbox.b").unwrap(), Some(vec![]));
        assert_eq!(get_xattr(&file, "trusted.unitbox.c").unwrap(), None);
        let names = list_xattrs(&file).unwrap();
        assert!(names.iter().any(|n| n.as_bytes() == b"trusted.unitbox.a"));
        fs::remove_file(path).unwrap();
    }
}
