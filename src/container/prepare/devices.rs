//! Which device nodes of the host a container gets.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

use super::Ground;
use super::error::{PrepareError, effect};
use crate::definition::Device;
use crate::plan::bundle::{DeviceNode, is_privileged};

/// Directories of /dev that are mounts of their own in a container, or hold none but terminals.
const LEFT_OUT: [&str; 6] = ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts"];

/// The nodes, each path once, the first wish first.
pub(super) fn nodes(ground: &Ground) -> Result<Vec<DeviceNode>, PrepareError> {
    let mut nodes: Vec<DeviceNode> = Vec::new();
    let mut wishes = Vec::new();
    for text in ground.conf.containers.devices.values() {
        let parsed = text.parse::<Device>();
        wishes.push(parsed.map_err(|reason| ground.conf.refuse("devices", text, reason))?);
    }
    wishes.extend(ground.definition.options.isolation.devices.iter().cloned());
    let mut found = Vec::new();
    for wish in &wishes {
        found.extend(of(wish)?);
    }
    if is_privileged(ground.definition, ground.conf) {
        let dev = Path::new("/dev");
        let all = below(dev, dev, "rwm", true);
        found.extend(effect("list devices of", dev, all)?);
    }
    for node in found {
        if !nodes.iter().any(|other| other.path == node.path) {
            nodes.push(node);
        }
    }
    Ok(nodes)
}

/// The nodes of one wish. A link is followed, and its target's path is the one in the container unless another is given.
pub(super) fn of(wish: &Device) -> Result<Vec<DeviceNode>, PrepareError> {
    let Device::Node {
        host,
        container,
        access,
    } = wish
    else {
        return Ok(Vec::new());
    };
    let path = Path::new(host);
    let found = || -> io::Result<Vec<DeviceNode>> {
        let real = fs::canonicalize(path)?;
        let target = container.as_ref().map_or(real.clone(), PathBuf::from);
        let access = access.as_deref().unwrap_or("rwm");
        if real.is_dir() {
            let nodes = below(&real, &target, access, false)?;
            return match nodes.is_empty() {
                true => Err(io::Error::other("no devices in it")),
                false => Ok(nodes),
            };
        }
        let node = node(&real, &target, access)?;
        let node = node.ok_or_else(|| io::Error::other("not a device"))?;
        Ok(vec![node])
    };
    effect("use device", path, found())
}

/// All device nodes below a directory, in the order of their names.
fn below(dir: &Path, target: &Path, access: &str, all: bool) -> io::Result<Vec<DeviceNode>> {
    let mut entries: Vec<_> = fs::read_dir(dir)?.collect::<io::Result<_>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    let mut nodes = Vec::new();
    for entry in entries {
        let name = entry.file_name();
        let (path, target) = (entry.path(), target.join(&name));
        if entry.file_type()?.is_dir() {
            if !(all && LEFT_OUT.iter().any(|left_out| name == *left_out)) {
                nodes.extend(below(&path, &target, access, all)?);
            }
        } else if !(all && name == "console") {
            nodes.extend(node(&path, &target, access)?);
        }
    }
    Ok(nodes)
}

/// What a path is, links not followed; none if it is no device, or gone by now.
pub(super) fn node(path: &Path, target: &Path, access: &str) -> io::Result<Option<DeviceNode>> {
    let meta = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        meta => meta?,
    };
    let kind = meta.file_type();
    if !kind.is_block_device() && !kind.is_char_device() {
        return Ok(None);
    }
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(Some(DeviceNode {
        host: path.to_owned(),
        path: target.to_owned(),
        block: kind.is_block_device(),
        major: number(major(meta.rdev())),
        minor: number(minor(meta.rdev())),
        mode: meta.mode(),
        uid: meta.uid(),
        gid: meta.gid(),
        access: access.to_owned(),
    }))
}
