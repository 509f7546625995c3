//! Volumes: what is said of them and done to them, side by side with Podman, and archives into and out of them.

use crate::harness::{Lab, Suite};

#[test]
fn volumes_are_made_listed_and_pruned_as_with_podman() {
    let lab = Lab::boot(Suite::Trixie);
    let script = r#"
        x() { echo "\$ $*"; (eval "$@") 2>&1; echo "code $?"; }
        exec </dev/null
        x $E volume prune
        x $E volume create --label a=b -l c --opt o=uid=5,gid=6 --opt copy v1
        x $E volume create v2
        x $E volume create --opt nocopy --driver local v3
        x $E volume create v2
        x $E volume create --ignore --label new v2
        x $E volume create --driver foo v4
        x $E volume create --opt foo=bar v4
        x $E volume inspect --format "'{{.Labels}} {{.Options}} {{.UID}} {{.GID}} {{.Driver}} {{.Scope}}'" v1 v2 v3
        $E create --name u -v v2:/v --network=none --rootfs /usr/share/unitbox-lab/busybox true >/dev/null
        for filter in name=v1 name=^v. name=2 label=a label!=a label=a=b label=a=c label=a=* driver=local driver=foo \
            dangling=true dangling=false dangling=1 dangling=maybe scope=local scope=x opt=o opt=copy opt=o=uid=5,gid=6 \
            until=1h until=1x after=v1 since=v2 since=nope anonymous=true foo=bar name; do
            x $E volume ls -q --filter "'$filter'"
        done
        x $E volume ls -q -f name=v1 -f name=v2
        x $E volume ls -q -f label=a -f label=nope
        x $E volume ls -q -f label!=a -f label!=nope
        x $E volume list
        x $E volume ls -n
        x $E volume mount v2
        x $E volume mount nope
        x $E volume mount v1 v2
        x $E volume unmount v2
        x $E volume unmount nope
        x 'echo n | '$E volume prune
        x 'echo y | '$E volume prune --filter label=a
        x $E volume prune --force --filter until=1h
        x $E volume prune -f --filter all=true
        x $E volume prune -f
        x $E volume ls
    "#;
    let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
        let said = lab.sh(&format!("E={engine}\n{script}")).ok();
        said.replace("/var/lib/containers/storage/volumes", "VOLUMES")
            .replace("/var/lib/unitbox/volumes", "VOLUMES")
            .replace(engine, "ENGINE")
    });
    // What takes too many words is told by the parsers of the command line, each in its own.
    let own = |text: &str| -> String {
        let lines = text.lines().filter(|line| {
            !line.contains("accepts 1 arg(s)") && !line.contains("unexpected argument")
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(own(&podman), own(&unitbox));
    for (option, word) in [
        ("type=tmpfs", "type=tmpfs"),
        ("o=noexec", "noexec"),
        ("o=uid=-1", "-1"),
    ] {
        let refused = lab.sh(&format!("unitbox volume create --opt {option} bad"));
        refused.fails(125);
        assert!(refused.err().contains(word), "{}", refused.err());
    }
    lab.sh("unitbox volume exists bad").fails(1);
}

/// The owner that was asked for stays, and only a volume that may be filled is.
#[test]
fn a_volume_has_the_owner_and_the_contents_that_were_asked_for() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("unitbox load -i /usr/share/unitbox-lab/busybox.tar")
        .ok();
    let look = "stat -c %u:%g /v; ls -A /v | wc -l";
    for (options, want) in [
        ("", "0:0\n1"),
        ("--opt o=uid=5,gid=6", "5:6\n1"),
        ("--opt nocopy", "0:0\n0"),
        ("--opt nocopy --opt o=uid=7", "7:0\n0"),
    ] {
        lab.sh(&format!("unitbox volume create {options} data"))
            .ok();
        let mount = "-v data:/v --user 0";
        // /var of the image has a directory.
        let seen = lab.sh(&format!(
            "unitbox run --rm -v data:/var --network=none busybox true; unitbox run --rm {mount} --network=none busybox \
             sh -c '{look}'"
        ));
        let seen = seen.ok();
        let (owner, count) = seen.split_once('\n').expect("two lines");
        let filled = count != "0";
        assert_eq!(
            format!("{owner}\n{}", u8::from(filled)),
            want,
            "{options}: {seen}"
        );
        lab.sh("unitbox volume rm data").ok();
    }
}

#[test]
fn archives_go_out_of_volumes_and_into_them() {
    let lab = Lab::boot(Suite::Trixie);
    let script = r#"
        x() { echo "\$ $*"; (eval "$@") 2>&1; echo "code $?"; }
        exec </dev/null
        cd $(mktemp -d)
        $E volume create src >/dev/null; $E volume create dst >/dev/null
        d=$($E volume mount src)
        (cd $d; mkdir -p a/b; echo x >a/f; ln a/f hard; ln -s /etc/passwd out; mkfifo pipe; mknod dev c 1 3; chmod 2711 a
         chown 7:8 a/f; printf 'odd\n' >"$(printf 'new\nline')"; mkdir -p $(printf 'long%.0s' $(seq 30))
         setfattr -n user.k -v v a/f 2>/dev/null; find . -exec touch -h -d @1000000 {} +)
        x $E volume export -o all.tar src
        x $E volume export src '>' pipe.tar
        cmp all.tar pipe.tar && echo same
        tar --numeric-owner -tvf all.tar
        x $E volume export nope
        x $E volume export -o /no/dir/x src
        echo old >$($E volume mount dst)/a
        x $E volume import dst all.tar
        (cd $($E volume mount dst) && find . -mindepth 1 -printf '%P %y %m %U %G %n %l %T@\n' | sort)
        gzip -k all.tar
        x $E volume import dst all.tar.gz
        x 'cat all.tar | '$E volume import dst -
        x $E volume import nope all.tar
        x $E volume import dst /no/file
    "#;
    let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
        let said = lab.sh(&format!("E={engine}\n{script}")).ok();
        said.replace(engine, "ENGINE")
    });
    assert_eq!(podman, unitbox);
    let broken = lab.sh(
        "cd /opt; seq 100000 >f; tar -cf f.tar f; head -c 5000 f.tar >cut.tar; mkdir -p e; echo changed >e/canary
         echo kept >canary; tar -P -cf up.tar --transform 's,e/,../../../../../opt/,' e/canary
         d=$(unitbox volume mount dst); find $d | wc -l >before
         for bad in cut.tar up.tar f canary; do unitbox volume import dst $bad && echo taken; done
         cat canary; find $d | wc -l | cmp - before; ls -A /var/lib/unitbox/volumes",
    );
    assert_eq!(broken.ok(), "kept\n.lock\ndst\nsrc");
    assert_eq!(broken.err().lines().count(), 4, "{}", broken.err());
    // Onto a terminal, it would be noise.
    let terminal = lab.sh("script -qec 'unitbox volume export src' /dev/null");
    terminal.fails(125);
}
