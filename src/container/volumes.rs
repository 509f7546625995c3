//! Which mounts a container gets in the end, and which containers use a volume.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::ContainerError;
use crate::api::Layout;
use crate::definition::mount::{self, Mount, MountFlag, MountKind};
use crate::definition::{Definition, DefinitionError, ImageVolumes, Options, Source};
use crate::image::{Image, Images};
use crate::store::{self, Listed};
use crate::sys::id::random_bytes;
use crate::types::{ContainerId, VolumeName};

/// Settles the mounts of a new container: sources made absolute and looked for, patterns expanded, those of other
/// containers and of the image added, anonymous volumes given a name. Nothing is made.
///
/// # Errors
/// A source, an image, a secret or a container is not there, or two mounts share a place.
pub fn settle(
    layout: &Layout,
    options: &mut Options,
    image: Option<&Image>,
) -> Result<(), ContainerError> {
    for secret in &options.files.secrets {
        store::secrets::load(layout, secret.name.as_str())?;
    }
    let mut mounts = Vec::new();
    for wish in &options.files.mounts {
        for mount in expand(layout, wish)? {
            if !mounts.contains(&mount) {
                add(&mut mounts, mount)?;
            }
        }
    }
    let mut inherited = match (image, options.files.image_volume) {
        (Some(image), mode) => image_volumes(image, mode)?,
        (None, _) => Vec::new(),
    };
    for other in &options.files.volumes_from {
        for mount in mounts_of(layout, other)? {
            inherited.retain(|own: &Mount| own.target != mount.target);
            inherited.push(mount);
        }
    }
    for mount in inherited {
        if !mounts.iter().any(|own| own.target == mount.target) {
            mounts.push(mount);
        }
    }
    for mount in &mut mounts {
        if mount.kind == MountKind::Volume && mount.source.is_empty() {
            let random =
                random_bytes::<32>().map_err(ContainerError::io("draw", "random bytes"))?;
            mount.source = ContainerId::from_random(random).as_str().to_owned();
            mount.anonymous = true;
        }
    }
    options.files.settled = Some(mounts);
    Ok(())
}

fn add(mounts: &mut Vec<Mount>, mount: Mount) -> Result<(), DefinitionError> {
    if mounts.iter().any(|own| own.target == mount.target) {
        return Err(DefinitionError::DuplicateMount(mount.target));
    }
    mounts.push(mount);
    Ok(())
}

fn expand(layout: &Layout, wish: &Mount) -> Result<Vec<Mount>, ContainerError> {
    let mut mount = wish.clone();
    match mount.kind {
        MountKind::Bind => {
            mount.source = absolute(&mount.source)?;
            // Podman's word for it.
            let found = nix::sys::statfs::statfs(Path::new(&mount.source));
            found.map_err(|error| ContainerError::io("statfs", &mount.source)(error.into()))?;
            check_owner(&mount)?;
        }
        MountKind::Glob => return matches(wish),
        MountKind::Image => {
            let images = Images::open(&layout.state())?;
            mount.source = images.resolve(&mount.source)?.id;
        }
        MountKind::Volume | MountKind::Tmpfs | MountKind::Ramfs | MountKind::Devpts => {}
    }
    Ok(vec![mount])
}

/// Directories of the system that must not be given away with all they hold.
const SYSTEM: &[&str] = &[
    "/", "/bin", "/boot", "/dev", "/etc", "/etc/pki", "/home", "/lib", "/lib64", "/media", "/opt",
    "/proc", "/root", "/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/var", "/var/lib",
    "/var/log",
];

/// Whether a path without links is a directory that must not be given away.
pub(super) fn is_of_system(real: &Path) -> bool {
    SYSTEM.iter().any(|path| real == Path::new(path))
}

/// Refuses to change the owner of a whole system, as Podman does.
fn check_owner(mount: &Mount) -> Result<(), ContainerError> {
    if !mount.has("U") || mount.has("O") {
        return Ok(());
    }
    let real =
        fs::canonicalize(&mount.source).map_err(ContainerError::io("find", &mount.source))?;
    if is_of_system(&real) {
        let text = format!("changing the owner of {} is not allowed", real.display());
        return Err(DefinitionError::Mount(text).into());
    }
    Ok(())
}

/// A relative path is the caller's; one that begins with `./` has its links resolved, as in Podman.
fn absolute(source: &str) -> Result<String, ContainerError> {
    let path = PathBuf::from(source);
    let whole = match source {
        _ if source.starts_with('/') => return Ok(mount::clean(source)),
        _ if source.starts_with("./") => fs::canonicalize(&path),
        _ => std::env::current_dir().map(|own| own.join(&path)),
    };
    let whole = whole.map_err(ContainerError::io("find", path))?;
    let text = whole.to_str().map(mount::clean);
    text.ok_or_else(|| ContainerError::io("use", &whole)(std::io::ErrorKind::InvalidData.into()))
}

/// A bind mount for each path that a pattern matches, at the same path or below the target.
fn matches(wish: &Mount) -> Result<Vec<Mount>, ContainerError> {
    let pattern = match wish.source.starts_with('/') {
        true => wish.source.clone(),
        false => absolute(&wish.source)?,
    };
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        found = found.iter().flat_map(|dir| matching(dir, part)).collect();
    }
    found.sort();
    if found.is_empty() {
        let error = std::io::Error::other(format!("no file paths matching glob {pattern:?}"));
        return Err(ContainerError::io("mount", pattern)(error));
    }
    let mounts = found.into_iter().map(|path| {
        let source = path.to_string_lossy().into_owned();
        let target = match (wish.target.as_str(), path.file_name()) {
            ("", _) => source.clone(),
            (target, name) => format!("{target}/{}", name.unwrap_or_default().to_string_lossy()),
        };
        mount::refuse_kernel_place(&target).map_err(DefinitionError::Mount)?;
        Ok(Mount {
            kind: MountKind::Bind,
            source,
            target,
            ..wish.clone()
        })
    });
    mounts.collect()
}

