//! What the verbs do beyond what Podman's do: systemd and unitbox are one.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

#[test]
fn pause_freezes_the_payload_and_sees_what_systemd_froze() {
    let lab = Lab::boot(Suite::Trixie);
    let state = || {
        lab.sh("unitbox ps -a --format '{{.State}}' --filter name=^p$")
            .ok()
    };
    lab.sh(&format!(
        "unitbox run -d --name p {ROOTFS} stamp run && unitbox pause p"
    ))
    .ok();
    assert_eq!(state(), "paused");
    // The monitor goes on, and systemd knows nothing of it.
    let group = "/sys/fs/cgroup$(systemctl show -P ControlGroup unitbox-p)";
    lab.sh(&format!(
        "grep -q 'frozen 1' {group}/payload/cgroup.events && grep -q 'frozen 0' {group}/monitor/cgroup.events
        [ $(systemctl show -P FreezerState unitbox-p) = running ]"
    ))
    .ok();
    lab.sh("unitbox restart p").fails(125);
    lab.sh("unitbox unpause p").ok();
    assert_eq!(state(), "running");
    lab.sh("systemctl freeze unitbox-p").ok();
    assert_eq!(state(), "paused");
    lab.sh("unitbox unpause p").ok();
    assert_eq!(state(), "running");
    for stop in [
        "unitbox stop -t 5 p",
        "systemctl stop unitbox-p",
        "unitbox kill -s TERM p && unitbox wait p",
        "unitbox kill p && unitbox wait p",
    ] {
        lab.sh("unitbox start p && unitbox pause p").ok();
        lab.sh(&format!("timeout 20 sh -c '{stop}'")).ok();
        assert_eq!(state(), "exited", "{stop}");
    }
    lab.sh("unitbox start p && systemctl freeze unitbox-p && timeout 20 unitbox stop -t 5 p")
        .ok();
    lab.sh("unitbox start p && systemctl freeze unitbox-p && timeout 20 unitbox rm -f p")
        .ok();
    assert_eq!(lab.sh("unitbox ps -aq").ok(), "");
}

#[test]
fn a_renamed_container_has_the_unit_of_its_new_name() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "unitbox create --name old {ROOTFS} stamp run && unitbox rename old new
        [ ! -e /run/systemd/system/unitbox-old.service ] && systemctl start unitbox-new
        ! unitbox container exists old && unitbox stop -t 5 new
        ! unitbox rename new no/name; unitbox create --name old {ROOTFS} true"
    ))
    .ok();
    lab.sh("unitbox rename new old").fails(125);
    lab.sh("unitbox rm -f new old && [ -z \"$(unitbox ps -aq; ls /var/lib/unitbox/names)\" ]")
        .ok();
}

/// What systemd says of a unit, in one line.
fn id_process_and_state(lab: &Lab, unit: &str) -> String {
    let one = format!("systemctl show -P $p {unit}");
    lab.sh(&format!(
        "for p in Id MainPID ActiveState; do {one}; done | xargs"
    ))
    .ok()
}

