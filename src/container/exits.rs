//! Exit records of removed containers: kept for a late `wait`, the last ones only.

use std::fs;
use std::io;

use super::observe::{Exit, Observation};
use crate::api::{Ended, ExitRecord, Layout, StopKind};
use crate::definition::Definition;
use crate::host::world::{Durability, World};
use crate::types::ContainerId;

/// How many are kept; twice as many before the older half goes.
const KEPT: usize = 512;

/// Keeps the record of a container that is being removed.
///
/// # Errors
/// The directory or the file cannot be written.
pub(super) fn keep(
    layout: &Layout,
    id: &ContainerId,
    record: &str,
    world: &mut dyn World,
) -> io::Result<()> {
    world.make_dir(&layout.exits(), 0o700)?;
    prune(layout);
    let path = layout.removed_exit(id);
    world.write_file(&path, record, 0o600, Durability::Cached)
}

/// The record of a container's last end, also of one that its monitor did not live to write.
pub(super) fn record_of(definition: &Definition, seen: &Observation) -> Option<ExitRecord> {
    let exit = seen.exit.as_ref()?;
    let ended = match exit {
        Exit::Recorded(record) => return Some(record.clone()),
        Exit::Told { status, .. } => Ended::Payload(*status),
        Exit::MonitorKilled { .. } => Ended::MonitorKilled {
            reason: exit.reason(),
        },
        Exit::Unknown { .. } => return None,
    };
    Some(ExitRecord {
        id: definition.id.clone(),
        name: definition.name.clone(),
        nonce: seen.nonce.clone(),
        ended,
        oom: exit.oom(),
        stop: StopKind::None,
        restarts: seen.restarts,
        started: exit.started(),
        finished: exit.finished(),
    })
}

/// Keeps the directory bounded. Its size grows with its entries (20 bytes each and more, on tmpfs as on ext4): to ask
/// for it costs less than to list it each time.
fn prune(layout: &Layout) {
    let directory = layout.exits();
    let large = fs::metadata(&directory).is_ok_and(|found| found.len() >= 40 * KEPT as u64);
    if !large {
        return;
    }
    let entries = fs::read_dir(&directory).into_iter().flatten().flatten();
    let mut files: Vec<_> = entries
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    files.sort();
    let excess = files.len().saturating_sub(KEPT);
    for (_, path) in files.into_iter().take(excess) {
        // One that stays is removed the next time.
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::world::Host;

    #[test]
    fn only_the_last_records_are_kept() {
        let root = std::env::temp_dir().join(format!("unitbox-exits-{}", std::process::id()));
        let layout = Layout::new(&root);
        let id = |number: u16| {
            let mut bytes = [0; 32];
            bytes[..2].copy_from_slice(&number.to_be_bytes());
            ContainerId::from_random(bytes)
        };
        for number in 0..2500 {
            keep(&layout, &id(number), "", &mut Host).unwrap();
        }
        let left = fs::read_dir(layout.exits()).unwrap().count();
        assert!((1..=4 * KEPT).contains(&left), "{left}");
        assert!(layout.removed_exit(&id(2499)).exists());
        fs::remove_dir_all(&root).unwrap();
    }
}
