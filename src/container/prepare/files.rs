//! What is mounted besides the root: sources are made ready and mount points made, so that the runtime only mounts.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::libc::{O_DIRECTORY, O_PATH};
use nix::sys::statvfs::{FsFlags, statvfs};

use super::error::{PrepareError, effect};
use super::{Ground, secrets};
use crate::container::volumes::is_of_system;
use crate::definition::mount::{IdmapOption, Mount, MountKind};
use crate::host::world::{Durability, Inside, MappedBind, Overlay, World};
use crate::image::Images;
use crate::plan::bundle::{
    self, FileFacts, Forbids, GivenFile, Mapping, MountFacts, NOTIFY_DIRECTORY, UserFacts, map_file,
};
use crate::store::copy_tree::Shift;
use crate::store::copy_up::FirstUse;
use crate::store::volumes;
use crate::sys::paths::{Lock, Root};
use crate::types::{NotifyMode, VolumeName};

/// Gathers what the plan must know, and makes ready what is to be mounted.
pub(super) fn prepare(
    ground: &Ground,
    user: &UserFacts,
    world: &mut dyn World,
) -> Result<FileFacts, PrepareError> {
    let mut facts = FileFacts::default();
    let mounts = ground.definition.options.files.effective();
    for (number, mount) in mounts.iter().enumerate() {
        let ready = source(ground, mount, (number, user), world)?;
        relabel(ground, mount, &ready.source, world)?;
        if mount.has("U") && !ready.source.as_os_str().is_empty() {
            give(ground, (number, mount), &ready.source, user, world)?;
        }
        facts.mounts.push(ready);
    }
    targets(ground, mounts, &facts.mounts, world)?;
    facts.shm = shm(ground, world)?;
    secrets::prepare(ground, user, &mut facts, world)?;
    facts.given.extend(notify(ground, world)?);
    Ok(facts)
}

/// The directory for the socket of a payload that says itself when it is ready. It cannot write there.
fn notify(ground: &Ground, world: &mut dyn World) -> Result<Option<GivenFile>, PrepareError> {
    if ground.definition.options.notify != Some(NotifyMode::Container) {
        return Ok(None);
    }
    let source = ground.run.layout.notify(&ground.definition.id);
    effect("make directory", &source, world.make_dir(&source, 0o755))?;
    if let Some(label) = ground.file_label() {
        effect("label", &source, world.relabel(&source, &label))?;
    }
    Ok(Some(GivenFile {
        source,
        target: NOTIFY_DIRECTORY.to_owned(),
        read_only: true,
    }))
}

/// Gives what is mounted the label of the container, or with `z` one that all containers may use. Where there is no SELinux
/// there is nothing to do, and Podman says nothing either.
fn relabel(
    ground: &Ground,
    mount: &Mount,
    source: &Path,
    world: &mut dyn World,
) -> Result<(), PrepareError> {
    let Some(labels) = ground.labels else {
        return Ok(());
    };
    let label = match (mount.has("Z"), mount.has("z")) {
        (false, false) => return Ok(()),
        (true, _) => labels.mount.to_string(),
        (false, true) => labels.mount.shared().to_string(),
    };
    if mount.has("O") || source.as_os_str().is_empty() {
        return Ok(());
    }
    let real = effect("find", source, fs::canonicalize(source))?;
    let allowed = match is_of_system(&real) {
        true => Err(io::Error::other("relabelling it is not allowed")),
        false => Ok(()),
    };
    effect("label", &real, allowed)?;
    effect("label", &real, world.relabel(&real, &label))
}

/// Gives a tree to the user: once, not at each start, unless somebody else has been given it in between.
fn give(
    ground: &Ground,
    (number, mount): (usize, &Mount),
    tree: &Path,
    user: &UserFacts,
    world: &mut dyn World,
) -> Result<(), PrepareError> {
    let about = effect("look at", tree, fs::metadata(tree))?;
    let own = ground.run.layout.container(&ground.definition.id);
    let mark = own.join(format!("given-{number}"));
    let said = format!(
        "{}:{} {}:{}\n",
        user.uid,
        user.gid,
        about.dev(),
        about.ino()
    );
    // A layer of the container's own is a new one at each start.
    let lasts = !mount.has("O") && mount.kind != MountKind::Image;
    let owned = (about.uid(), about.gid()) == (user.uid, user.gid);
    if lasts && owned && fs::read_to_string(&mark).is_ok_and(|text| text == said) {
        return Ok(());
    }
    let given = world.chown_tree(tree, user.uid, user.gid);
    effect("change owner of", tree, given)?;
    if lasts {
        let written = world.write_file(&mark, &said, 0o600, Durability::Cached);
        effect("write", &mark, written)?;
    }
    Ok(())
}

