//! `--pidfile` and `--conmon-pidfile`.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::worker::Failure;
use crate::api::ExitCode;
use crate::definition::Options;
use crate::host::world::{Durability, World};

/// Files of the user's for process ids: ours is written now, the payload's when there is one. A start that cannot write
/// them fails, with the codes that Podman has for it.
pub(super) fn write(options: &Options, world: &mut dyn World) -> Result<Option<PathBuf>, Failure> {
    let failed = |code: ExitCode, path: &Path, error: io::Error| {
        let text = format!("write {}: {error}", path.display());
        (code.number(), io::Error::other(text).into())
    };
    let path = |path: &String| Path::new("/").join(path);
    if let Some(path) = options.conmon_pidfile.as_ref().map(path) {
        // Forked by the main process, and never given away to another.
        let pid = std::os::unix::process::parent_id().to_string();
        world
            .write_file(&path, &pid, 0o644, Durability::Cached)
            .map_err(|error| failed(ExitCode::NotExecutable, &path, error))?;
    }
    let path = options.pidfile.as_ref().map(path);
    if let Some(path) = &path {
        let opened = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o644)
            .open(path);
        opened.map_err(|error| {
            let code = match error.kind() {
                io::ErrorKind::NotFound => ExitCode::NotFound,
                _ => ExitCode::NotExecutable,
            };
            failed(code, path, error)
        })?;
    }
    Ok(path)
}
