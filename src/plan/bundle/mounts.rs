//! The user's mounts: their options as the runtime takes them, and their order.

use std::path::{Path, PathBuf};

use oci_spec::runtime::{Linux, Mount};

use super::files::mount;
use super::{BundleFacts, UserFacts};
use crate::definition::mount::{Mount as Wish, MountKind, clean};
use crate::definition::{Definition, FileOptions};

/// What the plan must know of one of the mounts.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MountFacts {
    /// Path on the host of what is bound; empty for what is made new.
    pub source: PathBuf,
    /// Whether the source is a directory.
    pub directory: bool,
    /// What the source's own file system forbids; a volume forbids devices and set-id programs.
    pub forbids: Forbids,
    /// Upper and work directory, where changes go elsewhere than into the source.
    pub overlay: Option<(PathBuf, PathBuf)>,
}

/// Mount options that follow from where the files are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Forbids {
    /// Programs.
    pub exec: bool,
    /// Set-id bits.
    pub suid: bool,
    /// Device nodes.
    pub dev: bool,
}

impl Forbids {
    /// What files that came with no mount of their own may not do.
    pub const VOLUME: Self = Self {
        exec: false,
        suid: true,
        dev: true,
    };
}

/// The user's mounts in the order in which Podman has them: what stands before our own, and what behind.
pub(super) fn plan(definition: &Definition, facts: &BundleFacts) -> (Vec<Mount>, Vec<Mount>) {
    let (mut before, mut behind) = (Vec::new(), Vec::new());
    let mounts = definition.options.files.effective();
    let user = &facts.process.user;
    for (wish, facts) in mounts.iter().zip(&facts.files.mounts) {
        let planned = one(wish, facts, user);
        match wish.kind {
            _ if facts.overlay.is_some() => behind.push(planned),
            MountKind::Volume | MountKind::Image => behind.push(planned),
            MountKind::Bind | MountKind::Glob => before.push(planned),
            MountKind::Tmpfs | MountKind::Ramfs | MountKind::Devpts => before.push(planned),
        }
    }
    (before, behind)
}

fn one(wish: &Wish, facts: &MountFacts, user: &UserFacts) -> Mount {
    let source = facts.source.to_string_lossy();
    let words = |options: &[String]| -> Vec<String> {
        let ours = [
            "U",
            "z",
            "Z",
            "O",
            "copy",
            "nocopy",
            "notmpcopyup",
            "idmap",
            "no-dereference",
        ];
        let taken = options
            .iter()
            .filter(|option| !ours.contains(&option.as_str()));
        taken.cloned().collect()
    };
    let mut given = words(&wish.options);
    if wish.has("no-dereference") {
        given.push("copy-symlink".to_owned());
    }
    if let Some((upper, work)) = &facts.overlay {
        let options = [
            format!("lowerdir={}", escaped(&facts.source)),
            format!("upperdir={}", escaped(upper)),
            format!("workdir={}", escaped(work)),
            "private".to_owned(),
        ];
        return planned(&wish.target, "overlay", "overlay", options.into());
    }
    match wish.kind {
        MountKind::Bind | MountKind::Volume | MountKind::Glob => planned(
            &wish.target,
            "bind",
            &source,
            completed(wish, given, facts.forbids),
        ),
        MountKind::Image => {
            let mut options = given;
            if !wish.has("rw") && !wish.has("ro") {
                options.push("ro".to_owned());
            }
            options.push("rbind".to_owned());
            planned(&wish.target, "bind", &source, options)
        }
        MountKind::Tmpfs => {
            if wish.has("U") {
                let owner = [format!("uid={}", user.uid), format!("gid={}", user.gid)];
                given.splice(0..0, owner);
            }
            let options = completed(wish, given, Forbids::VOLUME);
            planned(&wish.target, "tmpfs", "tmpfs", options)
        }
        MountKind::Ramfs => planned(&wish.target, "ramfs", "ramfs", given),
        MountKind::Devpts => planned(&wish.target, "devpts", "devpts", given),
    }
}

fn planned(target: &str, kind: &str, source: &str, options: Vec<String>) -> Mount {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    mount(target, kind, source, &options)
}

