//! Verbs on images, side by side with Podman.

use crate::harness::{Lab, Suite};

/// Two images on top of each other and a third, the same for both engines: `a` below `b`, with labels and history.
const IMAGES: &str = r#"
    podman load -qi /usr/share/unitbox-lab/busybox.tar >/dev/null
    podman create --name c --network=none busybox true >/dev/null
    podman commit -qf docker -c 'LABEL a=1' -c 'LABEL b=2' c a >/dev/null
    podman create --name d --network=none a true >/dev/null
    podman commit -qf docker -c 'LABEL c=3' d b >/dev/null
    podman rm c d >/dev/null
    podman save --format oci-archive -o /opt/busybox.tar busybox
    podman save --format oci-archive -o /opt/a.tar a
    podman save --format oci-archive -o /opt/b.tar b
    podman rmi -af >/dev/null
    for engine in podman unitbox; do
        for image in busybox a b; do $engine load -qi /opt/$image.tar >/dev/null; done
    done
"#;

/// Says the same lines with both engines; sizes of layers differ by what the file systems of both need.
fn both(lab: &Lab, script: &str) -> String {
    let shown = |engine: &str| {
        let prelude = r#"x() { echo "\$ $*"; (eval "$@") 2>&1; echo "code $?"; }; exec </dev/null"#;
        let said = lab.sh(&format!("E={engine}\n{prelude}\n{script}")).ok();
        said.replace(engine, "ENGINE")
    };
    let [podman, unitbox] = ["podman", "unitbox"].map(shown);
    assert_eq!(podman, unitbox);
    unitbox
}

#[test]
fn names_are_given_and_taken_as_with_podman() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(IMAGES).ok();
    let said = both(
        &lab,
        r#"
        names() { $E images --format '{{.Repository}}:{{.Tag}} {{.ID}}' | sort; }
        x $E tag busybox foo bar:1 host:5000/x
        x names
        x $E tag nope foo
        x $E untag busybox nope
        x $E untag nope
        x $E tag a foo
        x names
        x $E untag busybox bar:1
        x names
        x $E untag a
        x names
        x $E image tag host:5000/x again
        x $E image untag again localhost/again
        x names
    "#,
    );
    assert!(said.contains("localhost/foo:latest"), "{said}");
    let before = lab.sh("unitbox images --format '{{.Names}}'").ok();
    for (words, want) in [
        ("tag busybox good BAD", "invalid image name \"BAD\""),
        ("tag busybox", "<NAME>"),
        ("untag busybox host:5000/x nope", "tag not known"),
    ] {
        let refused = lab.sh(&format!("unitbox {words}"));
        refused.fails(125);
        assert!(refused.err().contains(want), "{}", refused.err());
    }
    assert_eq!(lab.sh("unitbox images --format '{{.Names}}'").ok(), before);
}

