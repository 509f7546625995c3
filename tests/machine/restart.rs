//! Restart policies: what is restarted, how often, and what is not.

use crate::harness::{Guest, Lab, Suite};
use crate::run::ROOTFS;

/// `wait_for WORDS COMMAND`: waits for that output.
pub(crate) const WAIT: &str = "wait_for() { for i in $(seq 200); do [ \"$(eval \"$2\")\" = \"$1\" ] && return 0; sleep 0.1; done; \
                    echo \"not $1: $(eval \"$2\")\"; return 1; }\n";

/// The last try ends as Podman's does; what a user starts then begins to count anew, however often.
#[test]
fn retries_are_counted_as_podman_does_and_starts_by_hand_are_not() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = lab
        .sh(&format!(
            "{WAIT}mkdir /opt/runs; podman load -q -i /usr/share/unitbox-lab/busybox.tar >/dev/null
            body='echo >>/runs/$0; exec 2>/dev/null; [ ! -e /runs/stay ] || exec sleep inf; exit 7'
            unitbox run -d --name ours --restart on-failure:2 --stop-timeout 0 -v /opt/runs:/runs {ROOTFS} sh -c \"$body\" ours >/dev/null
            podman run -d --network none --name theirs --restart on-failure:2 -v /opt/runs:/runs busybox \
                sh -c \"$body\" theirs >/dev/null
            wait_for failed 'systemctl is-active unitbox-ours' || exit 1
            wait_for 3 'wc -l </opt/runs/theirs' || exit 1; sleep 1
            for e in 'unitbox:ours' 'podman:theirs'; do
                ${{e%:*}} inspect -f '{{{{.RestartCount}}}} {{{{.State.Status}}}} {{{{.State.ExitCode}}}} {{{{.HostConfig.RestartPolicy}}}}' ${{e#*:}}
                wc -l </opt/runs/${{e#*:}}
            done"
        ))
        .ok();
    let (ours, theirs) = (seen.lines().take(2), seen.lines().skip(2));
    assert!(ours.eq(theirs), "{seen}");
    assert!(seen.starts_with("2 exited 7 "), "{seen}");
    let show = |what: &str| {
        let script = format!("systemctl show -P {what} unitbox-ours");
        lab.sh(&script).ok()
    };
    assert_eq!(
        (show("Result"), show("NRestarts")),
        ("exit-code".to_owned(), "2".to_owned())
    );
    lab.sh("journalctl --sync; journalctl -u unitbox-ours | grep -q 'exited with code 7; not restarted'")
        .ok();
    lab.sh("touch /opt/runs/stay
        for i in $(seq 20); do unitbox restart -t 0 ours >/dev/null || exit 1; done
        for i in $(seq 20); do systemctl restart unitbox-ours || exit 1; done")
        .ok();
    assert_eq!(show("ActiveState"), "active");
    let count = lab.sh("unitbox inspect -f '{{.RestartCount}}' ours").ok();
    assert_eq!(count, "0");
    // What ended well is unloaded, and still has its number of restarts.
    let counted = lab
        .sh(&format!(
            "{WAIT}unitbox run -d --name well --restart on-failure -v /opt/runs:/runs {ROOTFS} \
                sh -c '[ -e /runs/well ] || {{ : >/runs/well; exit 1; }}' >/dev/null
            wait_for inactive 'systemctl is-active unitbox-well' || exit 1
            unitbox inspect -f '{{{{.RestartCount}}}} {{{{.State.ExitCode}}}}' well
            unitbox ps -a --filter restart-policy=on-failure --format '{{{{.Names}}}} {{{{.Restarts}}}}' | sort"
        ))
        .ok();
    assert_eq!(counted, "1 0\nours 0\nwell 1");
}

#[test]
fn what_cannot_be_started_is_not_tried_again() {
    let lab = Lab::boot(Suite::Trixie);
    for policy in ["always", "on-failure:3"] {
        let run = lab.sh(&format!(
            "unitbox run -d --name x --restart {policy} {ROOTFS} /no/such"
        ));
        run.fails(127);
        let seen = lab.sh(
            "sleep 0.5; systemctl show -P ActiveState -P NRestarts unitbox-x; unitbox rm -f x >/dev/null",
        );
        assert_eq!(seen.ok(), "0\nfailed", "{policy}");
    }
    for (flags, reason) in [
        (
            "--rm --restart always",
            "--rm and --restart cannot be used together",
        ),
        ("--restart sometimes", "not no, always"),
        (
            "--restart always:2",
            "retries can be given with on-failure only",
        ),
        ("--restart on-failure:x", "the retries are not a number"),
    ] {
        let run = lab.sh(&format!("unitbox create {flags} {ROOTFS} true"));
        run.fails(125);
        assert!(run.err().contains(reason), "{flags}: {}", run.err());
    }
}

/// A user who steps in between two tries has the last word. The waits are seconds long by then.
#[test]
fn a_wait_for_the_next_restart_can_be_ended() {
    let lab = Lab::boot(Suite::Trixie);
    let crashing = format!("{ROOTFS} sh -c 'exit 9'");
    let seen = lab
        .sh(&format!(
            "{WAIT}many() {{ systemctl show -p NRestarts -p SubState unitbox-$1 | sort | tr '\\n' ' ' | grep -q 's=[6-9] .*auto-restart ' && echo yes; }}
            unitbox run -d --name c --restart always {crashing} >/dev/null
            wait_for yes 'many c'; unitbox stop c >/dev/null; sleep 1
            systemctl show -P ActiveState unitbox-c
            unitbox start c >/dev/null; wait_for yes 'many c'
            unitbox start c >/dev/null
            n=$(unitbox inspect -f '{{{{.RestartCount}}}}' c); [ $n -lt 3 ] && echo anew || echo $n
            unitbox rm -f c >/dev/null; wait_for not-found 'systemctl show -P LoadState unitbox-c'; systemctl show -P LoadState unitbox-c"
        ))
        .ok();
    assert!(
        seen.starts_with("failed\n") || seen.starts_with("inactive\n"),
        "{seen}"
    );
    assert!(seen.ends_with("anew\nnot-found"), "{seen}");
}

/// Containers that run, that a user has stopped, and that never ran, over a reboot: what is there then, with its restarts
/// and its last exit code.
#[track_caller]
pub(crate) fn over_a_reboot(guest: &impl Guest, reboot: impl FnOnce()) {
    const POLICIES: [&str; 5] = [
        "no",
        "on-failure",
        "on-failure:1",
        "always",
        "unless-stopped",
    ];
    let all = POLICIES.join(" ");
    guest
        .sh(&format!(
            "for p in {all}; do
                for e in kept stopped made; do
                    unitbox create --name ${{p/:/-}}-$e --restart $p --stop-timeout 0 {ROOTFS} sleep inf >/dev/null || exit 1
                done
                p=${{p/:/-}}; unitbox start $p-kept $p-stopped >/dev/null && unitbox stop $p-stopped >/dev/null || exit 1
            done"
        ))
        .ok();
    reboot();
    let seen = guest.sh(&format!(
        "for p in {all}; do for e in kept stopped made; do
            name=${{p/:/-}}-$e; show() {{ systemctl show -P $1 unitbox-$name; }}
            echo $name $(show ActiveState) $(show Result) $(show NRestarts) \
                $(unitbox inspect -f '{{{{.RestartCount}}}} {{{{.State.ExitCode}}}}' $name)
        done; done"
    ));
    let (up, ended, never) = (
        "active success 0 0 0",
        "inactive success 0 0 137",
        "inactive success 0 0 0",
    );
    let becomes = |policy| match policy {
        "always" => [up, up, up],
        "unless-stopped" => [up, ended, up],
        _ => [ended, ended, never],
    };
    let lines = POLICIES.into_iter().flat_map(|policy| {
        let name = policy.replace(':', "-");
        let pairs = ["kept", "stopped", "made"].into_iter().zip(becomes(policy));
        pairs.map(move |(what, becomes)| format!("{name}-{what} {becomes}"))
    });
    let expected: Vec<String> = lines.collect();
    assert_eq!(seen.ok(), expected.join("\n"));
}

#[test]
fn a_boot_starts_what_the_policy_says() {
    let lab = Lab::boot(Suite::Trixie);
    over_a_reboot(&lab, || lab.reboot());
    // Once per boot: what a user stops stays so.
    lab.sh("unitbox stop always-kept >/dev/null && systemctl restart unitbox-restore")
        .ok();
    let state = lab
        .sh("unitbox inspect -f '{{.State.Status}}' always-kept")
        .ok();
    assert_eq!(state, "exited");
}

/// What an administrator writes besides a unit, of a file or not, is what holds.
#[test]
fn a_drop_in_says_when_a_container_is_restarted() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir -p /etc/unitbox").ok();
    lab.write(
        "/etc/unitbox/file.container",
        "[Container]\nContainerName=file\nRootfs=/usr/share/unitbox-lab/busybox\nExec=sleep inf\nPodmanArgs=--pid=host\n\
         StopTimeout=0\n[Service]\nRestart=no\n",
    );
    let seen = lab.sh(&format!(
        "{WAIT}for unit in file unitbox-own unitbox-kept; do
            mkdir -p /etc/systemd/system/$unit.service.d
            printf '[Service]\\nRestart=always\\n' >/etc/systemd/system/$unit.service.d/restart.conf
        done
        printf '[Service]\\nRestart=no\\n' >/etc/systemd/system/unitbox-kept.service.d/restart.conf
        unitbox create --name own --pid host --stop-timeout 0 {ROOTFS} sleep inf >/dev/null
        unitbox create --name kept --restart always --pid host --stop-timeout 0 {ROOTFS} sleep inf >/dev/null
        systemctl daemon-reload; systemctl start file unitbox-own unitbox-kept
        for name in file own kept; do
            unitbox inspect -f '{{{{.HostConfig.RestartPolicy.Name}}}}' $name
            kill -9 $(unitbox inspect -f '{{{{.State.Pid}}}}' $name)
        done
        for name in file own; do
            wait_for '1 running' \"unitbox inspect -f '{{{{.RestartCount}}}} {{{{.State.Status}}}}' $name\"
            unitbox kill $name; sleep 1
            unitbox inspect -f '{{{{.RestartCount}}}} {{{{.State.Status}}}} {{{{.State.ExitCode}}}}' $name
        done
        unitbox ps -a --format '{{{{.Names}}}} {{{{.Restarts}}}}' | sort
        systemctl show -P ActiveState unitbox-kept"
    ));
    assert_eq!(
        seen.ok(),
        "always\nalways\nno\nfile\n1 exited 137\nown\n1 exited 137\nfile 1\nkept 0\nown 1\nfailed"
    );
}
