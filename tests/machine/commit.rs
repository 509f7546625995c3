//! `commit` and `import`: images made of containers and archives, and what both engines make of them.

use crate::harness::{Lab, Suite};
use crate::mounts::IMAGE;

/// An image with all that a layer can hide, and a container that has changed every kind of thing.
const SETUP: &str = r#"
set -e
image base '.config.Cmd = ["true"] | .config.Env = ["IE=1"] | .config.Labels = {"il":"1"} | .config.ExposedPorts = {"70/tcp":{}} | .history = [{created_by:"a"},{created_by:"b"}]' '
    mkdir -p d/sub gone vol keep; echo hi >d/f; ln d/f d/hard; chown 5:6 d/f; echo old >gone/x; echo x >d/sub/s; ln -s f d/l
    echo k >keep/k; chmod 1777 keep
    find . -exec touch -h -d @1000000 {} +'
tar -C /opt/image-base -cf /opt/base.tar . && podman load -q -i /opt/base.tar >/dev/null
cat >/opt/change <<'X'
set -e
rm -r /d/sub; mkdir /d/sub; echo new >/d/sub/n
rm /gone/x; rmdir /gone
echo more >>/d/f; ln /d/f /d/third
mkfifo /pipe; ln -s /nowhere /dangling; chown -h 7:8 /dangling
echo s >/suid; chown 9:9 /suid; chmod 4755 /suid; chmod 700 /keep; chown 3:4 /keep
rm /d/l; mkdir /d/l; echo x >/d/l/inside
echo v >/vol/in-volume; printf 'odd' >"$(printf '/new\nline')"
find / -xdev -newermt @2000000 -exec touch -h -d @2000000 {} + 2>/dev/null || true
X
"#;

/// Everything in a root: kinds, modes, owners, links, sizes of files, contents.
const LOOK: &str = r#"
look() { (cd "$1" && find . -mindepth 1 -path ./proc -prune -o -path ./sys -prune -o -path ./dev -prune -o \
    ! -name 'resolv.conf' ! -name hosts ! -name hostname ! -name mtab ! -path './run*' ! -path ./etc ! -path ./change \
    \( -type d -printf '%P %y %m %U %G\n' -o -printf '%P %y %m %U %G %n %l\n' \) | sort; find . -type f -path './[dks]*' | sort | xargs cat); }
"#;

fn lab() -> Lab {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!("{IMAGE}{SETUP}")).ok();
    lab
}

/// Podman's container and ours are changed alike; ours is committed, saved and loaded, and both images have the same
/// files under both engines.
#[test]
fn a_committed_image_has_the_same_files_under_both_engines() {
    let lab = lab();
    let said = lab.sh(&format!(
        r#"{LOOK}
        set -e
        for E in podman unitbox; do
            $E run --name c -v vol:/vol -v /opt/change:/change:ro --network=none base sh /change >/dev/null
            $E commit -q c made >/dev/null
            $E commit -q -s c flat >/dev/null
        done
        d=$(podman image mount made); look $d >/opt/podman.look; podman image unmount made >/dev/null
        d=$(podman image mount flat); look $d >/opt/podman-flat.look; podman image unmount flat >/dev/null
        for name in made flat; do
            unitbox create --name see-$name --network=none $name true >/dev/null
            look $(unitbox mount see-$name) >/opt/unitbox-$name.look
            unitbox rm see-$name >/dev/null
        done
        diff /opt/podman.look /opt/unitbox-made.look && echo same
        # Names of one file are one file again, and what is gone is gone.
        diff /opt/podman-flat.look /opt/unitbox-flat.look && echo flat
        skopeo copy -q oci:/var/lib/unitbox/images:localhost/made:latest containers-storage:localhost/from-unitbox
        d=$(podman image mount from-unitbox); look $d >/opt/moved.look; podman image unmount from-unitbox >/dev/null
        diff /opt/podman.look /opt/moved.look && echo moved
        podman run --rm --network=none from-unitbox cat /d/sub/n
        unitbox run --rm --network=none made cat /d/sub/n
        unitbox run --rm --network=none made ls /gone /d/sub/s 2>/dev/null || echo gone
        unitbox image inspect made --format '{{{{len .RootFS.Layers}}}}'
        unitbox image inspect flat --format '{{{{len .RootFS.Layers}}}}'"#
    ));
    let want = "same\nflat\nmoved\nnew\nnew\ngone\n3\n1";
    assert_eq!(said.ok(), want, "{}", said.err());
}

