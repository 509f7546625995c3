//! How long a payload that was killed is away.

use crate::bench::{METER, ROUNDS, number};
use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// What it may take of Quadlet's time.
const MOST: f64 = 1.0 / 3.0;

/// From `kill -9` of the payload to the first word of its successor, which `stamp` writes before anything else. Each is
/// the first restart behind a start: further ones wait longer.
#[test]
fn bench_time_from_kill_to_successor_against_quadlet() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "mkdir -p /etc/containers/systemd /opt/unitbox-u /opt/q
        unitbox create --name u --runtime crun --restart always -v /opt/unitbox-u:/seen {ROOTFS} stamp hups /seen/words"
    ))
    .ok();
    lab.write(
        "/etc/containers/systemd/q.container",
        "[Container]\nRootfs=/usr/share/unitbox-lab/busybox\nExec=/bin/stamp hups /seen/words\nNetwork=none\n\
         Volume=/opt/q:/seen\nGlobalArgs=--runtime=crun\n[Service]\nRestart=always\n",
    );
    let script = format!(
        "{METER}
        systemctl daemon-reload
        once() {{ # unit: microseconds
            local words=/opt/$1/words first again killed pid i
            rm -f $words; systemctl start $1
            until [ -s $words ]; do nap 0.05; done; nap 0.5
            first=$(stat -c %.6Y $words); pid=$(pgrep -x stamp); killed=${{EPOCHREALTIME/./}}; kill -9 $pid
            for i in {{1..200}}; do nap 0.05; again=$(stat -c %.6Y $words); [ $again = $first ] || break; done
            echo $((${{again/./}} - killed)); systemctl stop $1; nap 0.3
        }}
        once unitbox-u >/dev/null; once q >/dev/null
        for i in 1 2 3 4 5; do once unitbox-u >>/opt/u; once q >>/opt/q.times; done
        least </opt/u; least </opt/q.times"
    );
    let mut ratio = f64::MAX;
    // Others on the host can only add to a sample.
    for _ in 0..ROUNDS {
        let values: Vec<f64> = lab.sh(&script).ok().lines().map(number).collect();
        let [ours, theirs] = values[..] else {
            panic!("{values:?}")
        };
        ratio = ours / theirs;
        println!(
            "kill to successor: {:.1} / {:.1} ms = {ratio:.2}",
            ours / 1e3,
            theirs / 1e3
        );
        // Nothing was restarted if the time of the first word did not change.
        assert!(ours > 0.0 && theirs > 0.0, "{values:?}");
        if ratio <= MOST {
            break;
        }
    }
    assert!(ratio <= MOST, "{ratio:.2} of Quadlet's");
}
