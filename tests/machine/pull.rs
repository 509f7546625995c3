//! Images from a registry, side by side with Podman where it says something.

mod push;
mod units;

use crate::harness::{Lab, Suite};

const R: &str = "127.0.0.1:5000";

/// Starts a registry on loopback with these lines in its configuration, and puts two images into it: `bb:o` in OCI's form,
/// `bb:d` in Docker's.
const REGISTRY: &str = r#"
    registry() {
        { echo "version: 0.1"; echo "storage: {filesystem: {rootdirectory: /opt/registry}, delete: {enabled: true}}"; cat; } \
            > /opt/reg.yml
        systemd-run -q --unit=reg docker-registry serve /opt/reg.yml
        until (</dev/tcp/127.0.0.1/5000) 2>/dev/null; do sleep .1; done
    }
    plain() { echo 'http: {addr: "127.0.0.1:5000"}' | registry; }
    push() { skopeo copy -q --dest-tls-verify=false "$@"; }
    fill() {
        push oci:/usr/share/unitbox-lab/busybox-oci docker://127.0.0.1:5000/demo/bb:o
        push --format v2s2 oci:/usr/share/unitbox-lab/busybox-oci docker://127.0.0.1:5000/demo/bb:d
    }
    # What of a pull may be left: nothing that is not part of an image.
    left() { find /var/lib/unitbox/images /var/lib/unitbox/layers -name '.p*'; }
"#;

fn sh(lab: &Lab, script: &str) -> crate::harness::Run {
    lab.sh(&format!("{REGISTRY}\nR={R}\n{script}"))
}

fn with_registry() -> Lab {
    let lab = Lab::boot(Suite::Trixie);
    sh(&lab, "plain; fill").ok();
    lab
}

/// Runs the same lines with both engines and compares what they say.
fn compare(lab: &Lab, lines: &str) -> String {
    let script = format!(
        "x() {{ echo \"\\$ $*\"; \"$@\" 2>&1; echo \"code $?\"; }}\n\
         list() {{ $E images --format '{{{{.Repository}}}}:{{{{.Tag}}}} {{{{.ID}}}}' | sort; }}\n\
         clear() {{ for image in $($E images -q); do $E rmi -f $image >/dev/null 2>&1; done; }}\n\
         exec </dev/null\n{lines}"
    );
    let [podman, unitbox] = ["podman", "unitbox"].map(|engine| {
        let said = sh(lab, &format!("E={engine}\n{script}")).ok();
        said.replace(engine, "ENGINE")
    });
    assert_eq!(podman, unitbox);
    unitbox
}