#[test]
fn the_unit_of_one_that_is_renamed_while_it_runs_follows_at_its_next_start() {
    for suite in [Suite::Trixie, Suite::Bookworm] {
        let lab = Lab::boot(suite);
        let unit = |name: &str| id_process_and_state(&lab, name);
        lab.sh(&format!(
            "unitbox run -d --restart always --name old {ROOTFS} stamp run"
        ))
        .ok();
        let before = unit("unitbox-old");
        lab.sh("unitbox rename old new && ! unitbox container exists old")
            .ok();
        assert_eq!(unit("unitbox-new"), before, "{suite:?}");
        assert_eq!(
            lab.sh("unitbox ps --format '{{.Names}} {{.State}}'").ok(),
            "new running"
        );
        // Its old unit is still its own.
        for command in ["create --name old", "run --rm --name old"] {
            let error = lab.sh(&format!("unitbox {command} {ROOTFS} true"));
            error.fails(125);
            assert!(error.err().contains("was renamed"), "{}", error.err());
        }
        assert_eq!(lab.sh("unitbox ps -aq | wc -l").ok(), "1");
        // systemd starts it by itself, by its new name.
        lab.sh(
            "kill -9 $(unitbox inspect --format '{{.State.Pid}}' new)
            for i in $(seq 100); do [ $(unitbox inspect --format '{{.RestartCount}} {{.State.Status}}' new | tr ' ' -) = 1-running ] && break; sleep 0.1; done
            unitbox exec new true && unitbox pause new && unitbox rename new newer && unitbox unpause newer
            unitbox stop -t 5 newer",
        )
        .ok();
        assert_eq!(unit("unitbox-newer"), "unitbox-old.service 0 inactive");
        lab.sh("unitbox start newer && unitbox exec newer true")
            .ok();
        let after = unit("unitbox-newer");
        assert!(
            after.starts_with("unitbox-newer.service ") && after.ends_with(" active"),
            "{after}"
        );
        assert_eq!(
            lab.sh("cd /run/systemd/system; ls -d unitbox-*.service")
                .ok(),
            "unitbox-newer.service"
        );
        // The old name is free, and back again is possible.
        lab.sh(&format!(
            "unitbox create --name old {ROOTFS} true && unitbox rm old
            unitbox rename newer old && unitbox rename old newer && unitbox rename newer gone
            unitbox rm -f -t 0 gone && [ -z \"$(ls /run/systemd/system/ | grep unitbox-; unitbox ps -aq)\" ]"
        ))
        .ok();
    }
}

#[test]
fn one_that_removes_itself_has_another_name_until_its_end() {
    for suite in [Suite::Trixie, Suite::Bookworm] {
        let lab = Lab::boot(suite);
        let unit = |name: &str| id_process_and_state(&lab, name);
        let run = |flags: &str, name: &str| {
            lab.sh(&format!(
                "unitbox run {flags} --rm --name {name} {ROOTFS} stamp run"
            ))
        };
        // systemd forgets a unit a moment after its end.
        let is_clean = |what: &str| {
            let script = "left() { unitbox ps -aq; ls /var/lib/unitbox/names; systemctl list-units --all --plain --no-legend 'unitbox-?.service'
                    ls -d /run/systemd/system/unitbox-* /run/systemd/transient/unitbox-?.service* 2>/dev/null; }
                for i in $(seq 100); do [ -z \"$(left)\" ] && break; sleep 0.1; done; left";
            assert_eq!(lab.sh(script).out(), "", "{suite:?}: {what}");
        };
        run("-d", "t").ok();
        let before = unit("unitbox-t");
        lab.sh("unitbox rename t u && ! unitbox container exists t && unitbox exec u true && unitbox logs u")
            .ok();
        assert_eq!(unit("unitbox-u"), before, "{suite:?}");
        assert_eq!(
            lab.sh("unitbox ps --format '{{.Names}} {{.State}}'; unitbox inspect -f '{{.Name}}' u")
                .ok(),
            "u running\nu"
        );
        let error = run("", "t");
        error.fails(125);
        assert!(error.err().contains("until its end"), "{}", error.err());
        lab.sh("unitbox rename u v && unitbox pause v && unitbox unpause v && unitbox update --pids-limit 99 v && unitbox kill -s WINCH v")
            .ok();
        assert_eq!(unit("unitbox-v"), before, "{suite:?}");
        // A run of its own has a unit of its own.
        lab.sh("unitbox restart -t 5 v && unitbox exec v true").ok();
        let after = unit("unitbox-v");
        assert!(after.starts_with("unitbox-v.service "), "{after}");
        lab.sh("[ -z \"$(ls -d /run/systemd/system/unitbox-*)\" ] && unitbox rename v w && unitbox rename w v && unitbox rename v w")
            .ok();
        lab.sh("unitbox wait w >/opt/code & sleep 0.5; unitbox stop -t 5 w; wait; [ $(cat /opt/code) = 0 ]")
            .ok();
        is_clean("stop");
        run("-d", "t").ok();
        lab.sh("unitbox rename t u && systemctl stop unitbox-u")
            .ok();
        is_clean("systemctl stop");
        run("-d", "t").ok();
        lab.sh("unitbox rename t u && unitbox rm -f -t 0 u").ok();
        is_clean("rm");
        run("-d", "t").ok();
        lab.sh("unitbox rename t u && kill -9 $(systemctl show -P MainPID unitbox-u)")
            .ok();
        is_clean("a killed monitor");
        lab.sh(&format!(
            "unitbox run --rm --name t {ROOTFS} sh -c 'sleep 2; exit 7' & until unitbox exec t true 2>/dev/null; do sleep 0.1; done
            unitbox rename t u; wait $!"
        ))
        .fails(7);
        is_clean("a client");
        // What systemd has left of the units goes with the next one.
        lab.sh(&format!(
            "unitbox run --rm --name t {ROOTFS} true && unitbox run --rm --name t {ROOTFS} true || exit
            ls /run/systemd/units | grep -x 'log-extra-fields:unitbox-[u-w].service' && exit 1; ! systemctl list-units --failed --plain --no-legend | grep unitbox"
        ))
        .ok();
    }
}

#[test]
fn a_restarted_container_that_removes_itself_does_so_after_its_last_run() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "id=$(unitbox run -d --rm --name r {ROOTFS} stamp run) && unitbox restart -t 5 r
        [ \"$(unitbox inspect --format '{{{{.Id}}}} {{{{.State.Status}}}}' r)\" = \"$id running\" ]
        unitbox stop -t 5 r; [ -z \"$(unitbox ps -aq)\" ]"
    ))
    .ok();
}