/// The options with what Podman adds where the user says nothing.
fn completed(wish: &Wish, mut options: Vec<String>, forbids: Forbids) -> Vec<String> {
    let none_of = |words: &[&str]| !words.iter().any(|word| wish.has(word));
    let made = matches!(wish.kind, MountKind::Tmpfs | MountKind::Ramfs);
    let added = [
        ("rw", none_of(&["rw", "ro"])),
        ("rprivate", propagation(wish).is_none()),
        ("noexec", forbids.exec && none_of(&["exec", "noexec"])),
        ("nosuid", forbids.suid && none_of(&["suid", "nosuid"])),
        ("nodev", forbids.dev && none_of(&["dev", "nodev"])),
        (
            "tmpcopyup",
            wish.kind == MountKind::Tmpfs && none_of(&["tmpcopyup", "notmpcopyup"]),
        ),
        ("rbind", !made && none_of(&["bind", "rbind"])),
    ];
    let added = added.into_iter().filter(|(_, wanted)| *wanted);
    options.extend(added.map(|(word, _)| word.to_owned()));
    options
}

fn propagation(wish: &Wish) -> Option<&str> {
    let words = [
        "shared",
        "rshared",
        "private",
        "rprivate",
        "slave",
        "rslave",
        "unbindable",
        "runbindable",
    ];
    words.into_iter().find(|word| wish.has(word))
}

/// A path as overlayfs reads it in a list (overlayfs documentation, "Multiple lower layers").
fn escaped(path: &Path) -> String {
    let mut text = String::new();
    for c in path.to_string_lossy().chars() {
        if matches!(c, ':' | ',' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

/// Puts the user's mounts around our own: they win over what we have at the same place, and over all of /dev if they
/// are on /dev.
pub(super) fn superseded(before: Vec<Mount>, ours: Vec<Mount>, files: &FileOptions) -> Vec<Mount> {
    let own_dev = files.mounts_on("/dev");
    let kept = ours.into_iter().filter(|mount| {
        let target = mount.destination().to_string_lossy();
        // /dev/shm is ours still.
        let in_own_dev = own_dev && target.starts_with("/dev/") && target != "/dev/shm";
        !in_own_dev && !files.mounts_on(&target)
    });
    before.into_iter().chain(kept).collect()
}

/// Outer places first; those of the same depth stay in their order.
pub(super) fn sort(mounts: &mut [Mount]) {
    mounts.sort_by_key(|mount| mount.destination().components().count());
}

/// The propagation that the container's root needs for its mounts (mount_namespaces(7)).
pub(super) fn root_propagation(definition: &Definition, linux: &mut Linux) {
    let mounts = definition.options.files.effective().iter();
    let words: Vec<&str> = mounts.filter_map(propagation).collect();
    let any = |wanted: [&str; 2]| words.iter().any(|word| wanted.contains(word));
    let word = if any(["shared", "rshared"]) {
        "shared"
    } else if any(["slave", "rslave"]) {
        "rslave"
    } else {
        return;
    };
    linux.set_rootfs_propagation(Some(word.to_owned()));
}

/// What a read-only root gets besides: somewhere to write.
pub(super) fn read_only_tmpfs(files: &FileOptions, mounts: &mut Vec<Mount>) {
    if !files.read_only {
        return;
    }
    if files.no_read_only_tmpfs {
        let dev = ["/dev", "/dev/shm"];
        for mount in mounts
            .iter_mut()
            .filter(|mount| dev.contains(&&*mount.destination().to_string_lossy()))
        {
            let mut options = mount.options().clone().unwrap_or_default();
            options.push("ro".to_owned());
            mount.set_options(Some(options));
        }
        return;
    }
    for target in ["/run", "/tmp", "/var/tmp"] {
        if !files.mounts_on(target) {
            let options = ["rw", "rprivate", "nosuid", "nodev", "tmpcopyup"];
            mounts.push(mount(target, "tmpfs", "tmpfs", &options));
        }
    }
}

/// Adds the files of /etc that directories which serve as a root of their own get too (`--chrootdirs`).
pub(super) fn into_chroots(files: &FileOptions, etc: &mut Vec<Mount>) {
    let wanted = ["/etc/hosts", "/etc/resolv.conf"];
    let whole = |mount: &Mount| wanted.contains(&&*mount.destination().to_string_lossy());
    let found: Vec<Mount> = etc.iter().filter(|mount| whole(mount)).cloned().collect();
    for directory in &files.chrootdirs {
        for mount in &found {
            let target = format!("{directory}{}", mount.destination().display());
            let mut mount = mount.clone();
            mount.set_destination(clean(&target).into());
            etc.push(mount);
        }
    }
}

/// What we give a container with a read-only root, it may not change either.
pub(super) fn close(files: &FileOptions, given: &mut [Mount]) {
    if !files.read_only {
        return;
    }
    for mount in given {
        let mut options = mount.options().clone().unwrap_or_default();
        for word in ["ro", "nosuid", "noexec", "nodev"] {
            if !options.iter().any(|own| own == word) {
                options.push(word.to_owned());
            }
        }
        mount.set_options(Some(options));
    }
}