/// What is said of the image, side by side.
#[test]
fn a_committed_image_asks_for_what_its_container_was_made_with() {
    let lab = lab();
    let script = r#"
        x() { echo "\$ $*"; (eval "$@") 2>&1; echo "code $?"; }
        exec </dev/null
        mkdir -p /opt/h
        $E create --name c --network=none -v /data -v nv:/n -v /opt/h:/h --tmpfs /t -e X=y -l lab=el -w /tmp base ls -l >/dev/null
        $E create --name e --network=none --entrypoint '["/bin/ls"]' -u 5 base >/dev/null
        $E create --name r --network=none --rootfs /usr/share/unitbox-lab/busybox true >/dev/null
        show() { $E image inspect --format '{{json .Config}}' $1 | jq -cS 'del(.Env) + {Env: [.Env[]? | select(startswith("container=") | not)] | sort}'; }
        for case in "c i1" "--include-volumes c i2" "e i3" \
            "-c 'CMD [\"/bin/x\"]' -c 'ENV A=b C=\"d e\"' -c 'LABEL k=v' -c 'VOLUME /q /r' -c 'WORKDIR rel' -c 'EXPOSE 80 90/udp' -c 'USER 7' c i4" \
            "-c 'ENTRYPOINT [\"/e\"]' c i5" "-f docker -c 'ONBUILD RUN x' -c 'STOPSIGNAL SIGINT' -m words -a me c i6"; do
            eval "$E commit -q $case" >/opt/id || echo failed
            name=${case##* }
            echo "$case: $(show $name)"
            $E image inspect $name --format '{{.Id}}' | grep -c "$(cat /opt/id)"
        done
        x $E commit -q --iidfile /opt/iid -a me c i7 '>' /dev/null
        test $(cat /opt/iid) = $($E image inspect --format '{{.Id}}' i7) && echo written
        x $E commit nope x
        x $E commit r x
        x $E commit c "'BAD NAME'"
        x $E commit c i1:a:b
        x $E commit -f foo c x
        x $E commit -m text c x
        x $E image exists x
    "#;
    let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
        let said = lab.sh(&format!("E={engine}\n{script}")).ok();
        said.replace(engine, "ENGINE")
    });
    assert_eq!(podman, unitbox);
    for (words, want) in [
        (
            "--iidfile /no/dir/x c x",
            "failed to write image ID: open /no/dir/x: no such file or directory",
        ),
        ("-c 'RUN x' c x", "invalid change \"RUN x\""),
        ("-c 'ONBUILD x' c x", "docker image format"),
        ("--config /opt/iid c x", "--config is refused"),
        (
            "c x@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            "digest",
        ),
    ] {
        let refused = lab.sh(&format!("unitbox commit {words}"));
        refused.fails(125);
        assert!(refused.err().contains(want), "{}", refused.err());
        assert_eq!(refused.err().lines().count(), 1, "{}", refused.err());
    }
    // Docker's form is one for other tools.
    let kind = lab.sh(
        "cd /var/lib/unitbox/images; blob() { cat blobs/sha256/${1#sha256:}; }
         m=$(jq -r '.manifests[] | select(.annotations[]? == \"localhost/i6:latest\") | .digest' index.json)
         blob $m | jq -r '.mediaType, .layers[2].mediaType'
         blob $(blob $m | jq -r .config.digest) | jq -c '.comment, .author, .config.OnBuild'",
    );
    let want = "application/vnd.docker.distribution.manifest.v2+json\napplication/vnd.docker.image.rootfs.diff.tar\n\
        \"words\"\n\"me\"\n[\"RUN x\"]";
    assert_eq!(kind.ok(), want);
}