#[test]
fn top_and_stats_tell_of_the_payload() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "unitbox run -d --name t -u 65534 {ROOTFS} sh -c 'sleep 1000 & exec stamp run'"
    ))
    .ok();
    let top = lab.sh("unitbox top t pid ppid comm huser state").ok();
    let lines: Vec<Vec<&str>> = top
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["PID", "PPID", "COMMAND", "HUSER", "STATE"]);
    assert_eq!(lines[1][..4], ["1", "0", "stamp", "nobody"]);
    assert_eq!((lines[2][1], lines[2][2]), ("1", "sleep"));
    lab.sh("unitbox top t -eo pid").fails(125);
    let stats = lab.sh("unitbox stats --no-stream --format json t").ok();
    // The lab's cgroups count processor time, and nothing else.
    assert!(
        stats.contains("\"name\": \"t\"") && stats.contains("\"pids\": \"--\""),
        "{stats}"
    );
    assert!(!stats.contains("\"cpu_time\": \"--\""), "{stats}");
    lab.sh("unitbox pause t").ok();
    lab.sh("unitbox top t").fails(125);
    lab.sh("unitbox rm -f -t 0 t").ok();
}

#[test]
fn ps_shows_one_moment_while_everything_changes() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "churn() {{ for i in 1 2 3 4 5 6; do
            unitbox run -d --name $1 {ROOTFS} stamp run; unitbox pause $1; unitbox unpause $1
            unitbox restart -t 5 $1; unitbox rm -f -t 0 $1
        done >/dev/null; }}
        churn a & churn b & churn c &
        while [ \"$(jobs -r)\" ]; do
            unitbox ps -a --format '{{{{.Names}}}} {{{{.State}}}} {{{{.Image}}}}' || echo failed
            unitbox ps -a --format json | jq -e 'all(.State | IN(\"created\", \"running\", \"paused\", \"stopping\", \"exited\", \"removing\"))' >/dev/null || echo wrong
        done >/opt/seen; wait
        ! grep -E 'failed|wrong|unknown|broken' /opt/seen; [ -z \"$(unitbox ps -aq)\" ]"
    ))
    .ok();
}
