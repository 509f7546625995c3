//! Everything between a definition and `runc run`: the work of the prepare worker.

mod account;
mod cdi;
mod devices;
mod error;
mod etc;
mod files;
mod guard;
mod health;
mod hooks;
mod isolation;
mod joined;
mod known;
mod limits;
mod process;
mod root;
mod seccomp;
mod secrets;
mod shifted;
mod user;
mod userns;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::api::{LastStart, Layout};
use crate::container::{apparmor, cleanup, conf, selinux};
use crate::definition::{Definition, HealthLog, HealthOptions, Namespace, Options, UserNamespace};
use crate::host::cgroup::UnitCgroup;
use crate::host::runtime::Runtime;
use crate::host::world::{Durability, World};
use crate::plan::bundle::{self, Bundle, BundleFacts, ImageDefaults, Mapping, UserFacts};
use crate::plan::conf::Conf;
use crate::plan::selinux::Labels;
use crate::store;
use crate::sys::paths::Root;
use crate::types::{ContainerId, HealthPolicy, Signal};

pub use error::PrepareError;
use error::effect;
pub use health::change as change_health;
pub(in crate::container) use isolation::bits;
pub(super) use isolation::host_capabilities;
pub use root::defaults;
pub(super) use root::{changes_of, files_are_mounted};
pub use user::UserError;

/// What the monitor needs to create and keep the container.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Prepared {
    /// The definition.
    pub definition: Definition,
    /// The runtime.
    pub runtime: Runtime,
    /// Signal of an ordered stop: the user's, the image's, or SIGTERM.
    pub stop_signal: Signal,
    /// What was left out, one line each.
    pub warnings: Vec<String>,
    /// How its health is looked at, if it is.
    pub health: Option<HealthPolicy>,
}

/// What the worker knows of this run.
#[derive(Clone, Debug)]
pub struct RunFacts<'a> {
    /// Where things are.
    pub layout: &'a Layout,
    /// The unit's cgroups.
    pub cgroup: &'a UnitCgroup,
    /// systemd's invocation id.
    pub nonce: &'a str,
    /// This boot's id.
    pub boot_id: &'a str,
    /// Microseconds since the epoch.
    pub now: u64,
    /// Names and contents of the limits of the unit's cgroup.
    pub limits: &'a [(String, String)],
    /// Rows and columns of the terminal of the client that is attached from the start.
    pub console: Option<(u16, u16)>,
    /// The watchdog of the unit, microseconds.
    pub watchdog: Option<u64>,
}

/// Reads a definition.
///
/// # Errors
/// It cannot be read or is none.
pub fn load(layout: &Layout, id: &ContainerId) -> Result<Definition, PrepareError> {
    let path = layout.definition(id);
    let read =
        fs::read(&path).and_then(|text| Definition::from_json(&text).map_err(io::Error::other));
    read.map_err(|source| PrepareError::Definition { path, source })
}

/// Clears what an earlier run left, then builds the bundle, under the container's lock: a removal, or a cleanup behind
/// the run before, may be under way.
///
/// # Errors
/// Any step; what was done so far is undone by [`cleanup::run`], which must follow.
pub fn prepare(
    id: &ContainerId,
    run: &RunFacts,
    world: &mut dyn World,
) -> Result<Prepared, PrepareError> {
    let layout = run.layout;
    let _lock = store::lock(layout, id)?;
    let definition = load(layout, id)?;
    let conf = conf::load(layout, &definition.options.conf)?;
    let runtime = Runtime::find(definition.options.runtime.as_deref())?;
    let stale = cleanup::clear_run(layout, id, &runtime, run.cgroup, world);
    for error in &stale {
        tracing::warn!("{error}; continuing");
    }
    let start = LastStart {
        nonce: run.nonce.to_owned(),
        boot_id: run.boot_id.to_owned(),
        started: run.now,
    };
    let path = layout.last_start(id);
    effect(
        "write",
        &path,
        world.write_file(&path, &start.render(), 0o600, Durability::Synced),
    )?;
    for dir in [layout.bundle(id), layout.runtime_state(id)] {
        effect("make directory", &dir, world.make_dir(&dir, 0o700))?;
    }
    if let Some(path) = runtime.cache(layout, id) {
        let shared = layout.seccomp_cache();
        effect("make directory", &shared, world.make_dir(&shared, 0o700))?;
        effect("link", &path, world.link(&shared, &path))?;
    }
    let labels = selinux::prepare(&definition, layout, &conf, world)?;
    let place = root::Place {
        definition: &definition,
        layout,
        context: labels.as_ref().map(|labels| labels.mount.to_string()),
    };
    let root::Made {
        rootfs,
        image,
        mapping,
    } = root::make(&place, &conf, world)?;
    guard::check(&rootfs)?;
    let ground = Ground {
        definition: &definition,
        run,
        runtime: &runtime,
        rootfs: &rootfs,
        image: &image,
        conf: &conf,
        mapping: mapping.as_ref(),
        labels: labels.as_ref(),
    };
    let planned = write_bundle(&ground, world)?;
    let health = health::prepare(&ground, world)?;
    let mut warnings = planned.warnings;
    warnings.extend(known::escapes(layout, &runtime, world));
    Ok(Prepared {
        runtime,
        stop_signal: planned.stop_signal,
        warnings,
        health,
        definition,
    })
}