#[test]
fn the_list_has_the_filters_and_forms_of_podman() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(IMAGES).ok();
    let said = both(
        &lab,
        r#"
        $E untag busybox
        $E create --name user --network=none a true >/dev/null
        ids() { echo "\$ $*"; $E images --format '{{.Repository}} {{.ID}}' "$@" 2>&1 | sort; }
        for filter in dangling=true dangling=false label=a label=a=1 label=a=2 label!=a containers=true \
            containers=false containers=x readonly=true readonly=false intermediate=true intermediate=false \
            manifest=true since=a before=b after=b before=nope until=1h until=x reference=a reference=localhost/* \
            'reference=*' reference=local* reference=nope id=nope digest=sha digest=sha256:00 nosuch=1 dangling; do
            ids -f $filter
        done
        ids -f label=a -f label=c
        ids -f label=a -f label=nope
        ids -f label!=c -f label!=nope
        ids -f reference=a -f reference=b
        ids -f dangling=true -f dangling=false
        ids a
        ids localhost/b:latest
        ids nope
        x $E images -q --sort id
        x $E images -q --sort repository --no-trunc
        x $E image ls --format "'{{.Labels}} {{.Names}} {{.Digest}} {{.Containers}} {{.Dangling}} {{.RepoDigests}}'" --sort id
        x $E image list -n --format "'table {{.ID}} {{.Tag}} {{.Created}}'" -f label!=a
        x $E images --digests --format "'{{.CreatedAt}} {{.CreatedTime}} {{.ReadOnly}} {{.IsManifestList}}'" -f label!=a
        x $E images --format json -f label=c '|' jq -c "'map(del(.Size, .VirtualSize))'"
        x $E images --format json -f dangling=true '|' jq -c "'map(del(.Size, .VirtualSize, .History))'"
    "#,
    );
    assert!(
        said.contains("$ -f label=a -f label=c\nlocalhost/b"),
        "{said}"
    );
    let heading = lab.sh("unitbox images --digests | head -n1").ok();
    let heading: Vec<&str> = heading.split_whitespace().collect();
    let want = [
        "REPOSITORY",
        "TAG",
        "DIGEST",
        "IMAGE",
        "ID",
        "CREATED",
        "SIZE",
    ];
    assert_eq!(heading, want);
    for words in ["--history", "--sort nope"] {
        lab.sh(&format!("unitbox images {words}")).fails(125);
    }
}

#[test]
fn history_is_podmans() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(IMAGES).ok();
    let said = both(
        &lab,
        r#"
        x $E history -q b
        x $E image history -q --no-trunc b
        x $E history --format "'{{.ID}} {{.CreatedAt}} {{.CreatedBy}} {{.Comment}} {{.Tags}}'" b
        x $E history -H=false --format "'table {{.ID}} {{.Created}}'" b
        x $E history --format json b '|' jq -c "'map(del(.size))'"
        $E rmi a >/dev/null
        x $E history -q b
        x $E history nope
    "#,
    );
    assert!(said.contains("<missing>"), "{said}");
    let table = lab.sh("unitbox history b").ok();
    assert!(table.starts_with("ID            CREATED "), "{table}");
}

#[test]
fn removal_and_prune_leave_what_is_in_use() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(IMAGES).ok();
    let said = both(
        &lab,
        r#"
        names() { $E images --format '{{.Repository}}:{{.Tag}}' | sort; }
        x $E rmi
        x $E rmi -a busybox
        x $E rmi nope
        x $E rmi -i nope
        x $E image rm nope
        x $E image prune
        x 'echo n | '$E image prune -a
        x $E image prune -f --filter nosuch=1
        $E tag busybox more:1
        $E create --name user --network=none busybox true >/dev/null
        $E untag a
        x $E image prune -f --filter until=100h
        x $E image prune -f --filter label=nope
        x names
        x $E image prune -f
        x names
        x $E image prune -af '|' sort
        x names
        x $E rm user
        x $E rmi -a '|' sort
        x names
        x $E rmi -a
    "#,
    );
    assert!(said.contains("docker.io/library/busybox:latest"), "{said}");
    assert_eq!(
        lab.sh("ls /var/lib/unitbox/layers | grep -c sha256; true")
            .ok(),
        "0"
    );
    for flag in ["build-cache", "external"] {
        let refused = lab.sh(&format!("unitbox image prune -f --{flag}"));
        refused.fails(125);
        assert!(refused.err().contains("is refused: "), "{}", refused.err());
    }
}

/// There and back by every archive that both know: the id is the same, and it runs.
#[test]
fn saved_images_run_with_podman_and_its_own_here() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(IMAGES).ok();
    let script = r#"
        set -ex
        id() { $1 image inspect --format '{{.Id}}' $2; }
        runs() { $1 run --rm --network=none $2 sh -c 'echo works'; }
        swap() { # FROM TO FORMAT IMAGE
            $2 rmi -af >/dev/null
            $1 save -q --format $3 $4 | $2 load -q
            [ "$(id $1 $4)" = "$(id $2 $4)" ]
            [ "$(runs $2 $4)" = works ]
            [ "$($2 history -q --no-trunc $4 | head -n1)" = "$(id $1 $4)" ]
        }
        for format in docker-archive oci-archive; do
            swap unitbox podman $format b
            swap podman unitbox $format b
        done
        unitbox save -q --format oci-dir -o /opt/dir b
        podman rmi -af >/dev/null
        podman load -q -i /opt/dir
        [ "$(podman images -q --no-trunc)" = "sha256:$(id unitbox b)" ]
        unitbox save -q --format docker-dir -o /opt/docker b
        skopeo copy -q dir:/opt/docker oci-archive:/opt/back.tar:localhost/back:1
        unitbox load -i /opt/back.tar
        [ "$(id unitbox back:1)" = "$(id unitbox b)" ]
        unitbox tag b second
        unitbox save -m -o /opt/two.tar b second 2>/opt/said
        grep -q '^Copying config sha256:' /opt/said
        podman rmi -af >/dev/null
        podman load -q -i /opt/two.tar
        [ "$(id podman second)" = "$(id unitbox b)" ]
        echo fine
    "#;
    let ran = lab.sh(script);
    assert!(ran.ok().ends_with("fine"));
}

#[test]
fn what_cannot_be_saved_is_refused_and_leaves_nothing() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("unitbox load -i /usr/share/unitbox-lab/busybox.tar && mkdir /opt/out && cd /opt/out && echo old >old")
        .ok();
    for (words, want) in [
        ("save nope", "nope: image not known"),
        ("save --format nope busybox", "format value must be one of"),
        (
            "save --format oci-archive -o x busybox y",
            "unsupported format \"oci-archive\"",
        ),
        ("save --format oci-dir busybox", "use -o"),
        ("save --compress -o x busybox", "--compress is refused: "),
        ("save -o a:b busybox", "should not contain ':'"),
        (
            "save -o old busybox",
            "doesn't support modifying existing images",
        ),
        ("save -o . busybox", "is a directory"),
        ("save -o /nope/x busybox", "/nope/x"),
        ("save --format oci-dir -o /opt/out busybox", "not empty"),
        ("save --format oci-dir -o old busybox", "old"),
        ("save -o x busybox BAD", "invalid image name"),
    ] {
        let refused = lab.sh(&format!("cd /opt/out && unitbox {words}"));
        refused.fails(125);
        assert!(refused.err().contains(want), "{words}: {}", refused.err());
        assert_eq!(refused.err().lines().count(), 1, "{}", refused.err());
    }
    let terminal = lab.sh("script -qec 'unitbox save busybox' /dev/null");
    terminal.fails(125);
    lab.sh("mkdir /opt/full && mount -t tmpfs -o size=64k none /opt/full")
        .ok();
    for words in ["-o /opt/full/x", "--format oci-dir -o /opt/full/x"] {
        let full = lab.sh(&format!("unitbox save -q {words} busybox"));
        full.fails(125);
        assert!(full.err().contains("No space left"), "{}", full.err());
    }
    let left = lab
        .sh("ls -A /opt/full; ls -A /opt/out; cat /opt/out/old")
        .ok();
    assert_eq!(left, "old\nold");
    lab.sh("umount /opt/full").ok();
}

#[test]
fn a_mounted_image_is_read_only_and_in_use() {
    for suite in [Suite::Trixie, Suite::Bookworm] {
        let lab = Lab::boot(suite);
        let load = "unitbox load -qi /usr/share/unitbox-lab/busybox.tar";
        lab.sh(load).ok();
        let id = lab
            .sh("unitbox image inspect --format '{{.Id}}' busybox")
            .ok();
        let place = lab.sh("unitbox image mount busybox").ok();
        assert_eq!(lab.sh("unitbox image mount busybox").ok(), place);
        lab.sh(&format!("test -x {place}/bin/busybox")).ok();
        lab.sh(&format!("touch {place}/new")).fails(1);
        let list = lab.sh("unitbox image mount").ok();
        let list: Vec<&str> = list.split_whitespace().collect();
        assert_eq!(list, ["docker.io/library/busybox:latest", place.as_str()]);
        let json = lab.sh("unitbox image mount --format json").ok();
        let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
        assert_eq!(json[0]["mountpoint"], place.as_str());
        assert_eq!(json[0]["id"], id.as_str());
        let refused = lab.sh("unitbox rmi busybox");
        refused.fails(2);
        assert!(refused.err().contains(&place), "{}", refused.err());
        assert_eq!(
            lab.sh("unitbox image prune -af; unitbox system prune -af")
                .ok(),
            "Total reclaimed space: 0B"
        );
        lab.sh("unitbox image exists busybox").ok();
        for (words, code) in [("nope", 125), ("--format x", 125), ("-a busybox", 125)] {
            lab.sh(&format!("unitbox image mount {words}")).fails(code);
        }
        for words in ["", "nope", "-a busybox"] {
            lab.sh(&format!("unitbox image unmount {words}")).fails(125);
        }
        lab.sh(&format!("cd {place} && unitbox image unmount busybox"))
            .fails(125);
        lab.sh(&format!("test -x {place}/bin/busybox")).ok();
        let forced = lab.sh(&format!("cd {place} && unitbox image umount -f busybox"));
        assert_eq!(forced.ok(), id);
        assert_eq!(
            lab.sh("unitbox image unmount busybox; unitbox image unmount -a")
                .ok(),
            ""
        );
        lab.sh("unitbox image mount --all && unitbox image unmount --all && unitbox rmi busybox")
            .ok();
        lab.sh(load).ok();
        lab.sh("unitbox image mount busybox && unitbox rmi --force busybox")
            .ok();
        lab.sh("! grep mounted-images /proc/self/mountinfo").ok();
        assert_eq!(lab.sh("ls /run/unitbox/mounted-images").ok(), "");
        assert_eq!(
            lab.sh("ls /var/lib/unitbox/layers | grep -c sha256; true")
                .ok(),
            "0"
        );
    }
}
