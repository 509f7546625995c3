//! Writes a tree as a tar stream (POSIX.1-2001, pax).

use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

use tar::{Builder, EntryType, Header};

use super::{Sink, refused};
use crate::image::tar_stream::{Entry, Kind};

/// What the old header holds of a name.
const SHORT: usize = 100;
/// The largest number of seven octal digits.
const LARGEST_ID: u32 = 0o777_7777;

/// A tar stream in the making.
pub(super) struct Archive<W: Write> {
    to: Builder<W>,
    /// All files belong to this user and group.
    owner: Option<(u32, u32)>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W, owner: Option<(u32, u32)>) -> Self {
        Self {
            to: Builder::new(to),
            owner,
        }
    }
}

impl<W: Write> Sink for Archive<W> {
    fn put(&mut self, entry: &Entry, content: &mut dyn Read) -> io::Result<()> {
        let mut path = entry.path.as_os_str().as_bytes().to_owned();
        if entry.kind == Kind::Directory {
            path.push(b'/');
        }
        let link = entry.link.as_os_str().as_bytes();
        let mut records: Vec<(String, Vec<u8>)> = Vec::new();
        let mut header = Header::new_ustar();
        if path.len() > SHORT {
            records.push(("path".to_owned(), path.clone()));
        }
        if link.len() > SHORT {
            records.push(("linkpath".to_owned(), link.to_owned()));
        }
        let (uid, gid) = self.owner.unwrap_or((entry.uid, entry.gid));
        for (what, id) in [("uid", uid), ("gid", gid)] {
            if id > LARGEST_ID {
                records.push((what.to_owned(), id.to_string().into_bytes()));
            }
        }
        // Whole seconds, as in Podman's archives; those before 1970 do not fit the header.
        let (seconds, _) = entry.mtime;
        if seconds < 0 {
            records.push(("mtime".to_owned(), seconds.to_string().into_bytes()));
        }
        for (name, value) in &entry.xattrs {
            let Some(name) = name.to_str() else {
                return refused(format!("attribute {name:?} is not UTF-8"));
            };
            records.push((format!("SCHILY.xattr.{name}"), value.clone()));
        }
        put_name(&mut header.as_old_mut().name, &path);
        put_name(&mut header.as_old_mut().linkname, link);
        header.set_entry_type(match entry.kind {
            Kind::File => EntryType::Regular,
            Kind::HardLink => EntryType::Link,
            Kind::Symlink => EntryType::Symlink,
            Kind::CharDevice => EntryType::Char,
            Kind::BlockDevice => EntryType::Block,
            Kind::Directory => EntryType::Directory,
            Kind::Fifo => EntryType::Fifo,
        });
        header.set_mode(entry.mode);
        header.set_uid(uid.min(LARGEST_ID).into());
        header.set_gid(gid.min(LARGEST_ID).into());
        header.set_mtime(seconds.max(0) as u64);
        header.set_size(entry.size);
        header.set_device_major(entry.device.0)?;
        header.set_device_minor(entry.device.1)?;
        header.set_cksum();
        let records = records
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_slice()));
        self.to.append_pax_extensions(records)?;
        self.to.append(&header, content)
    }

    fn keeps_holes(&self) -> bool {
        false
    }

    fn finish(&mut self) -> io::Result<()> {
        self.to.finish()?;
        self.to.get_mut().flush()
    }
}

/// As much of a name as fits; the rest stands in a pax record.
fn put_name(field: &mut [u8; SHORT], name: &[u8]) {
    let length = name.len().min(SHORT);
    field[..length].copy_from_slice(&name[..length]);
}
