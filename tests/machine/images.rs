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
