//! Mounts, volumes and working directories: what a payload sees, what the host must never see, what is left.

use crate::harness::{Lab, Oracle, Suite};

/// `image NAME JQ SCRIPT`: loads a busybox image whose configuration the filter changes, with a layer that the script
/// makes in its working directory.
pub(crate) const IMAGE: &str = r#"
image() {
    local oci=/opt/image-$1 m c l
    rm -rf "$oci" /opt/layer && mkdir /opt/layer && cp -r /usr/share/unitbox-lab/busybox-oci "$oci" || return 1
    (cd /opt/layer && eval "$3") && cd "$oci/blobs/sha256" || return 1
    add() { local sum; sum=$(sha256sum /opt/blob | cut -d ' ' -f 1); mv /opt/blob $sum; echo $sum; }
    m=$(jq -r '.manifests[0].digest' ../../index.json | cut -d : -f 2); c=$(jq -r .config.digest $m | cut -d : -f 2)
    tar -C /opt/layer -cf /opt/blob . && l=$(add)
    jq -c "$2 | .rootfs.diff_ids += [\"sha256:$l\"]" $c > /opt/blob && c=$(add)
    jq -c ".config.digest = \"sha256:$c\" | .config.size = $(stat -c %s $c) | .layers += [{size: $(stat -c %s $l),
        digest: \"sha256:$l\", mediaType: \"application/vnd.oci.image.layer.v1.tar\"}]" $m > /opt/blob && m=$(add)
    jq -c ".manifests[0].digest = \"sha256:$m\" | .manifests[0].size = $(stat -c %s $m) |
        .manifests[0].annotations[\"org.opencontainers.image.ref.name\"] = \"localhost/$1:latest\"" \
        ../../index.json > /opt/blob && mv /opt/blob ../../index.json
    cd / && unitbox load -i "$oci" > /dev/null
}
"#;

fn lab() -> Lab {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("unitbox load -i /usr/share/unitbox-lab/busybox.tar")
        .ok();
    lab
}

#[test]
fn directories_volumes_and_new_file_systems_are_where_they_should_be() {
    let lab = lab();
    lab.sh(
        "mkdir -p /srv/a/sub && echo file > /srv/file && echo in > /srv/a/f && chmod 777 /srv/a",
    )
    .ok();
    let oracle = Oracle::baseline(&lab);
    for runtime in ["runc", "crun"] {
        let run = |flags: &str, script: &str| {
            let line =
                format!("unitbox run --rm --runtime {runtime} {flags} busybox sh -c '{script}'");
            lab.sh(&line)
        };
        let seen = |flags: &str, script: &str| run(flags, script).ok();
        assert_eq!(
            seen(
                "-v /srv/a:/x/y:ro -v /srv/file:/n/f",
                "cat /x/y/f /n/f; touch /x/y/no 2>/dev/null || echo ro"
            ),
            "in\nfile\nro"
        );
        assert_eq!(
            seen("-v /srv/a:/x:O", "rm /x/f; touch /x/own; ls /x"),
            "own\nsub"
        );
        assert_eq!(lab.sh("ls /srv/a").ok(), "f\nsub");
        assert_eq!(
            seen("--mount type=glob,src=/srv/*,dst=/g", "ls /g"),
            "a\nfile"
        );
        assert_eq!(
            seen(
                "--mount type=image,src=busybox,dst=/i,subpath=/etc",
                "ls /i; touch /i/no 2>/dev/null || echo ro"
            ),
            "group\npasswd\nro"
        );
        assert_eq!(
            seen(
                "--mount type=image,src=busybox,dst=/i,rw=true",
                "touch /i/yes && echo rw"
            ),
            "rw"
        );
        let options = "grep -c \"^tmpfs /t tmpfs rw,nosuid,nodev,noexec,.*size=1024k\" /proc/mounts; stat -c %a /t";
        assert_eq!(
            seen("--tmpfs /t:size=1m,mode=1700,noexec", options),
            "1\n1700"
        );
        assert_eq!(
            seen("--tmpfs /etc", "ls /etc/passwd"),
            "/etc/passwd",
            "tmpcopyup"
        );
        assert_eq!(
            seen(
                "--shm-size 2m",
                "df -k /dev/shm | tail -1 | tr -s \" \" | cut -d \" \" -f 2"
            ),
            "2048"
        );
        let shm = "grep \" /dev/shm \" /proc/mounts; stat -c %a /dev/shm";
        let default = seen("", shm);
        assert!(
            default.contains("rw,nosuid,nodev,noexec,") && default.contains("size=64000k"),
            "{default}"
        );
        assert!(default.ends_with("1777"), "{default}");
        assert_eq!(seen("-v /srv/a:/dev/shm", "cat /dev/shm/f"), "in");
        assert_eq!(
            seen(
                "-v /srv/file:/etc/hosts -v /srv/file:/run/.containerenv",
                "cat /etc/hosts /run/.containerenv"
            ),
            "file\nfile"
        );
        run("--read-only", "touch /tmp/a /run/a /var/tmp/a && touch /a").fails(1);
        run("--read-only", "touch /tmp/a /run/a /var/tmp/a").ok();
        run(
            "--read-only --read-only-tmpfs=false",
            "touch /tmp/a || touch /run/a || touch /dev/shm/a",
        )
        .fails(1);
        let owner = "stat -c %u:%g /v /v/sub; touch /v/x && echo can";
        assert_eq!(seen("-v /srv/a:/v:O,U -u 7:8", owner), "7:8\n7:8\ncan");
        assert_eq!(lab.sh("stat -c %u:%g /srv/a /srv/a/sub").ok(), "0:0\n0:0");
        assert_eq!(
            seen(
                "-v own:/v:U -u 7:8",
                "stat -c %u:%g /v; touch /v/x && echo can"
            ),
            "7:8\ncan"
        );
        assert_eq!(
            seen(
                "--chrootdirs /jail",
                "test -s /jail/etc/hosts && echo there"
            ),
            "there"
        );
        // The options that follow from where the files are.
        let of = |target: &str| {
            format!("grep \" {target} \" /proc/mounts | cut -d \" \" -f 4 | cut -d , -f 1-4")
        };
        assert_eq!(seen("-v own:/v", &of("/v")), "rw,nosuid,nodev,relatime");
        lab.sh("unitbox volume rm own").ok();
        oracle.assert_clean(&lab);
    }
    let rootfs = "unitbox run --rm --rootfs /usr/share/unitbox-lab/busybox:O";
    lab.sh(&format!(
        "{rootfs} touch /made-here && test ! -e /usr/share/unitbox-lab/busybox/made-here"
    ))
    .ok();
    oracle.assert_clean(&lab);
}

#[test]
fn what_cannot_be_mounted_is_refused_by_name() {
    let lab = lab();
    lab.sh("mkdir /srv/a; unitbox create --name other -v /srv/a:/x busybox true")
        .ok();
    for (flags, code, words) in [
        ("-v /nope:/x", 125, "statfs /nope"),
        (
            "-v /srv/a:/x -v /srv:/x",
            125,
            "/x: duplicate mount destination",
        ),
        (
            "-v /srv/a:/x --tmpfs /x",
            125,
            "/x: duplicate mount destination",
        ),
        ("-v /srv/a:/proc/x", 125, "/proc/x"),
        ("--tmpfs /sys/fs/cgroup", 125, "/sys/fs/cgroup"),
        ("--mount type=bind,src=/srv/a,dst=/", 125, "root"),
        ("-v /srv/a:x", 125, "must be an absolute path"),
        (
            "-v /usr:/x:U",
            125,
            "changing the owner of /usr is not allowed",
        ),
        ("--mount type=image,src=nope,dst=/i", 125, "nope"),
        (
            "--mount type=glob,src=/nope*",
            125,
            "no file paths matching glob",
        ),
        ("--secret nope", 125, "no secret with name or id \"nope\""),
        ("--volumes-from nope", 125, "nope"),
        ("--workdir /nope", 126, "workdir \"/nope\" does not exist"),
        ("--workdir /etc/passwd", 126, "is not a directory"),
    ] {
        let refused = lab.sh(&format!("unitbox run --rm {flags} busybox true"));
        refused.fails(code);
        assert_eq!(
            refused.err().lines().count(),
            1,
            "{flags}: {}",
            refused.err()
        );
        assert!(refused.err().contains(words), "{flags}: {}", refused.err());
    }
    // The other's mounts, changed or replaced.
    let from = |flags: &str| {
        lab.sh(&format!("unitbox run --rm {flags} busybox sh -c 'grep \" /x \" /proc/mounts | cut -d \" \" -f 4 | cut -d , -f 1'"))
    };
    assert_eq!(from("--volumes-from other").ok(), "rw");
    assert_eq!(from("--volumes-from other:ro").ok(), "ro");
    assert_eq!(from("--volumes-from other -v /srv/a:/x:ro").ok(), "ro");
}

#[test]
fn volumes_are_made_filled_kept_and_removed() {
    let lab = lab();
    let built = "image vols '.config.Volumes = {\"/data\": {}}' \
                 'mkdir data; echo image > data/file; chmod 751 data; chown 5:6 data; ln -s file data/link'";
    lab.sh(&format!("{IMAGE}{built}")).ok();
    let oracle = Oracle::baseline(&lab);
    let volumes = || lab.sh("ls /var/lib/unitbox/volumes").ok();
    let show = "stat -c %a:%u:%g /data; cat /data/link";

    // A named one: contents, mode and owner of the image once, and never over what is there (CVE-2020-1726).
    let run = |flags: &str, script: &str| {
        lab.sh(&format!("unitbox run --rm {flags} vols sh -c '{script}'"))
    };
    assert_eq!(run("-v one:/data", show).ok(), "751:5:6\nimage");
    run("-v one:/data", "echo user > /data/file; rm /data/link").ok();
    assert_eq!(
        run("-v one:/data", "cat /data/file; ls /data").ok(),
        "user\nfile"
    );
    lab.sh("unitbox volume create full; echo mine > /var/lib/unitbox/volumes/full/_data/file")
        .ok();
    assert_eq!(
        run("-v full:/data", "cat /data/file; ls /data").ok(),
        "mine\nfile"
    );
    assert_eq!(run("-v bare:/data:nocopy", "ls /data").ok(), "");
    assert_eq!(
        volumes(),
        "bare\nfull\none",
        "anonymous volumes go with --rm"
    );

    // An anonymous one is kept as long as its container, and shared by --volumes-from.
    lab.sh("unitbox run --name keep vols sh -c 'echo kept > /data/new'")
        .ok();
    assert_eq!(volumes().lines().count(), 4);
    assert_eq!(run("--volumes-from keep", "cat /data/new").ok(), "kept");
    assert_eq!(volumes().lines().count(), 4, "keep has it still");
    lab.sh("unitbox start keep; unitbox wait keep; unitbox rm -v keep")
        .ok();
    assert_eq!(volumes(), "bare\nfull\none");
    for (mode, expected) in [("tmpfs", "tmpfs /data tmpfs"), ("ignore", "")] {
        let mount = run(
            &format!("--image-volume {mode}"),
            "grep \" /data \" /proc/mounts | cut -d \" \" -f 1-3",
        )
        .ok();
        assert_eq!(mount, expected);
    }

    // The verbs.
    lab.sh("unitbox create --name user -v one:/x vols true")
        .ok();
    let used = lab.sh("unitbox volume rm one");
    used.fails(2);
    assert!(used.err().contains("is being used by"), "{}", used.err());
    lab.sh("unitbox volume rm nope").fails(1);
    lab.sh("unitbox volume exists nope").fails(1);
    lab.sh("unitbox volume exists one").ok();
    lab.sh("unitbox volume create one").fails(125);
    let place = lab
        .sh("unitbox volume inspect one | jq -r '.[0].Mountpoint'")
        .ok();
    assert_eq!(place, "/var/lib/unitbox/volumes/one/_data");
    assert_eq!(lab.sh("unitbox volume prune -f").ok(), "bare\nfull");
    lab.sh("unitbox rm -v user").ok();
    lab.sh("unitbox volume rm one && test -z \"$(ls /var/lib/unitbox/volumes)\"")
        .ok();
    assert_eq!(lab.sh("stat -c %a /var/lib/unitbox/volumes").ok(), "700");
    oracle.assert_clean(&lab);
}

/// CVE-2019-19921, CVE-2023-27561: an image asks for a volume where the kernel's files are.
#[test]
fn a_volume_of_an_image_on_proc_is_refused() {
    let lab = lab();
    for place in ["/proc", "/sys/fs/cgroup", "/data/../proc", "/"] {
        lab.sh(&format!(
            "{IMAGE}image evil '.config.Volumes = {{\"{place}\": {{}}}}' true"
        ))
        .ok();
        let refused = lab.sh("unitbox run --rm evil true");
        refused.fails(125);
        assert!(refused.err().contains("of the image"), "{}", refused.err());
    }
    lab.sh("test -z \"$(ls /var/lib/unitbox/containers)\"").ok();
}

/// CVE-2026-55686: the image's working directory leads through a link to the host.
#[test]
fn a_working_directory_through_a_link_stays_inside() {
    let lab = lab();
    let up = "../".repeat(16);
    lab.sh(&format!(
        "{IMAGE}image evil '.config.WorkingDir = \"/w/a/b\" | .config.User = \"7:8\"' 'ln -s {up}WORKesc w; ln -s /proc/self/fd proc-link'"
    ))
    .ok();
    for runtime in ["runc", "crun"] {
        let run = lab.sh(&format!("unitbox run --rm --runtime {runtime} evil sh -c 'pwd; stat -c %u:%g .; ls -d /WORKesc/a/b'"));
        assert_eq!(run.ok(), "/WORKesc/a/b\n7:8\n/WORKesc/a/b");
        lab.sh("test ! -e /WORKesc").ok();
    }
    // CVE-2024-21626: what the runtime has open.
    for fd in [3, 7, 12] {
        lab.sh(&format!(
            "unitbox run --rm -w /proc/self/fd/{fd} busybox true"
        ))
        .fails(126);
    }
    lab.sh(&format!("{IMAGE}image evil2 '.config.WorkingDir = \"/proc/self/fd/7\"' true; unitbox run --rm evil2 true")).fails(126);
}

/// CVE-2021-30465, CVE-2024-45310: another container swaps the directory of a mount point for a link to the host's root.
#[test]
fn a_mount_point_that_is_swapped_leads_nowhere_outside() {
    let lab = lab();
    lab.sh("mkdir -p /srv/shared/d /srv/x; echo canary > /srv/x/canary")
        .ok();
    lab.sh(
        "unitbox run -d --name racer -v /srv/shared:/s busybox sh -c \
            'cd /s; while :; do mv d d2; ln -s / d; rm d; mv d2 d; done'",
    )
    .ok();
    for round in 0..12 {
        let runtime = if round % 2 == 0 { "runc" } else { "crun" };
        // A start may fail in this weather; what counts is what the host sees.
        lab.sh(&format!(
            "unitbox run --rm --runtime {runtime} -v /srv/shared:/s -v /srv/x:/s/d/swapped{round}/m busybox sh -c \
             'test ! -e /s/d/usr/share/unitbox-lab'; [ $? != 1 ]"
        ))
        .ok();
    }
    assert_eq!(lab.sh("ls / | grep -c swapped; true").ok(), "0");
    lab.sh("unitbox rm -f -t 0 racer").ok();
    // The same without luck: the link is there before the start.
    lab.sh("rm -rf /srv/shared/*; ln -s / /srv/shared/d; unitbox run --rm -v /srv/shared:/s -v /srv/x:/s/d/still/m busybox true; true").ok();
    lab.sh("test ! -e /still").ok();
    // A part of a volume that is a link to the host.
    lab.sh("unitbox run --rm -v v:/v busybox ln -s / /v/out")
        .ok();
    let part =
        lab.sh("unitbox run --rm --mount type=volume,src=v,dst=/p,subpath=out/srv busybox ls /p");
    part.fails(125);
}

#[test]
fn a_shared_mount_reaches_the_host_and_nothing_stays() {
    let lab = lab();
    lab.sh("mkdir -p /srv/shared && mount --make-rshared /")
        .ok();
    let oracle = Oracle::baseline(&lab);
    for runtime in ["runc", "crun"] {
        lab.sh(&format!(
            "unitbox run -d --name share --runtime {runtime} --cap-add SYS_ADMIN -v /srv/shared:/s:rshared busybox sh -c \
             'mkdir -p /s/m; mount -t tmpfs inner /s/m; trap \"umount /s/m; exit 0\" TERM; while :; do sleep 0.1; done'"
        ))
        .ok();
        assert_eq!(
            lab.sh("systemctl show -P PrivateMounts unitbox-share").ok(),
            "no"
        );
        lab.sh("for i in $(seq 50); do grep -q '^inner /srv/shared/m' /proc/mounts && exit; sleep 0.1; done; exit 1").ok();
        lab.sh("unitbox rm -f share").ok();
        oracle.assert_clean(&lab);
    }
    lab.sh(
        "unitbox run --rm --name private busybox true; unitbox create --name private busybox true",
    )
    .ok();
    let private = lab
        .sh("systemctl show -P PrivateMounts unitbox-private")
        .ok();
    assert_eq!(private, "yes");
}
