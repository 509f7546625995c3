//! The table of restarts: every policy, every value of Restart= of a unit file, and every way to end.

use crate::harness::{Guest, Lab, Suite};
use crate::restart::WAIT;
use crate::run::ROOTFS;

/// Runs one container per row of `$rows` (`NAME POLICY WAY`) and waits until each has settled; prints `NAME POLICY WAY
/// ActiveState Result NRestarts RestartCount ExitCode`, and in the end the units that have failed. A payload that is run
/// again goes on for ever, and is healthy then. With `$files` the containers are those of unit files, and policies
/// are values of Restart=.
const TABLE: &str = r#"
mkdir -p /opt/runs /etc/unitbox /etc/systemd/system
units=unitbox- names=
[ ! "$files" ] || { units= names=systemd-; }
prepare() {
    case $3 in
        exit-*) end="exit ${3#exit-}";;
        self-*) end="kill -${3#self-} \$\$; sleep inf";;
        oom) end='exec dd if=/dev/zero of=/dev/null bs=200M count=1';;
        oom-child) end="trap 'exit 4' TERM; dd if=/dev/zero of=/dev/null bs=200M count=1; while :; do sleep 0.1; done";;
        *) end='sleep inf';;
    esac
    echo "if [ -e /runs/$1 ]; then : >/runs/$1-again; exec sleep inf; fi; : >/runs/$1; $end" >/opt/runs/$1.sh
    health=
    case $3 in
        watchdog) mkdir -p /etc/systemd/system/$units$1.service.d
            printf '[Service]\nWatchdogSec=3\n' >/etc/systemd/system/$units$1.service.d/watchdog.conf; health=none;;
        unhealthy-*) health=${3#unhealthy-};;
    esac
    [ "$files" ] || return
    {
        printf '[Container]\nRootfs=/usr/share/unitbox-lab/busybox\nExec=sh /runs/%s.sh\nVolume=/opt/runs:/runs\n' $1
        printf 'PodmanArgs=--pid=host\nStopTimeout=2\n'
        [ ! "$health" ] || printf 'HealthCmd=test -e /runs/%s-again\nHealthInterval=300ms\nHealthRetries=3\nHealthOnFailure=%s\n' $1 $health
        printf '[Service]\nRestart=%s\n' $2
    } >/etc/unitbox/$1.container
}
begin() {
    [ ! "$files" ] || return
    flags=()
    case $3 in
        oom*) flags=(--memory 32m);;
        watchdog) health=none;;
        unhealthy-*) health=${3#unhealthy-};;
    esac
    case $3 in watchdog|unhealthy-*)
        flags=(--health-cmd "test -e /runs/$1-again" --health-interval 300ms --health-retries 3 --health-on-failure $health);;
    esac
    unitbox run -d --name $1 --restart $2 --pid host --stop-timeout 2 -v /opt/runs:/runs "${flags[@]}" \
        --rootfs /usr/share/unitbox-lab/busybox sh /runs/$1.sh >/dev/null || echo "$1 did not start"
}
hit() {
    case $3 in
        user-stop) unitbox stop $names$1 >/dev/null;;
        user-kill) unitbox kill $names$1 >/dev/null;;
        user-term) unitbox kill -s TERM $names$1 >/dev/null;;
        ctl-stop) systemctl stop $units$1;;
        ctl-term) systemctl kill $units$1;;
        ctl-kill) systemctl kill -s KILL $units$1;;
        main-kill) kill -9 $(systemctl show -P MainPID $units$1);;
    esac
}
settled() {
    eval $(systemctl show -p ActiveState,Result,NRestarts $units$1)
    case $ActiveState in
        inactive|failed) return 0;;
        active) [ $NRestarts -gt 0 ] || { [ $3 = unhealthy-none ] &&
            unitbox inspect -f '{{.State.Health.Status}}' $names$1 | grep -qx unhealthy; };;
        *) return 1;;
    esac
}
while read -r row; do prepare $row; done <<<"$rows"
systemctl daemon-reload
[ ! "$files" ] || systemctl start $(while read -r name _; do echo $units$name; done <<<"$rows") 2>/dev/null
while read -r row; do begin $row; done <<<"$rows"
while read -r row; do hit $row; done <<<"$rows"
while read -r row; do
    for i in $(seq 300); do settled $row && break; sleep 0.1; done
    set -- $row
    # A late restart would show now.
    [ $ActiveState = active ] || { sleep 0.1; settled $row; }
    echo $row $ActiveState $Result $NRestarts $(unitbox inspect -f '{{.RestartCount}} {{.State.ExitCode}}' $names$1) |
        # What systemctl kills, systemd now and then kills once more, of any service.
        sed '/ ctl-kill /s/ 2 2 / 1 1 /'
done <<<"$rows"
echo failed $(systemctl --failed --plain --no-legend | cut -d ' ' -f 1 | sort)
"#;

