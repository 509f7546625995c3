//! Secrets, credentials of the unit, and directories of mounts.conf: written into a tmpfs that is new for each run.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use nix::libc::S_IFDIR;

use super::Ground;
use super::error::{PrepareError, effect};
use super::files::own_place;
use crate::definition::SecretUse;
use crate::host::world::{PrivateFile, World};
use crate::plan::bundle::{FileFacts, GivenFile, UserFacts};
use crate::store;
use crate::types::SecretName;

/// Where credentials are inside (systemd's container interface).
const CREDENTIALS: &str = "/run/host/credentials";
/// The variable that says so (systemd.exec(5)).
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
const SECRETS: &str = "/run/secrets";
/// Most that one directory of mounts.conf or all credentials may hold, bytes.
const MAX_GIVEN: u64 = 16 << 20;

/// What will be in the tmpfs, and where it is mounted: path below the tmpfs, target, read-only.
#[derive(Default)]
struct Given {
    files: Vec<PrivateFile>,
    mounts: Vec<(PathBuf, String, bool)>,
}

/// Writes what is given to this container; nothing is mounted if that is nothing.
pub(super) fn prepare(
    ground: &Ground,
    user: &UserFacts,
    facts: &mut FileFacts,
    world: &mut dyn World,
) -> Result<(), PrepareError> {
    let mut given = Given::default();
    mounts_conf(ground, &mut given);
    secrets(ground, facts, &mut given)?;
    credentials(ground, user, facts, &mut given)?;
    if given.mounts.is_empty() {
        return Ok(());
    }
    let place = own_place(ground, "secrets", world)?;
    effect("make directory", &place, world.make_dir(&place, 0o700))?;
    effect(
        "write secrets to",
        &place,
        world.mount_private(
            &place,
            &given.files,
            ground.root(),
            ground.file_label().as_deref(),
        ),
    )?;
    let mounts = given.mounts.into_iter();
    facts.given = mounts
        .map(|(path, target, read_only)| GivenFile {
            source: place.join(path),
            target,
            read_only,
        })
        .collect();
    Ok(())
}

fn secrets(ground: &Ground, facts: &mut FileFacts, given: &mut Given) -> Result<(), PrepareError> {
    let wanted = &ground.definition.options.files.secrets;
    let mut base = None;
    for secret in wanted {
        let (_, contents) = store::secrets::load(ground.run.layout, secret.name.as_str())?;
        match &secret.how {
            SecretUse::Env { target } => {
                let name = target.as_deref().unwrap_or(secret.name.as_str());
                facts
                    .secret_env
                    .push((name.to_owned(), text(contents, name)?));
            }
            SecretUse::Mount { .. } => {
                let target = secret.path().unwrap_or_default();
                // It is there with the first secret, wherever that is mounted.
                base.get_or_insert_with(|| secrets_directory(given));
                if let Some(below) = target.strip_prefix("/run/secrets/") {
                    // The mount point, so that the runtime need not make it.
                    let directory = base.get_or_insert_with(|| secrets_directory(given)).clone();
                    given.files.push(PrivateFile {
                        path: directory.join(below),
                        contents: Vec::new(),
                        owner: (ground.root().0, ground.root().1, 0o444),
                    });
                }
                let path = Path::new("file").join(given.files.len().to_string());
                given.mounts.push((path.clone(), target, false));
                let owner = owner_of(ground, &secret.name)?;
                given.files.push(PrivateFile {
                    path,
                    contents,
                    owner,
                });
            }
        }
    }
    Ok(())
}

/// Owner, group and mode of the files of a secret: in Podman, too, it has these once, and the last that is said of them
/// holds.
fn owner_of(ground: &Ground, name: &SecretName) -> Result<(u32, u32, u32), PrepareError> {
    let all = ground.definition.options.files.secrets.iter().rev();
    let said = all.filter(|secret| secret.name == *name);
    let said = said.filter_map(|secret| match secret.how {
        SecretUse::Mount { uid, gid, mode, .. } => Some((uid, gid, mode)),
        SecretUse::Env { .. } => None,
    });
    let (uid, gid, mode) = { said }.next().unwrap_or((0, 0, 0o444));
    let error = || io::Error::other(format!("the container has no user {uid} or group {gid}"));
    let owner = ground.owner(uid, gid).ok_or_else(error);
    let (uid, gid) = effect("give away secret", Path::new(name.as_str()), owner)?;
    Ok((uid, gid, mode))
}

