//! The other direction.

use super::{compare, sh, with_registry};

#[test]
fn an_image_is_sent_where_it_is_to_go() {
    let lab = with_registry();
    let said = compare(
        &lab,
        r#"
        N="--tls-verify=false"
        $E pull -q $N $R/demo/bb:o >/dev/null
        x $E push -q $N $R/demo/bb:o $R/$E/sent:1
        skopeo inspect --config --tls-verify=false docker://$R/$E/sent:1 | sha256sum
        $E pull -q $N $R/$E/sent:1
        x $E push -q $N $R/demo/bb:o docker://$R/$E/docker:1 --format v2s2 --digestfile /opt/digest-$E
        skopeo inspect --raw --tls-verify=false docker://$R/$E/docker:1 | jq -r .mediaType
        test $(cat /opt/digest-$E) = $(skopeo inspect --format '{{.Digest}}' --tls-verify=false docker://$R/$E/docker:1); echo $?
        x $E push -q $N --compression-format zstd --format oci $R/demo/bb:o $R/$E/zstd:1
        skopeo inspect --raw --tls-verify=false docker://$R/$E/zstd:1 | jq -r '.layers[].mediaType'
        $E rmi -f $R/$E/sent:1 >/dev/null
        mkdir -p /opt/$E
        for place in oci:/opt/$E/layout:x/y:1 oci-archive:/opt/$E/o.tar docker-archive:/opt/$E/d.tar:x/y:1 dir:/opt/$E/dir; do
            $E push -q $R/demo/bb:o $place; echo $?
            skopeo inspect --config $place | jq -r .architecture
        done
        cd /opt; $E push -q $R/demo/bb:o oci-archive:relative-$E.tar; ls relative-$E.tar | wc -l
        x $E push -q $N nosuch $R/x
        $E push -q --retry 0 $R/demo/bb:o $R/$E/tls:1 2>&1 | grep -c 'HTTP response to HTTPS client'
        clear
        "#,
    );
    assert!(
        said.contains("zstd") && said.contains("image not known"),
        "{said}"
    );
    // What is here is not copied, and what is there already is not sent.
    let said = sh(
        &lab,
        r#"
        unitbox pull -q --tls-verify=false $R/demo/bb:o
        unitbox push --tls-verify=false $R/demo/bb:o 2>&1
        unitbox push -q $R/demo/bb:o containers-storage:localhost/theirs:1
        podman run --rm --network=none localhost/theirs:1 echo theirs
        left
        "#,
    )
    .ok();
    assert!(
        said.contains("Writing manifest to image destination"),
        "{said}"
    );
    assert!(said.ends_with("theirs"), "{said}");
    for (line, word) in [
        ("unitbox push bb:o", "image not known"),
        (
            "unitbox push 127.0.0.1:5000/demo/bb:o somewhere",
            "no registry",
        ),
        ("unitbox push --creds x 127.0.0.1:5000/demo/bb:o", "--creds"),
        (
            "unitbox push --compression-format zstd 127.0.0.1:5000/demo/bb:o docker-archive:/opt/z.tar",
            "--compression-format",
        ),
        ("unitbox push --format v9 127.0.0.1:5000/demo/bb:o", "v9"),
    ] {
        let run = lab.sh(line);
        run.fails(125);
        assert_eq!(run.err().lines().count(), 1, "{line}: {}", run.err());
        assert!(run.err().contains(word), "{line}: {}", run.err());
    }
}
