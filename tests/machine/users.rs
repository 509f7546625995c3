//! User namespaces: their modes, mounts with other owners than on disk, and copies where nothing can be mapped.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

fn lab() -> Lab {
    let lab = Lab::boot(Suite::Trixie);
    crate::harness::container::load_image(&lab);
    lab.sh("echo containers:2000000:200000 | tee /etc/subuid > /etc/subgid")
        .ok();
    lab
}

/// What a shell command says in a container with these flags, words parted by one blank.
#[track_caller]
fn said(lab: &Lab, flags: &str, command: &str) -> String {
    let out = lab
        .sh(&format!("unitbox run --rm {flags} sh -c '{command}'"))
        .ok();
    out.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// What Podman 5.4.2 gives a container for the same words.
#[test]
fn each_mode_maps_as_podman_does() {
    let lab = lab();
    let maps = "id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map";
    for (mode, expected) in [
        ("keep-id:uid=5,gid=6", "5 6 0 0 4294967295 0 0 4294967295"),
        ("auto", "0 0 0 2000000 1024 0 2000000 1024"),
        ("auto --user 5000", "5000 0 0 2000000 5001 0 2000000 5001"),
        (
            "auto:size=3000,uidmapping=5:9000:10,gidmapping=7:8000:2",
            "0 0 5 9000 10 0 2000000 5 15 2000005 2985 0 2000000 7 9 2000007 2991 7 8000 2",
        ),
    ] {
        let found = said(&lab, &format!("--userns {mode} busybox"), maps);
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split(' ').map(str::to_owned).collect();
            words.sort();
            words
        };
        // The kernel keeps the order that they were written in, which is nobody's business.
        assert_eq!(sorted(&found), sorted(expected), "{mode}: {found}");
    }
}

#[test]
fn the_users_of_another_container_can_be_joined() {
    let lab = lab();
    lab.sh("unitbox run -d --name owner --uidmap 0:400000:5000 busybox sleep 1000")
        .ok();
    let link =
        "for i in $(seq 100); do p=$(pgrep -f \"^sleep 1000\") && break; sleep 0.1; done; echo $p";
    let pid = lab.sh(link).ok();
    let own = lab.sh(&format!("readlink /proc/{pid}/ns/user")).ok();
    let look = "readlink /proc/self/ns/user; stat -c %u /bin /etc/hosts /dev/shm; touch /made; stat -c %u /made";
    for runtime in ["runc", "crun"] {
        for mode in ["container:owner", &format!("ns:/proc/{pid}/ns/user")] {
            let flags = format!("--runtime {runtime} --userns {mode} busybox");
            let found = said(&lab, &flags, look);
            assert_eq!(found, format!("{own} 0 0 0 0"), "{runtime} {mode}");
        }
    }
    // It depends on its owner.
    lab.sh("unitbox create --name joiner --userns container:owner busybox true")
        .ok();
    assert_ne!(lab.sh("unitbox rm owner").code, 0);
    let unit = lab.sh("systemctl show -P Requires unitbox-joiner").ok();
    assert!(unit.contains("unitbox-owner.service"), "{unit}");
}

#[test]
fn a_mount_shows_other_owners_than_are_on_disk() {
    let lab = lab();
    // On a disk that maps ids, which the lab's own root does not.
    lab.sh("mkdir -p /var/lib/unitbox/src; echo x >/var/lib/unitbox/src/f; chown 7:8 /var/lib/unitbox/src/f")
        .ok();
    let look = "stat -c %u:%g /d /d/f";
    let write = "stat -c %u:%g /d /d/f; touch /d/new; stat -c %u:%g /d/new";
    let disk = "stat -c %u:%g /var/lib/unitbox/src/new; rm /var/lib/unitbox/src/new";
    let mapped = "--uidmap 0:400000:5000";
    let relative = format!("{mapped} --user 20:3");
    lab.sh("chmod 777 /var/lib/unitbox/src").ok();
    for runtime in ["runc", "crun"] {
        for (option, flags, command, inside, on_disk) in [
            ("idmap", mapped, write, "0:0 7:8 0:0", "0:0"),
            ("idmap", "", write, "0:0 7:8 0:0", "0:0"),
            (
                "idmap=uids=0-400001-10;gids=0-400002-10",
                mapped,
                look,
                "1:2 8:10",
                "",
            ),
            (
                "idmap=uids=@0-0-8#8-400020-1;gids=@0-0-9",
                &relative,
                write,
                "0:0 7:8 20:3",
                "8:3",
            ),
        ] {
            let flags = format!(
                "--runtime {runtime} {flags} -v \"/var/lib/unitbox/src:/d:{option}\" busybox"
            );
            assert_eq!(said(&lab, &flags, command), inside, "{runtime} {option}");
            if !on_disk.is_empty() {
                assert_eq!(
                    lab.sh(disk).ok().replace('\n', " "),
                    on_disk,
                    "{runtime} {option}"
                );
            }
        }
    }
    // Two users of the disk cannot be one.
    let bad = "idmap=uids=0-0-1#7-0-1;gids=0-0-9";
    let bad = format!("unitbox run --rm -v '/var/lib/unitbox/src:/d:{bad}' busybox true");
    lab.sh(&bad).fails(125);
    // A volume belongs to the container's users on disk.
    let volume = "--uidmap 0:400000:5000 --user 9 -v fresh:/nowhere:idmap busybox";
    let found = said(&lab, volume, "touch /nowhere/f; stat -c %u /nowhere/f");
    assert_eq!(found, "9");
    let path = "/var/lib/unitbox/volumes/fresh/_data/f";
    assert_eq!(lab.sh(&format!("stat -c %u {path}")).ok(), "9");
}

