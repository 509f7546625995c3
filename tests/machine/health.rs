//! Health checks: what they cost and leave, what they tell, and what is done about them.

use crate::harness::{Lab, Suite};
use crate::run::ROOTFS;

/// `up NAME FLAG...`: a container that goes on until it is told to stop. `until WORDS COMMAND`: waits for that output.
const SHELL: &str = r#"
up() { name=$1; shift; unitbox run -d --name $name "$@" --rootfs /usr/share/unitbox-lab/busybox \
    sh -c 'trap "exit 0" TERM; while :; do sleep 0.1; done' >/dev/null; }
until_is() { for i in $(seq 100); do [ "$(eval "$2")" = "$1" ] && return 0; sleep 0.1; done
    echo "not $1: $(eval "$2")"; return 1; }
health() { unitbox inspect -f '{{.State.Health.Status}} {{.State.Health.FailingStreak}}' $1; }
last() { unitbox inspect -f json $1 | jq -r '.[0].State.Health.Log[-1] | "\(.ExitCode) \(.Output)"'; }
group() { echo /sys/fs/cgroup/system.slice/unitbox-$1.service/payload; }
"#;

fn sh(lab: &Lab, script: &str) -> String {
    lab.sh(&format!("{SHELL}{script}")).ok()
}

#[test]
fn a_check_that_hangs_prints_or_forks_is_bounded() {
    let lab = Lab::boot(Suite::Trixie);
    for runtime in ["runc", "crun"] {
        let with = format!("--runtime {runtime} --health-interval disable --health-cmd");
        // Twice, as the second finds what the first has left.
        let seen = sh(
            &lab,
            &format!(
                "up hangs --health-timeout 1s {with} 'sleep 1000 & sleep 1000'
                 for i in 1 2; do unitbox healthcheck run hangs; echo $?; done 2>&1
                 health hangs; last hangs; pgrep -ax sleep | grep -w 1000; ls -d $(group hangs)/*/ 2>/dev/null | wc -l; true"
            ),
        );
        let error = "Error: healthcheck command exceeded its timeout\n125\n";
        assert_eq!(
            seen,
            format!("{error}{error}starting 2\n-1 \n0"),
            "{runtime}"
        );
        let seen = sh(
            &lab,
            &format!(
                "up prints --health-timeout 60s --health-max-log-size 0 {with} 'dd if=/dev/zero bs=1M count=1000 2>/dev/null'
                 unitbox healthcheck run prints; echo $?
                 unitbox inspect -f json prints | jq '.[0].State.Health.Log[0].Output | length'
                 up forks {with} 'setsid sleep 2000 >/dev/null 2>&1 & (sleep 2000 &) ; echo done'
                 for i in 1 2; do unitbox healthcheck run forks; echo $?; done
                 last forks; pgrep -ax sleep | grep -w 2000; ls -d $(group forks)/*/ 2>/dev/null | wc -l; true"
            ),
        );
        assert_eq!(seen, "0\n1048576\n0\n0\n0 done\n\n0", "{runtime}");
        lab.sh("unitbox rm -f -t 0 hangs prints forks").ok();
    }
}

/// The monitor's own timer: at once, in its rhythm, and not while paused; one line in the journal.
#[test]
fn the_monitor_looks_in_its_rhythm_and_says_what_changes() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = sh(
        &lab,
        "mkdir /opt/seen; up web -v /opt/seen:/seen --health-interval 300ms --health-retries 2 \
            --health-cmd 'echo >>/seen/count; test ! -e /seen/bad'
         unitbox wait --condition healthy web
         unitbox ps --format '{{.Status}}' | grep -o '(.*)'
         systemctl show -P StatusText unitbox-web | sed 's/[0-9][0-9]* ms/N ms/'
         sleep 2; echo looked $(( $(wc -l </opt/seen/count) > 3 ))
         unitbox pause web >/dev/null; sleep 0.5; before=$(wc -l </opt/seen/count); sleep 1
         echo paused $(( $(wc -l </opt/seen/count) - before ))
         unitbox healthcheck run web 2>&1 | sed 's/[0-9a-f]\\{64\\}/ID/'
         unitbox unpause web >/dev/null
         touch /opt/seen/bad; unitbox wait --condition unhealthy web
         unitbox ps --filter health=unhealthy --format '{{.Names}}'
         unitbox ps --filter health=healthy --format '{{.Names}}'
         journalctl --sync; journalctl -o cat -u unitbox-web | grep health
         unitbox events --stream=false --filter event=health_status --format '{{.HealthStatus}}'
         id=$(unitbox inspect -f '{{.Id}}' web); case $id in [0-9]*) id=_3${id};; esac
         busctl get-property org.unitbox1 /org/unitbox1/container/$id org.unitbox1.Container Health
         systemctl list-units --all | grep -cE '[0-9a-f]{64}'; true",
    );
    let expected = "-1\n(healthy)\nrunning, healthy, N ms\nlooked 1\npaused 0\nError: container ID is not running\n-1\nweb\n\
        container health_status web (healthy)\ncontainer health_status web (unhealthy)\nhealthy\nunhealthy\ns \"unhealthy\"\n0";
    assert_eq!(seen, expected);
}

