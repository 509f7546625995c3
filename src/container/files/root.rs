//! The root of a container as a descriptor, whatever its state: that of its payload, or its layers mounted where nobody
//! else sees them.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::libc::O_PATH;
use nix::sched::{CloneFlags, unshare};

use super::child::Helper;
use crate::api::{Layout, Payload};
use crate::container::observe::payload_of;
use crate::container::{ContainerError, Site, prepare};
use crate::definition::mount::{Mount, MountKind};
use crate::definition::{Definition, IdRange};
use crate::host::world::{Host, Inside, World};
use crate::plan::bundle::{Mapping, map_file};
use crate::store::copy_tree::Shift;
use crate::store::{self, ContainerLock};
use crate::sys::mount::{Attr, Change, make_private, open_tree_clone};
use crate::sys::paths::{Root, stat};
use crate::sys::process::start_ticks;
use crate::types::VolumeName;

/// Longest wait for a start or a stop that is under way.
const TIME: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(10);

/// What of a container is wanted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Its root as its processes see it, with volumes and binds.
    Seen,
    /// The root file system without what is mounted in it.
    Root,
}

/// The root of a container. Nothing starts while it is open, if the container does not run.
#[derive(Debug)]
pub struct Opened {
    root: Root,
    shift: Shift,
    /// Keeps private mounts.
    _namespace: Option<File>,
    _lock: Option<ContainerLock>,
}

impl Opened {
    /// The root directory.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// Which ids of the host stand behind those of the container.
    pub fn shift(&self) -> &Shift {
        &self.shift
    }
}

/// Opens the root of a container. One that does not run is locked meanwhile.
///
/// # Errors
/// It is gone, its layers cannot be mounted, or it neither runs nor stands still for too long.
pub fn open(
    site: Site<'_>,
    definition: &Definition,
    scope: Scope,
) -> Result<Opened, ContainerError> {
    let until = Instant::now() + TIME;
    loop {
        if let Some(opened) = live(site, definition, scope)? {
            return Ok(opened);
        }
        let lock = store::lock(site.layout, &definition.id)?;
        store::load(site.layout, &definition.id)?;
        let status = site.manager.status(&definition.unit())?;
        if status.active_state.is_over() {
            return still(site.layout, definition, scope, lock);
        }
        drop(lock);
        if Instant::now() >= until {
            let text = format!(
                "container {} is being started or stopped: open its files",
                definition.id
            );
            return Err(ContainerError::State(text));
        }
        std::thread::sleep(LOOK);
    }
}

fn is_alive(payload: &Payload) -> bool {
    start_ticks(payload.pid).is_ok_and(|ticks| ticks == payload.start_ticks)
}

/// The root of the payload, if there is one.
fn live(
    site: Site<'_>,
    definition: &Definition,
    scope: Scope,
) -> Result<Option<Opened>, ContainerError> {
    let Some(payload) = payload_of(site.layout, &definition.id).filter(is_alive) else {
        return Ok(None);
    };
    let path = match (scope, own_root(definition)) {
        (Scope::Seen, _) => PathBuf::from(format!("/proc/{}/root", payload.pid)),
        (Scope::Root, Some(directory)) => directory.to_owned(),
        // The monitor has what the runtime has begun with, and nothing is mounted in that.
        (Scope::Root, None) => {
            let status = site.manager.status(&definition.unit())?;
            let rootfs = site.layout.bundle(&definition.id).join("rootfs");
            let below = rootfs.strip_prefix("/").unwrap_or(&rootfs).to_owned();
            Path::new(&format!("/proc/{}/root", status.main_pid)).join(below)
        }
    };
    let root = Root::open(&path);
    let map = |file: &str| {
        let text = fs::read_to_string(format!("/proc/{}/{file}", payload.pid));
        Mapping::ranges(&text.unwrap_or_default())
    };
    let shift = shift_of(map("uid_map"), map("gid_map"));
    // It may have ended while we looked, and another process have its number.
    if !is_alive(&payload) {
        return Ok(None);
    }
    let root = root.map_err(ContainerError::io("open root of", definition.name.as_str()))?;
    Ok(Some(Opened {
        root,
        shift,
        _namespace: None,
        _lock: None,
    }))
}

/// A mapping that changes nothing is none.
fn shift_of(uids: Vec<IdRange>, gids: Vec<IdRange>) -> Shift {
    let same = |ranges: &[IdRange]| ranges.iter().all(|range| range.container == range.host);
    match same(&uids) && same(&gids) {
        true => Shift::default(),
        false => Shift { uids, gids },
    }
}

/// A directory of the host that is the root as it is.
pub(super) fn own_root(definition: &Definition) -> Option<&Path> {
    let files = &definition.options.files;
    match &definition.source {
        crate::definition::Source::Rootfs { path }
            if !files.rootfs_overlay && files.rootfs_idmap.is_none() =>
        {
            Some(Path::new(path))
        }
        _ => None,
    }
}