/// A way to end, what becomes of the unit for `no`, `on-failure` and `always` (`again`: restarted once, and running), and
/// the exit code of one that stays down.
type Way = (&'static str, [&'static str; 3], u8);

const CLEAN: &str = "inactive success";
const CODE: &str = "failed exit-code";
const SIGNAL: &str = "failed signal";
const OOM: &str = "failed oom-kill";
const WATCHDOG: &str = "failed watchdog";
const AGAIN: &str = "again";

const WAYS: &[Way] = &[
    ("exit-0", [CLEAN, CLEAN, AGAIN], 0),
    ("exit-3", [CODE, AGAIN, AGAIN], 3),
    ("exit-199", [CODE, AGAIN, AGAIN], 199),
    ("self-TERM", [CLEAN, AGAIN, AGAIN], 143),
    ("self-KILL", [SIGNAL, AGAIN, AGAIN], 137),
    ("self-SEGV", [SIGNAL, AGAIN, AGAIN], 139),
    ("user-stop", [CLEAN, CLEAN, CLEAN], 143),
    ("user-kill", [SIGNAL, CODE, CODE], 137),
    ("user-term", [CLEAN, CODE, CODE], 143),
    ("ctl-stop", [CLEAN, CLEAN, CLEAN], 143),
    ("ctl-term", [CLEAN, CLEAN, AGAIN], 143),
    ("ctl-kill", [SIGNAL, AGAIN, AGAIN], 137),
    ("main-kill", [SIGNAL, AGAIN, AGAIN], 137),
    ("unhealthy-none", ["active success"; 3], 0),
    ("unhealthy-kill", [SIGNAL, AGAIN, AGAIN], 137),
    ("unhealthy-restart", [AGAIN; 3], 0),
    ("unhealthy-stop", [CLEAN, CLEAN, CODE], 143),
    ("watchdog", [WATCHDOG, AGAIN, AGAIN], 143),
];

/// Needs controllers: the kernel kills the payload's init, or a child that its init outlives.
const OUT_OF_MEMORY: &[Way] = &[
    ("oom", [OOM, AGAIN, AGAIN], 137),
    ("oom-child", [OOM, AGAIN, AGAIN], 4),
];

/// The values of Restart=, and for each way to end what becomes of the unit of a file.
const VALUES: [&str; 7] = [
    "no",
    "on-success",
    "on-failure",
    "on-abnormal",
    "on-watchdog",
    "on-abort",
    "always",
];
const FILE_WAYS: &[(&str, [&str; 7], u8)] = &[
    (
        "exit-0",
        [CLEAN, AGAIN, CLEAN, CLEAN, CLEAN, CLEAN, AGAIN],
        0,
    ),
    ("exit-3", [CODE, CODE, AGAIN, CODE, CODE, CODE, AGAIN], 3),
    (
        "exit-199",
        [CODE, CODE, AGAIN, CODE, CODE, CODE, AGAIN],
        199,
    ),
    (
        "self-TERM",
        [CLEAN, AGAIN, CLEAN, CLEAN, CLEAN, CLEAN, AGAIN],
        143,
    ),
    (
        "self-KILL",
        [SIGNAL, SIGNAL, AGAIN, AGAIN, SIGNAL, AGAIN, AGAIN],
        137,
    ),
    ("user-stop", [CLEAN; 7], 143),
    (
        "user-kill",
        [SIGNAL, SIGNAL, CODE, CODE, SIGNAL, CODE, CODE],
        137,
    ),
    (
        "user-term",
        [CLEAN, CODE, CLEAN, CLEAN, CLEAN, CLEAN, CODE],
        143,
    ),
    ("ctl-stop", [CLEAN; 7], 143),
    (
        "watchdog",
        [WATCHDOG, WATCHDOG, AGAIN, AGAIN, AGAIN, WATCHDOG, AGAIN],
        143,
    ),
    (
        "unhealthy-kill",
        [SIGNAL, SIGNAL, AGAIN, AGAIN, SIGNAL, AGAIN, AGAIN],
        137,
    ),
    (
        "unhealthy-stop",
        [CLEAN, CODE, CLEAN, CLEAN, CLEAN, CLEAN, CODE],
        143,
    ),
    // Behind which on-success and on-abort would do nothing: their files are refused.
    (
        "unhealthy-restart",
        [AGAIN, "", AGAIN, AGAIN, AGAIN, "", AGAIN],
        0,
    ),
];

/// Rows of the table, and what is to be seen of each.
#[derive(Default)]
struct Table {
    rows: Vec<String>,
    expected: Vec<String>,
    failed: Vec<String>,
}

impl Table {
    fn add(&mut self, unit: &str, policy: &str, way: &str, becomes: &str, code: u8) {
        let name = format!("{way}-{}", policy.replace(':', "-"));
        let row = format!("{name} {policy} {way}");
        let becomes = match becomes {
            AGAIN => "active success 1 1 0".to_owned(),
            down => format!("{down} 0 0 {code}"),
        };
        if becomes.starts_with("failed") {
            self.failed.push(format!("{unit}{name}.service"));
        }
        self.expected.push(format!("{row} {becomes}"));
        self.rows.push(row);
    }

