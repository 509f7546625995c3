//! Devices of the Container Device Interface: finds them in the files of their vendors.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::devices;
use super::error::{PrepareError, effect};
use crate::definition::Device;
use crate::plan::bundle::{CdiFile, Edits};
use crate::plan::conf::Conf;

/// Where vendors put their files, the last first.
const DIRECTORIES: &[&str] = &["/etc/cdi", "/var/run/cdi"];

/// What the devices among these change.
pub(super) fn edits(devices: &[Device], conf: &Conf) -> Result<Vec<Edits>, PrepareError> {
    let mut all = Vec::new();
    for device in devices {
        let Device::Cdi(name) = device else { continue };
        let found = find(name, conf).and_then(|mut edits| {
            complete(&mut edits)?;
            Ok(edits)
        });
        all.extend(effect("use CDI device", Path::new(name), found)?);
    }
    Ok(all)
}

fn find(name: &str, conf: &Conf) -> io::Result<Vec<Edits>> {
    let directories = conf.engine.cdi_spec_dirs.over(DIRECTORIES);
    let mut unread = Vec::new();
    for directory in directories.iter().rev() {
        for path in files(Path::new(directory))? {
            let file = match path.extension().and_then(|extension| extension.to_str()) {
                Some("json") => fs::read_to_string(&path)
                    .and_then(|text| CdiFile::parse(&text).map_err(io::Error::other)),
                Some("yaml" | "yml") => Err(io::Error::other("YAML is not read")),
                _ => continue,
            };
            match file {
                Ok(file) => {
                    if let Some(edits) = file.device(name) {
                        return Ok(edits);
                    }
                }
                Err(error) => unread.push(format!("{}: {error}", path.display())),
            }
        }
    }
    let mut text = format!("in no file of {}", directories.join(", "));
    if !unread.is_empty() {
        text.push_str(&format!(" ({})", unread.join("; ")));
    }
    Err(io::Error::new(io::ErrorKind::NotFound, text))
}

/// Files of a directory in the order of their names; no directory has none.
fn files(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let paths = entries.map(|entry| entry.map(|entry| entry.path()));
    let mut paths: Vec<PathBuf> = paths.collect::<io::Result<_>>()?;
    paths.sort();
    Ok(paths)
}

fn complete(edits: &mut [Edits]) -> io::Result<()> {
    for node in edits.iter_mut().flat_map(Edits::nodes) {
        match devices::node(node.host_path(), node.host_path(), "rwm")? {
            Some(host) => node.complete(&host),
            None if node.lacks_numbers() => {
                let text = format!("{} is no device of the host", node.host_path().display());
                return Err(io::Error::other(text));
            }
            None => {}
        }
    }
    Ok(())
}
