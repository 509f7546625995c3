//! Secrets and credentials: they reach the payload and nobody else.

use crate::harness::{Lab, Oracle, Suite};

fn lab() -> Lab {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("unitbox load -i /usr/share/unitbox-lab/busybox.tar; printf CANARY-xyzzy | unitbox secret create sec -")
        .ok();
    lab
}

#[test]
fn secrets_reach_the_payload_and_nothing_else() {
    let lab = lab();
    let oracle = Oracle::baseline(&lab);
    for runtime in ["runc", "crun"] {
        let flags = "--secret sec --secret sec,target=deep/er --secret sec,target=/opt/x,mode=0400,uid=5,gid=6 --secret sec,type=env,target=SECRET";
        // Not the secret itself: it would be in the journal by the payload's own doing.
        let script = "for f in /run/secrets/sec /opt/x /run/secrets/deep/er; do md5sum < $f; done; \
                      printf %s \"$SECRET\" | md5sum; stat -c %a:%u:%g /run/secrets/sec /opt/x; sleep 100";
        lab.sh(&format!(
            "unitbox run -d --name s --runtime {runtime} {flags} busybox sh -c '{script}' && sleep 0.5 && journalctl --sync"
        ))
        .ok();
        let logs = lab.sh("unitbox logs s | grep -v WARN").ok();
        let sum = lab.sh("printf CANARY-xyzzy | md5sum").ok();
        assert_eq!(
            logs,
            format!("{sum}\n{sum}\n{sum}\n{sum}\n400:5:6\n400:5:6")
        );
        for place in [
            "systemctl show unitbox-s",
            "systemctl cat unitbox-s",
            "unitbox inspect s",
            "cat /proc/$(systemctl show -P MainPID unitbox-s)/{cmdline,environ} | tr '\\0' ' '",
            "cat /var/lib/unitbox/containers/*/definition.json",
            "journalctl -o json",
            "busctl tree org.unitbox1; busctl call org.unitbox1 /org/unitbox1 org.freedesktop.DBus.ObjectManager GetManagedObjects",
        ] {
            assert!(!lab.sh(place).out().contains("CANARY"), "{place}");
        }
        let modes = lab.sh("stat -c %a /var/lib/unitbox/secrets /var/lib/unitbox/secrets/* /run/unitbox /run/unitbox/*/bundle /run/unitbox/*/bundle/config.json /run/unitbox/*/mounts");
        assert_eq!(
            modes.ok().split_whitespace().collect::<Vec<_>>(),
            ["700", "600", "700", "700", "600", "700"]
        );
        // Only the unit's own mount namespace has them.
        assert_eq!(lab.sh("ls /run/unitbox/*/mounts/secrets").ok(), "");
        lab.sh("unitbox rm -f -t 0 s").ok();
        oracle.assert_clean(&lab);
    }
    let variable = lab.sh("printf 'a\\0b' | unitbox secret create nul - && unitbox run --rm --secret nul,type=env busybox true");
    variable.fails(125);
    assert!(variable.err().contains("without NUL"), "{}", variable.err());
}

/// CVE-2025-9566: what a container put in the place of a secret must not lead the next start to the host's files.
#[test]
fn a_link_that_a_container_left_for_a_secret_harms_nothing() {
    let lab = lab();
    lab.sh(
        "echo host > /opt/canary; mkdir -p /etc/containers /opt/given; echo given > /opt/given/file
            echo /opt/given:/run/secrets > /etc/containers/mounts.conf
            echo /opt:/wrong > /usr/share/containers/mounts.conf",
    )
    .ok();
    let script = "cat /run/secrets/file /run/secrets/sec; test ! -e /wrong || exit 9; ls /run/secrets
        rm -f /run/secrets/file; ln -s /opt/canary /run/secrets/file; ln -s /opt/canary /run/secrets/new";
    lab.sh(&format!(
        "unitbox create --name s --secret sec busybox sh -c '{script}'"
    ))
    .ok();
    for _ in 0..3 {
        let run = lab.sh("unitbox start s; unitbox wait s");
        assert_eq!(run.out().lines().last(), Some("0"));
    }
    lab.sh("journalctl --sync").ok();
    let logs = lab.sh("unitbox logs s | grep -v WARN").ok();
    assert_eq!(logs, ["given\nCANARY-xyzzyfile\nsec"; 3].join("\n"));
    assert_eq!(
        lab.sh("cat /opt/canary /opt/given/file; ls /opt/given")
            .ok(),
        "host\ngiven\nfile"
    );
    lab.sh("unitbox rm s").ok();
    // An entry that is not there is left out; the container runs.
    lab.sh("echo /nope:/x > /etc/containers/mounts.conf; unitbox run --rm busybox true")
        .ok();
}

#[test]
fn credentials_of_the_unit_are_in_the_container() {
    let lab = lab();
    lab.sh("mkdir -p /etc/systemd/system/unitbox-c.service.d; printf loaded > /opt/cred
            printf '[Service]\\nLoadCredential=one:/opt/cred\\nSetCredential=two:set\\n' > /etc/systemd/system/unitbox-c.service.d/c.conf")
        .ok();
    let script = "cd $CREDENTIALS_DIRECTORY; pwd; cat one two; echo; stat -c %a:%u one; touch x 2>/dev/null || echo ro";
    for runtime in ["runc", "crun"] {
        lab.sh(&format!("unitbox create --name c -u 7 --runtime {runtime} busybox sh -c '{script}' && systemctl daemon-reload && unitbox start c && unitbox wait c; journalctl --sync")).ok();
        assert_eq!(
            lab.sh("unitbox logs c | grep -v WARN").ok(),
            "/run/host/credentials\nloadedset\n400:7\nro"
        );
        lab.sh("unitbox rm c").ok();
    }
}

#[test]
fn the_verbs_are_podmans() {
    let lab = lab();
    lab.sh("printf b > /opt/b; unitbox secret create -l k=v file /opt/b; V=c unitbox secret create --env variable V").ok();
    assert_eq!(
        lab.sh("unitbox secret ls --format json | jq -r '.[].Spec.Name'")
            .ok(),
        "file\nsec\nvariable"
    );
    assert_eq!(
        lab.sh("unitbox secret inspect file | jq -r '.[0].Spec.Labels.k, .[0].SecretData'")
            .ok(),
        "v\nnull"
    );
    assert_eq!(
        lab.sh("unitbox secret inspect --showsecret variable | jq -r '.[0].SecretData'")
            .ok(),
        "c"
    );
    lab.sh("unitbox secret create file /opt/b").fails(125);
    lab.sh("unitbox secret create --replace file /opt/cannot")
        .fails(125);
    lab.sh("unitbox secret create empty /dev/null").fails(125);
    lab.sh("head -c 512000 /dev/zero | unitbox secret create long -")
        .fails(125);
    lab.sh("head -c 511999 /dev/zero | unitbox secret create long -")
        .ok();
    lab.sh("unitbox secret exists file").ok();
    lab.sh("unitbox secret exists nope").fails(1);
    lab.sh("unitbox secret rm nope").fails(125);
    lab.sh("unitbox secret rm -i nope && unitbox secret rm file && unitbox secret rm -a")
        .ok();
    lab.sh("test -z \"$(ls -A /var/lib/unitbox/secrets)\"").ok();
}
