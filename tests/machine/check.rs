//! `system check`: each way in which the store can be broken is found, and mended.

use crate::harness::{Lab, Suite};

/// Breaks something, and what `system check` says of it.
const BREAKS: &[(&str, &str)] = &[
    (
        "mkdir $S/containers/.new-$(printf 'a%.0s' $(seq 64))",
        "half made or removed",
    ),
    (
        "mkdir -p $S/containers/.old-$(printf 'b%.0s' $(seq 64))/rootfs",
        "half made or removed",
    ),
    (
        "mkdir $S/volumes/.new-0123456789abcdef",
        "half made or removed",
    ),
    (
        "ln -s ../containers/$(printf 'c%.0s' $(seq 64)) $S/names/ghost",
        "name ghost: it leads to container cccc",
    ),
    ("rm $S/names/kept", "its name kept does not lead to it"),
    (
        "rm /run/systemd/system/unitbox-kept.service",
        "it has no unit file",
    ),
    (
        "cp /run/systemd/system/unitbox-kept.service /run/systemd/system/unitbox-stray.service",
        "unitbox-stray.service: its container is not there",
    ),
    ("touch $S/images/.part-0123456789abcdef", "left by a crash"),
    ("mkdir $S/layers/.part-0123456789abcdef", "left by a crash"),
    (
        "echo x >$S/images/blobs/sha256/$(printf 'd%.0s' $(seq 64))",
        "no image has it",
    ),
    (
        "mkdir $S/layers/sha256-$(printf 'e%.0s' $(seq 64))",
        "no image has it",
    ),
    ("rm -r $S/layers/$layer", "missing"),
    ("rm $S/layers/$layer.size", "its size is not known"),
    (
        "rm -r $S/layers/$layer && echo x >$S/layers/$layer",
        "not a directory",
    ),
];

/// What only goes with `--force`, or, of images that nobody has, with `--repair`.
const LOSSES: &[(&str, &str)] = &[
    ("mkdir $S/volumes/bare", "volume bare: it has no record"),
    (
        "echo junk >$S/volumes/data/volume.json",
        "volume data: read",
    ),
    (
        "rm -r $S/volumes/data/_data",
        "volume data: its files are gone",
    ),
    (
        "echo '{' >$S/containers/$id/definition.json",
        "read definition",
    ),
    ("rm $S/containers/$id/definition.json", "read definition"),
    ("rm $S/images/blobs/sha256/$blob", "missing"),
    (
        "truncate -s 1000 $S/images/blobs/sha256/$blob",
        "it has 1000 bytes instead of",
    ),
    (
        "printf x | dd of=$S/images/blobs/sha256/$blob bs=1 seek=500 conv=notrunc 2>/dev/null",
        "its content is that of",
    ),
    (
        "rm $S/images/blobs/sha256/$manifest",
        "image docker.io/library/busybox:latest: open",
    ),
    (": >$S/images/blobs/sha256/$image", "digest is"),
];

const SETUP: &str = "
S=/var/lib/unitbox
unitbox load -i /usr/share/unitbox-lab/busybox.tar >/dev/null
unitbox volume exists data || unitbox volume create data >/dev/null
unitbox container exists kept || unitbox create --name kept -v data:/d --network=none busybox true >/dev/null
id=$(unitbox inspect --format '{{.Id}}' kept)
image=$(unitbox image inspect --format '{{.Id}}' busybox)
manifest=$(jq -r '.manifests[0].digest' $S/images/index.json | cut -d : -f 2)
blob=$(jq -r '.layers[0].digest' $S/images/blobs/sha256/$manifest | cut -d : -f 2)
layer=sha256-$(jq -r '.rootfs.diff_ids[0]' $S/images/blobs/sha256/$image | cut -d : -f 2)
";

#[test]
fn what_loses_nothing_is_mended_by_repair() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(SETUP).ok();
    assert_eq!(lab.sh("unitbox system check").ok(), "no damage found");
    for (breaks, says) in BREAKS {
        lab.sh(&format!("{SETUP}{breaks}")).ok();
        let found = lab.sh("unitbox system check -m 0s");
        found.fails(125);
        assert!(found.out().contains(says), "{breaks}: {}", found.out());
        assert_eq!(
            found.err(),
            "Error: damage detected in local storage",
            "{breaks}"
        );
        let mended = lab.sh("unitbox system check -r -m 0s").ok();
        assert!(mended.contains("mended"), "{breaks}: {mended}");
        let again = lab.sh("unitbox system check -m 0s").ok();
        assert_eq!(again, "no damage found", "{breaks}");
        let runs =
            lab.sh("unitbox run --rm --network=none busybox echo hi && unitbox start -a kept");
        assert_eq!(runs.ok(), "hi", "{breaks}");
    }
    // What is new and unlisted is nobody's damage yet; a wrong duration is refused.
    lab.sh("echo x >/var/lib/unitbox/images/blobs/sha256/$(printf 'd%.0s' $(seq 64))")
        .ok();
    assert_eq!(lab.sh("unitbox system check").ok(), "no damage found");
    lab.sh("unitbox system check --max nonsense").fails(125);
}

#[test]
fn what_is_lost_goes_with_force_only() {
    let lab = Lab::boot(Suite::Trixie);
    for (breaks, says) in LOSSES {
        lab.sh(&format!("{SETUP}{breaks}")).ok();
        let found = lab.sh("unitbox system check");
        found.fails(125);
        assert!(found.out().contains(says), "{breaks}: {}", found.out());
        // A container has it: it stays.
        lab.sh("unitbox system check --repair").fails(125);
        let forced = lab.sh("unitbox system check --force");
        assert!(forced.ok().contains("mended"), "{breaks}: {}", forced.out());
        let again = lab.sh("unitbox system check -m 0s");
        assert_eq!(again.ok(), "no damage found", "{breaks}");
    }
    // An image that no container has can be loaded again.
    lab.sh(&format!(
        "{SETUP} unitbox rm kept; rm $S/images/blobs/sha256/$blob; unitbox system check --repair"
    ))
    .ok();
    lab.sh("unitbox image exists busybox").fails(1);
    lab.sh(&format!("{SETUP} printf x | dd of=$S/images/blobs/sha256/$blob bs=1 seek=500 conv=notrunc 2>/dev/null")).ok();
    assert_eq!(
        lab.sh("unitbox system check --quick").ok(),
        "no damage found"
    );
    lab.sh("unitbox system check").fails(125);
}
