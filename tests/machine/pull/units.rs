//! Unit files whose image is not here.

use super::{sh, with_registry};

const UNIT: &str = r#"
    unit() {
        mkdir -p /etc/unitbox
        { echo "[Container]"; echo "Exec=sleep 1000"; echo "StopTimeout=0"; echo "Network=none"; echo "PodmanArgs=--tls-verify=false"; cat; } \
            > /etc/unitbox/web.container
        systemctl daemon-reload
    }
"#;

#[test]
fn a_unit_file_fetches_its_image() {
    let lab = with_registry();
    let said = sh(
        &lab,
        &format!(
            r#"{UNIT}
            unit <<< "Image=$R/demo/bb:o"$'\nPull=never'
            systemctl start web; echo $?
            journalctl --sync; journalctl -u web -o cat | grep -q 'image not known' && echo told
            unit <<< "Image=$R/demo/bb:o"
            systemctl start web && systemctl is-active web
            unitbox exec systemd-web true && echo works
            unitbox images --format '{{{{.Repository}}}}:{{{{.Tag}}}}'
            systemctl stop web
            # Its name is another image now.
            skopeo copy -q oci:/usr/share/unitbox-lab/busybox-oci oci:/opt/M:m
            umoci config --image /opt/M:m --config.env NEW=1
            push oci:/opt/M:m docker://$R/demo/bb:o
            systemctl start web; unitbox exec systemd-web sh -c 'echo new=$NEW'; systemctl stop web
            unit <<< "Image=$R/demo/bb:o"$'\nPull=newer'
            systemctl start web; unitbox exec systemd-web sh -c 'echo new=$NEW'; systemctl stop web
            systemctl stop reg
            systemctl start web; unitbox exec systemd-web sh -c 'echo new=$NEW'; systemctl stop web
            unit <<< "Image=$R/demo/other"$'\nRetry=0'
            systemctl start web; echo $?
            journalctl --sync; journalctl -u web -o cat | grep -q 'connection refused' && echo told
            left"#
        ),
    );
    let lines: Vec<String> = said.out().lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "1",
            "told",
            "active",
            "works",
            "127.0.0.1:5000/demo/bb:o",
            "new=",
            "new=1",
            "new=1",
            "1",
            "told"
        ],
        "{}",
        said.err()
    );
}

#[test]
fn a_start_waits_for_a_fetch_that_goes_on_and_tells_how_far_it_is() {
    let lab = with_registry();
    let said = sh(
        &lab,
        &format!(
            r#"{UNIT}
            skopeo copy -q oci:/usr/share/unitbox-lab/busybox-oci oci:/opt/M:m
            head -c 300000000 /dev/urandom > /opt/random; tar -C /opt -cf /opt/random.tar random
            umoci raw add-layer --image /opt/M:m /opt/random.tar
            push oci:/opt/M:m docker://$R/demo/big:1; rm -rf /opt/M /opt/random*
            unit <<Y
Image=$R/demo/big:1
[Service]
TimeoutStartSec=3
Y
            fetching() {{ ls /var/lib/unitbox/images/.pull-*/layout/oci-put-blob* >/dev/null 2>&1; }}
            # It is stopped while it fetches.
            systemctl start --no-block web
            until fetching; do systemctl is-failed -q web && break; done
            systemctl kill -s STOP reg
            systemctl stop web; systemctl is-active web; pgrep -c skopeo; pgrep -fc 'system settl[e]'
            systemctl kill -s CONT reg; systemctl reset-failed web 2>/dev/null
            # The registry sleeps most of the time, longer than the unit's own patience.
            systemctl start web & start=$!
            until fetching; do systemctl is-failed -q web && break; done
            for turn in 1 2 3 4 5 6 7 8; do
                systemctl kill -s STOP reg
                systemctl show -P StatusText web >> /opt/status
                sleep 0.9
                systemctl kill -s CONT reg; sleep 0.005
            done
            wait $start; echo $?
            systemctl is-active web; unitbox exec systemd-web sh -c 'wc -c < /random'
            systemctl show -P StatusText web
            grep -c 'starting: pulling the image, layer [01]/2, [0-9]* MiB' /opt/status | grep -vc '^0$'
            ls /run/unitbox/*/progress 2>/dev/null; left"#
        ),
    );
    let lines: Vec<String> = said.out().lines().map(str::to_owned).collect();
    assert_eq!(
        lines,
        [
            "inactive",
            "0",
            "0",
            "0",
            "active",
            "300000000",
            "running",
            "1"
        ],
        "{}\n{}",
        said.err(),
        lab.sh("cat /opt/status; journalctl -u web -o cat").out()
    );
}
