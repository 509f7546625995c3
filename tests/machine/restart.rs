//! Restart policies: what is restarted, how often, and what is not.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// Runs one container per row of a table on standard input (`NAME POLICY WAY`) and waits until each has settled; prints
/// `NAME POLICY WAY ActiveState Result NRestarts RestartCount ExitCode`. A payload that is run again goes on for ever.
const TABLE: &str = r#"
mkdir -p /opt/runs
begin() {
    case $3 in
        exit-*) end="exit ${3#exit-}";;
        self-*) end="kill -${3#self-} \$\$; sleep inf";;
        *) end='sleep inf';;
    esac
    unitbox run -d --name $1 --restart $2 --pid host --stop-timeout 2 -v /opt/runs:/runs \
        --rootfs /usr/share/unitbox-lab/busybox \
        sh -c "if [ -e /runs/$1 ]; then exec sleep inf; fi; : >/runs/$1; $end" >/dev/null || echo "$1 did not start"
}
hit() {
    unit=unitbox-$1
    case $3 in
        user-stop) unitbox stop $1 >/dev/null;;
        user-kill) unitbox kill $1 >/dev/null;;
        user-term) unitbox kill -s TERM $1 >/dev/null;;
        ctl-stop) systemctl stop $unit;;
        ctl-term) systemctl kill $unit;;
        ctl-kill) systemctl kill -s KILL $unit;;
        main-kill) kill -9 $(systemctl show -P MainPID $unit);;
    esac
}
settled() {
    case $(systemctl show -P ActiveState unitbox-$1) in
        inactive|failed) return 0;;
        active) [ $(systemctl show -P NRestarts unitbox-$1) -gt 0 ];;
        *) return 1;;
    esac
}
rows=$(cat)
while read -r row; do begin $row; done <<<"$rows"
while read -r row; do hit $row; done <<<"$rows"
while read -r row; do
    for i in $(seq 100); do settled $row && break; sleep 0.1; done
    set -- $row
    # A late restart would show now.
    [ "$(systemctl show -P ActiveState unitbox-$1)" = active ] || sleep 0.1
    echo $row $(systemctl show --value -p ActiveState -p Result -p NRestarts unitbox-$1 | sort) \
        $(unitbox inspect -f '{{.RestartCount}} {{.State.ExitCode}}' $1) |
        # What systemctl kills, systemd now and then kills once more, of any service.
        sed '/ ctl-kill /s/ 2 / 1 /g'
done <<<"$rows"
"#;

/// Ways to end; then for `no`, `on-failure` and `always`: what becomes of the unit (`again`: restarted once, and running),
/// and the exit code of one that stays down.
const WAYS: &[(&str, &str, &str, &str, u8)] = &[
    ("exit-0", "inactive success", "inactive success", "again", 0),
    ("exit-3", "failed exit-code", "again", "again", 3),
    ("exit-199", "failed exit-code", "again", "again", 199),
    ("self-TERM", "inactive success", "again", "again", 143),
    ("self-KILL", "failed signal", "again", "again", 137),
    ("self-SEGV", "failed signal", "again", "again", 139),
    (
        "user-stop",
        "inactive success",
        "inactive success",
        "inactive success",
        143,
    ),
    (
        "user-kill",
        "failed signal",
        "failed exit-code",
        "failed exit-code",
        137,
    ),
    (
        "user-term",
        "inactive success",
        "failed exit-code",
        "failed exit-code",
        143,
    ),
    (
        "ctl-stop",
        "inactive success",
        "inactive success",
        "inactive success",
        143,
    ),
    (
        "ctl-term",
        "inactive success",
        "inactive success",
        "again",
        143,
    ),
    ("ctl-kill", "failed signal", "again", "again", 137),
    ("main-kill", "failed signal", "again", "again", 137),
];

fn as_in_the_table(lab: &Lab, ways: &[(&str, &str, &str, &str, u8)]) {
    let (mut rows, mut expected) = (String::new(), Vec::new());
    for (way, no, on_failure, always, code) in ways {
        for (policy, wanted) in [
            ("no", no),
            ("on-failure", on_failure),
            ("on-failure:1", on_failure),
            ("always", always),
            ("unless-stopped", always),
        ] {
            let name = format!("{way}-{}", policy.replace(':', "-"));
            rows.push_str(&format!("{name} {policy} {way}\n"));
            let wanted = match *wanted {
                "again" => "1 active success 1 0".to_owned(),
                down => format!("0 {down} 0 {code}"),
            };
            expected.push(format!("{name} {policy} {way} {wanted}"));
        }
    }
    let seen = lab.sh_with_input(TABLE, rows.as_bytes()).ok();
    let wrong: Vec<String> = seen
        .lines()
        .zip(&expected)
        .filter(|(seen, wanted)| {
            let mut seen: Vec<&str> = seen.split(' ').collect();
            let mut wanted: Vec<&str> = wanted.split(' ').collect();
            // sort(1) has put the values in its own order.
            if let (Some(seen), Some(wanted)) = (seen.get_mut(3..6), wanted.get_mut(3..6)) {
                seen.sort_unstable();
                wanted.sort_unstable();
            }
            seen != wanted
        })
        .map(|(seen, wanted)| format!("{seen}, not {wanted}"))
        .collect();
    assert_eq!(seen.lines().count(), expected.len(), "{seen}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_policy_and_every_end() {
    let lab = Lab::boot(Suite::Trixie);
    as_in_the_table(&lab, WAYS);
}

/// Without RestartMode= and RestartSteps=.
#[test]
fn every_policy_on_debian_12() {
    let lab = Lab::boot(Suite::Bookworm);
    let some = ["exit-0", "exit-3", "self-TERM", "user-kill", "user-stop"];
    let ways = WAYS.iter().filter(|(way, ..)| some.contains(way)).copied();
    as_in_the_table(&lab, &ways.collect::<Vec<_>>());
    let verify = lab.sh("systemd-analyze verify /run/systemd/system/unitbox-exit-3-always.service");
    assert_eq!((verify.out(), verify.err()), (String::new(), String::new()));
}

const WAIT: &str = "wait_for() { for i in $(seq 200); do [ \"$(eval \"$2\")\" = \"$1\" ] && return 0; sleep 0.1; done; \
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

#[test]
fn a_boot_starts_what_the_policy_says() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh(&format!(
        "for p in no on-failure always unless-stopped; do
            for e in kept stopped made; do
                unitbox create --name $p-$e --restart $p --stop-timeout 0 {ROOTFS} sleep inf >/dev/null || exit 1
            done
            unitbox start $p-kept $p-stopped >/dev/null && unitbox stop $p-stopped >/dev/null || exit 1
        done"
    ))
    .ok();
    lab.reboot();
    let running = lab
        .sh("unitbox ps --format '{{.Names}} {{.Restarts}}' | sort")
        .ok();
    assert_eq!(
        running,
        "always-kept 0\nalways-made 0\nalways-stopped 0\nunless-stopped-kept 0\nunless-stopped-made 0"
    );
    // Once per boot: what a user stops stays so.
    lab.sh("unitbox stop always-kept >/dev/null && systemctl restart unitbox-restore")
        .ok();
    let state = lab
        .sh("unitbox inspect -f '{{.State.Status}}' always-kept")
        .ok();
    assert_eq!(state, "exited");
}