/// The directory that becomes /run/secrets: that of mounts.conf if it has one.
fn secrets_directory(given: &mut Given) -> PathBuf {
    if let Some((path, ..)) = given.mounts.iter().find(|(_, target, _)| target == SECRETS) {
        return path.clone();
    }
    let path = PathBuf::from("secrets");
    given.files.push(PrivateFile {
        path: path.clone(),
        contents: Vec::new(),
        owner: (0, 0, S_IFDIR | 0o755),
    });
    given.mounts.push((path.clone(), SECRETS.to_owned(), false));
    path
}

/// A variable's value: config.json holds text, and execve(2) ends it at NUL.
fn text(contents: Vec<u8>, name: &str) -> Result<String, PrepareError> {
    let text = String::from_utf8(contents)
        .ok()
        .filter(|text| !text.contains('\0'));
    let error = || io::Error::other("not text without NUL, which a variable must be");
    effect(
        "use secret for variable",
        Path::new(name),
        text.ok_or_else(error),
    )
}

/// The credentials that systemd has given the unit, for the payload's user alone.
fn credentials(
    ground: &Ground,
    user: &UserFacts,
    facts: &mut FileFacts,
    given: &mut Given,
) -> Result<(), PrepareError> {
    let Some(directory) = std::env::var_os(CREDENTIALS_DIRECTORY) else {
        return Ok(());
    };
    let directory = PathBuf::from(directory);
    let read = collect(&directory, Path::new("credentials"), &mut given.files, 0);
    let first = given.files.len() - effect("read credentials in", &directory, read)?;
    for file in &mut given.files[first..] {
        file.owner = (user.uid, user.gid, 0o400);
    }
    if first == given.files.len() {
        return Ok(());
    }
    given
        .mounts
        .push(("credentials".into(), CREDENTIALS.to_owned(), true));
    let env = &ground.definition.options.env;
    if !env.iter().any(|(name, _)| name == CREDENTIALS_DIRECTORY) {
        let value = CREDENTIALS.to_owned();
        facts
            .secret_env
            .push((CREDENTIALS_DIRECTORY.to_owned(), value));
    }
    Ok(())
}

/// Directories that every container gets a copy of (containers-mounts.conf(5)): the first file that is there counts.
fn mounts_conf(ground: &Ground, given: &mut Given) {
    let root = ground.run.layout.root();
    let files = [
        "etc/containers/mounts.conf",
        "usr/share/containers/mounts.conf",
    ];
    let Some(text) = files
        .iter()
        .find_map(|file| fs::read_to_string(root.join(file)).ok())
    else {
        return;
    };
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('/'));
    for (number, line) in lines.enumerate() {
        let (source, target) = line.split_once(':').unwrap_or((line, line));
        let target = crate::definition::mount::clean(target);
        let own = PathBuf::from(format!("conf/{number}"));
        let before = given.files.len();
        let source = root.join(source.trim_start_matches('/'));
        let allowed =
            crate::definition::mount::refuse_kernel_place(&target).map_err(io::Error::other);
        match allowed.and_then(|()| collect(&source, &own, &mut given.files, 0)) {
            Ok(0) => {}
            Ok(_) => {
                let (uid, gid) = ground.root();
                for file in &mut given.files[before..] {
                    (file.owner.0, file.owner.1) = (uid, gid);
                }
                given.mounts.push((own, target, false));
            }
            Err(error) => {
                given.files.truncate(before);
                tracing::warn!(source = %source.display(), %error, "entry of mounts.conf is left out");
            }
        }
    }
}

/// Reads the files in a directory and below, or one file; how many they are. Links are followed: they are the host's.
fn collect(from: &Path, to: &Path, files: &mut Vec<PrivateFile>, depth: u32) -> io::Result<usize> {
    let about = fs::metadata(from)?;
    let before = files.len();
    if about.is_dir() && depth < 16 {
        for entry in fs::read_dir(from)? {
            let name = entry?.file_name();
            collect(&from.join(&name), &to.join(&name), files, depth + 1)?;
        }
    } else if about.is_file() {
        let so_far: u64 = files.iter().map(|file| file.contents.len() as u64).sum();
        if so_far + about.len() > MAX_GIVEN {
            return Err(io::Error::other("more than 16 MiB"));
        }
        files.push(PrivateFile {
            path: to.to_owned(),
            contents: fs::read(from)?,
            owner: (0, 0, about.permissions().mode() & 0o777),
        });
    }
    Ok(files.len() - before)
}