/// Shared memory that belongs to the container's root from the start; where it is.
fn shm(ground: &Ground, world: &mut dyn World) -> Result<Option<PathBuf>, PrepareError> {
    let Some(size) = bundle::mapped_shm(ground.definition, ground.conf, ground.mapping) else {
        return Ok(None);
    };
    let place = own_place(ground, "shm", world)?;
    let label = ground.file_label();
    let mounted = world.mount_shm(&place, size, ground.root(), label.as_deref());
    effect("mount shared memory at", &place, mounted)?;
    Ok(Some(place))
}

fn source(
    ground: &Ground,
    mount: &Mount,
    (number, user): (usize, &UserFacts),
    world: &mut dyn World,
) -> Result<MountFacts, PrepareError> {
    let mut facts = MountFacts::default();
    match mount.kind {
        MountKind::Tmpfs | MountKind::Ramfs | MountKind::Devpts => {
            facts.directory = true;
            return Ok(facts);
        }
        MountKind::Bind | MountKind::Glob => {
            if mount.has("no-dereference") && !ground.runtime.is_crun() {
                let error = io::Error::other("no-dereference needs the runtime crun");
                return effect("mount", Path::new(&mount.source), Err(error));
            }
            facts.source = PathBuf::from(&mount.source);
            facts.forbids = effect("look at", &facts.source, forbids(&facts.source))?;
        }
        MountKind::Volume => {
            facts.source = volume(ground, mount, user, world)?;
            facts.forbids = Forbids::VOLUME;
        }
        MountKind::Image => facts.source = image(ground, mount, number, world)?,
    }
    if let Some(subpath) = &mount.subpath {
        let target = own_place(ground, &format!("{number}.part"), world)?;
        let bound = world.bind_inside(&facts.source, Path::new(subpath), &target);
        effect("bind subpath of", &facts.source, bound)?;
        facts.source = target;
    }
    let about = effect("look at", &facts.source, fs::metadata(&facts.source))?;
    facts.directory = about.is_dir();
    if mount.has("O") && !mount.has("U") {
        facts.overlay = Some(overlay_dirs(ground, mount, number, world)?);
    } else if mount.has("O") {
        // Its owners change in the layer of the container's own, never in the source.
        let (lower, empty) = (vec![facts.source.clone()], facts.source);
        facts.source = overlay(ground, mount, number, (lower, empty), world)?;
    } else if let Some(shift) = idmap(ground, mount)? {
        let bind = MappedBind {
            uids: map_file(&shift.uids),
            gids: map_file(&shift.gids),
            recursive: !mount.has("bind"),
        };
        let target = own_place(ground, &format!("{number}.mapped"), world)?;
        let bound = world.bind_mapped(&facts.source, &target, &bind);
        effect("map the owners of", &facts.source, bound)?;
        facts.source = target;
    }
    Ok(facts)
}

/// From the owners on disk to those on the host, if a mount has a mapping: its own, or the container's.
fn idmap(ground: &Ground, mount: &Mount) -> Result<Option<Shift>, PrepareError> {
    let Some(idmap) = mount.idmap() else {
        return Ok(None);
    };
    let parsed = idmap.map_err(io::Error::other);
    let own = effect("mount", Path::new(&mount.target), parsed)?;
    mapped(own.as_ref(), ground.mapping, Path::new(&mount.target))
}

/// The same for a mapping that is there already; none changes nothing.
pub(super) fn mapped(
    own: Option<&IdmapOption>,
    container: Option<&Mapping>,
    path: &Path,
) -> Result<Option<Shift>, PrepareError> {
    let Some(own) = own else {
        let known = container.filter(|mapping| !mapping.is_identity());
        return Ok(known.map(|mapping| Shift {
            uids: mapping.uids.clone(),
            gids: mapping.gids.clone(),
        }));
    };
    let find = |uid, gid| match container {
        Some(mapping) => mapping.owner(uid, gid),
        None => Some((uid, gid)),
    };
    let shift = own.absolute(
        |uid| find(uid, 0).map(|owner| owner.0),
        |gid| find(0, gid).map(|owner| owner.1),
    );
    let text = || io::Error::other("its mapping has ids that the container has not");
    effect("mount", path, shift.ok_or_else(text)).map(|(uids, gids)| Some(Shift { uids, gids }))
}

