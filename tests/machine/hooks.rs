//! OCI hooks of the host.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// Notes each call: stage, status that the runtime tells, and what is in its environment.
const HOOK: &str = r#"#!/bin/sh
echo "$1 $(jq -r .status) $(env | grep -c CANARY)" >>/opt/log
"#;

fn install(lab: &Lab) {
    lab.write("/opt/hook", HOOK);
    let file = |name: &str, path: &str, when: &str, stage: &str| {
        lab.write(
            &format!("/opt/hooks/{name}.json"),
            format!(
                r#"{{"version":"1.0.0","hook":{{"path":"{path}","args":["hook","{stage}"],"timeout":2}},"when":{when},"stages":["{stage}"]}}"#
            ),
        );
    };
    lab.sh("chmod 755 /opt/hook; mkdir /opt/hooks").ok();
    let always = r#"{"always":true}"#;
    for stage in ["createRuntime", "createContainer", "poststart", "poststop"] {
        file(&format!("10-{stage}"), "/opt/hook", always, stage);
    }
    file(
        "20-never",
        "/opt/hook",
        r#"{"commands":["^/nope$"]}"#,
        "poststop",
    );
    file(
        "30-mounts",
        "/opt/hook",
        r#"{"hasBindMounts":true}"#,
        "poststart",
    );
    lab.write("/opt/hooks/40-bad.json", "{");
    lab.write(
        "/opt/filter",
        "#!/bin/sh\njq -c '.process.env += [\"FROM_HOOK=1\"]'\n",
    );
    lab.sh("chmod 755 /opt/filter").ok();
    file("50-filter", "/opt/filter", always, "precreate");
}

#[test]
fn hooks_run_once_each_and_a_bad_one_is_named() {
    let lab = Lab::boot(Suite::Trixie);
    install(&lab);
    for runtime in ["runc", "crun"] {
        let run = lab.sh(&format!(
            "rm -f /opt/log; export CANARY=1
            unitbox --hooks-dir /opt/hooks run --rm --name h --runtime {runtime} {ROOTFS} sh -c 'echo $FROM_HOOK; sleep 0.3'
            sort /opt/log | sed 's/creating\\|created\\|running/new/'
            journalctl --sync; journalctl -qu unitbox-h -o cat | grep -o 'hook 40-bad.json.*left out' | sort -u | wc -l"
        ));
        let lines = run.ok();
        let expected = [
            "1",
            "createContainer new 0",
            "createRuntime new 0",
            "poststart new 0",
            "poststop stopped 0",
            "1",
        ];
        assert_eq!(lines.lines().collect::<Vec<_>>(), expected, "{runtime}");
    }
    lab.sh(&format!(
        "rm -f /opt/log; unitbox run --rm --hooks-dir /opt/hooks -v /opt:/x {ROOTFS} true
        [ $(grep -c poststart /opt/log) = 2 ]"
    ))
    .ok();
    // The host's own directories need no flag; a directory that is asked for and missing is told.
    lab.sh(&format!(
        "rm -f /opt/log; mkdir -p /etc/containers/oci/hooks.d; cp /opt/hooks/10-poststop.json /etc/containers/oci/hooks.d/
        unitbox run --rm {ROOTFS} true
        [ $(wc -l </opt/log) = 1 ]
        unitbox --hooks-dir /opt/nope run --rm --name lacks {ROOTFS} true
        [ $(wc -l </opt/log) = 1 ]
        journalctl --sync; journalctl -qu unitbox-lacks -o cat | grep 'hooks directory /opt/nope'"
    ))
    .ok();
}

#[test]
fn a_filter_that_fails_hangs_or_talks_nonsense_stops_the_start() {
    let lab = Lab::boot(Suite::Trixie);
    install(&lab);
    for (filter, words) in [
        ("echo broken >&2; exit 3", "exit code 3: broken"),
        ("sleep 1000 & sleep 1000", "took longer than 2 s, killed"),
        ("echo nonsense", "configuration of precreate hook"),
        ("cat /dev/zero", "more than a configuration can be"),
    ] {
        lab.write("/opt/filter", format!("#!/bin/sh\n{filter}\n"));
        let run = lab.sh(&format!(
            "unitbox --hooks-dir /opt/hooks run --rm {ROOTFS} true"
        ));
        assert_eq!(run.code, 125, "{filter}: {}", run.err());
        assert!(run.err().contains(words), "{filter}: {}", run.err());
        lab.sh("! pgrep -x sleep; [ -z \"$(unitbox ps -aq)\" ]")
            .ok();
    }
}
