//! Which profile of system calls a container gets.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::Ground;
use super::error::PrepareError;
use crate::definition::{IsolationOptions, Seccomp, SeccompPolicy};
use crate::plan::bundle::{SeccompProfile, is_privileged};

/// Profiles that are larger are refused, bytes.
const LARGEST: u64 = 4 << 20;
/// The host's own profile before its distribution's.
const DEFAULTS: [&str; 2] = [
    "etc/containers/seccomp.json",
    "usr/share/containers/seccomp.json",
];
/// Label of an image with the text of a profile.
const LABEL: &str = "io.containers.seccomp.profile";

/// The profile; none if the container wants none, or the host has none.
pub(super) fn profile(ground: &Ground) -> Result<Option<SeccompProfile>, PrepareError> {
    let isolation = &ground.definition.options.isolation;
    if let Some(profile) = own(isolation)? {
        return Ok(Some(profile));
    }
    if isolation.seccomp.is_some() || is_privileged(ground.definition, ground.conf) {
        return Ok(None);
    }
    let label = ground
        .image
        .labels
        .get(LABEL)
        .filter(|text| !text.is_empty());
    if let (SeccompPolicy::Image, Some(text)) = (isolation.seccomp_policy, label) {
        return parse(text, Path::new(LABEL)).map(Some);
    }
    if let Some(path) = &ground.conf.containers.seccomp_profile {
        if path == "unconfined" {
            return Ok(None);
        }
        let path = PathBuf::from(path);
        return parse(&read(&path).map_err(failed(&path))?, &path).map(Some);
    }
    let root = ground.run.layout.root();
    for path in DEFAULTS.map(|path| root.join(path)) {
        match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            text => return parse(&text.map_err(failed(&path))?, &path).map(Some),
        }
    }
    Ok(None)
}

/// The profile that the user named.
pub(super) fn own(isolation: &IsolationOptions) -> Result<Option<SeccompProfile>, PrepareError> {
    let Some(Seccomp::File(path)) = &isolation.seccomp else {
        return Ok(None);
    };
    let path = PathBuf::from(path);
    parse(&read(&path).map_err(failed(&path))?, &path).map(Some)
}

fn parse(text: &str, path: &Path) -> Result<SeccompProfile, PrepareError> {
    SeccompProfile::parse(text).map_err(|error| failed(path)(io::Error::other(error)))
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?
        .take(LARGEST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST {
        return Err(io::Error::other("larger than 4 MiB"));
    }
    Ok(text)
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> PrepareError {
    let path = path.to_owned();
    |source| PrepareError::Effect {
        what: "read seccomp profile",
        path,
        source,
    }
}
