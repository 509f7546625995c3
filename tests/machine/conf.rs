//! containers.conf(5): the defaults of containers that are made.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

#[test]
fn the_administrators_defaults_hold_and_bad_ones_are_named() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir -p /etc/containers/containers.conf.d /opt/v; cp /usr/bin/crun /opt/crun-other; echo file >/opt/v/f")
        .ok();
    lab.write(
        "/etc/containers/containers.conf.d/50-all.conf",
        "[containers]\nlog_driver='k8s-file'\nlog_size_max=8192\nlog_tag='mark'\nmounts=['type=tmpfs,dst=/m']\n\
         volumes=['/opt/v:/v:ro']\nnetns='host'\npids_limit=77\nread_only=true\nshm_size='1m'\n\
         [engine]\nruntime='other'\nstop_timeout=4\n[engine.runtimes]\nother=['/no/such', '/opt/crun-other']\n",
    );
    let script = "stat -c %T -f /m; cat /v/f; touch /x 2>/dev/null || echo read-only; df -k /dev/shm | tail -n1 | tr -s ' ' | cut -d' ' -f2; \
                  readlink /proc/self/ns/net; seq 3000";
    let seen = lab.sh(&format!(
        "unitbox run -d --name c {ROOTFS} sh -c \"{script}\" >/dev/null; unitbox wait c
        id=$(unitbox inspect c | jq -r .[0].Id); file=/var/lib/unitbox/containers/$id/ctr.log
        [ $(stat -c %s $file) -le 8192 ] && echo small
        for p in TasksMax TimeoutStopUSec; do systemctl show -P $p unitbox-c; done
        unitbox inspect c | jq -r .[0].OCIRuntime
        jq -r .options.log.tag /var/lib/unitbox/containers/$id/definition.json
        unitbox run --rm --log-driver journald {ROOTFS} sh -c \"{script}\" | head -n5"
    ));
    let text = seen.ok();
    let lines: Vec<&str> = text.lines().collect();
    let network = lab.sh("readlink /proc/self/ns/net").ok();
    assert_eq!(
        &lines[..6],
        ["0", "small", "141", "24s", "crun-other", "mark"],
        "{text}"
    );
    assert_eq!(
        &lines[6..],
        ["tmpfs", "file", "read-only", "1024", network.as_str()],
        "{text}"
    );
    // Options win.
    let own = lab.sh(&format!(
        "unitbox run --rm --log-driver journald --network none --read-only=false --shm-size 2m --runtime runc \
         -v /opt:/v --mount type=tmpfs,dst=/m,ro {ROOTFS} sh -c 'touch /x && echo writable; ls /v/v; touch /m/x 2>/dev/null || echo ro'"
    ));
    assert_eq!(own.ok(), "writable\nf\nro");
    lab.sh("rm /usr/share/unitbox-lab/busybox/x 2>/dev/null; true")
        .ok();
    for (text, key) in [
        ("[containers]\nlog_driver='syslog'", "log_driver"),
        ("[containers]\nlog_size_max=5", "log_size_max"),
        ("[containers]\nmounts=['type=x']", "mounts"),
        ("[containers]\nnetns='bridge'", "netns"),
        ("[containers]\nshm_size='x'", "shm_size"),
        ("[containers]\npids_limit='x'", "pids_limit"),
        ("[engine]\nruntime='nope'", "runtime"),
        ("[engine]\nstop_timeout=-1", "stop_timeout"),
    ] {
        lab.write("/etc/containers/containers.conf.d/90-bad.conf", text);
        let run = lab.sh(&format!("unitbox create {ROOTFS} true"));
        run.fails(125);
        let line = run.err();
        assert!(
            line.contains("90-bad.conf") && line.lines().count() == 1,
            "{line}"
        );
        // A wrong type is told by its line.
        assert!(line.contains(key) || line.contains("line 2"), "{line}");
    }
    assert_eq!(lab.sh("unitbox ps -aq | wc -l").ok(), "1");
}