/// A payload goes on after a commit, whether that went well, failed, or was interrupted; and one that was paused stays so.
#[test]
fn a_payload_is_paused_for_a_commit_and_goes_on_whatever_happens() {
    let lab = lab();
    lab.sh("unitbox run -d --name c --network=none base sh -c 'while :; do echo x >>/count; usleep 10000; done'").ok();
    let runs = "sleep 0.2; a=$(unitbox exec c wc -c /count); sleep 0.2; b=$(unitbox exec c wc -c /count); test \"$a\" != \"$b\" && \
                unitbox ps --format '{{.State}}'";
    lab.sh("unitbox commit -q -p c good").ok();
    assert_eq!(lab.sh(runs).ok(), "running");
    // A name that cannot be in a layer.
    lab.sh("unitbox exec c touch /.wh.bad").ok();
    let failed = lab.sh("unitbox commit -p c bad");
    failed.fails(125);
    assert!(failed.err().contains("/.wh.bad"), "{}", failed.err());
    lab.sh("unitbox exec c rm /.wh.bad").ok();
    assert_eq!(lab.sh(runs).ok(), "running");
    lab.sh("unitbox image exists bad").fails(1);
    // Interrupted while it writes: enough files that it is still at it.
    lab.sh("unitbox exec c sh -c 'mkdir /many; i=0; while [ $i -lt 3000 ]; do echo $i >/many/$i; i=$((i+1)); done'").ok();
    let interrupted = lab.sh(
        "unitbox commit -p -q c slow & p=$!
         until ls /var/lib/unitbox/images/.part-*/layer >/dev/null 2>&1 || ! kill -0 $p 2>/dev/null; do :; done
         kill -INT $p; kill -TERM $p; wait $p; echo ended",
    );
    assert_eq!(interrupted.ok(), "ended");
    assert_eq!(lab.sh(runs).ok(), "running");
    assert_eq!(
        lab.sh("ls -d /var/lib/unitbox/{images,layers}/.part-* 2>/dev/null | wc -l")
            .ok(),
        "0"
    );
    lab.sh("unitbox pause c && unitbox commit -q -p c paused")
        .ok();
    assert_eq!(
        lab.sh("unitbox inspect --format '{{.State.Status}}' c")
            .ok(),
        "paused"
    );
    lab.sh("unitbox unpause c && unitbox stop -t 0 c && unitbox commit -q -p c stopped")
        .ok();
    assert_eq!(
        lab.sh("unitbox run --rm --network=none stopped sh -c 'ls /many | wc -l'")
            .ok(),
        "3000"
    );
}

/// In a user namespace, the files of the image belong to who had them inside.
#[test]
fn owners_are_those_that_the_container_sees() {
    let lab = lab();
    let said = lab.sh(
        "unitbox run --name c --network=none --uidmap 0:100000:1000 --gidmap 0:100000:1000 base \
            sh -c 'echo x >/mine; chown 7:8 /mine; echo r >/root-owned'
         for flags in '' -s; do
            unitbox commit -q $flags c made >/dev/null
            unitbox run --rm --network=none made stat -c '%u:%g' /mine /root-owned /d/f
         done",
    );
    assert_eq!(said.ok(), "7:8\n0:0\n5:6\n7:8\n0:0\n5:6", "{}", said.err());
}