/// Mounts the layers in a namespace of mounts that ends with us.
fn still(
    layout: &Layout,
    definition: &Definition,
    scope: Scope,
    lock: ContainerLock,
) -> Result<Opened, ContainerError> {
    let failed = |action| ContainerError::io(action, definition.name.as_str());
    let helper = Helper::start(|| mount_all(layout, definition, scope));
    let helper = helper.map_err(failed("mount root of"))?;
    let taken = || -> io::Result<(Root, File, Shift)> {
        let mut parts = helper.text()?.split('\0');
        let mut part = || parts.next().unwrap_or_default();
        let path = part();
        let shift = shift_of(Mapping::ranges(part()), Mapping::ranges(part()));
        let own = format!("/proc/{}", helper.pid());
        let below = path.strip_prefix('/').unwrap_or(path);
        let root = Root::open(Path::new(&own).join("root").join(below))?;
        Ok((root, File::open(format!("{own}/ns/mnt"))?, shift))
    };
    let taken = taken();
    helper.end();
    // The mount points; what is mounted on them is ours alone.
    clear(layout, definition);
    let (root, namespace, shift) = taken.map_err(failed("mount root of"))?;
    Ok(Opened {
        root,
        shift,
        _namespace: Some(namespace),
        _lock: Some(lock),
    })
}

/// What stands in the run directory for the sake of a mount: its mount points, and automatic ids.
pub(super) fn clear(layout: &Layout, definition: &Definition) {
    let bundle = layout.bundle(&definition.id);
    // A run that has ended has none, and the next one has its own.
    let _ = fs::remove_file(prepare::automatic_ids(layout, &definition.id));
    for dir in [
        bundle.join("rootfs"),
        bundle.join(crate::container::cleanup::STAGING),
        bundle.clone(),
        layout.run_container(&definition.id),
    ] {
        // Whatever is in it was there before, and stays.
        let _ = fs::remove_dir(dir);
    }
}

/// In the child: a namespace of its own, the root, and what is mounted in it.
fn mount_all(
    layout: &Layout,
    definition: &Definition,
    scope: Scope,
) -> Result<String, ContainerError> {
    own_namespace().map_err(ContainerError::io(
        "make a namespace of mounts for",
        definition.name.as_str(),
    ))?;
    let (rootfs, mapping) = prepare::root_alone(definition, layout, &mut Host)?;
    if scope == Scope::Seen {
        let mut mounts: Vec<&Mount> = definition.options.files.effective().iter().collect();
        mounts.sort_by_key(|mount| Path::new(&mount.target).components().count());
        for mount in mounts {
            bind(layout, mount, &rootfs).map_err(ContainerError::io("mount", &mount.target))?;
        }
    }
    let map = |of: fn(&Mapping) -> &[IdRange]| {
        mapping
            .as_ref()
            .map_or_else(String::new, |mapping| map_file(of(mapping)))
    };
    let (uids, gids) = (map(|mapping| &mapping.uids), map(|mapping| &mapping.gids));
    Ok(format!("{}\0{uids}\0{gids}", rootfs.display()))
}

/// Nothing that is mounted from here on is seen elsewhere.
pub(super) fn own_namespace() -> io::Result<()> {
    unshare(CloneFlags::CLONE_NEWNS)?;
    make_private("/")
}

/// Volumes and binds at their places. What only a run has, as a tmpfs, is not there; nor is what is gone.
fn bind(layout: &Layout, mount: &Mount, rootfs: &Path) -> io::Result<()> {
    let source = match mount.kind {
        MountKind::Bind => PathBuf::from(&mount.source),
        MountKind::Volume => match mount.source.parse::<VolumeName>() {
            Ok(name) => layout.volume_data(&name),
            Err(_) => return Ok(()),
        },
        _ => return Ok(()),
    };
    let source = match (&mount.subpath, Root::open(&source)) {
        (Some(subpath), Ok(root)) => root.open_in(subpath, O_PATH, 0)?,
        (None, Ok(root)) => root.into_fd(),
        // A file, perhaps.
        (None, Err(_)) => match open_path(&source) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        },
        (Some(_), Err(error)) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        (Some(_), Err(error)) => return Err(error),
    };
    let is_dir = stat(&source)?.st_mode & nix::libc::S_IFMT == nix::libc::S_IFDIR;
    let root = Root::open(rootfs)?;
    let target = match root.open_in(&mount.target, O_PATH, 0) {
        Ok(target) => target,
        Err(_) => {
            let what = match is_dir {
                true => Inside::Directory(0, 0),
                false => Inside::File,
            };
            let path = Path::new(&mount.target);
            Host.make_inside(rootfs, path, what, (0, 0))?;
            root.open_in(&mount.target, O_PATH, 0)?
        }
    };
    let tree = open_tree_clone(&source, true)?;
    if mount.has("ro") || mount.has("O") {
        let set = Attr::RDONLY;
        tree.change(&Change {
            set,
            ..Change::default()
        })?;
    }
    tree.attach(&target).map(drop)
}

fn open_path(path: &Path) -> io::Result<OwnedFd> {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = File::options();
    let file = options.read(true).custom_flags(O_PATH);
    Ok(file.open(path)?.into())
}
