//! Images of the local store as containers.

use crate::harness::{Lab, Suite};

#[test]
fn a_loaded_image_runs_and_is_removed_when_nobody_uses_it() {
    for suite in [Suite::Trixie, Suite::Bookworm] {
        let lab = Lab::boot(suite);
        let loaded = lab
            .sh("unitbox load -i /usr/share/unitbox-lab/busybox.tar")
            .ok();
        assert!(
            loaded.contains("docker.io/library/busybox:latest"),
            "{loaded}"
        );
        lab.sh("unitbox image exists busybox").ok();
        lab.sh("unitbox image exists nope").fails(1);
        let images = lab.sh("unitbox images").ok();
        assert!(
            images.contains("docker.io/library/busybox") && images.contains("latest"),
            "{images}"
        );
        assert_eq!(
            lab.sh("unitbox run --rm busybox sh -c 'echo hi > /new; cat /new'")
                .ok(),
            "hi"
        );
        // A kept container has a layer of its own, which stays.
        lab.sh("unitbox run --name keep busybox sh -c 'echo kept > /file'")
            .ok();
        lab.sh("unitbox rmi busybox").fails(2);
        lab.sh("unitbox run --rm busybox test -e /file").fails(1);
        lab.sh("unitbox rm keep && unitbox rmi busybox").ok();
        lab.sh("unitbox image exists busybox").fails(1);
        assert_eq!(
            lab.sh("ls /var/lib/unitbox/layers | grep -c sha256; true")
                .ok(),
            "0"
        );
    }
}

#[test]
fn a_layout_loads_too_and_a_broken_archive_leaves_nothing() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("unitbox load -i /usr/share/unitbox-lab/busybox-oci")
        .ok();
    lab.sh("unitbox load < /usr/share/unitbox-lab/busybox.tar")
        .ok();
    let before = lab
        .sh("find /var/lib/unitbox/images /var/lib/unitbox/layers -type f | wc -l")
        .ok();
    lab.sh("head -c 500000 /usr/share/unitbox-lab/busybox.tar > /opt/cut.tar")
        .ok();
    let broken = lab.sh("unitbox load -i /opt/cut.tar");
    broken.fails(125);
    assert_eq!(broken.err().lines().count(), 1, "{}", broken.err());
    assert_eq!(
        lab.sh("find /var/lib/unitbox/images /var/lib/unitbox/layers -type f | wc -l")
            .ok(),
        before
    );
}

/// What `system prune` removes and says, side by side; networks and build caches are Podman's alone, sizes of files too.
#[test]
fn what_nobody_uses_goes_as_with_podman() {
    let lab = Lab::boot(Suite::Trixie);
    let script = r#"
        R='--network=none --rootfs /usr/share/unitbox-lab/busybox'
        x() { echo "\$ $*"; (eval "$@") 2>&1; echo "code $?"; }
        exec </dev/null
        $E load -i /usr/share/unitbox-lab/busybox.tar >/dev/null 2>&1
        $E volume create v1 >/dev/null; $E volume create v2 >/dev/null
        $E run -d --name u -v v1:/v --network=none busybox sleep 100 >/dev/null
        $E create --name s -v v2:/v $R true >/dev/null
        $E run --name e --label gone=1 --network=none busybox true
        x $E system prune
        x 'echo n | '$E system prune --all --volumes
        x $E system prune -f --filter nosuch=1h
        x $E system prune -f --filter until=1h
        x $E system prune -f --filter label=gone=2
        x $E ps -aq '|' wc -l
        x $E system prune -f --filter label=gone
        x $E ps -a --format "'{{.Names}}'" '|' sort
        x $E system prune -f
        x $E volume ls -q
        x $E ps -a --format "'{{.Names}}'"
        x $E image exists busybox
        x $E system prune -f --volumes
        x $E volume ls -q
        x $E system prune -f -a --volumes
        x $E image exists busybox
        x $E rm -f -t 0 u
        x $E system prune -f -a --volumes
        x $E image exists busybox
        x $E volume ls -q
    "#;
    let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
        let said = lab.sh(&format!("E={engine}\n{script}")).ok();
        let lines = said.lines().filter(|line| {
            let own = ["reclaimed space", "networks not used", "build cache"];
            !own.iter().any(|words| line.contains(words))
        });
        let is_id = |word: &str| word.len() == 64;
        let lines = lines.map(|line| if is_id(line) { "ID" } else { line });
        lines
            .collect::<Vec<_>>()
            .join("\n")
            .replace(engine, "ENGINE")
    });
    assert!(podman.contains("Deleted Volumes\nv2"), "{podman}");
    assert_eq!(podman, unitbox);
    for flag in ["build", "external"] {
        let refused = lab.sh(&format!("unitbox system prune -f --{flag}"));
        refused.fails(125);
        assert!(refused.err().contains("is refused: "), "{}", refused.err());
    }
}