/// Mounts the root of a container that does not run, for its files only, where a run has it; gives its mapping too.
pub(super) fn root_alone(
    definition: &Definition,
    layout: &Layout,
    world: &mut dyn World,
) -> Result<(PathBuf, Option<Mapping>), PrepareError> {
    let conf = conf::load(layout, &definition.options.conf)?;
    let bundle = layout.bundle(&definition.id);
    effect("make directory", &bundle, world.make_dir(&bundle, 0o700))?;
    let labels = selinux::prepare(definition, layout, &conf, world)?;
    let place = root::Place {
        definition,
        layout,
        context: labels.as_ref().map(|labels| labels.mount.to_string()),
    };
    let made = root::make(&place, &conf, world)?;
    Ok((made.rootfs, made.mapping))
}

/// Where the ids of an automatic mapping are on record.
pub(super) fn automatic_ids(layout: &Layout, id: &ContainerId) -> PathBuf {
    layout.run_container(id).join(userns::RECORD)
}

/// Looks users up in a root that runs: in its own account files, which are untrusted.
///
/// # Errors
/// A file that is none, or an unknown name.
pub fn look_up<const N: usize>(root: &Path, users: [&str; N]) -> Result<[UserFacts; N], UserError> {
    let root = Root::open(root).map_err(|source| UserError::File { file: "/", source })?;
    let accounts = user::Accounts::read(&root)?;
    let mut found = std::array::from_fn(|_| UserFacts::default());
    for (found, user) in found.iter_mut().zip(users) {
        *found = accounts.look_up(user, &[])?;
    }
    Ok(found)
}

/// Checks what only the host can tell of options, so that `create` refuses what no start could do.
///
/// # Errors
/// A file that the options name cannot be used.
pub fn check(layout: &Layout, options: &Options, conf: &Conf) -> Result<(), PrepareError> {
    for device in &options.isolation.devices {
        devices::of(device)?;
    }
    cdi::edits(&options.isolation.devices, conf)?;
    if let Some(name) = &options.etc.tz {
        etc::zone(layout.root(), name)?;
    }
    check_log(&options.health)?;
    apparmor::check(&options.isolation)?;
    selinux::check(layout, options)?;
    if let Some(UserNamespace::Path(path)) = &options.isolation.user.mode {
        let path = Path::new(path);
        effect("open user namespace", path, fs::metadata(path))?;
    }
    let isolation = &options.isolation;
    let modes = [
        &isolation.pid,
        &isolation.ipc,
        &isolation.uts,
        &isolation.cgroup,
    ];
    for mode in modes.into_iter().flatten() {
        if let Namespace::Path(path) = mode {
            let path = Path::new(path);
            effect("open namespace", path, fs::metadata(path))?;
        }
    }
    seccomp::own(&options.isolation).map(drop)
}

/// Checks that the directory for the log of health checks is there.
///
/// # Errors
/// It is not.
pub fn check_log(health: &HealthOptions) -> Result<(), PrepareError> {
    match &health.log {
        HealthLog::Local | HealthLog::Journal => Ok(()),
        HealthLog::Directory(path) => {
            let path = Path::new(path);
            effect("look at --health-log-destination", path, fs::metadata(path)).map(drop)
        }
    }
}