/// What of a directory one part of a pattern matches (glob(7)).
fn matching(directory: &Path, part: &str) -> Vec<PathBuf> {
    if !part.contains(['*', '?', '[', '\\']) {
        let path = directory.join(part);
        return path.symlink_metadata().map(|_| path).into_iter().collect();
    }
    let Ok(pattern) = std::ffi::CString::new(part) else {
        return Vec::new();
    };
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name());
    let wanted = names.filter(|name| crate::sys::glob::matches(&pattern, name));
    wanted.map(|name| directory.join(name)).collect()
}

/// The volumes that an image names, as anonymous ones or as tmpfs.
fn image_volumes(image: &Image, mode: ImageVolumes) -> Result<Vec<Mount>, ContainerError> {
    let (kind, options): (_, &[&str]) = match mode {
        ImageVolumes::Ignore => return Ok(Vec::new()),
        ImageVolumes::Bind => (MountKind::Volume, &["rprivate", "rw", "nodev", "exec"]),
        ImageVolumes::Tmpfs => (MountKind::Tmpfs, &["rprivate", "rw", "nodev", "exec"]),
    };
    let mut mounts: Vec<Mount> = Vec::new();
    for volume in &image.config.volumes {
        let target = mount::clean(volume);
        let refused = |reason| DefinitionError::ImageVolume {
            volume: volume.clone(),
            reason,
        };
        if volume.chars().any(char::is_control) {
            return Err(refused("control characters are not allowed".to_owned()).into());
        }
        mount::refuse_kernel_place(&target).map_err(refused)?;
        if mounts.iter().all(|own| own.target != target) {
            mounts.push(Mount {
                flag: MountFlag::Inherited,
                kind,
                source: String::new(),
                target,
                options: options.iter().map(|word| (*word).to_owned()).collect(),
                subpath: None,
                anonymous: false,
            });
        }
    }
    Ok(mounts)
}

/// What another container has mounted, for `--volumes-from CONTAINER[:OPTIONS]`.
fn mounts_of(layout: &Layout, wish: &str) -> Result<Vec<Mount>, ContainerError> {
    let (name, words) = wish.split_once(':').unwrap_or((wish, ""));
    let id = store::lookup(layout, name)?;
    let definition = store::load(layout, &id)?;
    let words: Vec<&str> = words.split(',').filter(|word| !word.is_empty()).collect();
    let mounts = definition.options.files.effective().iter().cloned();
    // What is made new for each container is no volume.
    let made = [MountKind::Tmpfs, MountKind::Ramfs, MountKind::Devpts];
    let volumes = mounts.filter(|mount| !made.contains(&mount.kind));
    let changed = volumes.map(|mut mount| {
        mount.flag = MountFlag::Inherited;
        // Options stand in for all that the other container has, as in Podman; a layer for changes is more than that.
        if !words.is_empty() && !mount.has("O") {
            mount.options = words.iter().map(|word| (*word).to_owned()).collect();
        }
        mount
    });
    Ok(changed.collect())
}

/// Makes the volumes of a container that are not there yet.
///
/// # Errors
/// One cannot be made; those made before stay.
pub fn make(layout: &Layout, definition: &Definition) -> Result<(), ContainerError> {
    for mount in definition.options.files.effective() {
        if mount.kind == MountKind::Volume {
            let name: Result<VolumeName, _> = mount.source.parse();
            let refused =
                |error: crate::types::ObjectNameError| DefinitionError::Mount(error.to_string());
            store::volumes::ensure(layout, &name.map_err(refused)?, mount.anonymous)?;
        }
    }
    Ok(())
}

fn all(layout: &Layout) -> impl Iterator<Item = Definition> {
    let listed = store::list(layout).unwrap_or_default().into_iter();
    listed.filter_map(|entry| match entry {
        Listed::Good(definition) => Some(*definition),
        Listed::Broken { .. } => None,
    })
}

/// The containers that have a volume mounted when they run.
pub fn users(layout: &Layout, name: &VolumeName) -> Vec<ContainerId> {
    let uses = |definition: &Definition| {
        let mounts = definition.options.files.effective().iter();
        let volumes = mounts.filter(|mount| mount.kind == MountKind::Volume);
        volumes
            .into_iter()
            .any(|mount| mount.source == name.as_str())
    };
    let using = all(layout).filter(uses);
    using.map(|definition| definition.id).collect()
}

/// The images that containers need, by id, with how many containers that are.
pub fn images_in_use(layout: &Layout) -> HashMap<String, usize> {
    let mut used = HashMap::new();
    for definition in all(layout) {
        let mounts = definition.options.files.effective().iter();
        let mounted = mounts.filter(|mount| mount.kind == MountKind::Image);
        let mut ids: HashSet<&String> = mounted.map(|mount| &mount.source).collect();
        if let Source::Image { id, .. } = &definition.source {
            ids.insert(id);
        }
        for id in ids {
            *used.entry(id.clone()).or_insert(0) += 1;
        }
    }
    used
}

/// The containers that need an image: as their root, or mounted.
pub fn image_users(layout: &Layout, image: &str) -> Vec<Definition> {
    let uses = |definition: &Definition| {
        let root = matches!(&definition.source, Source::Image { id, .. } if id == image);
        let mut mounts = definition.options.files.effective().iter();
        root || mounts.any(|mount| mount.kind == MountKind::Image && mount.source == image)
    };
    all(layout).filter(uses).collect()
}