#[test]
fn a_root_directory_shows_other_owners_than_are_on_disk() {
    let lab = lab();
    lab.sh(&format!(
        "mkdir /var/lib/unitbox/src; cp -a {}/. /var/lib/unitbox/src/; chown 7 /var/lib/unitbox/src/etc/passwd",
        ROOTFS.trim_start_matches("--rootfs ")
    ))
    .ok();
    let look = "stat -c %u / /etc/passwd; touch /made; stat -c %u /made";
    for runtime in ["runc", "crun"] {
        for option in ["idmap", "idmap=uids=@0-0-100;gids=@0-0-100"] {
            let flags = format!(
                "--runtime {runtime} --uidmap 0:400000:5000 --rootfs '/var/lib/unitbox/src:{option}'"
            );
            assert_eq!(said(&lab, &flags, look), "0 7 0", "{runtime} {option}");
            let made = "stat -c %u /var/lib/unitbox/src/made; rm /var/lib/unitbox/src/made";
            assert_eq!(lab.sh(made).ok(), "0", "{runtime} {option}");
        }
    }
    let bad = lab.sh("unitbox run --rm --rootfs /var/lib/unitbox/src:idmap true");
    bad.fails(125);
    assert!(bad.err().contains("user namespace"), "{}", bad.err());
    assert_eq!(
        lab.sh("findmnt -n -o TARGET | grep -c bundle; true").ok(),
        "0"
    );
}

/// Layers on a file system that maps no ids: the lab's own root, which is an overlay.
#[test]
fn layers_that_cannot_be_mapped_are_copied() {
    let lab = lab();
    lab.sh(
        "mv /var/lib/unitbox/layers /opt/layers; mkdir /var/lib/unitbox/layers; \
            mount --bind /opt/layers /var/lib/unitbox/layers",
    )
    .ok();
    lab.sh("l=$(dirname $(dirname $(find /opt/layers -path '*/bin/busybox' | head -1))); chown 5:6 $l/etc/passwd; chmod 6755 $l/bin/busybox; \
            setcap cap_net_bind_service+ep $l/bin/busybox 2>/dev/null; true")
        .ok();
    lab.sh("unitbox create --name kept --uidmap 0:400000:5000 busybox sh -c \
            'stat -c %u:%g:%a / /etc/passwd /bin/busybox /dev/shm /etc/hosts; stat -c %u /kept; touch /kept; chown 7 /kept'")
        .ok();
    let run = "unitbox start kept; unitbox wait kept; journalctl --sync; \
               unitbox logs kept | grep -v WARN | tail -6 | tr '\\n' ' '";
    let first = lab.sh(run).ok();
    assert!(
        first.contains("0:0:555 5:6:644 0:0:6755 0:0:1777 0:0:644"),
        "{first}"
    );
    let id = lab
        .sh("basename $(readlink /var/lib/unitbox/names/kept)")
        .ok();
    let own = format!("/var/lib/unitbox/containers/{id}/rootfs/mapped");
    let inode = lab.sh(&format!("stat -c %i:%u {own}/0")).ok();
    assert!(inode.ends_with(":400000"), "{inode}");
    // The next start makes no new ones, and finds what the container has changed.
    let second = lab.sh(run).ok();
    assert!(second.trim_end().ends_with(" 7"), "{second}");
    assert_eq!(lab.sh(&format!("stat -c %i:%u {own}/0")).ok(), inode);
    lab.sh("unitbox rm kept").ok();
    lab.sh(&format!("! test -e /var/lib/unitbox/containers/{id}"))
        .ok();
}