#[test]
fn archives_are_imported_as_with_podman() {
    let lab = Lab::boot(Suite::Trixie);
    let script = r#"
        x() { echo "\$ $*"; (eval "$@") 2>&1; echo "code $?"; }
        exec </dev/null
        cd /opt; mkdir -p o; cd o
        tar -C /usr/share/unitbox-lab/busybox -cf r.tar . ; gzip -kf r.tar
        case $E in podman) at=containers-storage:localhost/ ;; *) at=oci:/var/lib/unitbox/images:localhost/ ;; esac
        show() { skopeo inspect --raw --config $at$1 | jq -cS 'del(.created, .history[].created, .history[].created_by)'; }
        x $E import -q r.tar one '|' grep -cE "'^sha256:[0-9a-f]{64}$'"; show one:latest
        x $E import -q r.tar.gz '>' /dev/null
        x 'cat r.tar.gz |' $E import -q -m hello --arch arm64 --variant v8 --os linux -c CMD=/bin/sh -c "'ENV A=b C=d'" \
            -c "'VOLUME /a /b'" -c "'ENTRYPOINT [\"/e\"]'" -c "'cmd [\"x\"]'" - dir/two:tag '>' /dev/null; show dir/two:tag
        x $E image import -q r.tar three '>' /dev/null; show three:latest
        x $E import /nope z
        x $E import -c "'FROM x'" r.tar z
        x $E image exists z
    "#;
    let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
        let said = lab.sh(&format!("E={engine}\n{script}")).ok();
        said.replace(engine, "ENGINE")
    });
    assert_eq!(podman, unitbox);
    let count = "find /var/lib/unitbox/images /var/lib/unitbox/layers | wc -l";
    let before = lab.sh(count).ok();
    lab.sh("seq 10000 >/opt/junk; head -c 100000 /opt/o/r.tar >/opt/cut.tar; : >/opt/empty")
        .ok();
    for (words, want) in [
        ("/opt/junk z", "/opt/junk"),
        ("/opt/cut.tar z", "/opt/cut.tar: unpack"),
        ("/opt/empty z", "/opt/empty"),
        ("https://example.com/x.tar z", "downloads nothing"),
        ("--os windows /opt/o/r.tar z", "--os windows"),
        ("/opt z", "/opt"),
    ] {
        let refused = lab.sh(&format!("unitbox import {words}"));
        refused.fails(125);
        assert_eq!(refused.err().lines().count(), 1, "{}", refused.err());
        assert!(refused.err().contains(want), "{}", refused.err());
    }
    assert_eq!(lab.sh(count).ok(), before);
    assert_eq!(
        lab.sh("unitbox run --rm --network=none one echo hi").ok(),
        "hi"
    );
}

#[test]
fn differences_of_containers_and_images_are_podmans() {
    let lab = lab();
    let script = r#"
        x() { echo "\$ $*"; (eval "$@") 2>&1 | grep -vE ' /(etc|run|dev|proc|sys|change|vol|tmp|root)(/|$)' | sort; echo "code ${PIPESTATUS[0]}"; }
        exec </dev/null
        # An id may begin with c.
        # Podman fails where a directory takes the place of a link.
        sed '/inside/d' /opt/change >/opt/change2
        $E run --name web -v /opt/change2:/change:ro --network=none base sh /change >/dev/null
        $E commit -q web made >/dev/null; $E commit -q -s web flat >/dev/null
        for words in "diff web" "image diff made" "image diff made base" "image diff base made" "diff made" "diff web made" \
            "diff made web" "diff web base" "diff base web" "image diff nope" "diff nope" "diff made nope" "image diff web" \
            "image diff --format x made"; do
            x $E $words
        done
        x $E image diff --format json made '|' jq -cS "'map_values(map(select(test(\"^/(etc|run|dev|proc|sys|change|vol|tmp|root)(/|\$)\") | not)) | sort)'"
    "#;
    let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
        let said = lab.sh(&format!("E={engine}\n{script}")).ok();
        said.replace(engine, "ENGINE")
    });
    assert!(
        podman.contains("D /gone\n") && podman.contains("A /suid\n"),
        "{podman}"
    );
    assert_eq!(podman, unitbox);
}
