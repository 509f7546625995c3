//! Who runs, and how.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::libc::RLIM_INFINITY;
use nix::sys::resource::{Resource, getrlimit};

use super::account::{self, Longer, Wish};
use super::error::PrepareError;
use super::user::{Accounts, UserError};
use super::{Ground, has_capability};
use crate::plan::bundle::{ProcessFacts, workdir};
use crate::sys::paths::Root;

/// The facts, and what is to be added to the container's account files.
pub(super) fn facts(ground: &Ground) -> Result<(ProcessFacts, Vec<Longer>), PrepareError> {
    let options = &ground.definition.options;
    let kept = options.isolation.user.kept_ids();
    let named = options.user.as_ref().unwrap_or(&ground.image.user);
    let wish = match kept {
        Some((uid, gid)) if named.is_empty() => &format!("{uid}:{gid}"),
        _ => named.as_str(),
    };
    let mut accounts = Accounts::read(&open(ground.rootfs)?)?;
    let workdir = workdir(ground.definition, ground.image);
    let wanted = Wish {
        options: &options.process,
        user: wish,
        workdir: &workdir,
    };
    let host = host_accounts(ground, &accounts, &wanted)?;
    let added = account::add(&mut accounts, &wanted, &host)?;
    let own_score = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    let score = options.process.oom_score_adj;
    let score = score.or(ground.conf.containers.oom_score_adj);
    let mut user = accounts.look_up(wish, &options.process.groups)?;
    // As in Podman, the group comes with the mapping, whoever the user is.
    let group = kept.map(|(_, gid)| gid);
    let group = group.filter(|gid| !user.groups.contains(gid));
    user.groups.extend(group);
    let facts = ProcessFacts {
        user,
        // To lower it takes CAP_SYS_RESOURCE, which we may not have; to raise it none.
        oom_score_adj: score.unwrap_or_else(|| own_score.trim().parse().unwrap_or(0).max(0)),
        init: init(ground)?,
        most: most(),
        console: ground.run.console,
        crun: ground.runtime.is_crun(),
        watchdog: ground.run.watchdog,
    };
    let mut longer = added.files(&accounts);
    longer.retain(|longer| !options.files.mounts_on(longer.file));
    Ok((facts, longer))
}

fn open(root: &Path) -> Result<Root, UserError> {
    Root::open(root).map_err(|source| UserError::File { file: "/", source })
}

/// The host's accounts, read only where a container lacks the user.
fn host_accounts(
    ground: &Ground,
    accounts: &Accounts,
    wish: &Wish,
) -> Result<Accounts, PrepareError> {
    let (user, _) = super::user::split(wish.user);
    let known = accounts.user(user).is_some();
    if wish.options.passwd == Some(false) || known && wish.options.host_users.is_empty() {
        return Ok(Accounts::default());
    }
    Ok(Accounts::read(&open(ground.run.layout.root())?)?)
}

/// To what limits can be raised (getrlimit(2)); none where we may raise them at will.
fn most() -> Option<(u64, u64)> {
    /// capabilities(7), bit 24.
    const SYS_RESOURCE: u32 = 24;
    if has_capability(SYS_RESOURCE) {
        return None;
    }
    let hard = |resource| getrlimit(resource).map_or(RLIM_INFINITY, |(_, hard)| hard);
    Some((hard(Resource::RLIMIT_NOFILE), hard(Resource::RLIMIT_NPROC)))
}

/// Where catatonit may be, besides what containers.conf(5) says.
const HELPERS: [&str; 4] = [
    "/usr/local/libexec/podman",
    "/usr/local/lib/podman",
    "/usr/libexec/podman",
    "/usr/lib/podman",
];
const PATH: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

fn init(ground: &Ground) -> Result<Option<PathBuf>, PrepareError> {
    let options = &ground.definition.options.process;
    let conf = &ground.conf.containers;
    if options.init.or(conf.init) != Some(true) {
        return Ok(None);
    }
    let named = options.init_path.as_ref().or(conf.init_path.as_ref());
    let found = match named {
        Some(path) => Some(PathBuf::from(path)).filter(|path| is_program(path)),
        None => {
            let helpers = ground.conf.engine.helper_binaries_dir.over(&HELPERS);
            let directories = helpers.into_iter().chain(PATH.map(str::to_owned));
            let mut paths = directories.map(|directory| Path::new(&directory).join("catatonit"));
            paths.find(|path| is_program(path))
        }
    };
    match found {
        Some(path) => Ok(Some(path)),
        None => Err(PrepareError::NoInit {
            path: named.map_or("catatonit", String::as_str).into(),
        }),
    }
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
