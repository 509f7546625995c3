//! The mounts of this process's namespace: /proc/self/mountinfo, proc_pid_mountinfo(5).

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountInfo {
    /// Its id, unique while it is mounted.
    pub id: u32,
    /// The id of the mount it sits on.
    pub parent: u32,
    /// What of the file system is mounted.
    pub root: PathBuf,
    /// Where, as seen from this process's root.
    pub mount_point: PathBuf,
    /// Options of the mount: `rw,nosuid`.
    pub options: String,
    /// The peer group if changes propagate (`shared:N`).
    pub shared: Option<u32>,
    /// The type, with subtype after a dot: `overlay`, `fuse.fuse-overlayfs`.
    pub fs_type: String,
    /// The source, `none` or whatever the mounter said.
    pub source: OsString,
    /// Options of the file system: `rw,lowerdir=...`.
    pub super_options: OsString,
}

/// Reads the mounts of this process's namespace, in the order of mounting.
pub fn read_mountinfo() -> io::Result<Vec<MountInfo>> {
    parse_mountinfo(&std::fs::read("/proc/self/mountinfo")?)
}

/// Parses the file's text; a line that is not understood is `InvalidData`, for who misses a mount
/// would say there is none.
pub fn parse_mountinfo(text: &[u8]) -> io::Result<Vec<MountInfo>> {
    let lines = text
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| parse_line(line).ok_or_else(|| not_understood(line)))
        .collect()
}

fn not_understood(line: &[u8]) -> io::Error {
    let line = String::from_utf8_lossy(line);
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("mountinfo line not understood: {line}"),
    )
}

fn parse_line(line: &[u8]) -> Option<MountInfo> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = number(fields.next()?)?;
    let parent = number(fields.next()?)?;
    let _device = fields.next()?;
    let root = unescape(fields.next()?).into();
    let mount_point = unescape(fields.next()?).into();
    let options = unescape(fields.next()?).into_string().ok()?;
    let mut shared = None;
    loop {
        let tag = fields.next()?;
        if tag == b"-" {
            break;
        }
        if let Some(group) = tag.strip_prefix(b"shared:") {
            shared = Some(number(group)?);
        }
    }
    Some(MountInfo {
        id,
        parent,
        root,
        mount_point,
        options,
        shared,
        fs_type: unescape(fields.next()?).into_string().ok()?,
        source: unescape(fields.next()?),
        super_options: unescape(fields.next().unwrap_or_default()),
    })
}

fn number(field: &[u8]) -> Option<u32> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Space, tab, newline and backslash come as `\` and three octal digits; anything else after `\`
/// stays.
fn unescape(field: &[u8]) -> OsString {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        match (first, after) {
            (
                b'\\',
                &[
                    a @ b'0'..=b'3',
                    b @ b'0'..=b'7',
                    c @ b'0'..=b'7',
                    ref tail @ ..,
                ],
            ) => {
                plain.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = tail;
            }
            _ => {
                plain.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn lines_are_parsed_with_and_without_tags() {
        let text = b"36 35 98:0 /mnt1 /a\\040b\\134c rw,noatime shared:12 master:1 - ext3 /dev/root rw,errors=continue\n\
            37 36 0:5 / /x\xff ro - fuse.a none rw\n38 36 0:5 / /e ro - tmpfs  rw\n";
        let mounts = parse_mountinfo(text).unwrap();
        assert_eq!(mounts.len(), 3);
        let first = &mounts[0];
        assert_eq!((first.id, first.parent, first.shared), (36, 35, Some(12)));
        assert_eq!(
            (first.root.as_path(), first.mount_point.as_path()),
            (Path::new("/mnt1"), Path::new("/a b\\c"))
        );
        assert_eq!(
            (first.options.as_str(), first.fs_type.as_str()),
            ("rw,noatime", "ext3")
        );
        assert_eq!(
            (first.source.to_str(), first.super_options.to_str()),
            (Some("/dev/root"), Some("rw,errors=continue"))
        );
        assert_eq!(
            (mounts[1].shared, mounts[1].fs_type.as_str()),
            (None, "fuse.a")
        );
        assert_eq!(mounts[2].source, "");
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_shows_it() {
        for bad in [
            &b"x"[..],
            b"1 2 3:4 / /a rw shared:1",
            b"a 2 3:4 / /a rw - t s o",
            b"1 2 3:4 / /a rw shared:x - t s o",
        ] {
            let err = parse_mountinfo(bad).unwrap_err();
            assert!(err.to_string().contains(std::str::from_utf8(bad).unwrap()));
        }
        assert_eq!(unescape(b"\\400\\04\\"), "\\400\\04\\");
    }

    #[test]
    fn this_namespace_has_a_root_and_proc() {
        let mounts = read_mountinfo().unwrap();
        for wanted in ["/", "/proc"] {
            assert!(
                mounts
                    .iter()
                    .any(|mount| mount.mount_point == Path::new(wanted))
            );
        }
    }
}
