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
            .filter(|option| !ours.contains(&option.as_str()) && !option.starts_with("idmap="));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Options, options};
    use crate::plan::bundle::tests::definition;

    fn files(flags: &[(&str, &str)]) -> Definition {
        let mut wished = Options::default();
        for (flag, value) in flags {
            let spec = options().find(|spec| spec.flag == *flag).unwrap();
            spec.apply(&mut wished, value).unwrap();
        }
        definition(&["sh"], wished)
    }

    /// Place, type, source and options of each mount of the user.
    fn planned(flags: &[(&str, &str)]) -> Vec<String> {
        let definition = files(flags);
        let facts = |wish: &Wish| MountFacts {
            source: match wish.kind {
                MountKind::Volume => format!("/volumes/{}", wish.source).into(),
                MountKind::Tmpfs | MountKind::Ramfs | MountKind::Devpts => PathBuf::new(),
                _ => wish.source.clone().into(),
            },
            directory: true,
            forbids: match wish.kind {
                MountKind::Volume => Forbids::VOLUME,
                _ => Forbids::default(),
            },
            overlay: wish.has("O").then(|| ("/up:per".into(), "/work".into())),
        };
        let mut known = BundleFacts::default();
        let mounts = definition.options.files.effective().iter();
        known.files.mounts = mounts.map(facts).collect();
        known.process.user.uid = 7;
        let (mut all, behind) = plan(&definition, &known);
        all.extend(behind);
        let text = |mount: &Mount| {
            let options = mount.options().clone().unwrap_or_default().join(",");
            let kind = mount.typ().clone().unwrap_or_default();
            let source = mount.source().clone().unwrap_or_default();
            format!(
                "{} {kind} {} {options}",
                mount.destination().display(),
                source.display()
            )
        };
        all.iter().map(text).collect()
    }

    /// What Podman 5.4.2 writes into config.json.
    #[test]
    fn options_are_completed_as_podman_does() {
        for (flag, value, expected) in [
            ("volume", "/a:/b", "/b bind /a rw,rprivate,rbind"),
            (
                "volume",
                "/a:/b:ro,z,noexec",
                "/b bind /a ro,noexec,rprivate,rbind",
            ),
            ("volume", "/a:/b:rshared,U", "/b bind /a rshared,rw,rbind"),
            (
                "volume",
                "v:/b",
                "/b bind /volumes/v rw,rprivate,nosuid,nodev,rbind",
            ),
            (
                "volume",
                "v:/b:nocopy,dev",
                "/b bind /volumes/v dev,rw,rprivate,nosuid,rbind",
            ),
            (
                "volume",
                "/a,b:/b:O",
                "/b overlay overlay lowerdir=/a\\,b,upperdir=/up\\:per,workdir=/work,private",
            ),
            (
                "mount",
                "type=bind,src=/a,dst=/b,ro,bind-propagation=rslave,bind-nonrecursive",
                "/b bind /a ro,rslave,bind",
            ),
            (
                "mount",
                "type=volume,src=v,dst=/b,idmap",
                "/b bind /volumes/v rw,rprivate,nosuid,nodev,rbind",
            ),
            ("mount", "type=ramfs,dst=/b", "/b ramfs ramfs "),
            (
                "mount",
                "type=devpts,dst=/b,uid=3,gid=4,mode=600,max=5",
                "/b devpts devpts uid=3,gid=4,mode=600,max=5",
            ),
            (
                "mount",
                "type=tmpfs,dst=/b,U,noexec",
                "/b tmpfs tmpfs uid=7,gid=0,noexec,rw,rprivate,nosuid,nodev,tmpcopyup",
            ),
            (
                "tmpfs",
                "/b",
                "/b tmpfs tmpfs rw,rprivate,nosuid,nodev,tmpcopyup",
            ),
            (
                "tmpfs",
                "/b:size=10m,mode=1777,noexec,notmpcopyup",
                "/b tmpfs tmpfs size=10m,mode=1777,noexec,rw,rprivate,nosuid,nodev",
            ),
            ("mount", "type=image,src=i,dst=/b", "/b bind i ro,rbind"),
        ] {
            assert_eq!(planned(&[(flag, value)]), [expected], "--{flag} {value}");
        }
    }

    #[test]
    fn a_users_mount_wins_over_ours_and_outer_places_come_first() {
        let definition = files(&[("volume", "/a:/dev/shm"), ("volume", "/a:/dev/x/y")]);
        let ours = || {
            let places = ["/dev", "/dev/shm", "/dev/pts"];
            places
                .map(|place| mount(place, "tmpfs", "tmpfs", &[]))
                .to_vec()
        };
        let user = |place| vec![mount(place, "bind", "/a", &[])];
        let places = |mut mounts: Vec<Mount>| {
            sort(&mut mounts);
            let places = mounts
                .iter()
                .map(|mount| mount.destination().display().to_string());
            places.collect::<Vec<_>>()
        };
        let all = superseded(user("/dev/x/y"), ours(), &definition.options.files);
        assert_eq!(places(all), ["/dev", "/dev/pts", "/dev/x/y"]);
        let definition = files(&[("volume", "/a:/dev")]);
        let all = superseded(user("/dev"), ours(), &definition.options.files);
        assert_eq!(places(all), ["/dev", "/dev/shm"]);
    }

    #[test]
    fn each_tmpfs_of_systemd_has_the_size_asked_for() {
        let definition = files(&[("shm-size-systemd", "10m"), ("tmpfs", "/tmp")]);
        let mut mounts = Vec::new();
        super::super::systemd::add_mounts(&definition, true, &mut mounts);
        let sized = |mount: &Mount| {
            let options = mount.options().clone().unwrap_or_default();
            options.iter().any(|option| option == "size=10485760")
        };
        assert_eq!((mounts.len(), mounts.iter().all(sized)), (3, true));
    }

    #[test]
    fn the_root_propagates_as_far_as_its_mounts() {
        let of = |values: &[&str]| {
            let flags: Vec<_> = values.iter().map(|value| ("volume", *value)).collect();
            let mut linux = Linux::default();
            let before = linux.rootfs_propagation().clone();
            root_propagation(&files(&flags), &mut linux);
            linux
                .rootfs_propagation()
                .clone()
                .filter(|word| Some(word) != before.as_ref())
        };
        assert_eq!(of(&["/a:/a"]), None);
        assert_eq!(of(&["/a:/a:slave"]).as_deref(), Some("rslave"));
        assert_eq!(
            of(&["/a:/a:slave", "/a:/b:rshared"]).as_deref(),
            Some("shared")
        );
    }
}