/// What the file system of a path forbids, so that its mount in the container does too (statvfs(3)).
fn forbids(path: &Path) -> io::Result<Forbids> {
    let flags = statvfs(path)?.flags();
    Ok(Forbids {
        exec: flags.contains(FsFlags::ST_NOEXEC),
        suid: flags.contains(FsFlags::ST_NOSUID),
        dev: flags.contains(FsFlags::ST_NODEV),
    })
}

/// A volume's directory; the volume is made if it is not there, and filled if nobody has had it.
fn volume(
    ground: &Ground,
    mount: &Mount,
    user: &UserFacts,
    world: &mut dyn World,
) -> Result<PathBuf, PrepareError> {
    let layout = ground.run.layout;
    let name: VolumeName = mount.source.parse().map_err(|error| {
        let path = PathBuf::from(&mount.source);
        let source = io::Error::other::<crate::types::ObjectNameError>(error);
        let what = "use volume";
        PrepareError::Effect { what, path, source }
    })?;
    let path = layout.volume(&name);
    if !path.is_dir() {
        let _hold = volumes::hold(layout, Lock::Shared)?;
        volumes::ensure(layout, &name, mount.anonymous)?;
    }
    if let Some(labels) = ground.labels
        && volumes::is_fresh(&path)
    {
        // Volumes are for every container, and what comes into one has the label of its directory.
        let (data, label) = (layout.volume_data(&name), labels.mount.shared());
        effect("label", &data, world.relabel(&data, &label.to_string()))?;
    }
    // On disk, what a mapping shows as the container's is somebody else's.
    let shift = idmap(ground, mount)?.map_or_else(Shift::default, |idmap| idmap.back());
    let first = FirstUse {
        owner: shift.owner(user.uid, user.gid),
        copy: !mount.has("nocopy") && mount.subpath.is_none(),
        shift,
    };
    let copied = world.copy_up(&path, ground.rootfs, Path::new(&mount.target), &first);
    effect("copy files of the image to volume", &path, copied)?;
    Ok(layout.volume_data(&name))
}

/// The files of an image, mounted with a layer for changes.
fn image(
    ground: &Ground,
    mount: &Mount,
    number: usize,
    world: &mut dyn World,
) -> Result<PathBuf, PrepareError> {
    let images = Images::open(&ground.run.layout.state())?;
    let image = images.resolve(&mount.source)?;
    let layers = (image.lower_dirs(), images.empty_dir());
    overlay(ground, mount, number, layers, world)
}

/// Mounts layers, or what stands in for none, with a layer for changes; where.
fn overlay(
    ground: &Ground,
    mount: &Mount,
    number: usize,
    (lower, empty): (Vec<PathBuf>, PathBuf),
    world: &mut dyn World,
) -> Result<PathBuf, PrepareError> {
    let (upper, work) = overlay_dirs(ground, mount, number, world)?;
    let target = own_place(ground, &number.to_string(), world)?;
    effect("make directory", &target, world.make_dir(&target, 0o755))?;
    let overlay = Overlay {
        lower,
        upper,
        work,
        target,
        empty,
        idmap: None,
        context: ground.file_label(),
        volatile: false,
    };
    let mounted = world.mount_overlay(&overlay);
    effect("mount overlay at", &overlay.target, mounted)?;
    Ok(overlay.target)
}

/// A path for something of ours to be mounted at.
pub(super) fn own_place(
    ground: &Ground,
    name: &str,
    world: &mut dyn World,
) -> Result<PathBuf, PrepareError> {
    let directory = ground.run.layout.mounts(&ground.definition.id);
    effect(
        "make directory",
        &directory,
        world.make_dir(&directory, 0o700),
    )?;
    Ok(directory.join(name))
}