#[test]
fn pulls_print_what_podman_prints() {
    let lab = with_registry();
    let said = compare(
        &lab,
        r#"
        P="$E pull --tls-verify=false"
        D=$(skopeo inspect --format '{{.Digest}}' --tls-verify=false docker://$R/demo/bb:d)
        for image in d o; do
            x $P $R/demo/bb:$image; x $P -q $R/demo/bb:$image; list; clear
        done
        x $P $R/demo/bb@$D; list; x $E run --rm --network=none $R/demo/bb@$D echo hi; x $E rmi $R/demo/bb@$D
        x $P $R/demo/bb:zz@$D; clear
        x $P docker://$R/demo/bb:o $R/demo/bb:nope; list; clear
        x $P $R/demo/bb:nope
        x $E pull $R/demo/bb:d
        x $E pull nope
        x $E pull --platform linux/amd64 --arch amd64 nope
        x $P -q --arch s390x $R/demo/bb:o | grep -v 'does not match'; list; clear
        skopeo copy -q oci:/usr/share/unitbox-lab/busybox-oci oci:/opt/L:foo
        skopeo copy -q docker://$R/demo/bb:d --src-tls-verify=false docker-archive:/opt/$E.tar:x/y:1
        skopeo copy -q docker://$R/demo/bb:d --src-tls-verify=false docker-archive:/opt/none-$E.tar
        skopeo copy -q docker://$R/demo/bb:d --src-tls-verify=false oci-archive:/opt/o-$E.tar:some:1
        mkdir -p /opt/dir
        skopeo copy -q docker://$R/demo/bb:d --src-tls-verify=false dir:/opt/dir
        for place in oci:/opt/L oci:/opt/L:foo dir:/opt/dir oci-archive:/opt/o-$E.tar; do
            x $E pull $place; list; clear
        done
        for place in docker-archive:/opt/$E.tar docker-archive:/opt/none-$E.tar; do
            $E pull -q $place; list; clear
        done
        $E pull -q oci:/opt/nowhere 2>/dev/null; echo $?
        "#,
    );
    assert!(
        said.contains("Trying to pull 127.0.0.1:5000/demo/bb:d..."),
        "{said}"
    );
    assert!(said.contains("manifest unknown"), "{said}");
    assert!(said.contains("docker.io/x/y:1"), "{said}");
    assert_eq!(sh(&lab, "left").ok(), "");
}

#[test]
fn run_and_create_fetch_what_their_policy_says() {
    let lab = with_registry();
    let said = compare(
        &lab,
        r#"
        fill
        N="--rm --network=none --tls-verify=false"
        x $E run --rm --pull never nope
        x $E run --rm nope
        x $E create --pull never $R/demo/bb:d true
        x $E run $N $R/demo/bb:d echo fetched
        x $E run $N $R/demo/bb:d echo here
        x $E run $N --pull always $R/demo/bb:d echo again
        x $E run $N --pull always -q $R/demo/bb:d echo quiet
        x $E run $N --pull newer $R/demo/bb:d echo same
        push --format v2s2 --override-arch amd64 oci:/usr/share/unitbox-lab/busybox-oci docker://$R/demo/moved:1
        x $E run $N -q $R/demo/moved:1 echo one
        rm -rf /opt/M; skopeo copy -q oci:/usr/share/unitbox-lab/busybox-oci oci:/opt/M:m
        umoci config --image /opt/M:m --config.env NEW=1
        push oci:/opt/M:m docker://$R/demo/moved:1
        x $E run $N $R/demo/moved:1 sh -c 'echo env $NEW'
        x $E run $N -q --pull newer $R/demo/moved:1 sh -c 'echo env $NEW'
        ID=$($E images -q $R/demo/bb:d 2>/dev/null || $E images -q | head -1)
        x $E run $N --pull always ${ID:0:12} true 2>&1 | sed 's/([0-9a-f]*)/(ID)/; s/ [0-9a-f]\{12\} / ID /'
        systemctl stop reg
        x $E run $N -q --retry 0 --pull newer $R/demo/bb:d echo unreachable
        x $E run $N -q --retry 0 --pull always $R/demo/bb:d echo unreachable
        x $E run $N -q --retry 1 --retry-delay 1ms $R/demo/other:d 2>&1 | grep -v retrying
        systemctl reset-failed reg 2>/dev/null
        plain
        clear
        "#,
    );
    assert!(
        said.contains("\nenv 1\n") && said.contains("\nenv\n"),
        "{said}"
    );
    assert!(said.contains("Error: nope: image not known"), "{said}");
    let wrong = sh(&lab, "unitbox run --pull sometimes busybox true");
    wrong.fails(125);
    assert!(wrong.err().contains("--pull") && wrong.err().contains("sometimes"));
    let refused = sh(&lab, "unitbox run --decryption-key k busybox true");
    refused.fails(125);
}

#[test]
fn layers_that_are_here_are_not_fetched_again() {
    let lab = with_registry();
    sh(
        &lab,
        r#"
        skopeo copy -q oci:/usr/share/unitbox-lab/busybox-oci oci:/opt/M:m
        head -c 300000 /dev/urandom > /opt/random; tar -C /opt -cf /opt/random.tar random
        umoci raw add-layer --image /opt/M:m /opt/random.tar
        push oci:/opt/M:m docker://$R/demo/two:1
        unitbox pull -q --tls-verify=false $R/demo/bb:o
        "#,
    )
    .ok();
    let said = sh(
        &lab,
        r#"
        layers() { skopeo inspect --tls-verify=false docker://$R/demo/$1 | jq -r '.Layers[]'; }
        base=$(layers bb:o) top=$(layers two:1 | tail -1)
        journalctl --sync; from=$(date +%s); sleep 1
        unitbox pull -q --tls-verify=false $R/demo/two:1 >/dev/null
        journalctl --sync
        count() { journalctl -u reg --since @$from | grep -c "GET /v2/demo/two/blobs/$1"; }
        echo base $(count $base) top $(count $top)
        unitbox run --rm --network=none $R/demo/two:1 sh -c 'wc -c < /random'
        left
        "#,
    )
    .ok();
    let mut lines = said.lines();
    let counts: Vec<&str> = lines.next().expect("counts").split(' ').collect();
    assert_eq!(counts[..2], ["base", "0"], "{said}");
    assert_ne!(counts[3], "0", "{said}");
    assert_eq!(lines.collect::<Vec<_>>(), ["300000"]);
}

#[test]
fn passwords_and_certificates_are_honoured() {
    let lab = Lab::boot(Suite::Trixie);
    // The password is `secret`.
    sh(
        &lab,
        r#"
        mkdir -p /opt/tls; cd /opt/tls
        openssl req -x509 -newkey rsa:2048 -nodes -keyout key -out ca.crt -days 2 -subj /CN=127.0.0.1 \
            -addext subjectAltName=IP:127.0.0.1 2>/dev/null
        echo 'user:$2y$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a' > /opt/htpasswd
        registry <<Y
http: {addr: "127.0.0.1:5000", tls: {certificate: /opt/tls/ca.crt, key: /opt/tls/key}}
auth: {htpasswd: {realm: r, path: /opt/htpasswd}}
Y
        push --dest-creds user:secret oci:/usr/share/unitbox-lab/busybox-oci docker://$R/demo/bb:o
        "#,
    )
    .ok();
    for (wrong, word) in [
        ("--creds user:secret", "certificate"),
        ("--tls-verify=false", "authentication required"),
        (
            "--tls-verify=false --creds user:wrong",
            "authentication required",
        ),
        ("--tls-verify=false --creds user", "password is missing"),
        ("--authfile /opt/nowhere", "\"/opt/nowhere\" for --authfile"),
        ("--cert-dir /opt/nowhere", "\"/opt/nowhere\" for --cert-dir"),
    ] {
        let run = sh(
            &lab,
            &format!("unitbox pull --retry 0 -q {wrong} $R/demo/bb:o"),
        );
        run.fails(125);
        assert_eq!(run.err().lines().count(), 1, "{wrong}: {}", run.err());
        assert!(run.err().contains(word), "{wrong}: {}", run.err());
        assert!(!run.err().contains("secret"), "{}", run.err());
    }
    let good = sh(
        &lab,
        r#"
        P="unitbox pull -q"
        $P --cert-dir /opt/tls --creds user:secret $R/demo/bb:o && unitbox rmi -f $R/demo/bb:o
        skopeo login --tls-verify=false --authfile /opt/auth.json -u user -p secret $R
        cd /opt; $P --cert-dir tls --authfile auth.json $R/demo/bb:o && unitbox rmi -f $R/demo/bb:o
        mkdir -p /etc/containers/certs.d/$R; cp /opt/tls/ca.crt /etc/containers/certs.d/$R
        REGISTRY_AUTH_FILE=auth.json $P $R/demo/bb:o && unitbox rmi -f $R/demo/bb:o
        mkdir -p ~/.docker; cp /opt/auth.json ~/.docker/config.json
        unitbox run --rm -q --network=none $R/demo/bb:o echo run && unitbox rmi -f $R/demo/bb:o
        printf '#!/bin/sh\ncat >/dev/null; echo "{\\"Username\\":\\"user\\",\\"Secret\\":\\"secret\\"}"\n' \
            > /usr/local/bin/docker-credential-lab
        chmod +x /usr/local/bin/docker-credential-lab
        echo '{"credHelpers": {"'$R'": "lab"}}' > ~/.docker/config.json
        $P $R/demo/bb:o
        left
        "#,
    )
    .ok();
    assert_eq!(good.matches("Deleted: ").count(), 4, "{good}");
    assert!(good.contains("\nrun\n"), "{good}");
}

#[test]
fn what_the_administrator_forbids_or_says_holds() {
    let lab = with_registry();
    let wrong = |script: &str, word: &str| {
        let run = sh(
            &lab,
            &format!("{script}\nunitbox pull --retry 0 -q $R/demo/bb:o"),
        );
        run.fails(125);
        assert!(run.err().contains(word), "{}", run.err());
        assert_eq!(run.err().lines().count(), 1, "{}", run.err());
        assert_eq!(sh(&lab, "unitbox images -q; left").ok(), "");
    };
    let conf = "/etc/containers/registries.conf.d/zz.conf";
    wrong("", "HTTP response to HTTPS client");
    wrong(
        &format!("printf '[[registry]]\\nlocation=\"%s\"\\nblocked=true\\n' $R > {conf}"),
        "blocked",
    );
    let insecure =
        format!("printf '[[registry]]\\nlocation=\"%s\"\\ninsecure=true\\n' $R > {conf}");
    wrong(
        &format!(
            "{insecure}; cp /etc/containers/policy.json /opt; \
             echo '{{\"default\":[{{\"type\":\"reject\"}}]}}' > /etc/containers/policy.json"
        ),
        "policy",
    );
    sh(
        &lab,
        "cp /opt/policy.json /etc/containers; unitbox pull -q $R/demo/bb:o",
    )
    .ok();
    wrong(
        &format!("unitbox rmi -f $R/demo/bb:o; echo 'nonsense' > {conf}"),
        "zz.conf",
    );
    // Mirrors, aliases, and registries to search.
    let said = sh(
        &lab,
        &format!(
            r#"
            cat > {conf} <<Y
unqualified-search-registries = ["127.0.0.1:5001", "$R"]
short-name-mode = "permissive"
[[registry]]
location = "$R"
insecure = true
[[registry]]
prefix = "main.example"
location = "127.0.0.1:5009"
[[registry.mirror]]
location = "$R"
insecure = true
[aliases]
"short" = "$R/demo/bb"
Y
            unitbox pull -q main.example/demo/bb:o
            unitbox run -q --rm --network=none short:d echo alias
            unitbox run -q --rm --network=none --pull never short:d echo alias here
            unitbox pull --retry 0 demo/bb:o 2>&1
            unitbox images --format '{{{{.Repository}}}}:{{{{.Tag}}}}' | sort
            sed -i s/permissive/enforcing/ {conf}
            unitbox pull --retry 0 demo/none 2>&1
            left
            "#
        ),
    );
    let said = said.out();
    for words in [
        "main.example/demo/bb:o\n",
        "alias\n",
        "alias here\n",
        "Resolving \"demo/bb\" using unqualified-search registries (/etc/containers/registries.conf.d/zz.conf)",
        "Trying to pull 127.0.0.1:5001/demo/bb:o...\nTrying to pull 127.0.0.1:5000/demo/bb:o...",
        "127.0.0.1:5000/demo/bb:d\n127.0.0.1:5000/demo/bb:o\n",
        "cannot prompt without a TTY",
    ] {
        assert!(said.contains(words), "{words:?} is not in {said}");
    }
}

#[test]
fn a_tampered_blob_is_refused() {
    let lab = with_registry();
    let run = sh(
        &lab,
        r#"
        blob=$(find /opt/registry -path '*blobs/sha256/27/*' -name data)
        printf x | dd of=$blob bs=1 seek=100000 conv=notrunc 2>/dev/null
        unitbox pull --retry 0 -q --tls-verify=false $R/demo/bb:o
        "#,
    );
    run.fails(125);
    assert!(run.err().contains("igest"), "{}", run.err());
    assert_eq!(
        sh(
            &lab,
            "unitbox images -q; left; ls /var/lib/unitbox/images/blobs/sha256"
        )
        .ok(),
        ""
    );
}

/// A big layer whose fetch is held where it is.
const HELD: &str = r#"
    held() {
        unitbox pull --retry 0 -q --tls-verify=false $R/demo/big:1 2>/opt/err & pull=$!
        until ls /var/lib/unitbox/images/.pull-*/layout/oci-put-blob* >/dev/null 2>&1; do :; done
        systemctl kill -s STOP reg
    }
"#;

#[test]
fn a_fetch_that_is_cut_short_leaves_nothing() {
    let lab = with_registry();
    sh(
        &lab,
        r#"
        skopeo copy -q oci:/usr/share/unitbox-lab/busybox-oci oci:/opt/M:m
        head -c 150000000 /dev/urandom > /opt/random; tar -C /opt -cf /opt/random.tar random
        umoci raw add-layer --image /opt/M:m /opt/random.tar
        push oci:/opt/M:m docker://$R/demo/big:1; rm -rf /opt/M /opt/random*
        "#,
    )
    .ok();
    // A signal of the user's, and a registry that dies: both are cleared up at once.
    let said = sh(
        &lab,
        &format!(
            "{HELD}\nheld; kill -INT $pull; wait $pull; echo $?; left; pgrep skopeo; systemctl kill -s CONT reg; true"
        ),
    );
    assert_eq!(said.out(), "130");
    let said = sh(
        &lab,
        &format!(
            "{HELD}\nheld; systemctl kill -s KILL reg; wait $pull; echo $?; grep -c ^Error /opt/err; left; pgrep skopeo; true"
        ),
    );
    assert_eq!(said.out(), "125\n1");
    // kill -9: skopeo dies with us, the next fetch clears up, and others may work meanwhile.
    let said = sh(
        &lab,
        &format!(
            "systemctl reset-failed reg; plain; {HELD}\nheld
             unitbox load -i /usr/share/unitbox-lab/busybox.tar >/dev/null; ls -d /var/lib/unitbox/images/.pull-* | wc -l
             kill -9 $pull; wait $pull; while pgrep skopeo >/dev/null; do sleep .1; done
             left | wc -l; systemctl kill -s CONT reg
             unitbox pull -q --tls-verify=false $R/demo/big:1; left
             unitbox run --rm --network=none $R/demo/big:1 sh -c 'wc -c < /random'"
        ),
    )
    .ok();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((lines[0], lines[1]), ("1", "1"), "{said}");
    assert_eq!((lines.len(), lines[3]), (4, "150000000"), "{said}");
}

#[test]
fn the_platform_is_chosen_from_a_list() {
    let lab = with_registry();
    sh(
        &lab,
        r#"
        skopeo copy -q oci:/usr/share/unitbox-lab/busybox-oci oci:/opt/M:m
        umoci config --image /opt/M:m --architecture arm64 --config.env ARM=1
        push oci:/opt/M:m docker://$R/demo/arm:1
        podman manifest create list >/dev/null
        podman manifest add --tls-verify=false list docker://$R/demo/bb:o >/dev/null
        podman manifest add --tls-verify=false --arch arm64 list docker://$R/demo/arm:1 >/dev/null
        podman manifest push --tls-verify=false --all list docker://$R/demo/list:1 >/dev/null 2>&1
        podman manifest rm list >/dev/null
        "#,
    )
    .ok();
    let said = compare(
        &lab,
        r#"
        P="$E pull --tls-verify=false -q"
        D=$(skopeo inspect --raw --tls-verify=false docker://$R/demo/list:1 | sha256sum | cut -d' ' -f1)
        show() { $E image inspect --format '{{json .Config.Env}}' "$@"; }
        x $P $R/demo/list:1; show $R/demo/list:1
        x $P --arch arm64 $R/demo/list:1; show $R/demo/list:1
        x $P --platform linux/arm64 $R/demo/list:1; show $R/demo/list:1
        x $P --policy never --os plan9 $R/demo/list:1 2>/dev/null | head -0
        x $P --os plan9 $R/demo/list:1
        clear
        x $P $R/demo/list@sha256:$D; show $R/demo/list@sha256:$D
        x $E run --rm --network=none --pull never $R/demo/list@sha256:$D echo by index
        x $E run --rm --network=none --tls-verify=false --pull newer $R/demo/list@sha256:$D echo by index
        clear
        "#,
    );
    assert!(said.contains("ARM=1"), "{said}");
}

#[test]
fn images_of_podman_become_ours() {
    let lab = Lab::boot(Suite::Trixie);
    let run = sh(
        &lab,
        "mv /var/lib/containers/storage /opt/away; unitbox pull containers-storage:localhost/built",
    );
    run.fails(125);
    assert!(
        run.err().contains("Podman has no images here"),
        "{}",
        run.err()
    );
    let said = sh(
        &lab,
        r#"
        test ! -e /var/lib/containers/storage || exit 3
        mv /opt/away /var/lib/containers/storage
        podman load -q -i /usr/share/unitbox-lab/busybox.tar >/dev/null
        podman create --name c --network=none busybox true >/dev/null
        echo built > /opt/file; podman cp /opt/file c:/file
        podman commit -q --change 'CMD ["cat","/file"]' c built:1 >/dev/null
        podman image inspect --format '{{.Id}}' built:1
        unitbox pull -q containers-storage:built:1
        unitbox run --rm --network=none localhost/built:1
        unitbox rmi -f localhost/built:1 >/dev/null
        unitbox run -q --rm --network=none containers-storage:localhost/built:1
        unitbox pull -q containers-storage:$(podman image inspect --format '{{.Id}}' built:1)
        unitbox images --format '{{.Repository}}'
        left
        "#,
    )
    .ok();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], lines[1], "{said}");
    assert_eq!(lines[2..4], ["built", "built"], "{said}");
    assert_eq!(lines[4], lines[0], "{said}");
    assert_eq!(lines[5..], ["localhost/built"], "{said}");
    let run = sh(&lab, "unitbox pull -q containers-storage:nowhere");
    run.fails(125);
    assert_eq!(run.err().lines().count(), 1, "{}", run.err());
}

#[test]
fn without_skopeo_there_is_one_line() {
    let lab = Lab::boot(Suite::Bookworm);
    for line in [
        "unitbox pull registry.example/x",
        "unitbox run --rm registry.example/x true",
        "unitbox create registry.example/x true",
    ] {
        let run = lab.sh(&format!("! command -v skopeo >/dev/null || exit 3; {line}"));
        run.fails(125);
        let err = run.err();
        let last = err.lines().last().unwrap_or_default().to_owned();
        assert!(
            last.starts_with("Error: ") && last.contains("package skopeo"),
            "{err}"
        );
    }
    lab.sh("unitbox load -i /usr/share/unitbox-lab/busybox.tar && unitbox run --rm busybox true")
        .ok();
}

#[test]
fn every_tag_comes_and_a_terminal_shows_progress() {
    let lab = with_registry();
    let said = sh(
        &lab,
        r#"
        unitbox pull -q -a --tls-verify=false $R/demo/bb; echo $?
        unitbox images --format '{{.Repository}}:{{.Tag}}' | sort
        unitbox pull -a --tls-verify=false $R/demo/bb:o; echo $?
        unitbox rmi -f $R/demo/bb:o $R/demo/bb:d >/dev/null
        script -qec "stty cols 80 rows 24; unitbox pull --tls-verify=false $R/demo/bb:o" /dev/null > /opt/terminal
        grep -c 'done' /opt/terminal | grep -vc '^0$'; tail -1 /opt/terminal | tr -d '\r'
        unitbox pull --tls-verify=false $R/demo/bb:d 2>&1 >/dev/null | true; unitbox image exists $R/demo/bb:d; echo $?
        left
        "#,
    )
    .ok();
    let id = said.lines().next().unwrap_or_default();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines,
        [
            id,
            id,
            "0",
            "127.0.0.1:5000/demo/bb:d",
            "127.0.0.1:5000/demo/bb:o",
            "125",
            "1",
            id,
            "0"
        ],
        "{said}"
    );
}
