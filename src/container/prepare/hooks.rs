//! OCI hooks of the host: their files, and the filters among them that config.json goes through.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use oci_spec::runtime::Hook;
use serde_json::{Map, Value};

use super::Ground;
use super::error::{PrepareError, effect};
use crate::host::filter::Filter;
use crate::host::world::World;
use crate::plan::bundle::{HookFacts, command_of};

/// Where Podman looks too (oci-hooks(5)); a later directory wins.
const DIRECTORIES: [&str; 2] = [
    "/usr/share/containers/oci/hooks.d",
    "/etc/containers/oci/hooks.d",
];
/// Longest file, bytes.
const MAX_FILE: u64 = 1 << 20;
/// Time of a filter that names none.
const FILTER_TIME: Duration = Duration::from_secs(60);

pub(super) fn facts(ground: &Ground) -> HookFacts {
    let own = &ground.definition.options.hooks_dirs;
    let configured = ground.conf.engine.hooks_dir.over(&[]);
    let asked: Vec<PathBuf> = match (own.is_empty(), configured.is_empty()) {
        (false, _) => own.iter().map(PathBuf::from).collect(),
        (true, false) => configured.iter().map(PathBuf::from).collect(),
        (true, true) => Vec::new(),
    };
    let root = ground.run.layout.root();
    let default = DIRECTORIES.map(|dir| root.join(dir.trim_start_matches('/')));
    let directories = if asked.is_empty() {
        &default[..]
    } else {
        &asked
    };
    let mut files = BTreeMap::new();
    for directory in directories {
        match read(directory) {
            Ok(found) => files.extend(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound && asked.is_empty() => {}
            Err(error) => {
                let path = directory.display();
                tracing::warn!("hooks directory {path}: {error}; going on without its hooks");
            }
        }
    }
    HookFacts {
        files: files.into_iter().collect(),
    }
}

/// The hooks of a directory, by name; one that cannot be read is an empty one, which is named when it is looked at.
fn read(directory: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.ends_with(".json") {
            let mut text = String::new();
            if let Err(error) =
                File::open(&path).and_then(|file| file.take(MAX_FILE).read_to_string(&mut text))
            {
                tracing::warn!("hook {}: {error}; left out", path.display());
                continue;
            }
            found.insert(name, text);
        }
    }
    Ok(found)
}

/// Sends config.json through the filters, one after the other.
///
/// # Errors
/// One fails, takes too long, or returns something that is no configuration: the container must not start then.
pub(super) fn filter(
    filters: &[Hook],
    mut json: String,
    world: &mut dyn World,
) -> Result<String, PrepareError> {
    for hook in filters {
        let (program, args, env) = command_of(hook);
        let time = hook
            .timeout()
            .and_then(|seconds| u64::try_from(seconds).ok());
        let filter = Filter {
            program: program.to_owned(),
            args,
            env,
            time: time.map_or(FILTER_TIME, Duration::from_secs),
        };
        json = effect(
            "run precreate hook",
            program,
            world.run_filter(&filter, &json),
        )?;
        // The runtime reads it as a configuration; to link the reader of all its types would double the monitor.
        let parsed = serde_json::from_str::<Map<String, Value>>(&json).map_err(io::Error::other);
        effect(
            "read configuration of precreate hook",
            program,
            parsed.map(drop),
        )?;
    }
    Ok(json)
}