/// Upper and work directory of an overlay: the user's, or new ones that go with the run.
fn overlay_dirs(
    ground: &Ground,
    mount: &Mount,
    number: usize,
    world: &mut dyn World,
) -> Result<(PathBuf, PathBuf), PrepareError> {
    if let (Some(upper), Some(work)) = (mount.value_of("upperdir"), mount.value_of("workdir")) {
        return Ok((upper.into(), work.into()));
    }
    let own = ground.run.layout.overlays(&ground.definition.id);
    let own = own.join(number.to_string());
    effect("make directory", &own, world.make_dir(&own, 0o700))?;
    let (upper, work) = (own.join("upper"), own.join("work"));
    // It shows through as the directory itself; an image's is nobody's to write to, as in Podman.
    let mode = match mount.kind {
        MountKind::Image => 0o555,
        _ => 0o755,
    };
    for (dir, mode) in [(&upper, mode), (&work, 0o755)] {
        effect("make directory", dir, world.make_dir(dir, mode))?;
    }
    Ok((upper, work))
}

/// Makes mount points that are missing, each in what will be mounted around it. The runtime would make them by path.
fn targets(
    ground: &Ground,
    mounts: &[Mount],
    facts: &[MountFacts],
    world: &mut dyn World,
) -> Result<(), PrepareError> {
    for (mount, own) in mounts.iter().zip(facts) {
        let target = Path::new(&mount.target);
        let around = mounts
            .iter()
            .zip(facts)
            .filter(|(other, _)| other.target != mount.target && target.starts_with(&other.target));
        let innermost =
            around.max_by_key(|(other, _)| Path::new(&other.target).components().count());
        let (root, path) = match innermost {
            Some((_, outer)) if outer.source.as_os_str().is_empty() || outer.overlay.is_some() => {
                continue;
            }
            // What is given read-only is not written to for the sake of a mount point either; the runtime then says so.
            Some((other, _)) if is_read_only(other) => continue,
            Some((other, outer)) => {
                let below = target.strip_prefix(&other.target).unwrap_or(target);
                (outer.source.as_path(), below)
            }
            // A new tmpfs for each run, which nobody can have prepared.
            None if target.starts_with("/dev") => continue,
            // runc takes the mode of what is there, and nobody is in the root yet who could play tricks.
            None if matches!(mount.kind, MountKind::Tmpfs | MountKind::Ramfs) => continue,
            None => (ground.rootfs, target),
        };
        let maker = ground.root();
        let what = match own.directory {
            true => Inside::Directory(maker.0, maker.1),
            false => Inside::File,
        };
        let made = world.make_inside(root, path, what, maker);
        effect("make mount point", target, made)?;
    }
    Ok(())
}

fn is_read_only(mount: &Mount) -> bool {
    mount.has("ro") || mount.kind == MountKind::Image && !mount.has("rw")
}

/// Makes the image's working directory where it is missing, and gives it to the user (CVE-2026-55686); the user's own
/// has to be there. One that lies in what is mounted is none of ours.
pub(super) fn workdir(
    ground: &Ground,
    path: &Path,
    user: &UserFacts,
    world: &mut dyn World,
) -> Result<(), PrepareError> {
    let clean = crate::definition::mount::clean(&path.to_string_lossy());
    let clean = Path::new(&clean);
    let refused = |reason| PrepareError::Workdir {
        path: path.to_owned(),
        reason,
    };
    if clean.starts_with("/proc") {
        // It would lead to what the runtime has open (CVE-2024-21626).
        return Err(refused("is in /proc, which is no place for it"));
    }
    let mounts = ground.definition.options.files.effective();
    let kernels = ["/dev", "/sys"].iter().any(|dir| clean.starts_with(dir));
    let mounted = mounts.iter().any(|mount| clean.starts_with(&mount.target));
    if clean == Path::new("/") || kernels || mounted {
        return Ok(());
    }
    let root = Root::open(ground.rootfs);
    let root = effect("open root directory", ground.rootfs, root)?;
    match root.open_in(path, O_PATH | O_DIRECTORY, 0) {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(refused("exists in the container, but is not a directory"));
        }
        Err(_) if ground.definition.options.workdir.is_some() => {
            return Err(refused("does not exist in the container"));
        }
        Err(_) => {}
    }
    let what = Inside::Directory(user.uid, user.gid);
    let made = world.make_inside(ground.rootfs, path, what, ground.root());
    effect("make working directory", path, made)
}
