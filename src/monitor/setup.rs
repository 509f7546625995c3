//! From the command line and the environment to what a run needs before its first effect.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::kept::{Kept, KeptError};
use crate::api::Layout;
use crate::definition::unit_file::id_of;
use crate::host::cgroup::{CgroupError, UnitCgroup};
use crate::sys::id::random_bytes;
use crate::sys::process::{set_subreaper, start_ticks};
use crate::sys::signals::{SignalFd, SignalSet};
use crate::types::{
    ContainerId, ContainerName, IdError, NameError, RESTART_VARIABLE, Restart, Restarts, UnitName,
    UnitNameError,
};

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum SetupError {
    #[error("usage: unitbox-monitor [--reload] [--root=DIR] [--unit=UNIT --file=FILE...] NAME")]
    Usage,
    #[error(transparent)]
    Name(#[from] NameError),
    #[error(transparent)]
    Unit(#[from] UnitNameError),
    #[error("no container with name {0:?}")]
    NoContainer(ContainerName),
    #[error("container {name:?}")]
    BadLink {
        name: ContainerName,
        source: IdError,
    },
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    #[error(transparent)]
    Kept(#[from] KeptError),
    #[error("reload: {0}")]
    Reload(String),
    #[error("{what}")]
    System { what: String, source: io::Error },
}

impl SetupError {
    /// Names what was done when a system call failed.
    pub(super) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| SetupError::System { what, source }
    }
}

/// The option that a program gets from the one before; a number follows.
pub(super) const RESUME: &str = "--resume";

/// What the command line asks for.
pub(super) enum Request {
    Run(RunRequest),
    /// The run that goes on is to go on with this program.
    Reload(RunRequest),
    /// There is no container to run: why.
    Refuse(String),
    Version,
}

/// One run of one container.
pub(super) struct RunRequest {
    pub(super) layout: Layout,
    pub(super) name: ContainerName,
    pub(super) deployed: Option<FileUnit>,
    /// It goes on already: the descriptor of what the program before has kept.
    pub(super) resumes: Option<RawFd>,
}

/// The unit of a container that comes of a unit file.
#[derive(Clone, Debug)]
pub(super) struct FileUnit {
    pub(super) unit: UnitName,
    /// The file, its drop-ins, and those that it refers to.
    pub(super) files: Vec<PathBuf>,
}

pub(super) fn parse(args: impl Iterator<Item = OsString>) -> Result<Request, SetupError> {
    let mut root = PathBuf::from("/");
    let (mut name, mut unit, mut files) = (None, None, Vec::new());
    let (mut reload, mut resumes) = (false, None);
    for arg in args.skip(1) {
        let arg = arg.to_str().ok_or(SetupError::Usage)?;
        match arg.split_once('=') {
            Some(("--root", dir)) => root = PathBuf::from(dir),
            Some(("--unit", name)) => unit = Some(name.parse()?),
            Some(("--file", path)) => files.push(PathBuf::from(path)),
            Some(("--refuse", reason)) => return Ok(Request::Refuse(reason.to_owned())),
            Some((RESUME, fd)) => resumes = Some(fd.parse().map_err(|_| SetupError::Usage)?),
            _ if arg == "--reload" => reload = true,
            _ if arg == "--version" => return Ok(Request::Version),
            _ if arg.starts_with('-') || name.is_some() => return Err(SetupError::Usage),
            _ => name = Some(arg.parse()?),
        }
    }
    let name = name.ok_or(SetupError::Usage)?;
    if unit.is_some() == files.is_empty() {
        return Err(SetupError::Usage);
    }
    let request = RunRequest {
        layout: Layout::new(root),
        name,
        deployed: unit.map(|unit| FileUnit { unit, files }),
        resumes,
    };
    Ok(match reload {
        true => Request::Reload(request),
        false => Request::Run(request),
    })
}

/// What does not change during a run.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) layout: Layout,
    pub(super) name: ContainerName,
    pub(super) id: ContainerId,
    /// systemd's invocation id, or a random number when run by hand.
    pub(super) nonce: String,
    pub(super) boot_id: String,
    /// What systemd does when we end.
    pub(super) restart: Restarts,
    pub(super) cgroup: UnitCgroup,
    pub(super) signals: SignalFd,
    /// After how long systemd must hear of us again (WatchdogSec=), if at all.
    pub(super) watchdog: Option<Duration>,
    /// The container is to be made only.
    pub(super) held: bool,
    /// It comes of a unit file, which is read at each start.
    pub(super) deployed: Option<FileUnit>,
}

impl Context {
    /// Finds the container, blocks signals, becomes subreaper, enters its cgroup and makes the run directory.
    pub(super) fn new(request: &RunRequest) -> Result<Self, SetupError> {
        let signals = block_signals()?;
        let layout = &request.layout;
        let id = match id_of_file(request) {
            Some(id) => id,
            None => find(layout, &request.name)?,
        };
        let held = is_wanted(&layout.hold_request(&id));
        let context = Self::of(request, signals, (id, nonce()), held)?;
        let (layout, id) = (&context.layout, &context.id);
        for dir in [layout.run(), context.run_dir()] {
            private_dir(&dir)
                .map_err(SetupError::system(format!("directory {}", dir.display())))?;
        }
        // An exit file of an earlier run must not be taken for one of this run.
        match fs::remove_file(layout.exit_file(id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(SetupError::system("remove old exit file")(error))
            }
            _ => Ok(context),
        }
    }

    /// Of a run that goes on.
    pub(super) fn resume(request: &RunRequest, kept: &Kept) -> Result<Self, SetupError> {
        let own = (kept.id.clone(), kept.nonce.clone());
        Self::of(request, block_signals()?, own, false)
    }

    fn of(
        request: &RunRequest,
        signals: SignalFd,
        (id, nonce): (ContainerId, String),
        held: bool,
    ) -> Result<Self, SetupError> {
        set_subreaper().map_err(SetupError::system("become subreaper"))?;
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        Ok(Self {
            held,
            nonce,
            boot_id: boot_id.trim().to_owned(),
            restart: restarts(request.deployed.is_some()),
            watchdog: sd_notify::watchdog_enabled(),
            layout: request.layout.clone(),
            name: request.name.clone(),
            id,
            cgroup: UnitCgroup::enter()?,
            signals,
            deployed: request.deployed.clone(),
        })
    }

    pub(super) fn run_dir(&self) -> PathBuf {
        self.layout.run_container(&self.id)
    }
}

fn block_signals() -> Result<SignalFd, SetupError> {
    SignalFd::new(&SignalSet::all_but_faults()).map_err(SetupError::system("block signals"))
}

/// As the generator has it (machine-id(5)).
fn machine_id() -> String {
    let text = fs::read_to_string("/etc/machine-id").unwrap_or_default();
    text.trim().to_owned()
}

/// The id of a container that comes of a unit file.
pub(super) fn id_of_file(request: &RunRequest) -> Option<ContainerId> {
    let own = request.deployed.as_ref()?;
    Some(id_of(&machine_id(), own.unit.as_str()))
}

fn find(layout: &Layout, name: &ContainerName) -> Result<ContainerId, SetupError> {
    let target =
        fs::read_link(layout.name(name)).map_err(|_| SetupError::NoContainer(name.clone()))?;
    let last = target.file_name().unwrap_or_default().to_string_lossy();
    last.parse().map_err(|source| SetupError::BadLink {
        name: name.clone(),
        source,
    })
}

/// Whether somebody who lives has asked for this ([`Layout::hold_request`]): what one left who was killed does not count.
fn is_wanted(request: &Path) -> bool {
    let text = fs::read_to_string(request).unwrap_or_default();
    let found = text.trim().split_once(' ').and_then(|(pid, ticks)| {
        let (pid, ticks): (i32, u64) = (pid.parse().ok()?, ticks.parse().ok()?);
        Some(start_ticks(pid).ok()? == ticks)
    });
    found.unwrap_or(false)
}

/// A directory that only root may enter, also if it was looser before.
fn private_dir(path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mode = fs::symlink_metadata(path)?.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(mode & 0o711))?;
    }
    Ok(())
}

/// Without a variable systemd was not told to restart anything.
fn restarts(of_file: bool) -> Restarts {
    let text = std::env::var(RESTART_VARIABLE).unwrap_or_default();
    match of_file {
        true => Restarts::Unit(text.parse().unwrap_or(Restart::No)),
        false => Restarts::Policy(text.parse().unwrap_or_default()),
    }
}

fn nonce() -> String {
    if let Ok(id) = std::env::var("INVOCATION_ID") {
        return id;
    }
    let bytes: [u8; 16] = random_bytes().unwrap_or_default();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_lives_can_want_it() {
        let name = format!("unitbox-hold-{}", std::process::id());
        let request = std::env::temp_dir().join(name);
        assert!(!is_wanted(&request));
        let own = std::process::id();
        let ticks = start_ticks(own as i32).unwrap();
        for (text, wanted) in [
            (format!("{own} {ticks}\n"), true),
            (format!("{own} 1\n"), false),
            (format!("{own}\n"), false),
            (String::new(), false),
        ] {
            fs::write(&request, &text).unwrap();
            assert_eq!(is_wanted(&request), wanted, "{text:?}");
        }
        fs::remove_file(&request).unwrap();
    }
}
