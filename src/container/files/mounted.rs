//! The root of a container where the host's processes see it, from `mount` to `unmount`.
//!
//! A layer for changes has one mount: a start binds what is mounted here, and here what runs is bound from the
//! namespace of mounts of its unit.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};

use super::child::Helper;
use super::root::{clear, own_namespace, own_root};
use crate::api::Layout;
use crate::container::observe::payload_of;
use crate::container::prepare::{self, files_are_mounted};
use crate::container::{ContainerError, Site};
use crate::definition::{Definition, UserNamespace};
use crate::host::world::Host;
use crate::store;
use crate::sys::mount;
use crate::sys::paths::Root;
use crate::sys::process::start_ticks;
use crate::types::ContainerId;

/// Longest wait for a start or a stop that is under way.
const TIME: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// Mounts the root of a container and tells where; again, it is the same place. What is mounted in a container is not
/// seen there.
///
/// # Errors
/// It is gone, or its layers cannot be mounted.
pub fn mount(site: Site<'_>, definition: &Definition) -> Result<PathBuf, ContainerError> {
    if let Some(directory) = own_root(definition) {
        return Ok(directory.to_owned());
    }
    let layout = site.layout;
    let failed = || ContainerError::io("mount", definition.name.as_str());
    let held = layout.mounted(&definition.id);
    let until = Instant::now() + TIME;
    loop {
        let _lock = store::lock(layout, &definition.id)?;
        store::load(layout, &definition.id)?;
        if files_are_mounted(&held) {
            return Ok(held);
        }
        let status = site.manager.status(&definition.unit())?;
        let payload = payload_of(layout, &definition.id).filter(|payload| {
            start_ticks(payload.pid).is_ok_and(|ticks| ticks == payload.start_ticks)
        });
        if payload.is_some() || status.active_state.is_over() {
            if payload.is_none() && is_automatic(definition) {
                let text = format!(
                    "container {} gets its user ids when it starts: mount it while it runs",
                    definition.id
                );
                return Err(ContainerError::State(text));
            }
            let monitor = payload.map(|_| status.main_pid);
            store::ensure_private(held.parent().unwrap_or(&held))?;
            fs::create_dir_all(&held).map_err(failed())?;
            let helper = Helper::start(|| show(layout, definition, &held, monitor));
            let helper = helper.map_err(failed())?;
            let shown = helper.text().map(drop);
            helper.end();
            if monitor.is_none() {
                clear(layout, definition);
            }
            if shown.is_err() {
                let _ = fs::remove_dir(&held);
            }
            return shown.map_err(failed()).map(|()| held);
        }
        if Instant::now() >= until {
            let text = format!(
                "container {} is being started or stopped: mount it",
                definition.id
            );
            return Err(ContainerError::State(text));
        }
        drop(_lock);
        std::thread::sleep(LOOK);
    }
}

fn is_automatic(definition: &Definition) -> bool {
    let mode = &definition.options.isolation.user.mode;
    matches!(mode, Some(UserNamespace::Auto { .. }))
}

/// In the child: takes the root out of the namespace that has it, that of the monitor or a new one, into the host's.
fn show(
    layout: &Layout,
    definition: &Definition,
    held: &Path,
    monitor: Option<u32>,
) -> Result<String, ContainerError> {
    let failed = || ContainerError::io("mount", held);
    let host = File::open("/proc/self/ns/mnt").map_err(failed())?;
    let rootfs = match monitor {
        Some(pid) => {
            let unit = File::open(format!("/proc/{pid}/ns/mnt")).map_err(failed())?;
            setns(&unit, CloneFlags::CLONE_NEWNS)
                .map_err(io::Error::from)
                .map_err(failed())?;
            layout.bundle(&definition.id).join("rootfs")
        }
        None => {
            own_namespace().map_err(failed())?;
            prepare::root_alone(definition, layout, &mut Host)?.0
        }
    };
    let take = || -> io::Result<()> {
        let tree = mount::open_tree_clone(Root::open(&rootfs)?, false)?;
        setns(&host, CloneFlags::CLONE_NEWNS)?;
        tree.attach(Root::open(held)?).map(drop)
    };
    take().map_err(failed()).map(|()| String::new())
}

/// Takes the root of a container away from where the host sees it; a payload that runs keeps its own. With `force`, also
/// while somebody uses it there.
///
/// # Errors
/// It is in use.
pub fn unmount(
    layout: &Layout,
    definition: &Definition,
    force: bool,
) -> Result<(), ContainerError> {
    let _lock = store::lock(layout, &definition.id)?;
    let held = layout.mounted(&definition.id);
    release(&held, force).map_err(ContainerError::io("unmount", held))
}

fn release(held: &Path, force: bool) -> io::Result<()> {
    if files_are_mounted(held) {
        mount::unmount(held, force)?;
    }
    match fs::remove_dir(held) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Whether a container is mounted.
pub fn is_mounted(layout: &Layout, id: &ContainerId) -> bool {
    files_are_mounted(&layout.mounted(id))
}

/// Takes away what is mounted of a container that is being removed.
///
/// # Errors
/// It cannot be unmounted.
pub(in crate::container) fn forget(layout: &Layout, id: &ContainerId) -> io::Result<()> {
    release(&layout.mounted(id), true)
}