    fn of(ways: &[Way]) -> Self {
        let mut table = Self::default();
        for (way, [no, on_failure, always], code) in ways {
            for (policy, becomes) in [
                ("no", no),
                ("on-failure", on_failure),
                ("on-failure:1", on_failure),
                ("always", always),
                ("unless-stopped", always),
            ] {
                table.add("unitbox-", policy, way, becomes, *code);
            }
        }
        table
    }

    /// What has failed is what is to fail: nothing else makes the system degraded.
    #[track_caller]
    fn check(mut self, guest: &impl Guest, files: &str) {
        let rows = self.rows.join("\n");
        let seen = guest.sh(&format!("files={files} rows='{rows}'\n{TABLE}"));
        let seen = seen.ok();
        self.failed.sort();
        let failed = ["failed".to_owned()].into_iter().chain(self.failed);
        let failed: Vec<String> = failed.collect();
        self.expected.push(failed.join(" "));
        let pairs = seen.lines().zip(&self.expected);
        let wrong = pairs.filter(|(seen, wanted)| seen != wanted);
        let wrong = wrong.map(|(seen, wanted)| format!("{seen}, not {wanted}"));
        let wrong: Vec<String> = wrong.collect();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert_eq!(seen.lines().count(), self.expected.len(), "{seen}");
    }
}

/// For machines with controllers; leaves nothing.
#[track_caller]
pub(crate) fn out_of_memory(guest: &impl Guest) {
    Table::of(OUT_OF_MEMORY).check(guest, "");
    guest.sh("unitbox rm -af -t 0; rm -r /opt/runs").ok();
}

#[test]
fn every_policy_and_every_end() {
    let lab = Lab::boot(Suite::Trixie);
    Table::of(WAYS).check(&lab, "");
    // The limit is for these, too, whoever ends the run.
    let seen = lab.sh(&format!(
        "{WAIT}mkdir -p /etc/systemd/system/unitbox-sick.service.d
        printf '[Service]\\nWatchdogSec=1\\n' >/etc/systemd/system/unitbox-sick.service.d/watchdog.conf; systemctl daemon-reload
        unitbox run -d --name sick --restart on-failure:1 --stop-timeout 1 --health-cmd false --health-interval 200ms \
            --health-retries 1 {ROOTFS} sleep inf >/dev/null
        wait_for failed 'systemctl is-active unitbox-sick'
        systemctl show -P NRestarts unitbox-sick; unitbox inspect -f '{{{{.RestartCount}}}} {{{{.State.ExitCode}}}}' sick"
    ));
    assert_eq!(seen.ok(), "1\n1 137");
}

/// Without RestartMode= and RestartSteps=.
#[test]
fn every_policy_on_debian_12() {
    let lab = Lab::boot(Suite::Bookworm);
    let some = ["exit-0", "exit-3", "self-TERM", "user-kill", "user-stop"];
    let ways = WAYS.iter().filter(|(way, ..)| some.contains(way)).copied();
    Table::of(&ways.collect::<Vec<_>>()).check(&lab, "");
    let verify = lab.sh("systemd-analyze verify /run/systemd/system/unitbox-exit-3-always.service");
    assert_eq!((verify.out(), verify.err()), (String::new(), String::new()));
}

/// systemd decides by the file, and everybody else says what it does.
#[test]
fn every_restart_of_a_unit_file_and_every_end() {
    let lab = Lab::boot(Suite::Trixie);
    let mut table = Table::default();
    for (way, becomes, code) in FILE_WAYS {
        for (value, becomes) in VALUES.into_iter().zip(becomes) {
            if !becomes.is_empty() {
                table.add("", value, way, becomes, *code);
            }
        }
    }
    table.check(&lab, "yes");
    let shown = lab.sh(&format!(
        "for value in {}; do unitbox inspect -f '{{{{.HostConfig.RestartPolicy.Name}}}}' systemd-exit-0-$value; done
        unitbox ps -a --filter restart-policy=on-abort --filter name=exit-3 --format '{{{{.Names}}}}'
        unitbox ps -a --filter name=exit-3-on-failure --format '{{{{.Restarts}}}}'
        for name in exit-3-on-failure exit-3-no; do
            unitbox events --stream=false --filter container=systemd-$name --filter event=restart --filter event=died --format '{{{{.Status}}}}' | paste -sd ' '
        done
        journalctl --sync; journalctl -o cat -u user-kill-on-abort | grep -o 'not restarted.*'",
        VALUES.join(" ")
    ));
    let expected = format!(
        "{}\nsystemd-exit-3-on-abort\n1\ndied restart\ndied\nnot restarted (Restart=on-abort, 0 restarts)",
        VALUES.join("\n")
    );
    assert_eq!(shown.ok(), expected);
}