/// What the facts of a bundle are gathered from.
#[derive(Clone, Copy, Debug)]
struct Ground<'a> {
    definition: &'a Definition,
    run: &'a RunFacts<'a>,
    runtime: &'a Runtime,
    rootfs: &'a Path,
    image: &'a ImageDefaults,
    conf: &'a Conf,
    mapping: Option<&'a Mapping>,
    labels: Option<&'a Labels>,
}

impl Ground<'_> {
    /// The label of the container's files.
    fn file_label(&self) -> Option<String> {
        self.labels.map(|labels| labels.mount.to_string())
    }
}

impl Ground<'_> {
    /// User and group of the host that stand behind the container's root.
    fn root(&self) -> (u32, u32) {
        self.owner(0, 0).unwrap_or((0, 0))
    }

    /// User and group of the host that stand behind those of the container, if any do.
    fn owner(&self, uid: u32, gid: u32) -> Option<(u32, u32)> {
        match self.mapping {
            Some(mapping) => mapping.owner(uid, gid),
            None => Some((uid, gid)),
        }
    }
}

/// Writes files and config.json.
fn write_bundle(ground: &Ground, world: &mut dyn World) -> Result<Bundle, PrepareError> {
    let (process, longer) = process::facts(ground)?;
    let read_only = ground.definition.options.files.read_only;
    let mut etc = etc::facts(ground)?;
    if read_only {
        let copies = longer.iter();
        etc.accounts = copies
            .map(|longer| (longer.file, longer.whole.clone()))
            .collect();
    }
    let owner = userns::on_host(&process.user, ground.mapping);
    let files = files::prepare(ground, &owner, world)?;
    let facts = BundleFacts {
        image: ground.image.clone(),
        rootfs: ground.rootfs.to_owned(),
        cgroup: ground.run.cgroup.payload(),
        process,
        files,
        etc,
        isolation: isolation::facts(ground, world)?,
        limits: limits::facts(ground)?,
        hooks: hooks::facts(ground),
        joined: joined::join(ground, world)?,
        conf: ground.conf.clone(),
    };
    let planned = bundle::plan(ground.definition, &facts)?;
    if let Some(process) = planned.spec.process() {
        files::workdir(ground, process.cwd(), &owner, world)?;
    }
    let root = ground.mapping.and_then(|mapping| mapping.owner(0, 0));
    for (path, contents) in &planned.etc {
        effect(
            "write",
            path,
            world.write_file(path, contents, 0o644, Durability::Cached),
        )?;
        if let Some(owner) = root {
            effect("give away", path, world.hand_over(path, owner, 0o644))?;
        }
    }
    for (from, to) in &planned.copies {
        effect("copy", from, world.copy_file(from, to, 0o644))?;
        if let Some(owner) = root {
            effect("give away", to, world.hand_over(to, owner, 0o644))?;
        }
    }
    if let Some(label) = ground.file_label() {
        let copies = planned.copies.iter().map(|(_, to)| to);
        for path in planned.etc.iter().map(|(path, _)| path).chain(copies) {
            effect("label", path, world.relabel(path, &label))?;
        }
    }
    if !read_only {
        for longer in &longer {
            add_account(ground.rootfs, longer, world)?;
        }
    }
    let bundle = ground.run.layout.bundle(&ground.definition.id);
    let path = bundle.join("config.json");
    let json = serde_json::to_string(&planned.spec).expect("a spec has only string keys");
    let json = hooks::filter(&planned.filters, json, world)?;
    effect(
        "write",
        &path,
        world.write_file(&path, &json, 0o600, Durability::Cached),
    )?;
    Ok(planned)
}

/// Adds lines to an account file of the container's root, as Podman does: what the container changes there later stays.
fn add_account(
    rootfs: &Path,
    longer: &account::Longer,
    world: &mut dyn World,
) -> Result<(), PrepareError> {
    let file = Path::new(longer.file);
    match world.append_in(rootfs, file, &longer.added) {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => {
            tracing::warn!(
                "{} of the container: {error}; its user has no entry",
                longer.file
            );
            Ok(())
        }
        result => effect("add to the container's", file, result),
    }
}

/// Whether this process has a capability, by its number (capabilities(7)).
fn has_capability(number: u32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let effective = effective.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    effective.is_none_or(|set| set & (1 << number) != 0)
}