#[test]
fn what_is_done_with_unhealthy_containers() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = sh(
        &lab,
        "bad='--health-interval 300ms --health-retries 2 --health-cmd false --health-start-period 300ms'
         up none $bad
         up killed $bad --health-on-failure kill
         up stopped $bad --health-on-failure stop --restart always
         up again $bad --health-on-failure restart
         up startup --health-interval 300ms --health-cmd true --health-startup-cmd false \
             --health-startup-interval 300ms --health-startup-retries 2
         until_is unhealthy 'unitbox inspect -f {{.State.Health.Status}} none'
         until_is exited 'unitbox inspect -f {{.State.Status}} killed'
         until_is exited 'unitbox inspect -f {{.State.Status}} stopped'
         for name in again startup; do
             until_is 1 'echo $(( $(systemctl show -P NRestarts unitbox-'$name') > 0 ))'
             journalctl --sync; journalctl -o cat -u unitbox-$name | grep -o \"Failed with result.*\" | uniq
         done
         # Not while a start is being prepared.
         for name in again startup; do until_is running 'unitbox inspect -f {{.State.Status}} '$name; unitbox stop -t 1 $name >/dev/null; done; sleep 2
         for name in none killed stopped again startup; do
             echo $name $(unitbox inspect -f '{{.State.Status}} {{.State.ExitCode}}' $name) $(systemctl show -P NRestarts unitbox-$name | sed 's/[1-9]/N/')
         done",
    );
    let watchdog = "Failed with result 'watchdog'.";
    let expected = format!(
        "{watchdog}\n{watchdog}\nnone running 0 0\nkilled exited 137 0\nstopped exited 0 0\nagain exited 0 0\nstartup exited 0 0"
    );
    assert_eq!(seen, expected);
}

/// The same with both: what `healthcheck run` says and ends with, and what `inspect` says then.
#[test]
fn words_and_codes_are_podmans() {
    let lab = Lab::boot(Suite::Trixie);
    let seen = |engine: &str| {
        sh(
            &lab,
            &format!(
                "E={engine}
                 go() {{ $E run -d --network none --name $1 --health-interval disable \"${{@:2}}\" \
                    --rootfs /usr/share/unitbox-lab/busybox:O sleep 1000 >/dev/null; }}
                 look() {{ $E healthcheck run $1 2>&1 | sed 's/[0-9a-f]\\{{64\\}}/ID/'; echo ${{PIPESTATUS[0]}}
                    $E inspect -f '{{{{with .State.Health}}}}{{{{.Status}}}} {{{{.FailingStreak}}}} {{{{len .Log}}}}{{{{end}}}}' $1; }}
                 go good --health-cmd 'echo hi' --health-max-log-count 2; for i in 1 2 3; do look good; done
                 go bad --health-cmd false --health-retries 2; for i in 1 2 3; do look bad; done
                 go early --health-cmd false --health-start-period 1m; look early
                 go startup --health-cmd true --health-startup-cmd false --health-startup-interval disable; look startup
                 go without; look without
                 $E pause good >/dev/null; look good; $E unpause good >/dev/null
                 $E healthcheck run nope 2>&1; echo $?
                 for flags in '--no-healthcheck' '--health-cmd none' '--health-cmd CMD\\ true\\ x' '--health-cmd true --health-retries 5 --health-timeout 2s'; do
                     id=$(eval $E create --network none $flags --rootfs /usr/share/unitbox-lab/busybox:O true)
                     $E inspect -f '{{{{json .Config.Healthcheck.Test}}}}' $id
                 done
                 $E create --network none --health-on-failure kill --rootfs /usr/share/unitbox-lab/busybox true 2>&1
                 $E rm -af -t 0 >/dev/null"
            ),
        )
    };
    let (ours, theirs) = (seen("unitbox"), seen("podman"));
    assert_eq!(ours, theirs);
    assert!(ours.contains("unhealthy 3"), "{ours}");
}

/// The keys of a file, and a stop that its own Restart= does not undo.
#[test]
fn a_unit_file_has_the_same() {
    let lab = Lab::boot(Suite::Trixie);
    lab.sh("mkdir -p /etc/unitbox").ok();
    lab.write(
        "/etc/unitbox/sick.container",
        "[Container]\nRootfs=/usr/share/unitbox-lab/busybox\nExec=sleep 1000\nStopTimeout=1\nHealthCmd=false\n\
         HealthInterval=300ms\nHealthRetries=2\nHealthOnFailure=stop\n[Service]\nRestart=always\n",
    );
    let seen = sh(
        &lab,
        "systemctl daemon-reload; systemctl start sick
         until_is exited 'unitbox inspect -f {{.State.Status}} systemd-sick'; sleep 1
         systemctl show -P NRestarts sick; health systemd-sick",
    );
    assert_eq!(seen, "0\nunhealthy 2");
    let error = lab.sh(&format!(
        "unitbox create --rm --health-cmd false --health-on-failure restart {ROOTFS} true"
    ));
    error.fails(125);
}
